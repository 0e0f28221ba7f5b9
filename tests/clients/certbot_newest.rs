//! The newest certbot, from PyPI: what is new in it, and once more what people do every day.

use std::fs;

use serde_json::json;
use tests::world::World;

use super::{
    certbot::{
        by_hooks, by_own_request, by_webroot, certbot, check, live, log, renew, request, revoke, revoke_by_key,
        revoked, standalone,
    },
    command::{Shell, expect_words},
    openssl,
    origin::{self, CERTBOT_NEWEST as CERTBOT, OPENSSL},
    scenario::{Failure, Lane},
};

/// Clients that nobody knows beforehand.
pub(crate) fn open(world: &World) -> Lane<'_> {
    Lane::new(world, "certbot-newest-open", 13)
        .running(origin::python("certbot"))
        .with(CERTBOT, "http-01, two names, ECDSA P-256", |lane| {
            standalone(lane, "open", &["a1.newest.test", "b1.newest.test"]).succeed()?;
            check(lane, "a1.newest.test", &["DNS:a1.newest.test", "DNS:b1.newest.test", "prime256v1"])
        })
        .with(CERTBOT, "shows its account", |lane| {
            let words = certbot(lane, "open").arg("show_account").succeed()?;
            expect_words(&words, &[&lane.world.site().url("open", "acct/"), "admin@quickstart.test"])
        })
        .with(CERTBOT, "renew", |lane| renew(lane, "a1.newest.test"))
        .with(CERTBOT, "the profile it prefers", |lane| {
            standalone(lane, "open", &["a2.newest.test"]).args(&["--preferred-profile", "tls-server"]).succeed()?;
            expect_words(&log(lane), &["\"profile\": \"tls-server\""])?;
            check(lane, "a2.newest.test", &["DNS:a2.newest.test"])
        })
        .with(CERTBOT, "a profile that it requires and nobody has", |lane| {
            let words = standalone(lane, "open", &["a3.newest.test"]).args(&["--required-profile", "nobody-has"]);
            expect_words(&words.fail()?, &["nobody-has"])
        })
        .with(CERTBOT, "http-01, webroot", |lane| {
            by_webroot(lane, "root.newest.test")?;
            check(lane, "root.newest.test", &["DNS:root.newest.test"])
        })
        .with(CERTBOT, "http-01, ECDSA P-384, must-staple", |lane| {
            let options = ["--key-type", "ecdsa", "--elliptic-curve", "secp384r1", "--must-staple"];
            standalone(lane, "open", &["a4.newest.test"]).args(&options).succeed()?;
            check(lane, "a4.newest.test", &["secp384r1", "status_request"])
        })
        .with(CERTBOT, "a request of the user's own, ECDSA P-384, without CN", |lane| {
            let algorithm = ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
            let certificate = by_own_request(lane, &algorithm, &["own.newest.test", "own2.newest.test"])?;
            openssl::shows(lane, &certificate, &["DNS:own.newest.test", "DNS:own2.newest.test", "secp384r1"])
        })
        .with(CERTBOT, "dns-01, wildcard and base, by hooks", |lane| {
            by_hooks(lane, "wild.newest.test")?.succeed()?;
            check(lane, "wild.newest.test", &["DNS:*.wild.newest.test", "DNS:wild.newest.test"])
        })
        .with(CERTBOT, "a new key at renewal, and the old one kept on demand", |lane| {
            let key = || fs::read(live(lane, "a2.newest.test", "privkey.pem")).map_err(|error| error.to_string());
            let first = key()?;
            renew(lane, "a2.newest.test")?;
            let second = key()?;
            certbot(lane, "open").args(&["reconfigure", "--cert-name", "a2.newest.test", "--reuse-key"]).succeed()?;
            renew(lane, "a2.newest.test")?;
            if first == second || key()? != second { Err("the keys are not as ordered".to_owned()) } else { Ok(()) }
        })
        .with(CERTBOT, "http-01, a certificate for an IP address", |lane| {
            let address = lane.address.to_string();
            let shell = certbot(lane, "open").args(&["certonly", "--standalone", "--ip-address", &address]);
            let shell = shell.args(&["--http-01-address", &address, "--cert-name", "address"]);
            shell.args(&["--http-01-port", &lane.http_01_port().to_string()]).succeed()?;
            check(lane, "address", &[&format!("IP Address:{address}")])
        })
        .with_limit(CERTBOT, "tls-alpn-01", "it has http-01 and dns-01 and nothing else", |lane| {
            let words = request(lane, "open", &["alpn.newest.test"]);
            expect_words(&words.args(&["--preferred-challenges", "tls-alpn-01"]).fail()?, &["tls-alpn-01"])
        })
        .with(CERTBOT, "http-01 fails with a reason that it shows", |lane| {
            let body = json!({"host": "nobody.newest.test.", "addresses": ["127.0.0.94"]});
            lane.world.site().control("/add-a", &body);
            let words = request(lane, "open", &["nobody.newest.test"]).fail()?;
            expect_words(&words, &["Type:   connection", "127.0.0.94"])
        })
        .with(CERTBOT, "asks when to renew (ARI): not yet", |lane| {
            standalone(lane, "open", &["ari.newest.test"]).succeed()?;
            let words = due(lane, "ari.newest.test").succeed()?;
            expect_words(&words, &["not yet due for renewal"])?;
            expect_words(&log(lane), &["/acme/open/renewal-info/", "suggestedWindow"])
        })
        .with(CERTBOT, "renews at once when told so (ARI)", |lane| {
            standalone(lane, "open", &["now.newest.test"]).succeed()?;
            let certificate = live(lane, "now.newest.test", "cert.pem");
            let before = openssl::serial(lane, &certificate)?;
            // What is revoked should be renewed at once; certbot asks for that before it asks whether it is revoked.
            revoke(lane, "now.newest.test", &[])?;
            due(lane, "now.newest.test").succeed()?;
            expect_words(&log(lane), &["/acme/open/renewal-info/", "suggestedWindow"])?;
            if openssl::serial(lane, &certificate)? == before {
                return Err("it is the old certificate".to_owned());
            }
            check(lane, "now.newest.test", &["DNS:now.newest.test"])
        })
        .with(CERTBOT, "revoke by account key, superseded", |lane| {
            revoke(lane, "a1.newest.test", &["--reason", "superseded"])
        })
        .with(OPENSSL, "OCSP says revoked, CRL lists it (newest certbot)", |lane| revoked(lane, "a1.newest.test"))
        .with(CERTBOT, "revoke by certificate key, ECDSA P-384", |lane| revoke_by_key(lane, "a4.newest.test"))
        .with(OPENSSL, "OCSP says revoked, CRL lists it (by P-384 key)", |lane| revoked(lane, "a4.newest.test"))
        .with(CERTBOT, "account update, seen by the server", |lane| {
            certbot(lane, "open").args(&["update_account", "--email", "new@newest.test"]).succeed()?;
            let words = certbot(lane, "open").arg("show_account").succeed()?;
            expect_words(&words, &["new@newest.test"])
        })
        .with(CERTBOT, "unregister", |lane| {
            let words = certbot(lane, "open").arg("unregister").succeed()?;
            expect_words(&words, &["Account deactivated"])
        })
}

/// Clients that an officer registered, with each of the three EAB algorithms.
pub(crate) fn registered(world: &World) -> Lane<'_> {
    Lane::new(world, "certbot-newest-registered", 14)
        .running(origin::python("certbot"))
        .with(CERTBOT, "registered: EAB with HS256, an allowed name", |lane| {
            bind(lane, "HS256", "hs256.registered-newest.test")?.succeed()?;
            let certificate = lane.dir.join("HS256/live/hs256.registered-newest.test/cert.pem");
            openssl::shows(lane, &certificate, &["DNS:hs256.registered-newest.test"])
        })
        .with(CERTBOT, "registered: EAB with HS384, an allowed name", |lane| {
            bind(lane, "HS384", "hs384.registered-newest.test")?.succeed().map(drop)
        })
        .with(CERTBOT, "registered: EAB with HS512, an allowed name", |lane| {
            bind(lane, "HS512", "hs512.registered-newest.test")?.succeed().map(drop)
        })
        .with(CERTBOT, "registered: refused outside the list, rule named", |lane| {
            let words = standalone(lane, "registered", &["www.other-newest.test"]);
            let words = words.arg("--config-dir").arg(lane.dir.join("HS256")).fail()?;
            expect_words(&words, &["www.other-newest.test", "identifier.not-listed"])
        })
}

/// Renews if it is time to.
fn due(lane: &Lane<'_>, name: &str) -> Shell {
    certbot(lane, "open").args(&["renew", "--no-random-sleep-on-renew", "--cert-name", name])
}

/// A certificate for a new account that is bound by this algorithm.
fn bind(lane: &Lane<'_>, algorithm: &str, name: &str) -> Result<Shell, Failure> {
    let allowed = json!({"mode": "listed", "rules": [{"type": "dns", "match": "exact", "value": name}]});
    let eab = json!({"kid": format!("kid-newest-{algorithm}"), "use": "once", "algorithms": [algorithm]});
    let account = lane.world.officer().preregister(&json!({"eab": eab, "allowedIdentifiers": allowed}));
    let shell = standalone(lane, "registered", &[name]).arg("--config-dir").arg(lane.dir.join(algorithm));
    let shell = shell.args(&["--eab-hmac-alg", algorithm, "--eab-kid", &account.kid]);
    Ok(shell.args(&["--eab-hmac-key", &tests::base64url(&account.secret)]))
}
