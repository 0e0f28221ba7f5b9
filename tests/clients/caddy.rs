//! Caddy, a web server that gets and renews the certificates of its sites by itself.

use std::{net::SocketAddr, path::PathBuf};

use serde_json::{Value, json};
use tests::world::World;

use super::{
    command::{expect_words, write},
    daemon::Daemon,
    openssl,
    origin::{self, CADDY, CADDY_NEWEST, Client},
    scenario::{Failure, Lane},
};

/// Debian's.
pub(crate) fn debian(world: &World) -> Lane<'_> {
    scenarios(lane(world, "caddy", 61).running("/usr/bin/caddy"), CADDY)
}

/// PyPI's newest.
pub(crate) fn newest(world: &World) -> Lane<'_> {
    scenarios(lane(world, "caddy-newest", 62).running(origin::python("caddy")), CADDY_NEWEST).with(
        CADDY_NEWEST,
        "asks when to renew (ARI)",
        |lane| {
            let name = name(lane, "ari");
            let caddy = start(lane, &[&name], "open", &json!({}), &json!({}))?;
            let answer = format!("\"got renewal info\",\"names\":[\"{name}\"]");
            caddy.wait_for("the answer in its log", |words| words.contains(&answer).then_some(()))
        },
    )
}

fn lane<'w>(world: &'w World, name: &'static str, number: u8) -> Lane<'w> {
    let suffix = json!([{"type": "dns", "match": "suffix", "value": format!("registered.{name}.test")}]);
    let allowed = json!({"allowedIdentifiers": {"mode": "listed", "rules": suffix}});
    Lane::new(world, name, number).with_external_account(world.officer().preregister(&allowed))
}

fn scenarios(lane: Lane<'_>, client: Client) -> Lane<'_> {
    lane.with(client, "fetches its own certificate, http-01, ECDSA", |lane| {
        let name = name(lane, "a1");
        let caddy = start(lane, &[&name], "open", &json!({"key_type": "p256"}), &json!({}))?;
        let text = served(lane, &caddy, &name, |_| true)?;
        expect_words(&text, &["prime256v1", &format!("DNS:{name}")])
    })
    .with(client, "keeps it over a restart, and renews it", |lane| {
        let name = name(lane, "a1");
        let (issuer, mut old) = (json!({"key_type": "p256"}), String::new());
        {
            let caddy = start(lane, &[&name], "open", &issuer, &json!({}))?;
            let _ = served(lane, &caddy, &name, |text| serial(text, &mut old))?;
        }
        // Nearly all of the lifetime counts as the time to renew, so it renews at once.
        let caddy = start(lane, &[&name], "open", &issuer, &json!({"renewal_window_ratio": 0.999_999_99}))?;
        let mut new = String::new();
        let text = served(lane, &caddy, &name, |text| serial(text, &mut new) && new != old)?;
        expect_words(&text, &[&format!("DNS:{name}")])
    })
    .with(client, "two sites, RSA", |lane| {
        let names = [name(lane, "a2"), name(lane, "a3")];
        let caddy = start(lane, &[&names[0], &names[1]], "open", &json!({"key_type": "rsa2048"}), &json!({}))?;
        for name in names {
            expect_words(&served(lane, &caddy, &name, |_| true)?, &["rsaEncryption", &format!("DNS:{name}")])?;
        }
        Ok(())
    })
    .with(client, "fetches its own certificate, tls-alpn-01", |lane| {
        let name = name(lane, "alpn");
        let by_tls = json!({"http": {"disabled": true}, "tls-alpn": {"alternate_port": lane.tls_alpn_01_port()}});
        let caddy = start(lane, &[&name], "open", &json!({"challenges": by_tls}), &json!({}))?;
        expect_words(&served(lane, &caddy, &name, |_| true)?, &[&format!("DNS:{name}")])
    })
    .with(client, "registered: an allowed name, with EAB", |lane| {
        let name = name(lane, "www.registered");
        let (kid, key) = lane.eab();
        let issuer = json!({"external_account": {"key_id": kid, "mac_key": key}});
        let caddy = start(lane, &[&name], "registered", &issuer, &json!({}))?;
        expect_words(&served(lane, &caddy, &name, |_| true)?, &[&format!("DNS:{name}")])
    })
    .with(client, "registered: two sites at once, with a multi-use EAB key", |lane| {
        // Caddy 2.6 makes an account a site when both begin at the same moment, so a key for one binding is too little.
        let kid = format!("kid-{}-multi", lane.name);
        let eab = json!({"kid": kid, "use": "multi", "maxBindings": 5});
        let account = lane.world.officer().preregister(&json!({"eab": eab}));
        let external = json!({"key_id": account.kid, "mac_key": tests::base64url(&account.secret)});
        let names = [name(lane, "m1"), name(lane, "m2")];
        let issuer = json!({"external_account": external, "email": "multi@quickstart.test"});
        let caddy = start(lane, &[&names[0], &names[1]], "registered", &issuer, &json!({}))?;
        for name in names {
            expect_words(&served(lane, &caddy, &name, |_| true)?, &[&format!("DNS:{name}")])?;
        }
        Ok(())
    })
    .with(client, "registered: refused outside the list, rule named", |lane| {
        let name = name(lane, "outside");
        let caddy = start(lane, &[&name], "registered", &json!({}), &json!({}))?;
        caddy.wait_for("the refusal in its log", |words| {
            expect_words(words, &["rejectedIdentifier", "identifier.not-listed"]).ok()
        })
    })
}

fn name(lane: &Lane<'_>, first: &str) -> String {
    format!("{first}.{}.test", lane.name)
}

/// Where its sites are.
pub(crate) fn https(lane: &Lane<'_>) -> SocketAddr {
    SocketAddr::from((lane.address, lane.tls_alpn_01_port()))
}

/// A Caddy with these sites, whose issuer and policy have these members more.
pub(crate) fn start(
    lane: &Lane<'_>,
    sites: &[&str],
    endpoint: &str,
    issuer: &Value,
    policy: &Value,
) -> Result<Daemon, Failure> {
    lane.resolve(sites);
    let key_type = issuer["key_type"].as_str().unwrap_or("p256");
    let (http_port, https_port) = (lane.http_01_port(), lane.tls_alpn_01_port());
    let mut issuer = issuer.clone();
    if let Some(members) = issuer.as_object_mut() {
        let _ = members.remove("key_type");
    }
    let by_http = json!({"tls-alpn": {"disabled": true}, "http": {"alternate_port": http_port}});
    let challenges = issuer.get("challenges").cloned().unwrap_or(by_http);
    for (member, value) in [
        ("module", json!("acme")),
        ("ca", json!(lane.directory(endpoint))),
        ("email", issuer.get("email").cloned().unwrap_or_else(|| json!("admin@quickstart.test"))),
        ("trusted_roots_pem_files", json!([lane.ca_file()])),
        ("challenges", challenges),
    ] {
        issuer[member] = value;
    }
    let mut policy = policy.clone();
    policy["issuers"] = json!([issuer]);
    policy["key_type"] = json!(key_type);
    let route = json!({"match": [{"host": sites}], "handle": [{"handler": "static_response", "body": "hello"}]});
    let listen = [format!("{}:{http_port}", lane.address), format!("{}:{https_port}", lane.address)];
    let config = json!({
        "admin": {"disabled": true},
        "storage": {"module": "file_system", "root": lane.dir.join("data")},
        "apps": {
            "tls": {"automation": {"policies": [policy], "renew_interval": "1s"}},
            "http": {
                "http_port": http_port,
                "https_port": https_port,
                "servers": {
                    "web": {"listen": [listen[1]], "routes": [route], "automatic_https": {"disable_redirects": true}},
                    "plain": {"listen": [listen[0]], "automatic_https": {"disable": true}},
                },
            },
        },
    });
    let file: PathBuf = lane.dir.join("caddy.json");
    write(&file, &config.to_string())?;
    Daemon::start(&lane.dir, &lane.program, &["run", "--config", &file.display().to_string()])
}

/// The certificate that it shows once it is as it should be.
pub(crate) fn served(
    lane: &Lane<'_>,
    caddy: &Daemon,
    name: &str,
    mut wanted: impl FnMut(&str) -> bool,
) -> Result<String, Failure> {
    caddy.wait_for("its certificate", |_| openssl::served(lane, https(lane), name).ok().filter(|text| wanted(text)))
}

/// Takes the serial number out of a certificate's text.
fn serial(text: &str, out: &mut String) -> bool {
    let mut lines = text.lines().skip_while(|line| !line.contains("Serial Number"));
    *out = lines.nth(1).unwrap_or_default().trim().to_owned();
    !out.is_empty()
}
