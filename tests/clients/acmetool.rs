//! acmetool: it is told what is wanted, and keeps a folder in that state.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tests::world::World;

use super::{
    command::{Shell, expect_words, write},
    openssl,
    origin::{ACMETOOL, OPENSSL},
    scenario::{Failure, Lane},
    webroot,
};

/// Clients that nobody knows beforehand.
pub(crate) fn open(world: &World) -> Lane<'_> {
    Lane::new(world, "acmetool-open", 56)
        .with_web_server()
        .with(ACMETOOL, "http-01, two names, ECDSA P-256", |lane| {
            configure(lane, "open", "type: ecdsa")?;
            want(lane, &["a1.acmetool.test", "a2.acmetool.test"]).succeed()?;
            check(lane, "a1.acmetool.test", &["DNS:a1.acmetool.test", "DNS:a2.acmetool.test", "prime256v1"])
        })
        .with(ACMETOOL, "http-01, RSA", |lane| {
            configure(lane, "open", "type: rsa")?;
            want(lane, &["a3.acmetool.test"]).succeed()?;
            check(lane, "a3.acmetool.test", &["DNS:a3.acmetool.test", "rsaEncryption"])
        })
        .with(OPENSSL, "OCSP says good (acmetool's certificate)", |lane| {
            openssl::ocsp(lane, &live(lane, "a3.acmetool.test", "cert"), "good")
        })
        .with(ACMETOOL, "a lost certificate is got again", |lane| {
            let before = openssl::serial(lane, &live(lane, "a3.acmetool.test", "cert"))?;
            let link = lane.dir.join("state/live/a3.acmetool.test");
            let lost = fs::canonicalize(&link).and_then(fs::remove_dir_all);
            lost.map_err(|error| format!("{}: {error}", link.display()))?;
            acmetool(lane).arg("reconcile").succeed()?;
            if openssl::serial(lane, &live(lane, "a3.acmetool.test", "cert"))? == before {
                return Err("it is the old certificate".to_owned());
            }
            check(lane, "a3.acmetool.test", &["DNS:a3.acmetool.test"])
        })
        .with_limit(ACMETOOL, "revoke", "it marks the certificate in its folder and tells no server", |lane| {
            let certificate = live(lane, "a3.acmetool.test", "cert");
            let kept = lane.dir.join("revoked.pem");
            fs::copy(&certificate, &kept).map_err(|error| format!("{}: {error}", certificate.display()))?;
            let id = fs::canonicalize(&certificate).map_err(|error| error.to_string())?;
            let id = id.parent().and_then(Path::file_name).unwrap_or_default().to_owned();
            let _ = acmetool(lane).arg("revoke").arg(id).run()?;
            openssl::ocsp(lane, &kept, "good")
        })
}

/// Clients that an officer should register.
pub(crate) fn registered(world: &World) -> Lane<'_> {
    Lane::new(world, "acmetool-registered", 57).with_web_server().with_limit(
        ACMETOOL,
        "registered: no account",
        "it knows no external accounts",
        |lane| {
            configure(lane, "registered", "type: ecdsa")?;
            expect_words(&want(lane, &["b1.acmetool.test"]).fail()?, &["externalAccountRequired"])
        },
    )
}

fn acmetool(lane: &Lane<'_>) -> Shell {
    let folder = |name: &str| lane.dir.join(name);
    let shell = lane.shell("acmetool").env("SSL_CERT_FILE", lane.ca_file()).arg("--state").arg(folder("state"));
    let shell = shell.arg("--hooks").arg(folder("hooks")).arg("--response-file").arg(folder("responses"));
    shell.args(&["--batch", "--xlog.severity=debug"])
}

/// A certificate for names that lead to this lane.
fn want(lane: &Lane<'_>, names: &[&str]) -> Shell {
    lane.resolve(names);
    acmetool(lane).arg("want").args(names)
}

/// The default of all targets, and answers to what acmetool would ask a person.
fn configure(lane: &Lane<'_>, endpoint: &str, key: &str) -> Result<(), Failure> {
    let conf = lane.dir.join("state/conf");
    fs::create_dir_all(&conf).map_err(|error| format!("{}: {error}", conf.display()))?;
    let target = format!(
        "request:\n  provider: {}\n  key:\n    {key}\n  challenge:\n    webroot-paths:\n      - {}\n    http-self-test: false\n",
        lane.directory(endpoint),
        webroot::challenges(lane).display(),
    );
    write(&conf.join("target"), &target)?;
    write(&lane.dir.join("responses"), "\"acme-enter-email\": \"admin@quickstart.test\"\n\"acme-agreement:\": true\n")
}

fn check(lane: &Lane<'_>, name: &str, wanted: &[&str]) -> Result<(), Failure> {
    let certificate = live(lane, name, "cert");
    openssl::verify(lane, &certificate, &live(lane, name, "chain"))?;
    openssl::shows(lane, &certificate, wanted)
}

fn live(lane: &Lane<'_>, name: &str, file: &str) -> PathBuf {
    lane.dir.join("state/live").join(name).join(file)
}
