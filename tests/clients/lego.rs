//! lego, as administrators run it.

use std::{fs, path::PathBuf};

use serde_json::json;
use tests::world::World;

use super::{
    command::{Shell, expect_words, script},
    openssl,
    origin::{LEGO, OPENSSL},
    scenario::{Failure, Lane},
};

/// Clients that nobody knows beforehand.
pub(crate) fn open(world: &World) -> Lane<'_> {
    Lane::new(world, "lego-open", 21)
        .with(LEGO, "http-01, ECDSA P-256", |lane| {
            by_http(lane, "open", &["l1.quickstart.test"]).arg("run").succeed()?;
            check(lane, "l1.quickstart.test", &["DNS:l1.quickstart.test", "prime256v1"])
        })
        .with(OPENSSL, "OCSP says good (lego's certificate)", |lane| {
            openssl::ocsp(lane, &file(lane, "l1.quickstart.test.crt"), "good")
        })
        .with(LEGO, "renew", |lane| {
            let certificate = file(lane, "l1.quickstart.test.crt");
            let before = openssl::serial(lane, &certificate)?;
            by_http(lane, "open", &["l1.quickstart.test"])
                .args(&["renew", "--days", "365", "--no-random-sleep"])
                .succeed()?;
            if openssl::serial(lane, &certificate)? == before {
                return Err("it is the old certificate".to_owned());
            }
            check(lane, "l1.quickstart.test", &["DNS:l1.quickstart.test"])
        })
        .with(LEGO, "revoke", |lane| {
            keep(lane, "l1.quickstart.test")?;
            lego(lane, "open", &["l1.quickstart.test"]).arg("revoke").succeed().map(drop)
        })
        .with(OPENSSL, "OCSP says revoked, CRL lists it (by lego)", |lane| revoked(lane, "l1.quickstart.test"))
        .with(LEGO, "http-01, two names, RSA", |lane| {
            let names = ["l2.quickstart.test", "m2.quickstart.test"];
            by_http(lane, "open", &names).args(&["--key-type", "rsa2048", "run"]).succeed()?;
            check(lane, "l2.quickstart.test", &["DNS:l2.quickstart.test", "DNS:m2.quickstart.test", "rsaEncryption"])
        })
        .with(LEGO, "http-01, must-staple", |lane| {
            by_http(lane, "open", &["l3.quickstart.test"]).args(&["run", "--must-staple"]).succeed()?;
            check(lane, "l3.quickstart.test", &["DNS:l3.quickstart.test", "status_request"])
        })
        .with(LEGO, "dns-01, wildcard and base, by hook", |lane| {
            by_dns(lane, "open", &["*.lw.quickstart.test", "lw.quickstart.test"])?.arg("run").succeed()?;
            check(lane, "_.lw.quickstart.test", &["DNS:*.lw.quickstart.test", "DNS:lw.quickstart.test"])
        })
        .with(LEGO, "tls-alpn-01, two names", |lane| {
            let names = ["la.quickstart.test", "lb.quickstart.test"];
            lane.resolve(&names);
            let address = format!("{}:{}", lane.address, lane.tls_alpn_01_port());
            lego(lane, "open", &names).args(&["--tls", "--tls.port", &address, "run"]).succeed()?;
            check(lane, "la.quickstart.test", &["DNS:la.quickstart.test", "DNS:lb.quickstart.test"])
        })
        .with(LEGO, "the other chain", |lane| {
            let shell = by_http(lane, "open", &["l4.quickstart.test"]);
            shell.args(&["run", "--preferred-chain", openssl::OTHER_CHAIN]).succeed()?;
            let chain = file(lane, "l4.quickstart.test.issuer.crt");
            openssl::verify_other_chain(lane, &file(lane, "l4.quickstart.test.crt"), &chain)
        })
        .with(LEGO, "http-01 fails with a reason", |lane| {
            let body = json!({"host": "nobody-l.quickstart.test.", "addresses": ["127.0.0.98"]});
            lane.world.site().control("/add-a", &body);
            let words = http(lane, "open", &["nobody-l.quickstart.test"]).arg("run").fail()?;
            expect_words(&words, &["urn:ietf:params:acme:error:connection", "127.0.0.98"])
        })
}

/// Clients that an officer registered.
pub(crate) fn registered(world: &World) -> Lane<'_> {
    let allowed = json!({"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "lego.test"}]});
    let registration = world.officer().preregister(&json!({"allowedIdentifiers": allowed}));
    Lane::new(world, "lego-registered", 22)
        .with_external_account(registration)
        .with(LEGO, "registered: refused without external account", |lane| {
            let words = by_http(lane, "registered", &["www.lego.test"]).arg("run").fail()?;
            expect_words(&words.to_lowercase(), &["external account binding"])
        })
        .with(LEGO, "registered: an allowed name, with EAB", |lane| {
            with_eab(lane, by_http(lane, "registered", &["www.lego.test"])).arg("run").succeed()?;
            check(lane, "www.lego.test", &["DNS:www.lego.test"])
        })
        .with(LEGO, "registered: an allowed wildcard by dns-01", |lane| {
            with_eab(lane, by_dns(lane, "registered", &["*.lego.test"])?).arg("run").succeed()?;
            check(lane, "_.lego.test", &["DNS:*.lego.test"])
        })
        .with(LEGO, "registered: refused outside the list, rule named", |lane| {
            let words = with_eab(lane, by_http(lane, "registered", &["www.other.test"])).arg("run").fail()?;
            expect_words(&words, &["rejectedIdentifier", "www.other.test", "identifier.not-listed"])
        })
        .with(LEGO, "registered: refused for evil + an allowed name", |lane| {
            let words = with_eab(lane, by_http(lane, "registered", &["evillego.test"])).arg("run").fail()?;
            expect_words(&words, &["rejectedIdentifier", "evillego.test", "identifier.not-listed"])
        })
        .with(LEGO, "registered: revoke", |lane| {
            keep(lane, "www.lego.test")?;
            with_eab(lane, lego(lane, "registered", &["www.lego.test"])).arg("revoke").succeed().map(drop)
        })
        .with(OPENSSL, "OCSP says revoked, CRL lists it (lego, registered)", |lane| revoked(lane, "www.lego.test"))
}

/// Clients that an officer gave a directory URL of their own, and no external account key.
pub(crate) fn linked(world: &World) -> Lane<'_> {
    let link = directory_link(world, "lego-link.test");
    let made_up = format!("registered/r/{}", link.chars().rev().take(43).collect::<String>());
    Lane::new(world, "lego-linked", 23)
        .with(LEGO, "linked: an allowed name, without EAB", {
            let link = link.clone();
            move |lane| {
                by_http(lane, &link, &["www.lego-link.test"]).arg("run").succeed()?;
                check(lane, "www.lego-link.test", &["DNS:www.lego-link.test"])
            }
        })
        .with(LEGO, "linked: renew", {
            let link = link.clone();
            move |lane| {
                let certificate = file(lane, "www.lego-link.test.crt");
                let before = openssl::serial(lane, &certificate)?;
                let shell = by_http(lane, &link, &["www.lego-link.test"]);
                shell.args(&["renew", "--days", "365", "--no-random-sleep"]).succeed()?;
                if openssl::serial(lane, &certificate)? == before {
                    return Err("it is the old certificate".to_owned());
                }
                check(lane, "www.lego-link.test", &["DNS:www.lego-link.test"])
            }
        })
        .with(LEGO, "linked: refused outside the list, rule named", move |lane| {
            let words = by_http(lane, &link, &["www.other.test"]).arg("run").fail()?;
            expect_words(&words, &["rejectedIdentifier", "www.other.test", "identifier.not-listed"])
        })
        .with(LEGO, "linked: a made-up link says what to do", move |lane| {
            // With an account of its own: the one that it has goes on by any link.
            let shell = by_http(lane, &made_up, &["www.lego-link.test"]).args(&["--email", "new@quickstart.test"]);
            let words = shell.arg("run").fail()?;
            expect_words(&words, &["unauthorized", "ask the registration authority for a new directory URL"])
        })
}

/// Registers clients for the names below this one; answers what stands in the place of the endpoint in the directory
/// URL that binds them.
pub(crate) fn directory_link(world: &World, suffix: &str) -> String {
    let allowed = json!({"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": suffix}]});
    let registration = world.officer().preregister(&json!({"allowedIdentifiers": allowed}));
    format!("registered/r/{}", world.officer().draw_link(&registration.id))
}

/// lego wants the external account key at every run, not just at the first.
pub(crate) fn with_eab(lane: &Lane<'_>, shell: Shell) -> Shell {
    let (kid, key) = lane.eab();
    shell.args(&["--eab", "--kid", &kid, "--hmac", &key])
}

fn lego(lane: &Lane<'_>, endpoint: &str, names: &[&str]) -> Shell {
    let site = lane.site();
    let mut shell = lane
        .shell("lego")
        .env("LEGO_CA_CERTIFICATES", site.pki("acme-ca.pem"))
        .args(&["--server", &site.url(endpoint, "directory"), "--email", "admin@quickstart.test", "--accept-tos"])
        .arg("--path")
        .arg(lane.dir.join("lego"));
    for name in names {
        shell = shell.args(&["--domains", name]);
    }
    shell
}

/// The same for names that lead to this lane.
pub(crate) fn by_http(lane: &Lane<'_>, endpoint: &str, names: &[&str]) -> Shell {
    lane.resolve(names);
    http(lane, endpoint, names)
}

/// By http-01, on this lane's address.
pub(crate) fn http(lane: &Lane<'_>, endpoint: &str, names: &[&str]) -> Shell {
    let address = format!("{}:{}", lane.address, lane.http_01_port());
    lego(lane, endpoint, names).args(&["--http", "--http.port", &address])
}

/// dns-01 with a script that sets and removes the TXT record.
fn by_dns(lane: &Lane<'_>, endpoint: &str, names: &[&str]) -> Result<Shell, Failure> {
    let site = lane.world.site();
    let hook = lane.dir.join("hook.sh");
    let control = site.control;
    script(
        &hook,
        &format!(
            "case $1 in\n\
             present) curl -fsS -d \"{{\\\"host\\\":\\\"$2\\\",\\\"value\\\":\\\"$3\\\"}}\" http://{control}/set-txt;;\n\
             cleanup) curl -fsS -d \"{{\\\"host\\\":\\\"$2\\\"}}\" http://{control}/clear-txt;;\n\
             esac\n"
        ),
    )?;
    let resolver = site.dns.to_string();
    let shell = lego(lane, endpoint, names).env("EXEC_PATH", hook).env("EXEC_SEQUENCE_INTERVAL", "1");
    Ok(shell.args(&["--dns", "exec", "--dns.disable-cp", "--dns.resolvers", &resolver]))
}

/// Keeps a certificate to be looked at after lego has moved it to its archive.
fn keep(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    let certificate = file(lane, &format!("{name}.crt"));
    fs::copy(&certificate, kept(lane, name)).map_err(|error| format!("{}: {error}", certificate.display())).map(drop)
}

fn revoked(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    openssl::revoked(lane, &kept(lane, name))
}

/// The certificate chains to the root, and shows these words.
pub(crate) fn check(lane: &Lane<'_>, name: &str, wanted: &[&str]) -> Result<(), Failure> {
    let certificate = file(lane, &format!("{name}.crt"));
    openssl::verify(lane, &certificate, &file(lane, &format!("{name}.issuer.crt")))?;
    openssl::shows(lane, &certificate, wanted)
}

/// A file that lego keeps of its certificates.
pub(crate) fn file(lane: &Lane<'_>, name: &str) -> PathBuf {
    lane.dir.join("lego/certificates").join(name)
}

fn kept(lane: &Lane<'_>, name: &str) -> PathBuf {
    lane.dir.join(format!("{name}.revoked.pem"))
}
