//! uacme, in C with libcurl: it believes the CAs of the system and no others, so it runs where a file of its own lies
//! over the system's.

use std::path::{Path, PathBuf};

use serde_json::json;
use tests::world::World;

use super::{
    command::{Shell, expect_words, script},
    daemon::Daemon,
    openssl,
    origin::{OPENSSL, UACME},
    scenario::{Failure, Lane},
    webroot,
};

/// The CAs that Debian's libcurl believes.
const SYSTEM_CA_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Clients that nobody knows beforehand.
pub(crate) fn open(world: &World) -> Lane<'_> {
    Lane::new(world, "uacme-open", 41)
        .with_web_server()
        .with(UACME, "new account", |lane| {
            hook(lane)?;
            let words = uacme(lane, "open")?.args(&["new", "admin@quickstart.test"]).succeed()?;
            expect_words(&words, &["account created"])
        })
        .with(UACME, "the account is found again by its key", |lane| {
            let words = uacme(lane, "open")?.args(&["new", "admin@quickstart.test"]).fail()?;
            expect_words(&words, &["Account already exists at"])
        })
        .with(UACME, "http-01, two names, RSA", |lane| {
            issue(lane, "open", &["u1.uacme.test", "v1.uacme.test"])?.succeed()?;
            check(lane, "u1.uacme.test", &["DNS:u1.uacme.test", "DNS:v1.uacme.test", "rsaEncryption"])
        })
        .with(UACME, "renew", |lane| {
            let before = openssl::serial(lane, &live(lane, "u1.uacme.test"))?;
            issue_with(lane, "open", &["--force"], &["u1.uacme.test", "v1.uacme.test"])?.succeed()?;
            if openssl::serial(lane, &live(lane, "u1.uacme.test"))? == before {
                return Err("it is the old certificate".to_owned());
            }
            check(lane, "u1.uacme.test", &["DNS:u1.uacme.test"])
        })
        .with(UACME, "http-01, ECDSA P-384, must-staple", |lane| {
            issue_with(lane, "open", &["-t", "EC", "-b", "384", "-m"], &["u2.uacme.test"])?.succeed()?;
            check(lane, "u2.uacme.test", &["secp384r1", "status_request"])
        })
        .with(UACME, "dns-01, wildcard and base, by hook", |lane| {
            issue(lane, "open", &["*.wild.uacme.test", "wild.uacme.test"])?.succeed()?;
            check(lane, "wild.uacme.test", &["DNS:*.wild.uacme.test", "DNS:wild.uacme.test"])
        })
        .with(UACME, "tls-alpn-01, by its own responder ualpn", |lane| {
            lane.resolve(&["u3.uacme.test"]);
            let (_ualpn, hook) = tls_alpn(lane)?;
            uacme(lane, "open")?.arg("--hook").arg(hook).args(&["issue", "u3.uacme.test"]).succeed()?;
            check(lane, "u3.uacme.test", &["DNS:u3.uacme.test"])
        })
        .with(UACME, "the other chain", |lane| {
            issue_with(lane, "open", &["--alternate", "1"], &["u5.uacme.test"])?.succeed()?;
            openssl::verify_other_chain(lane, &live(lane, "u5.uacme.test"), &live(lane, "u5.uacme.test"))
        })
        .with(UACME, "a new account key", |lane| {
            let words = uacme(lane, "open")?.arg("newkey").succeed()?;
            expect_words(&words, &["account key changed"])?;
            issue(lane, "open", &["u4.uacme.test"])?.succeed()?;
            check(lane, "u4.uacme.test", &["DNS:u4.uacme.test"])
        })
        .with(UACME, "http-01 fails with a reason", |lane| {
            let body = json!({"host": "nobody.uacme.test.", "addresses": ["127.0.0.96"]});
            lane.world.site().control("/add-a", &body);
            let words = uacme(lane, "open")?.arg("--hook").arg(hook_file(lane)).args(&["issue", "nobody.uacme.test"]);
            expect_words(&words.fail()?, &["urn:ietf:params:acme:error:connection", "127.0.0.96"])
        })
        .with(UACME, "revoke by account key, with a reason", |lane| {
            let revoke = uacme(lane, "open")?.args(&["--reason", "4", "revoke"]).arg(keep(lane, "u1.uacme.test", "1")?);
            expect_words(&revoke.succeed()?, &["revoked"])
        })
        .with(OPENSSL, "OCSP says revoked, CRL lists it (by uacme)", |lane| openssl::revoked(lane, &kept(lane, "1")))
        .with(UACME, "revoke by certificate key, ECDSA P-384", |lane| {
            let key = lane.dir.join("conf/private/u2.uacme.test/key.pem");
            let revoke = uacme(lane, "open")?.args(&["--reason", "1", "revoke"]);
            expect_words(&revoke.arg(keep(lane, "u2.uacme.test", "2")?).arg(key).succeed()?, &["revoked"])
        })
        .with(OPENSSL, "OCSP says revoked, CRL lists it (by uacme, P-384)", |lane| {
            openssl::revoked(lane, &kept(lane, "2"))
        })
        .with(UACME, "account update", |lane| {
            let words = uacme(lane, "open")?.args(&["update", "new@quickstart.test"]).succeed()?;
            expect_words(&words, &["updated"])
        })
        .with(UACME, "account deactivation", |lane| {
            let words = uacme(lane, "open")?.arg("deactivate").succeed()?;
            expect_words(&words, &["deactivated"])
        })
}

/// Clients that an officer registered.
pub(crate) fn registered(world: &World) -> Lane<'_> {
    let allowed = json!({"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "uacme-reg.test"}]});
    let registration = world.officer().preregister(&json!({"allowedIdentifiers": allowed}));
    Lane::new(world, "uacme-registered", 42)
        .with_web_server()
        .with_external_account(registration)
        .with(UACME, "registered: refused without external account", |lane| {
            hook(lane)?;
            let words = uacme(lane, "registered")?.args(&["new", "admin@quickstart.test"]).fail()?;
            expect_words(&words, &["requires external credentials"])
        })
        .with(UACME, "registered: an allowed name, with EAB", |lane| {
            let (kid, key) = lane.eab();
            uacme(lane, "registered")?.arg("--eab").arg(format!("{kid}:{key}")).arg("new").succeed()?;
            issue(lane, "registered", &["www.uacme-reg.test"])?.succeed()?;
            check(lane, "www.uacme-reg.test", &["DNS:www.uacme-reg.test"])
        })
        .with(UACME, "registered: refused outside the list, rule named", |lane| {
            let words = issue(lane, "registered", &["www.other.test"])?.fail()?;
            expect_words(&words, &["rejectedIdentifier", "www.other.test", "identifier.not-listed"])
        })
}

/// What follows runs in a mount namespace of its own, in which the gateway's CA is all the CAs there are.
pub(crate) fn trusting(lane: &Lane<'_>) -> Result<Shell, Failure> {
    let (outside, inside) = (lane.dir.join("trust.sh"), lane.dir.join("trusting.sh"));
    if !outside.exists() {
        script(&inside, &format!("mount --bind '{}' {SYSTEM_CA_FILE}\nexec \"$@\"\n", lane.ca_file().display()))?;
        // Who may not do it as it is becomes root of a user namespace first.
        let unshare = "unshare --mount true 2>/dev/null || user='--user --map-root-user'\n";
        script(&outside, &format!("{unshare}exec unshare ${{user:-}} --mount '{}' \"$@\"\n", inside.display()))?;
    }
    Ok(lane.shell(outside))
}

/// uacme there.
fn uacme(lane: &Lane<'_>, endpoint: &str) -> Result<Shell, Failure> {
    let uacme =
        trusting(lane)?.args(&["uacme", "--verbose", "--yes", "--acme-url", &lane.directory(endpoint), "--confdir"]);
    Ok(uacme.arg(lane.dir.join("conf")))
}

fn issue(lane: &Lane<'_>, endpoint: &str, names: &[&str]) -> Result<Shell, Failure> {
    issue_with(lane, endpoint, &[], names)
}

/// A certificate for names that lead to this lane.
fn issue_with(lane: &Lane<'_>, endpoint: &str, options: &[&str], names: &[&str]) -> Result<Shell, Failure> {
    let plain: Vec<&str> = names.iter().copied().filter(|name| !name.starts_with('*')).collect();
    lane.resolve(&plain);
    Ok(uacme(lane, endpoint)?.args(options).arg("--hook").arg(hook_file(lane)).arg("issue").args(names))
}

fn hook_file(lane: &Lane<'_>) -> PathBuf {
    lane.dir.join("hook.sh")
}

/// Takes dns-01 for names that begin with `wild`, and http-01 for the others; uacme proposes what there is.
fn hook(lane: &Lane<'_>) -> Result<(), Failure> {
    let (web, control) = (webroot::challenges(lane).display().to_string(), lane.world.site().control);
    let host = "\\\"host\\\":\\\"_acme-challenge.$3.\\\"";
    script(
        &hook_file(lane),
        &format!(
            "case $1:$2:$3 in\n\
             begin:dns-01:wild*) curl -fsS -d \"{{{host},\\\"value\\\":\\\"$5\\\"}}\" http://{control}/add-txt;;\n\
             *:dns-01:wild*) curl -fsS -d \"{{{host}}}\" http://{control}/clear-txt;;\n\
             *:*:wild*) exit 1;;\n\
             begin:http-01:*) printf %s \"$5\" >'{web}'/$4;;\n\
             *:http-01:*) rm -f '{web}'/$4;;\n\
             *) exit 1;;\n\
             esac\n"
        ),
    )
}

/// Its responder, and a hook that tells it what to answer.
fn tls_alpn(lane: &Lane<'_>) -> Result<(Daemon, PathBuf), Failure> {
    let (socket, pid, hook) = (lane.dir.join("ualpn.sock"), lane.dir.join("ualpn.pid"), lane.dir.join("tls-hook.sh"));
    let bind = format!("{}@{}", lane.address, lane.tls_alpn_01_port());
    // What is no validation would go to a server behind it; there is none.
    let behind = format!("{}@9", lane.address);
    let (socket, pid) = (socket.display().to_string(), pid.display().to_string());
    let arguments = ["-v", "-b", &bind, "-c", &behind, "-s", &socket, "-p", &pid];
    let ualpn = Daemon::start(&lane.dir, Path::new("/usr/bin/ualpn"), &arguments)?;
    ualpn.wait_for("its socket", |_| Path::new(&socket).exists().then_some(()))?;
    script(
        &hook,
        &format!(
            "case $1:$2 in\n\
             begin:tls-alpn-01) test \"$(echo \"auth $3 $5\" | ualpn -s '{socket}')\" = OK;;\n\
             *:tls-alpn-01) test \"$(echo \"unauth $3\" | ualpn -s '{socket}')\" = OK;;\n\
             *) exit 1;;\n\
             esac\n"
        ),
    )?;
    Ok((ualpn, hook))
}

/// uacme writes the leaf and its chain into one file.
pub(crate) fn check(lane: &Lane<'_>, name: &str, wanted: &[&str]) -> Result<(), Failure> {
    let certificate = live(lane, name);
    openssl::verify(lane, &certificate, &certificate)?;
    openssl::shows(lane, &certificate, wanted)
}

pub(crate) fn live(lane: &Lane<'_>, name: &str) -> PathBuf {
    lane.dir.join("conf").join(name).join("cert.pem")
}

fn kept(lane: &Lane<'_>, which: &str) -> PathBuf {
    lane.dir.join(format!("revoked-{which}.pem"))
}

/// Keeps a certificate to be looked at after uacme has renamed it.
fn keep(lane: &Lane<'_>, name: &str, which: &str) -> Result<PathBuf, Failure> {
    let certificate = live(lane, name);
    std::fs::copy(&certificate, kept(lane, which)).map_err(|error| format!("{}: {error}", certificate.display()))?;
    Ok(certificate)
}
