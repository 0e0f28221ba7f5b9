//! certbot, as administrators run it.
//!
//! Debian's certbot 2.1 on Python 3.11 shows "can't set attribute" in place of ACME errors; its log has them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use tests::world::World;

use super::{
    command::{Shell, expect_words, script},
    lego::directory_link,
    openssl,
    origin::{CERTBOT, OPENSSL},
    scenario::{Failure, Lane},
    webroot,
};

/// Clients that nobody knows beforehand.
pub(crate) fn open(world: &World) -> Lane<'_> {
    Lane::new(world, "certbot-open", 11)
        .running("certbot")
        .with(CERTBOT, "http-01, ECDSA P-256", |lane| {
            standalone(lane, "open", &["a1.quickstart.test"]).arg("--keep-until-expiring").succeed()?;
            check(lane, "a1.quickstart.test", &["DNS:a1.quickstart.test", "prime256v1"])
        })
        .with(OPENSSL, "OCSP says good (certbot's certificate)", |lane| {
            openssl::ocsp(lane, &live(lane, "a1.quickstart.test", "cert.pem"), "good")
        })
        .with(CERTBOT, "renew", |lane| renew(lane, "a1.quickstart.test"))
        .with(CERTBOT, "http-01, two names, RSA", |lane| {
            let names = ["a2.quickstart.test", "b2.quickstart.test"];
            standalone(lane, "open", &names).args(&["--key-type", "rsa", "--rsa-key-size", "2048"]).succeed()?;
            check(lane, "a2.quickstart.test", &["DNS:a2.quickstart.test", "DNS:b2.quickstart.test", "rsaEncryption"])
        })
        .with(CERTBOT, "http-01, ECDSA P-384", |lane| {
            let curve = ["--key-type", "ecdsa", "--elliptic-curve", "secp384r1"];
            standalone(lane, "open", &["a3.quickstart.test"]).args(&curve).succeed()?;
            check(lane, "a3.quickstart.test", &["DNS:a3.quickstart.test", "secp384r1"])
        })
        .with(CERTBOT, "revoke by account key", |lane| revoke(lane, "a1.quickstart.test", &[]))
        .with(OPENSSL, "OCSP says revoked, CRL lists it (by account key)", |lane| revoked(lane, "a1.quickstart.test"))
        .with(CERTBOT, "revoke by certificate key, RSA", |lane| revoke_by_key(lane, "a2.quickstart.test"))
        .with(OPENSSL, "OCSP says revoked, CRL lists it (by RSA key)", |lane| revoked(lane, "a2.quickstart.test"))
        .with(CERTBOT, "revoke by certificate key, ECDSA", |lane| revoke_by_key(lane, "a3.quickstart.test"))
        .with(OPENSSL, "OCSP says revoked, CRL lists it (by ECDSA key)", |lane| revoked(lane, "a3.quickstart.test"))
        .with(CERTBOT, "dns-01, wildcard and base, by hooks", |lane| {
            by_hooks(lane, "wild.quickstart.test")?.succeed()?;
            check(lane, "wild.quickstart.test", &["DNS:*.wild.quickstart.test", "DNS:wild.quickstart.test"])
        })
        .with(CERTBOT, "http-01, webroot", |lane| {
            by_webroot(lane, "root.quickstart.test")?;
            check(lane, "root.quickstart.test", &["DNS:root.quickstart.test"])
        })
        .with(CERTBOT, "a request of the user's own, RSA-3072, without CN", |lane| {
            let certificate = by_own_request(lane, &["rsa:3072"], &["own.quickstart.test"])?;
            openssl::shows(lane, &certificate, &["DNS:own.quickstart.test", "3072 bit"])
        })
        .with(CERTBOT, "the other chain", |lane| {
            let shell = standalone(lane, "open", &["a5.quickstart.test"]);
            shell.args(&["--preferred-chain", openssl::OTHER_CHAIN]).succeed()?;
            let file = |name: &str| live(lane, "a5.quickstart.test", name);
            openssl::verify_other_chain(lane, &file("cert.pem"), &file("chain.pem"))
        })
        .with(CERTBOT, "http-01 fails with a reason", |lane| {
            // The name points to an address where nobody answers.
            let body = json!({"host": "nobody.quickstart.test.", "addresses": ["127.0.0.99"]});
            lane.world.site().control("/add-a", &body);
            request(lane, "open", &["nobody.quickstart.test"]).fail()?;
            expect_words(&log(lane), &["urn:ietf:params:acme:error:connection", "127.0.0.99"])
        })
        .with(CERTBOT, "account update", |lane| {
            let words = certbot(lane, "open").args(&["update_account", "--email", "new@quickstart.test"]).succeed()?;
            expect_words(&words, &["new@quickstart.test"])?;
            expect_words(&log(lane), &["mailto:new@quickstart.test"])
        })
        .with(CERTBOT, "unregister", |lane| {
            let words = certbot(lane, "open").args(&["unregister"]).succeed()?;
            expect_words(&words, &["Account deactivated"])
        })
        .with(CERTBOT, "a new account after unregister", |lane| {
            standalone(lane, "open", &["a4.quickstart.test"]).succeed()?;
            check(lane, "a4.quickstart.test", &["DNS:a4.quickstart.test"])
        })
}

/// Clients that an officer registered: the sample registration of the sandbox.
pub(crate) fn registered(world: &World) -> Lane<'_> {
    Lane::new(world, "certbot-registered", 12)
        .running("certbot")
        .with(CERTBOT, "registered: refused without external account", |lane| {
            let words = standalone(lane, "registered", &["www.example.test"]).fail()?;
            expect_words(&(words + &log(lane)), &["external account binding"])
        })
        .with(CERTBOT, "registered: wrong external account key", |lane| {
            let wrong = ["--eab-kid", "kid-unknown", "--eab-hmac-key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"];
            standalone(lane, "registered", &["www.example.test"]).args(&wrong).fail()?;
            expect_words(&log(lane), &["urn:ietf:params:acme:error:unauthorized"])
        })
        .with(CERTBOT, "registered: an allowed name, with EAB", |lane| {
            let eab = &lane.world.facts()["eab"];
            let text = |name: &str| eab[name].as_str().unwrap_or_default().to_owned();
            let request = standalone(lane, "registered", &["www.example.test"]);
            request.arg("--eab-kid").arg(text("kid")).arg("--eab-hmac-key").arg(text("hmac_key")).succeed()?;
            check(lane, "www.example.test", &["DNS:www.example.test"])
        })
        .with(CERTBOT, "registered: renew", |lane| {
            certbot(lane, "registered").args(&["renew", "--force-renewal", "--no-random-sleep-on-renew"]).succeed()?;
            check(lane, "www.example.test", &["DNS:www.example.test"])
        })
        .with(CERTBOT, "registered: refused outside the list, rule named", |lane| {
            standalone(lane, "registered", &["www.other.test"]).fail()?;
            expect_words(&log(lane), &["rejectedIdentifier", "www.other.test", "identifier.not-listed"])
        })
        .with(CERTBOT, "registered: refused for evil + an allowed name", |lane| {
            standalone(lane, "registered", &["evilexample.test"]).fail()?;
            expect_words(&log(lane), &["rejectedIdentifier", "evilexample.test", "identifier.not-listed"])
        })
        .with(CERTBOT, "registered: revoke", |lane| revoke(lane, "www.example.test", &[]))
        .with(OPENSSL, "OCSP says revoked, CRL lists it (registered)", |lane| revoked(lane, "www.example.test"))
}

/// Clients that an officer gave a directory URL of their own, and no external account key.
pub(crate) fn linked(world: &World) -> Lane<'_> {
    let link = directory_link(world, "certbot-link.test");
    Lane::new(world, "certbot-linked", 15)
        .running("certbot")
        .with(CERTBOT, "linked: an allowed name, without EAB", {
            let link = link.clone();
            move |lane| {
                standalone(lane, &link, &["www.certbot-link.test"]).succeed()?;
                check(lane, "www.certbot-link.test", &["DNS:www.certbot-link.test"])
            }
        })
        .with(CERTBOT, "linked: renew", {
            let link = link.clone();
            move |lane| {
                certbot(lane, &link).args(&["renew", "--force-renewal", "--no-random-sleep-on-renew"]).succeed()?;
                check(lane, "www.certbot-link.test", &["DNS:www.certbot-link.test"])
            }
        })
        .with(CERTBOT, "linked: refused outside the list, rule named", move |lane| {
            standalone(lane, &link, &["www.other.test"]).fail()?;
            expect_words(&log(lane), &["rejectedIdentifier", "www.other.test", "identifier.not-listed"])
        })
}

/// certbot with what every call of it needs.
pub(crate) fn certbot(lane: &Lane<'_>, endpoint: &str) -> Shell {
    let site = lane.site();
    let folder = |name: &str| lane.dir.join(name);
    lane.shell(&lane.program)
        .env("REQUESTS_CA_BUNDLE", site.pki("acme-ca.pem"))
        .args(&["--non-interactive", "--agree-tos", "--no-eff-email", "--server", &site.url(endpoint, "directory")])
        .arg("--config-dir")
        .arg(folder("config"))
        .arg("--work-dir")
        .arg(folder("work"))
        .arg("--logs-dir")
        .arg(folder("logs"))
}

/// certonly by its own web server, on this lane's address.
pub(crate) fn standalone(lane: &Lane<'_>, endpoint: &str, names: &[&str]) -> Shell {
    lane.resolve(names);
    request(lane, endpoint, names)
}

/// The same for names that may lead elsewhere.
pub(crate) fn request(lane: &Lane<'_>, endpoint: &str, names: &[&str]) -> Shell {
    let mut shell = certbot(lane, endpoint)
        .args(&["certonly", "--standalone", "--email", "admin@quickstart.test"])
        .args(&["--http-01-address", &lane.address.to_string(), "--http-01-port", &lane.http_01_port().to_string()])
        .args(&["--cert-name", names[0]]);
    for name in names {
        shell = shell.args(&["-d", name]);
    }
    shell
}

/// Renews, and looks whether it did.
pub(crate) fn renew(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    let certificate = live(lane, name, "cert.pem");
    let before = openssl::serial(lane, &certificate)?;
    let renew = certbot(lane, "open").args(&["renew", "--force-renewal", "--no-random-sleep-on-renew"]);
    renew.args(&["--cert-name", name]).succeed()?;
    if openssl::serial(lane, &certificate)? == before {
        return Err("it is the old certificate".to_owned());
    }
    check(lane, name, &[&format!("DNS:{name}")])
}

/// A wildcard and its base by dns-01, with scripts.
pub(crate) fn by_hooks(lane: &Lane<'_>, name: &str) -> Result<Shell, Failure> {
    let (present, clean) = hooks(lane)?;
    let shell = certbot(lane, "open").args(&["certonly", "--manual", "--preferred-challenges", "dns"]);
    let shell =
        shell.args(&["--email", "admin@quickstart.test", "--cert-name", name, "--manual-auth-hook"]).arg(present);
    let shell = shell.arg("--manual-cleanup-hook").arg(clean);
    Ok(shell.arg("-d").arg(format!("*.{name}")).args(&["-d", name]))
}

/// Writes its answers into a folder that a web server of this lane gives out.
pub(crate) fn by_webroot(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    lane.resolve(&[name]);
    let (_server, folder) = webroot::serve(lane)?;
    let shell = certbot(lane, "open").args(&["certonly", "--webroot", "--email", "admin@quickstart.test", "-d", name]);
    shell.arg("--webroot-path").arg(folder).succeed().map(drop)
}

/// A certificate for a request without common name that somebody else made. Answers it.
pub(crate) fn by_own_request(lane: &Lane<'_>, algorithm: &[&str], names: &[&str]) -> Result<PathBuf, Failure> {
    lane.resolve(names);
    let (_, csr) = openssl::request(lane, algorithm, names)?;
    let file = |name: &str| lane.dir.join(format!("own-{name}.pem"));
    let shell = certbot(lane, "open").args(&["certonly", "--standalone", "--email", "admin@quickstart.test"]);
    let shell = shell.args(&["--http-01-address", &lane.address.to_string()]);
    let shell = shell.args(&["--http-01-port", &lane.http_01_port().to_string(), "--csr"]).arg(csr);
    let shell = shell.arg("--cert-path").arg(file("cert")).arg("--chain-path").arg(file("chain"));
    shell.arg("--fullchain-path").arg(file("fullchain")).succeed()?;
    openssl::verify(lane, &file("cert"), &file("chain"))?;
    Ok(file("cert"))
}

/// Revokes by account key.
pub(crate) fn revoke(lane: &Lane<'_>, name: &str, more: &[&str]) -> Result<(), Failure> {
    let certificate = live(lane, name, "cert.pem");
    // What is kept here is looked at after certbot has forgotten it.
    fs::copy(&certificate, kept(lane, name)).map_err(|error| format!("{}: {error}", certificate.display()))?;
    let endpoint = if name.ends_with("example.test") { "registered" } else { "open" };
    let revoke = certbot(lane, endpoint).args(&["revoke", "--no-delete-after-revoke", "--cert-path"]).arg(certificate);
    let words = revoke.args(more).succeed()?;
    expect_words(&words, &["Congratulations"])
}

/// Revokes by certificate key.
pub(crate) fn revoke_by_key(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    let key = live(lane, name, "privkey.pem").display().to_string();
    revoke(lane, name, &["--key-path", &key, "--reason", "keycompromise"])
}

/// Revokes what another client got, by its key.
pub(crate) fn revoke_with_key(lane: &Lane<'_>, certificate: &Path, key: &Path) -> Result<(), Failure> {
    let shell = lane.shell("certbot").env("REQUESTS_CA_BUNDLE", lane.ca_file()).args(&["revoke", "--non-interactive"]);
    let shell = shell.args(&["--no-delete-after-revoke", "--server", &lane.directory("open")]);
    let shell = shell.arg("--cert-path").arg(certificate).arg("--key-path").arg(key);
    let folder = |name: &str| lane.dir.join("certbot").join(name);
    let shell = shell.arg("--config-dir").arg(folder("config")).arg("--work-dir").arg(folder("work"));
    shell.arg("--logs-dir").arg(folder("logs")).succeed().map(drop)
}

/// Everybody sees that it is revoked.
pub(crate) fn revoked(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    openssl::revoked(lane, &kept(lane, name))
}

/// The certificate chains to the root, and shows these words.
pub(crate) fn check(lane: &Lane<'_>, name: &str, wanted: &[&str]) -> Result<(), Failure> {
    let certificate = live(lane, name, "cert.pem");
    openssl::verify(lane, &certificate, &live(lane, name, "chain.pem"))?;
    openssl::shows(lane, &certificate, wanted)
}

/// A file of the current certificate.
pub(crate) fn live(lane: &Lane<'_>, name: &str, file: &str) -> PathBuf {
    lane.dir.join("config/live").join(name).join(file)
}

/// A certificate that was revoked.
pub(crate) fn kept(lane: &Lane<'_>, name: &str) -> PathBuf {
    lane.dir.join(format!("{name}.revoked.pem"))
}

/// What certbot wrote about its last run.
pub(crate) fn log(lane: &Lane<'_>) -> String {
    fs::read_to_string(lane.dir.join("logs/letsencrypt.log")).unwrap_or_default()
}

/// Scripts that set and remove the TXT record of dns-01.
fn hooks(lane: &Lane<'_>) -> Result<(PathBuf, PathBuf), Failure> {
    let control = lane.world.site().control;
    let (present, clean) = (lane.dir.join("present.sh"), lane.dir.join("clean.sh"));
    let text = |command: &str, more: &str| {
        format!(
            "curl -fsS -d \"{{\\\"host\\\":\\\"_acme-challenge.$CERTBOT_DOMAIN.\\\"{more}}}\" http://{control}/{command}\n"
        )
    };
    script(&present, &text("set-txt", ",\\\"value\\\":\\\"$CERTBOT_VALIDATION\\\""))?;
    script(&clean, &text("clear-txt", ""))?;
    Ok((present, clean))
}
