//! dehydrated, a shell script: it writes files for http-01 and calls a hook for dns-01.

use std::path::PathBuf;

use serde_json::json;
use tests::world::World;

use super::{
    command::{Shell, expect_words, script, write},
    openssl,
    origin::{DEHYDRATED, OPENSSL},
    scenario::{Failure, Lane},
    webroot,
};

/// Clients that nobody knows beforehand.
pub(crate) fn open(world: &World) -> Lane<'_> {
    Lane::new(world, "dehydrated-open", 31)
        .with_web_server()
        .with(DEHYDRATED, "register", |lane| {
            configure(lane, "open", "")?;
            let words = dehydrated(lane).args(&["--register", "--accept-terms"]).succeed()?;
            expect_words(&words, &["Fetching account URL"])
        })
        .with(DEHYDRATED, "http-01, two names, ECDSA P-384", |lane| {
            issue(lane, &["d1.dehydrated.test", "d2.dehydrated.test"]).succeed()?;
            check(lane, "d1.dehydrated.test", &["DNS:d1.dehydrated.test", "DNS:d2.dehydrated.test", "secp384r1"])
        })
        .with(DEHYDRATED, "renew", |lane| {
            let certificate = live(lane, "d1.dehydrated.test", "cert.pem");
            let before = openssl::serial(lane, &certificate)?;
            issue(lane, &["d1.dehydrated.test", "d2.dehydrated.test"]).arg("--force").succeed()?;
            if openssl::serial(lane, &certificate)? == before {
                return Err("it is the old certificate".to_owned());
            }
            check(lane, "d1.dehydrated.test", &["DNS:d1.dehydrated.test"])
        })
        .with(DEHYDRATED, "http-01, RSA, must-staple", |lane| {
            issue(lane, &["d3.dehydrated.test"]).args(&["--algo", "rsa", "--ocsp"]).succeed()?;
            check(lane, "d3.dehydrated.test", &["rsaEncryption", "status_request"])
        })
        .with(DEHYDRATED, "dns-01, wildcard and base, by hook", |lane| {
            let hook = hook(lane)?;
            let names = ["wild.dehydrated.test", "*.wild.dehydrated.test"];
            issue(lane, &names).args(&["--challenge", "dns-01", "--hook"]).arg(hook).succeed()?;
            check(lane, "wild.dehydrated.test", &["DNS:wild.dehydrated.test", "DNS:*.wild.dehydrated.test"])
        })
        .with(DEHYDRATED, "tls-alpn-01, by hook", |lane| {
            let hook = tls_alpn_hook(lane)?;
            let shell = issue(lane, &["d5.dehydrated.test"]).args(&["--challenge", "tls-alpn-01", "--alpn"]);
            shell.arg(lane.dir.join("alpn")).arg("--hook").arg(hook).succeed()?;
            check(lane, "d5.dehydrated.test", &["DNS:d5.dehydrated.test"])
        })
        .with(DEHYDRATED, "the other chain", |lane| {
            let shell = issue(lane, &["d6.dehydrated.test"]);
            shell.args(&["--preferred-chain", openssl::OTHER_CHAIN]).succeed()?;
            let file = |name: &str| live(lane, "d6.dehydrated.test", name);
            openssl::verify_other_chain(lane, &file("cert.pem"), &file("chain.pem"))
        })
        .with(DEHYDRATED, "http-01 fails with a reason", |lane| {
            let body = json!({"host": "nobody.dehydrated.test.", "addresses": ["127.0.0.97"]});
            lane.world.site().control("/add-a", &body);
            let words = dehydrated(lane).args(&["--cron", "-d", "nobody.dehydrated.test"]).fail()?;
            expect_words(&words, &["urn:ietf:params:acme:error:connection", "127.0.0.97"])
        })
        .with(DEHYDRATED, "revoke by account key", |lane| {
            let certificate = live(lane, "d3.dehydrated.test", "cert.pem");
            copy(lane, &certificate)?;
            dehydrated(lane).arg("--revoke").arg(certificate).succeed().map(drop)
        })
        .with(OPENSSL, "OCSP says revoked, CRL lists it (by dehydrated)", |lane| openssl::revoked(lane, &kept(lane)))
        .with(DEHYDRATED, "account update", |lane| {
            configure(lane, "open", "CONTACT_EMAIL=new@quickstart.test\n")?;
            dehydrated(lane).arg("--account").succeed()?;
            // It asks the server what the account is now, and keeps the answer.
            lane.shell("grep").args(&["-r", "mailto:new@quickstart.test", "accounts"]).succeed().map(drop)
        })
        .with(DEHYDRATED, "account deactivation", |lane| {
            dehydrated(lane).arg("--deactivate").succeed()?;
            let words = issue(lane, &["d4.dehydrated.test"]).fail()?;
            expect_words(&words, &["Account has been deactivated"])
        })
}

/// Clients that an officer registered.
pub(crate) fn registered(world: &World) -> Lane<'_> {
    let allowed = json!({"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "dehy-reg.test"}]});
    let registration = world.officer().preregister(&json!({"allowedIdentifiers": allowed}));
    Lane::new(world, "dehydrated-registered", 32)
        .with_web_server()
        .with_external_account(registration)
        .with(DEHYDRATED, "registered: refused without external account", |lane| {
            configure(lane, "registered", "")?;
            let words = dehydrated(lane).args(&["--register", "--accept-terms"]).fail()?;
            expect_words(&words, &["external account"])
        })
        .with(DEHYDRATED, "registered: an allowed name, with EAB", |lane| {
            let (kid, key) = lane.eab();
            configure(lane, "registered", &format!("EAB_KID={kid}\nEAB_HMAC_KEY={key}\n"))?;
            dehydrated(lane).args(&["--register", "--accept-terms"]).succeed()?;
            issue(lane, &["www.dehy-reg.test"]).succeed()?;
            check(lane, "www.dehy-reg.test", &["DNS:www.dehy-reg.test"])
        })
        .with(DEHYDRATED, "registered: refused outside the list, rule named", |lane| {
            let words = issue(lane, &["www.other.test"]).fail()?;
            expect_words(&words, &["rejectedIdentifier", "www.other.test", "identifier.not-listed"])
        })
}

pub(crate) fn dehydrated(lane: &Lane<'_>) -> Shell {
    lane.shell("dehydrated").arg("--config").arg(lane.dir.join("config"))
}

/// A certificate for names that lead to this lane.
fn issue(lane: &Lane<'_>, names: &[&str]) -> Shell {
    let plain: Vec<&str> = names.iter().copied().filter(|name| !name.starts_with('*')).collect();
    lane.resolve(&plain);
    let mut shell = dehydrated(lane).arg("--cron");
    for name in names {
        shell = shell.args(&["--domain", name]);
    }
    shell
}

pub(crate) fn configure(lane: &Lane<'_>, endpoint: &str, more: &str) -> Result<(), Failure> {
    let text = format!(
        "CA={}\nBASEDIR={}\nWELLKNOWN={}\nCURL_OPTS=\"--cacert {}\"\nCONTACT_EMAIL=admin@quickstart.test\n{more}",
        lane.directory(endpoint),
        lane.dir.display(),
        webroot::challenges(lane).display(),
        lane.ca_file().display(),
    );
    write(&lane.dir.join("config"), &text)
}

/// dns-01: dehydrated gives all names of an order to the hook one after the other.
fn hook(lane: &Lane<'_>) -> Result<PathBuf, Failure> {
    let file = lane.dir.join("hook.sh");
    let control = lane.world.site().control;
    let host = "\\\"host\\\":\\\"_acme-challenge.$2.\\\"";
    script(
        &file,
        &format!(
            "case $1 in\n\
             deploy_challenge) curl -fsS -d \"{{{host},\\\"value\\\":\\\"$4\\\"}}\" http://{control}/add-txt;;\n\
             clean_challenge) curl -fsS -d \"{{{host}}}\" http://{control}/clear-txt;;\n\
             esac\n"
        ),
    )?;
    Ok(file)
}

/// tls-alpn-01: dehydrated makes the certificate, and a TLS server must show it.
fn tls_alpn_hook(lane: &Lane<'_>) -> Result<PathBuf, Failure> {
    let (file, alpn) = (lane.dir.join("tls-hook.sh"), lane.dir.join("alpn"));
    std::fs::create_dir_all(&alpn).map_err(|error| format!("{}: {error}", alpn.display()))?;
    let (alpn, address, port) = (alpn.display(), lane.address, lane.tls_alpn_01_port());
    script(
        &file,
        &format!(
            "case $1 in\n\
             deploy_challenge) timeout 60 openssl s_server -www -accept {address}:{port} -alpn acme-tls/1 \\\n\
             -cert {alpn}/$2.crt.pem -key {alpn}/$2.key.pem </dev/null >{alpn}/log 2>&1 & echo $! >{alpn}/pid\n\
             until grep -q ACCEPT {alpn}/log || ! kill -0 $!; do sleep 0.1; done;;\n\
             clean_challenge) kill $(cat {alpn}/pid);;\n\
             esac\n"
        ),
    )?;
    Ok(file)
}

pub(crate) fn check(lane: &Lane<'_>, name: &str, wanted: &[&str]) -> Result<(), Failure> {
    let certificate = live(lane, name, "cert.pem");
    openssl::verify(lane, &certificate, &live(lane, name, "chain.pem"))?;
    openssl::shows(lane, &certificate, wanted)
}

pub(crate) fn live(lane: &Lane<'_>, name: &str, file: &str) -> PathBuf {
    lane.dir.join("certs").join(name).join(file)
}

fn kept(lane: &Lane<'_>) -> PathBuf {
    lane.dir.join("revoked.pem")
}

fn copy(lane: &Lane<'_>, certificate: &PathBuf) -> Result<(), Failure> {
    std::fs::copy(certificate, kept(lane)).map_err(|error| format!("{}: {error}", certificate.display())).map(drop)
}
