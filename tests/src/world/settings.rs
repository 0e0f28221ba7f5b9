//! The settings of the gateway, `gateway.toml`: where everything is, what makes failures quick, and what a test adds.

use std::fs;

use serde_json::Value;

use super::endpoints::MORE_ENDPOINTS;
use crate::site::Site;

/// The text of the file.
pub(super) fn settings_text(site: &Site, facts: &Value, more: &[(&str, &str)]) -> String {
    let pki = |file: &str| format!("{:?}", site.pki(file));
    let store = format!("{:?}", site.dir.join("gateway/store"));
    let seal_key = format!("{:?}", site.dir.join("gateway/seal.key"));
    fs::create_dir_all(site.dir.join("gateway")).unwrap();
    let cm = facts["cm"].as_str().expect("sandbox.json names the CM");
    let settings = [
        ("server", format!("external_url = {:?}", site.external_url)),
        ("server", format!("listen = [{:?}]", site.gateway.to_string())),
        ("server", format!("certificate_file = {}", pki("acme-server.pem"))),
        ("server", format!("key_file = {}", pki("acme-server.key"))),
        ("server", "body_timeout_secs = 10".to_owned()),
        ("server", "head_timeout_secs = 10".to_owned()),
        ("server", "handshake_timeout_secs = 10".to_owned()),
        ("server", "shutdown_timeout_secs = 5".to_owned()),
        ("ops", format!("listen = {:?}", site.ops.to_string())),
        ("cm", format!("url = {cm:?}")),
        ("cm", format!("ca_file = {}", pki("infra-ca.pem"))),
        ("cm", format!("certificate_file = {}", pki("gateway.pem"))),
        ("cm", format!("key_file = {}", pki("gateway.key"))),
        ("cm", format!("issuer_roots_file = {}", pki("roots.pem"))),
        ("cm", "registration_cache_secs = 1".to_owned()),
        ("store", format!("dir = {store}")),
        ("store", "ballast_mib = 1".to_owned()),
        ("secrets", format!("seal_key_file = {seal_key}")),
        ("validation", format!("resolvers = [{:?}]", site.dns.to_string())),
        ("validation", format!("http_port = {}", site.http_01_port)),
        ("validation", format!("tls_port = {}", site.tls_alpn_01_port)),
        ("validation", "danger_allow_loopback = true".to_owned()),
        ("validation", "attempts_max = 2".to_owned()),
        ("validation", "attempt_timeout_secs = 6".to_owned()),
        ("issuance", "finalize_wait_secs = 3".to_owned()),
        ("log", "level = \"info,gateway=debug\"".to_owned()),
    ];
    let mut all: Vec<(&str, &str)> = settings.iter().map(|(table, setting)| (*table, setting.as_str())).collect();
    for (table, setting) in more {
        let name = setting.split('=').next().unwrap_or_default();
        all.retain(|(other, kept)| other != table || kept.split('=').next() != Some(name));
        all.push((table, setting));
    }
    let mut tables: Vec<&str> = all.iter().map(|(table, _)| *table).collect();
    tables.sort_unstable();
    tables.dedup();
    let mut text = String::new();
    for table in tables {
        text.push_str(&format!("[{table}]\n"));
        all.iter().filter(|(other, _)| *other == table).for_each(|(_, setting)| text.push_str(&format!("{setting}\n")));
    }
    text.push_str("[endpoints.open]\nmode = \"open\"\n[endpoints.registered]\nmode = \"registered\"\n");
    for (name, settings) in MORE_ENDPOINTS {
        text.push_str(&format!("[endpoints.{name}]\nmode = \"open\"\n{settings}"));
    }
    text
}
