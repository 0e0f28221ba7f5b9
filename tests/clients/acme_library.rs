//! The Python library `acme`, on which certbot stands, by a small program of its own.

use serde_json::json;
use tests::world::World;

use super::{
    command::{Shell, expect_words},
    openssl,
    origin::{self, OPENSSL, PYTHON_ACME},
    scenario::{Failure, Lane},
    webroot,
};

/// Clients that nobody knows beforehand.
pub(crate) fn open(world: &World) -> Lane<'_> {
    Lane::new(world, "python-acme-open", 71)
        .with_web_server()
        .with(PYTHON_ACME, "ES256 account, http-01, request without CN", |lane| {
            lane.resolve(&["p1.python.test", "p2.python.test"]);
            let words = acme(lane, "open", &["issue", "P-256", "EC", "p1.python.test", "p2.python.test"]).succeed()?;
            expect_words(&words, &["/acme/open/acct/"])?;
            check(lane, &["DNS:p1.python.test", "DNS:p2.python.test", "prime256v1"])
        })
        .with(PYTHON_ACME, "the account is found again by its key", |lane| {
            let words = acme(lane, "open", &["find", "P-256"]).succeed()?;
            expect_words(&words, &["/acme/open/acct/", "valid", "mailto:admin@quickstart.test"])
        })
        .with(PYTHON_ACME, "ES384 account, a certificate for an IP address", |lane| {
            let address = lane.address.to_string();
            acme(lane, "open", &["issue", "P-384", "EC", &address]).succeed()?;
            check(lane, &[&format!("IP Address:{address}")])
        })
        .with(PYTHON_ACME, "asks when to renew (ARI)", |lane| {
            let words = acme(lane, "open", &["renewal_time", "P-384"]).succeed()?;
            // A third of ninety days before the end.
            expect_words(&words, &["20"]).and_then(|()| match words.contains("None") {
                true => Err(words),
                false => Ok(()),
            })
        })
        .with(PYTHON_ACME, "ES512 account, revoke: cessation of operation", |lane| {
            lane.resolve(&["p3.python.test"]);
            acme(lane, "open", &["issue", "P-521", "RSA", "p3.python.test"]).succeed()?;
            check(lane, &["DNS:p3.python.test", "rsaEncryption"])?;
            acme(lane, "open", &["revoke", "P-521", "5"]).succeed().map(drop)
        })
        .with(OPENSSL, "OCSP says revoked, CRL lists it (by Python acme)", |lane| {
            openssl::revoked(lane, &lane.dir.join("chain.pem"))
        })
        .with(PYTHON_ACME, "RS256 account of 4096 bits", |lane| {
            lane.resolve(&["p4.python.test"]);
            acme(lane, "open", &["issue", "RSA-4096", "EC", "p4.python.test"]).succeed()?;
            check(lane, &["DNS:p4.python.test"])
        })
        .with(PYTHON_ACME, "an authorization given up makes the order invalid", |lane| {
            let words = acme(lane, "open", &["deactivate_authorization", "P-256", "p5.python.test"]).succeed()?;
            expect_words(&words, &["deactivated\ninvalid"])
        })
        .with(PYTHON_ACME, "account deactivation", |lane| {
            let words = acme(lane, "open", &["deactivate", "P-384"]).succeed()?;
            expect_words(&words, &["deactivated"])
        })
}

/// Clients that an officer registered.
pub(crate) fn registered(world: &World) -> Lane<'_> {
    let rules = json!([{"type": "dns", "match": "suffix", "value": "python-reg.test"}]);
    let allowed = json!({"allowedIdentifiers": {"mode": "listed", "rules": rules}});
    Lane::new(world, "python-acme-registered", 72)
        .with_web_server()
        .with_external_account(world.officer().preregister(&allowed))
        .with(PYTHON_ACME, "registered: an allowed name, with EAB", |lane| {
            let (kid, secret) = lane.eab();
            let words = acme(lane, "registered", &["bind", "P-256", &kid, &secret]).succeed()?;
            expect_words(&words, &["True https://"])?;
            lane.resolve(&["www.python-reg.test"]);
            acme(lane, "registered", &["issue", "P-256", "EC", "www.python-reg.test"]).succeed()?;
            check(lane, &["DNS:www.python-reg.test"])
        })
        .with(PYTHON_ACME, "registered: refused outside the list, rule named", |lane| {
            let words = acme(lane, "registered", &["issue", "P-256", "EC", "www.other.test"]).fail()?;
            expect_words(&words, &["rejectedIdentifier", "www.other.test", "identifier.not-listed"])
        })
}

fn acme(lane: &Lane<'_>, endpoint: &str, words: &[&str]) -> Shell {
    let shell = lane.shell(origin::python("python")).arg(origin::fixture("acme_library.py")).args(words);
    let shell = shell.env("DIRECTORY", lane.directory(endpoint)).env("CA_FILE", lane.ca_file());
    shell.env("CHALLENGES", webroot::challenges(lane))
}

fn check(lane: &Lane<'_>, wanted: &[&str]) -> Result<(), Failure> {
    let chain = lane.dir.join("chain.pem");
    openssl::verify(lane, &chain, &chain)?;
    openssl::shows(lane, &chain, wanted)
}
