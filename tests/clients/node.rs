//! The npm packages `acme-client` and `@root/acme`, each by a small program of its own.

use serde_json::json;
use tests::world::World;

use super::{
    command::{Shell, expect_words},
    openssl,
    origin::{self, ACME_CLIENT, OPENSSL, ROOT_ACME},
    scenario::{Failure, Lane},
    webroot,
};

/// acme-client.
pub(crate) fn acme_client(world: &World) -> Lane<'_> {
    let rules = json!([{"type": "dns", "match": "suffix", "value": "acme-client-reg.test"}]);
    let allowed = json!({"allowedIdentifiers": {"mode": "listed", "rules": rules}});
    Lane::new(world, "acme-client", 76)
        .with_web_server()
        .with_external_account(world.officer().preregister(&allowed))
        .with(ACME_CLIENT, "ES384 account, http-01, two names, ECDSA P-256", |lane| {
            let words = acme_client_says(lane, "open", &["account"]).succeed()?;
            expect_words(&words, &["/acme/open/acct/", "valid"])?;
            lane.resolve(&["n1.acme-client.test", "n2.acme-client.test"]);
            let names = ["n1.acme-client.test", "n2.acme-client.test"];
            acme_client_says(lane, "open", &["issue", "http-01", "EC", names[0], names[1]]).succeed()?;
            check(lane, "chain.pem", &["DNS:n1.acme-client.test", "DNS:n2.acme-client.test", "prime256v1"])
        })
        .with(ACME_CLIENT, "dns-01, wildcard and base, RSA", |lane| {
            let names = ["*.wild.acme-client.test", "wild.acme-client.test"];
            acme_client_says(lane, "open", &["issue", "dns-01", "RSA", names[0], names[1]]).succeed()?;
            check(lane, "chain.pem", &["DNS:*.wild.acme-client.test", "rsaEncryption"])
        })
        .with(ACME_CLIENT, "tls-alpn-01", |lane| {
            lane.resolve(&["n4.acme-client.test"]);
            acme_client_says(lane, "open", &["issue", "tls-alpn-01", "EC", "n4.acme-client.test"]).succeed()?;
            check(lane, "chain.pem", &["DNS:n4.acme-client.test"])
        })
        .with(ACME_CLIENT, "the other chain", |lane| {
            lane.resolve(&["n5.acme-client.test"]);
            let shell = acme_client_says(lane, "open", &["issue", "http-01", "EC", "n5.acme-client.test"]);
            shell.env("PREFERRED_CHAIN", openssl::OTHER_CHAIN).succeed()?;
            openssl::verify_other_chain(lane, &lane.dir.join("chain.pem"), &lane.dir.join("chain.pem"))
        })
        .with(ACME_CLIENT, "a new account key", |lane| {
            expect_words(&acme_client_says(lane, "open", &["changeKey"]).succeed()?, &["valid"])
        })
        .with(ACME_CLIENT, "revoke: affiliation changed", |lane| {
            acme_client_says(lane, "open", &["revoke", "3"]).succeed().map(drop)
        })
        .with(OPENSSL, "OCSP says revoked, CRL lists it (by acme-client)", |lane| {
            openssl::revoked(lane, &lane.dir.join("chain.pem"))
        })
        .with(ACME_CLIENT, "an authorization given up makes the order invalid", |lane| {
            let words = acme_client_says(lane, "open", &["giveUp", "n3.acme-client.test"]).succeed()?;
            expect_words(&words, &["deactivated\ninvalid"])
        })
        .with(ACME_CLIENT, "account update", |lane| {
            let words = acme_client_says(lane, "open", &["update", "new@acme-client.test"]).succeed()?;
            expect_words(&words, &["mailto:new@acme-client.test"])
        })
        .with(ACME_CLIENT, "account deactivation", |lane| {
            expect_words(&acme_client_says(lane, "open", &["deactivate"]).succeed()?, &["deactivated"])
        })
        .with(ACME_CLIENT, "registered: an allowed name, with EAB", |lane| {
            let (kid, secret) = lane.eab();
            for file in ["account.pem", "account.url"] {
                std::fs::remove_file(lane.dir.join(file)).map_err(|error| format!("{file}: {error}"))?;
            }
            acme_client_says(lane, "registered", &["account", &kid, &secret]).succeed()?;
            lane.resolve(&["www.acme-client-reg.test"]);
            let name = "www.acme-client-reg.test";
            acme_client_says(lane, "registered", &["issue", "http-01", "EC", name]).succeed()?;
            check(lane, "chain.pem", &["DNS:www.acme-client-reg.test"])
        })
        .with(ACME_CLIENT, "registered: refused outside the list, rule named", |lane| {
            let words = acme_client_says(lane, "registered", &["issue", "http-01", "EC", "www.other.test"]).fail()?;
            expect_words(&words, &["www.other.test", "identifier.not-listed"])
        })
}

/// @root/acme, on which Greenlock stands.
pub(crate) fn root_acme(world: &World) -> Lane<'_> {
    Lane::new(world, "root-acme", 77)
        .with_web_server()
        .with_external_account(world.officer().preregister(&json!({})))
        .with(ROOT_ACME, "http-01, two names, ECDSA", |lane| {
            root_acme_says(lane, "open", &["account"]).succeed()?;
            lane.resolve(&["n1.root-acme.test", "n2.root-acme.test"]);
            let names = ["n1.root-acme.test", "n2.root-acme.test"];
            root_acme_says(lane, "open", &["issue", "http-01", "EC", names[0], names[1]]).succeed()?;
            check(lane, "root-chain.pem", &["DNS:n1.root-acme.test", "DNS:n2.root-acme.test", "prime256v1"])
        })
        .with(ROOT_ACME, "dns-01, a wildcard, RSA", |lane| {
            root_acme_says(lane, "open", &["issue", "dns-01", "RSA", "*.wild.root-acme.test"]).succeed()?;
            check(lane, "root-chain.pem", &["DNS:*.wild.root-acme.test", "rsaEncryption"])
        })
        .with(ROOT_ACME, "registered: refused without external account", |lane| {
            expect_words(&root_acme_says(lane, "registered", &["account"]).fail()?, &["external account binding"])
        })
        .with_limit(ROOT_ACME, "registered: EAB", "its library of keys cannot make the MAC of a binding", |lane| {
            let (kid, secret) = lane.eab();
            let words = root_acme_says(lane, "registered", &["account", &kid, &secret]).fail()?;
            expect_words(&words, &["Cannot read properties of undefined (reading 'kty')", "keypairs.js"])
        })
}

fn acme_client_says(lane: &Lane<'_>, endpoint: &str, words: &[&str]) -> Shell {
    says(lane, endpoint, "acme-client", "acme_client.mjs").args(words)
}

fn root_acme_says(lane: &Lane<'_>, endpoint: &str, words: &[&str]) -> Shell {
    says(lane, endpoint, "@root/acme", "root_acme.cjs").args(words)
}

fn says(lane: &Lane<'_>, endpoint: &str, package: &str, program: &str) -> Shell {
    let control = format!("http://{}", lane.world.site().control);
    let shell = lane
        .shell("node")
        .needing(origin::node().join("node_modules").join(package))
        .env("NODE_EXTRA_CA_CERTS", lane.ca_file())
        .env("MODULES", origin::node());
    let shell = shell.env("DIRECTORY", lane.directory(endpoint)).env("CONTROL", control);
    let shell = shell.env("TLS_ALPN_01", format!("{}:{}", lane.address, lane.tls_alpn_01_port()));
    shell.env("CHALLENGES", webroot::challenges(lane)).arg(origin::fixture(program))
}

fn check(lane: &Lane<'_>, file: &str, wanted: &[&str]) -> Result<(), Failure> {
    let chain = lane.dir.join(file);
    openssl::verify(lane, &chain, &chain)?;
    openssl::shows(lane, &chain, wanted)
}
