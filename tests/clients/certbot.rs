//! certbot, as administrators run it.
//!
//! Debian's certbot 2.1 on Python 3.11 shows "can't set attribute" in place of ACME errors; its log has them.

use std::{fs, path::PathBuf};

use serde_json::json;
use tests::world::World;

use super::{
    command::{Shell, expect_words, script},
    openssl,
    scenario::{Failure, Lane},
};

/// Clients that nobody knows beforehand.
pub(crate) fn open(world: &World) -> Lane<'_> {
    Lane::new(world, "certbot-open", 11)
        .with("certbot", "http-01, ECDSA P-256", |lane| {
            standalone(lane, "open", &["a1.quickstart.test"]).arg("--keep-until-expiring").succeed()?;
            check(lane, "a1.quickstart.test", &["DNS:a1.quickstart.test", "prime256v1"])
        })
        .with("openssl", "OCSP says good (certbot's certificate)", |lane| {
            openssl::ocsp(lane, &live(lane, "a1.quickstart.test", "cert.pem"), "good")
        })
        .with("certbot", "renew", |lane| {
            let certificate = live(lane, "a1.quickstart.test", "cert.pem");
            let before = openssl::serial(lane, &certificate)?;
            certbot(lane, "open").args(&["renew", "--force-renewal", "--no-random-sleep-on-renew"]).succeed()?;
            if openssl::serial(lane, &certificate)? == before {
                return Err("it is the old certificate".to_owned());
            }
            check(lane, "a1.quickstart.test", &["DNS:a1.quickstart.test"])
        })
        .with("certbot", "http-01, two names, RSA", |lane| {
            let names = ["a2.quickstart.test", "b2.quickstart.test"];
            standalone(lane, "open", &names).args(&["--key-type", "rsa", "--rsa-key-size", "2048"]).succeed()?;
            check(lane, "a2.quickstart.test", &["DNS:a2.quickstart.test", "DNS:b2.quickstart.test", "rsaEncryption"])
        })
        .with("certbot", "http-01, ECDSA P-384", |lane| {
            let curve = ["--key-type", "ecdsa", "--elliptic-curve", "secp384r1"];
            standalone(lane, "open", &["a3.quickstart.test"]).args(&curve).succeed()?;
            check(lane, "a3.quickstart.test", &["DNS:a3.quickstart.test", "secp384r1"])
        })
        .with("certbot", "revoke by account key", |lane| revoke(lane, "a1.quickstart.test", &[]))
        .with("openssl", "OCSP says revoked, CRL lists it (by account key)", |lane| revoked(lane, "a1.quickstart.test"))
        .with("certbot", "revoke by certificate key, RSA", |lane| revoke_by_key(lane, "a2.quickstart.test"))
        .with("openssl", "OCSP says revoked, CRL lists it (by RSA key)", |lane| revoked(lane, "a2.quickstart.test"))
        .with("certbot", "revoke by certificate key, ECDSA", |lane| revoke_by_key(lane, "a3.quickstart.test"))
        .with("openssl", "OCSP says revoked, CRL lists it (by ECDSA key)", |lane| revoked(lane, "a3.quickstart.test"))
        .with("certbot", "dns-01, wildcard and base, by hooks", |lane| {
            let (present, clean) = hooks(lane)?;
            certbot(lane, "open")
                .args(&["certonly", "--manual", "--preferred-challenges", "dns", "--cert-name", "wild.quickstart.test"])
                .arg("--manual-auth-hook")
                .arg(present)
                .arg("--manual-cleanup-hook")
                .arg(clean)
                .args(&["-d", "*.wild.quickstart.test", "-d", "wild.quickstart.test"])
                .succeed()?;
            check(lane, "wild.quickstart.test", &["DNS:*.wild.quickstart.test", "DNS:wild.quickstart.test"])
        })
        .with("certbot", "http-01 fails with a reason", |lane| {
            // The name points to an address where nobody answers.
            let body = json!({"host": "nobody.quickstart.test.", "addresses": ["127.0.0.99"]});
            lane.world.site().control("/add-a", &body);
            request(lane, "open", &["nobody.quickstart.test"]).fail()?;
            expect_words(&log(lane), &["urn:ietf:params:acme:error:connection", "127.0.0.99"])
        })
        .with("certbot", "account update", |lane| {
            let words = certbot(lane, "open").args(&["update_account", "--email", "new@quickstart.test"]).succeed()?;
            expect_words(&words, &["new@quickstart.test"])?;
            expect_words(&log(lane), &["mailto:new@quickstart.test"])
        })
        .with("certbot", "unregister", |lane| {
            let words = certbot(lane, "open").args(&["unregister"]).succeed()?;
            expect_words(&words, &["Account deactivated"])
        })
        .with("certbot", "a new account after unregister", |lane| {
            standalone(lane, "open", &["a4.quickstart.test"]).succeed()?;
            check(lane, "a4.quickstart.test", &["DNS:a4.quickstart.test"])
        })
}

/// Clients that an officer registered: the sample registration of the sandbox.
pub(crate) fn registered(world: &World) -> Lane<'_> {
    Lane::new(world, "certbot-registered", 12)
        .with("certbot", "registered: refused without external account", |lane| {
            let words = standalone(lane, "registered", &["www.example.test"]).fail()?;
            expect_words(&(words + &log(lane)), &["external account binding"])
        })
        .with("certbot", "registered: wrong external account key", |lane| {
            let wrong = ["--eab-kid", "kid-unknown", "--eab-hmac-key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"];
            standalone(lane, "registered", &["www.example.test"]).args(&wrong).fail()?;
            expect_words(&log(lane), &["urn:ietf:params:acme:error:unauthorized"])
        })
        .with("certbot", "registered: an allowed name, with EAB", |lane| {
            let eab = &lane.world.facts()["eab"];
            let text = |name: &str| eab[name].as_str().unwrap_or_default().to_owned();
            let request = standalone(lane, "registered", &["www.example.test"]);
            request.arg("--eab-kid").arg(text("kid")).arg("--eab-hmac-key").arg(text("hmac_key")).succeed()?;
            check(lane, "www.example.test", &["DNS:www.example.test"])
        })
        .with("certbot", "registered: renew", |lane| {
            certbot(lane, "registered").args(&["renew", "--force-renewal", "--no-random-sleep-on-renew"]).succeed()?;
            check(lane, "www.example.test", &["DNS:www.example.test"])
        })
        .with("certbot", "registered: refused outside the list, rule named", |lane| {
            standalone(lane, "registered", &["www.other.test"]).fail()?;
            expect_words(&log(lane), &["rejectedIdentifier", "www.other.test", "identifier.not-listed"])
        })
        .with("certbot", "registered: refused for evil + an allowed name", |lane| {
            standalone(lane, "registered", &["evilexample.test"]).fail()?;
            expect_words(&log(lane), &["rejectedIdentifier", "evilexample.test", "identifier.not-listed"])
        })
        .with("certbot", "registered: revoke", |lane| revoke(lane, "www.example.test", &[]))
        .with("openssl", "OCSP says revoked, CRL lists it (registered)", |lane| revoked(lane, "www.example.test"))
}

fn certbot(lane: &Lane<'_>, endpoint: &str) -> Shell {
    let site = lane.world.site();
    let folder = |name: &str| lane.dir.join(name);
    lane.shell("certbot")
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
fn standalone(lane: &Lane<'_>, endpoint: &str, names: &[&str]) -> Shell {
    lane.resolve(names);
    request(lane, endpoint, names)
}

fn request(lane: &Lane<'_>, endpoint: &str, names: &[&str]) -> Shell {
    let mut shell = certbot(lane, endpoint)
        .args(&["certonly", "--standalone", "--email", "admin@quickstart.test"])
        .args(&["--http-01-address", &lane.address.to_string(), "--http-01-port", &lane.http_01_port().to_string()])
        .args(&["--cert-name", names[0]]);
    for name in names {
        shell = shell.args(&["-d", name]);
    }
    shell
}

fn revoke(lane: &Lane<'_>, name: &str, more: &[&str]) -> Result<(), Failure> {
    let certificate = live(lane, name, "cert.pem");
    // What is kept here is looked at after certbot has forgotten it.
    fs::copy(&certificate, kept(lane, name)).map_err(|error| format!("{}: {error}", certificate.display()))?;
    let endpoint = if name.ends_with("example.test") { "registered" } else { "open" };
    let revoke = certbot(lane, endpoint).args(&["revoke", "--no-delete-after-revoke", "--cert-path"]).arg(certificate);
    let words = revoke.args(more).succeed()?;
    expect_words(&words, &["Congratulations"])
}

fn revoke_by_key(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    let key = live(lane, name, "privkey.pem").display().to_string();
    revoke(lane, name, &["--key-path", &key, "--reason", "keycompromise"])
}

fn revoked(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    openssl::ocsp(lane, &kept(lane, name), "revoked")?;
    openssl::crl_lists(lane, &kept(lane, name))
}

/// The certificate chains to the root, and shows these words.
fn check(lane: &Lane<'_>, name: &str, wanted: &[&str]) -> Result<(), Failure> {
    let certificate = live(lane, name, "cert.pem");
    openssl::verify(lane, &certificate, &live(lane, name, "chain.pem"))?;
    openssl::shows(lane, &certificate, wanted)
}

fn live(lane: &Lane<'_>, name: &str, file: &str) -> PathBuf {
    lane.dir.join("config/live").join(name).join(file)
}

fn kept(lane: &Lane<'_>, name: &str) -> PathBuf {
    lane.dir.join(format!("{name}.revoked.pem"))
}

/// What certbot wrote about its last run.
fn log(lane: &Lane<'_>) -> String {
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
