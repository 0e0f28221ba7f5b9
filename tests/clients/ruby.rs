//! The Ruby library `acme-client`, by a small program of its own.

use tests::world::World;

use super::{
    command::{Shell, expect_words},
    openssl,
    origin::{self, OPENSSL, RUBY_ACME},
    scenario::{Failure, Lane},
    webroot,
};

/// Clients that nobody knows beforehand.
pub(crate) fn acme_client(world: &World) -> Lane<'_> {
    Lane::new(world, "ruby", 78)
        .with_web_server()
        .with(RUBY_ACME, "ES256 account, http-01, two names, ECDSA P-256", |lane| {
            let words = ruby(lane, "open", &["account"]).succeed()?;
            expect_words(&words, &["/acme/open/acct/", "valid"])?;
            lane.resolve(&["r1.ruby.test", "r2.ruby.test"]);
            ruby(lane, "open", &["issue", "EC", "r1.ruby.test", "r2.ruby.test"]).succeed()?;
            check(lane, &["DNS:r1.ruby.test", "DNS:r2.ruby.test", "prime256v1"])
        })
        .with_limit(RUBY_ACME, "a request as it makes them", "it names a version that PKCS #10 has not", |lane| {
            lane.resolve(&["r4.ruby.test"]);
            let words = ruby(lane, "open", &["issue", "EC", "r4.ruby.test"]).env("AS_IT_IS", "1").fail()?;
            expect_words(&words, &["BadCSR", "version"])
        })
        .with(RUBY_ACME, "dns-01, wildcard and base, RSA", |lane| {
            lane.resolve(&["wild.ruby.test"]);
            ruby(lane, "open", &["issue", "RSA", "*.wild.ruby.test", "wild.ruby.test"]).succeed()?;
            check(lane, &["DNS:*.wild.ruby.test", "DNS:wild.ruby.test", "rsaEncryption"])
        })
        .with(RUBY_ACME, "revoke by account key", |lane| ruby(lane, "open", &["revoke"]).succeed().map(drop))
        .with(OPENSSL, "OCSP says revoked, CRL lists it (by Ruby)", |lane| {
            openssl::revoked(lane, &lane.dir.join("chain.pem"))
        })
        .with(RUBY_ACME, "the other chain", |lane| {
            lane.resolve(&["r3.ruby.test"]);
            let shell = ruby(lane, "open", &["issue", "EC", "r3.ruby.test"]);
            shell.env("PREFERRED_CHAIN", openssl::OTHER_CHAIN).succeed()?;
            openssl::verify_other_chain(lane, &lane.dir.join("chain.pem"), &lane.dir.join("chain.pem"))
        })
        .with(RUBY_ACME, "a new account key, ES384", |lane| {
            expect_words(&ruby(lane, "open", &["change_key"]).succeed()?, &["valid\nvalid"])
        })
        .with(RUBY_ACME, "account update", |lane| {
            let words = ruby(lane, "open", &["update", "new@ruby.test"]).succeed()?;
            expect_words(&words, &["mailto:new@ruby.test"])
        })
        .with(RUBY_ACME, "account deactivation", |lane| {
            expect_words(&ruby(lane, "open", &["deactivate"]).succeed()?, &["deactivated"])
        })
        .with_limit(RUBY_ACME, "registered: no account", "this version knows no external accounts", |lane| {
            expect_words(&ruby(lane, "registered", &["account"]).fail()?, &["external account binding"])
        })
}

fn ruby(lane: &Lane<'_>, endpoint: &str, words: &[&str]) -> Shell {
    let control = format!("http://{}", lane.world.site().control);
    let shell = lane.shell("ruby").arg(origin::fixture("acme_client.rb")).args(words).env("CONTROL", control);
    let shell = shell.env("DIRECTORY", lane.directory(endpoint)).env("CA_FILE", lane.ca_file());
    shell.env("CHALLENGES", webroot::challenges(lane))
}

fn check(lane: &Lane<'_>, wanted: &[&str]) -> Result<(), Failure> {
    let chain = lane.dir.join("chain.pem");
    openssl::verify(lane, &chain, &chain)?;
    openssl::shows(lane, &chain, wanted)
}
