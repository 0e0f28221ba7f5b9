//! acme-tiny, two hundred lines of Python: RSA account keys and http-01, and nothing else.

use std::path::{Path, PathBuf};

use tests::world::World;

use super::{
    command::{Shell, expect_words, write},
    openssl,
    origin::{self, ACME_TINY, ACME_TINY_NEWEST, Client},
    scenario::{Failure, Lane},
    webroot,
};

/// Debian's.
pub(crate) fn debian(world: &World) -> Lane<'_> {
    scenarios(Lane::new(world, "acme-tiny", 51).with_web_server().running("acme-tiny"), ACME_TINY)
}

/// PyPI's newest.
pub(crate) fn newest(world: &World) -> Lane<'_> {
    scenarios(
        Lane::new(world, "acme-tiny-newest", 52).with_web_server().running(origin::python("acme-tiny")),
        ACME_TINY_NEWEST,
    )
}

fn scenarios(lane: Lane<'_>, client: Client) -> Lane<'_> {
    lane.with(client, "http-01, two names, RSA, request without CN", |lane| {
        lane.shell("openssl").args(&["genrsa", "-out", "account.key", "2048"]).succeed()?;
        let names = names(lane);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        lane.resolve(&names);
        let (_, csr) = openssl::request(lane, &["rsa:2048"], &names)?;
        check(lane, issue(lane, "open", &csr), &["rsaEncryption", &format!("DNS:{}", names[1])])
    })
    .with(client, "the same account again, ECDSA P-384", |lane| {
        let names = names(lane);
        let (_, csr) = openssl::request(lane, &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], &[&names[0]])?;
        check(lane, issue(lane, "open", &csr), &["secp384r1", &format!("DNS:{}", names[0])])
    })
    .with(client, "http-01 fails with a reason", |lane| {
        // The name points to an address where nobody answers.
        let nobody = format!("nobody.{}.test", lane.name);
        let body = serde_json::json!({"host": format!("{nobody}."), "addresses": ["127.0.0.95"]});
        lane.world.site().control("/add-a", &body);
        let (_, csr) = openssl::request(lane, &["rsa:2048"], &[&nobody])?;
        expect_words(&issue(lane, "open", &csr).fail()?, &["urn:ietf:params:acme:error:connection", "127.0.0.95"])
    })
    .with_limit(client, "registered: no account", "it knows no external accounts", |lane| {
        let csr = lane.dir.join("request.csr");
        expect_words(&issue(lane, "registered", &csr).fail()?, &["externalAccountRequired"])
    })
}

/// Two names of the lane's own.
fn names(lane: &Lane<'_>) -> [String; 2] {
    ["t1", "t2"].map(|name| format!("{name}.{}.test", lane.name))
}

fn issue(lane: &Lane<'_>, endpoint: &str, csr: &Path) -> Shell {
    let shell = lane.shell(&lane.program).env("SSL_CERT_FILE", lane.ca_file()).arg("--disable-check");
    let shell = shell.args(&["--directory-url", &lane.directory(endpoint), "--account-key", "account.key", "--csr"]);
    shell.arg(csr).arg("--acme-dir").arg(webroot::challenges(lane))
}

/// acme-tiny writes the chain to its standard output.
fn check(lane: &Lane<'_>, issue: Shell, wanted: &[&str]) -> Result<(), Failure> {
    let file: PathBuf = lane.dir.join("chain.pem");
    write(&file, &issue.succeed()?)?;
    openssl::verify(lane, &file, &file)?;
    openssl::shows(lane, &file, wanted)
}
