//! What relying parties see, by the program `openssl`: chains, OCSP and CRL.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    command::{expect_words, write},
    scenario::{Failure, Lane},
};

/// Who issued the certificate at the top of the other chain.
pub(crate) const OTHER_CHAIN: &str = "ACME sandbox older root";
/// How long a revocation may take until everybody sees it.
const SEEN_WITHIN: Duration = Duration::from_secs(20);

/// The certificate chains to the root through what came with it.
pub(crate) fn verify(lane: &Lane<'_>, certificate: &Path, chain: &Path) -> Result<(), Failure> {
    verify_by("root.pem", lane, certificate, chain)
}

/// The same for the other chain, which ends in an older root.
pub(crate) fn verify_other_chain(lane: &Lane<'_>, certificate: &Path, chain: &Path) -> Result<(), Failure> {
    verify_by("older-root.pem", lane, certificate, chain)
}

fn verify_by(root: &str, lane: &Lane<'_>, certificate: &Path, chain: &Path) -> Result<(), Failure> {
    let root = lane.world.site().pki(root);
    let verify = lane.shell("openssl").args(&["verify", "-purpose", "sslserver", "-CAfile"]).arg(root);
    verify.arg("-untrusted").arg(chain).arg(certificate).succeed().map(drop)
}

/// OCSP says this of the certificate: `good` or `revoked`.
pub(crate) fn ocsp(lane: &Lane<'_>, certificate: &Path, wanted: &str) -> Result<(), Failure> {
    let url = lane.shell("openssl").args(&["x509", "-noout", "-ocsp_uri", "-in"]).arg(certificate).succeed()?;
    let (root, issuer) = (lane.world.site().pki("root.pem"), lane.world.site().pki("issuing-1.pem"));
    soon(|| {
        let ask = lane.shell("openssl").args(&["ocsp", "-CAfile"]).arg(&root).arg("-issuer").arg(&issuer);
        let said = ask.arg("-cert").arg(certificate).args(&["-url", url.trim()]).succeed()?;
        expect_words(&said, &["Response verify OK", &format!(": {wanted}")])
    })
}

/// The CRL that the certificate names is signed by its issuer and lists it.
pub(crate) fn crl_lists(lane: &Lane<'_>, certificate: &Path) -> Result<(), Failure> {
    let x509 = |what: &[&str]| {
        lane.shell("openssl").args(&["x509", "-noout"]).args(what).arg("-in").arg(certificate).succeed()
    };
    let points = x509(&["-ext", "crlDistributionPoints"])?;
    let url = points.split_whitespace().find_map(|word| word.strip_prefix("URI:"));
    let url = url.ok_or_else(|| format!("the certificate names no CRL:\n{points}"))?.to_owned();
    let serial = x509(&["-serial"])?.trim().trim_start_matches("serial=").to_owned();
    let (file, issuer) = (lane.dir.join("issuer.crl"), lane.world.site().pki("issuing-1.pem"));
    soon(|| {
        lane.shell("curl").args(&["-fsS", "-o"]).arg(&file).arg(&url).succeed()?;
        let read = lane.shell("openssl").args(&["crl", "-inform", "DER", "-noout", "-text", "-CAfile"]).arg(&issuer);
        let said = read.arg("-in").arg(&file).succeed()?;
        expect_words(&said, &["verify OK", &format!("Serial Number: {serial}")])
    })
}

/// The serial number.
pub(crate) fn serial(lane: &Lane<'_>, certificate: &Path) -> Result<String, Failure> {
    lane.shell("openssl").args(&["x509", "-noout", "-serial", "-in"]).arg(certificate).succeed()
}

/// Text about the certificate has all of these words.
pub(crate) fn shows(lane: &Lane<'_>, certificate: &Path, wanted: &[&str]) -> Result<(), Failure> {
    let text = lane.shell("openssl").args(&["x509", "-noout", "-text", "-in"]).arg(certificate).succeed()?;
    expect_words(&text, wanted)
}

/// OCSP says revoked, and the CRL lists it.
pub(crate) fn revoked(lane: &Lane<'_>, certificate: &Path) -> Result<(), Failure> {
    ocsp(lane, certificate, "revoked")?;
    crl_lists(lane, certificate)
}

/// A server shows a certificate for `name` that chains to the root. Answers its text.
pub(crate) fn served(lane: &Lane<'_>, address: SocketAddr, name: &str) -> Result<String, Failure> {
    let root = lane.world.site().pki("root.pem");
    let connect = lane.shell("openssl").args(&["s_client", "-verify_return_error", "-servername", name, "-CAfile"]);
    let connect = connect.arg(root).args(&["-verify_hostname", name, "-connect"]).arg(address.to_string());
    let said = connect.succeed()?;
    let file = served_file(lane, name);
    write(&file, &said)?;
    lane.shell("openssl").args(&["x509", "-noout", "-text", "-in"]).arg(file).succeed()
}

/// What [`served`] has seen last.
pub(crate) fn served_file(lane: &Lane<'_>, name: &str) -> PathBuf {
    lane.dir.join(format!("{name}.served.pem"))
}

/// A key and a request without a common name. `algorithm` is what `openssl req -newkey` takes.
pub(crate) fn request(lane: &Lane<'_>, algorithm: &[&str], names: &[&str]) -> Result<(PathBuf, PathBuf), Failure> {
    let (key, csr) = (lane.dir.join("request.key"), lane.dir.join("request.csr"));
    let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
    let make = lane.shell("openssl").args(&["req", "-new", "-nodes", "-subj", "/", "-newkey"]).args(algorithm);
    let make = make.arg("-addext").arg(format!("subjectAltName={}", names.join(",")));
    make.arg("-keyout").arg(&key).arg("-out").arg(&csr).succeed()?;
    Ok((key, csr))
}

/// Tries until it succeeds, with a bound.
fn soon(mut attempt: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < SEEN_WITHIN => thread::sleep(Duration::from_millis(200)),
            done => return done,
        }
    }
}
