//! Traefik, a proxy that gets certificates for its routes by itself. It is built on the newest library of lego.

use std::{fs, net::SocketAddr};

use serde_json::{Value, json};
use tests::world::World;

use super::{
    command::{expect_words, write},
    daemon::Daemon,
    openssl,
    origin::{self, TRAEFIK},
    scenario::{Failure, Lane},
};

/// PyPI's newest.
pub(crate) fn newest(world: &World) -> Lane<'_> {
    let rules = json!([{"type": "dns", "match": "suffix", "value": "registered.traefik.test"}]);
    let allowed = json!({"allowedIdentifiers": {"mode": "listed", "rules": rules}});
    Lane::new(world, "traefik", 64)
        .with_external_account(world.officer().preregister(&allowed))
        .with(TRAEFIK, "fetches its own certificate, http-01, ECDSA", |lane| {
            let traefik = start(lane, "a1.traefik.test", "open", &by_http())?;
            expect_words(&served(lane, &traefik, "a1.traefik.test")?, &["DNS:a1.traefik.test", "prime256v1"])
        })
        .with(TRAEFIK, "keeps it over a restart, and renews it", |lane| {
            let shown = lane.dir.join("a1.traefik.test.served.pem");
            let before = openssl::serial(lane, &shown)?;
            // Certificates that are said to live a year are renewed four months before their end: at once.
            let mut resolver = by_http();
            resolver["certificatesDuration"] = json!(8760);
            let traefik = start(lane, "a1.traefik.test", "open", &resolver)?;
            traefik.wait_for("a new certificate", |_| {
                let _ = openssl::served(lane, address(lane), "a1.traefik.test").ok()?;
                (openssl::serial(lane, &shown).ok()? != before).then_some(())
            })
        })
        .with(TRAEFIK, "fetches its own certificate, tls-alpn-01, RSA", |lane| {
            let resolver = json!({"tlsChallenge": {}, "keyType": "RSA2048"});
            let traefik = start(lane, "a2.traefik.test", "open", &resolver)?;
            expect_words(&served(lane, &traefik, "a2.traefik.test")?, &["DNS:a2.traefik.test", "rsaEncryption"])
        })
        .with(TRAEFIK, "registered: an allowed name, with EAB", |lane| {
            let (kid, key) = lane.eab();
            let mut resolver = by_http();
            resolver["eab"] = json!({"kid": kid, "hmacEncoded": key});
            let name = "www.registered.traefik.test";
            let traefik = start(lane, name, "registered", &resolver)?;
            expect_words(&served(lane, &traefik, name)?, &["DNS:www.registered.traefik.test"])
        })
        .with(TRAEFIK, "registered: refused outside the list, rule named", |lane| {
            let (kid, key) = lane.eab();
            let mut resolver = by_http();
            resolver["eab"] = json!({"kid": kid, "hmacEncoded": key});
            let traefik = start(lane, "outside.traefik.test", "registered", &resolver)?;
            traefik.wait_for("the refusal in its log", |words| {
                expect_words(words, &["rejectedIdentifier", "outside.traefik.test", "identifier.not-listed"]).ok()
            })
        })
}

fn by_http() -> Value {
    json!({"httpChallenge": {"entryPoint": "web"}, "keyType": "EC256"})
}

/// A Traefik with one route, whose resolver of certificates has these members more. What it got before it keeps, an
/// endpoint a file.
fn start(lane: &Lane<'_>, name: &str, endpoint: &str, resolver: &Value) -> Result<Daemon, Failure> {
    lane.resolve(&[name]);
    let file = |name: &str| lane.dir.join(name);
    let mut resolver = resolver.clone();
    resolver["caServer"] = json!(lane.directory(endpoint));
    resolver["email"] = json!("admin@quickstart.test");
    resolver["storage"] = json!(file(&format!("{endpoint}.json")));
    let entry_point = |port: u16| json!({"address": format!("{}:{port}", lane.address)});
    let settings = json!({
        "entryPoints": {"web": entry_point(lane.http_01_port()), "websecure": entry_point(lane.tls_alpn_01_port())},
        "log": {"level": "DEBUG", "noColor": true},
        "providers": {"file": {"filename": file("routes.yml")}},
        "certificatesResolvers": {"acme": {"acme": resolver}},
    });
    let router = json!({
        "rule": format!("Host(`{name}`)"),
        "service": "noop@internal",
        "entryPoints": ["websecure"],
        "tls": {"certResolver": "acme"},
    });
    write(&file("traefik.json"), &settings.to_string())?;
    write(&file("routes.yml"), &json!({"http": {"routers": {"route": router}}}).to_string())?;
    let _ = fs::remove_file(file("traefik.log"));
    let ca = lane.ca_file().display().to_string();
    let option = format!("--configFile={}", file("traefik.json").display());
    Daemon::start_with(&lane.dir, &origin::python("traefik"), &[&option], &[("LEGO_CA_CERTIFICATES", &ca)])
}

/// The certificate that it shows once it is one for the name.
pub(crate) fn served(lane: &Lane<'_>, traefik: &Daemon, name: &str) -> Result<String, Failure> {
    traefik.wait_for("its certificate", |_| openssl::served(lane, address(lane), name).ok())
}

fn address(lane: &Lane<'_>) -> SocketAddr {
    SocketAddr::from((lane.address, lane.tls_alpn_01_port()))
}
