//! `quickstart.json`: how others, above all tests, reach a quickstart that is up. It appears as a whole when
//! everything is ready and goes when the quickstart ends.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    CertificateManager, desks,
    layout::{Layout, replace},
    openbao,
    ports::Ports,
    sandbox::Facts,
};

/// What the description is made of.
pub(crate) struct Description<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) ports: &'a Ports,
    pub(crate) facts: &'a Facts,
    pub(crate) cm: CertificateManager,
    /// The DNS server that the gateway asks.
    pub(crate) resolver: SocketAddr,
}

impl Description<'_> {
    /// The JSON object; all paths are absolute.
    pub(crate) fn value(&self, gateway_pid: u32, sandbox_pid: u32, openbao_pid: Option<u32>) -> Value {
        let Self { layout, ports, facts, cm, resolver } = self;
        let mut value = json!({
            "directory": {"open": ports.directory("open"), "registered": ports.directory("registered")},
            "acme_ca": layout.pki("acme-ca.pem"),
            "issuer_root": layout.pki("root.pem"),
            "eab": {"kid": facts.kid, "hmac_key": facts.hmac_key, "allowed": facts.allowed},
            "cm": {
                "kind": cm.name(),
                "url": facts.cm,
                "ca": layout.pki("infra-ca.pem"),
                "officer": {"cert": layout.pki("officer.pem"), "key": layout.pki("officer.key")},
            },
            "ops_url": format!("http://{}", ports.ops()),
            "dns": resolver.to_string(),
            "control": facts.control,
            "store_dir": layout.store(),
            "pid": {"gateway": gateway_pid, "sandbox": sandbox_pid},
        });
        if let Some(members) = value.as_object_mut() {
            for person in desks::people(*cm) {
                members.insert(format!("{person}_config"), json!(desks::file(layout, person)));
            }
            if *cm == CertificateManager::OpenBao {
                members.insert("status".to_owned(), openbao::status(ports));
            }
        }
        if let (Some(pid), Some(pids)) = (openbao_pid, value.get_mut("pid").and_then(Value::as_object_mut)) {
            pids.insert("openbao".to_owned(), json!(pid));
        }
        value
    }
}

/// The file, as long as this lives.
pub(crate) struct Published(PathBuf);

impl Drop for Published {
    fn drop(&mut self) {
        // Nobody is left to tell; the next quickstart removes it again.
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes the file in one step, for its owner's eyes: it has an HMAC key in it.
///
/// # Errors
/// It cannot be written.
pub(crate) fn publish(layout: &Layout, description: &Value) -> anyhow::Result<Published> {
    let mut text = serde_json::to_string_pretty(description).context("the description is no JSON")?;
    text.push('\n');
    let file = layout.description();
    replace(&file, text.as_bytes(), 0o600)?;
    Ok(Published(file))
}

/// Removes what a quickstart left that could not end in order.
pub(crate) fn remove(layout: &Layout) {
    // Usually there is none; one that cannot be removed is replaced later, and that reports its errors.
    let _ = fs::remove_file(layout.description());
}

/// Adds to an error about a port that a quickstart in the same folder may still be up.
pub(crate) fn remind_of_a_running_one(layout: &Layout, error: anyhow::Error) -> anyhow::Error {
    let file = layout.description();
    let Some(pids) = fs::read_to_string(&file).ok().and_then(|text| pids(&text)) else { return error };
    anyhow::anyhow!("{error:#}. Perhaps the quickstart of {} is still up ({pids})", file.display())
}

/// Which processes a description names, in words.
fn pids(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    // In the order of their names, whatever the order in the file.
    let pids: BTreeMap<_, _> = value.get("pid")?.as_object()?.iter().collect();
    Some(pids.into_iter().map(|(name, pid)| format!("{name}: process {pid}")).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{super::layout::tests::folder, *};

    fn described(layout: &Layout, cm: CertificateManager) -> Value {
        let facts = Facts {
            cm: "https://127.0.0.1:14001".to_owned(),
            control: "http://127.0.0.1:14004".to_owned(),
            kid: "kid-1".to_owned(),
            hmac_key: "c2VjcmV0".to_owned(),
            allowed: vec![json!("registered.test")],
        };
        let ports = Ports::plan(14000, 5002, 5001).unwrap();
        let bao = (cm == CertificateManager::OpenBao).then_some(13);
        Description { layout, ports: &ports, facts: &facts, cm, resolver: ports.dns() }.value(11, 12, bao)
    }

    #[test]
    fn every_member_is_there_and_every_path_is_absolute() {
        let dir = folder("json");
        let layout = Layout::create(&dir).unwrap();
        let value = described(&layout, CertificateManager::Rest);
        let text =
            |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer}"));
        assert_eq!(text("/directory/open"), "https://localhost:14000/acme/open/directory");
        assert_eq!(text("/directory/registered"), "https://localhost:14000/acme/registered/directory");
        assert_eq!(text("/ops_url"), "http://127.0.0.1:14005");
        assert_eq!(text("/dns"), "127.0.0.1:14003");
        assert_eq!((text("/eab/kid"), text("/eab/hmac_key")), ("kid-1", "c2VjcmV0"));
        assert_eq!(value.pointer("/eab/allowed/0").unwrap(), "registered.test");
        assert_eq!((text("/cm/url"), text("/control")), ("https://127.0.0.1:14001", "http://127.0.0.1:14004"));
        for pointer in [
            "/acme_ca",
            "/issuer_root",
            "/cm/ca",
            "/cm/officer/cert",
            "/cm/officer/key",
            "/officer_config",
            "/store_dir",
        ] {
            assert!(Path::new(text(pointer)).is_absolute(), "{pointer}");
        }
        assert_eq!(pids(&value.to_string()).unwrap(), "gateway: process 11, sandbox: process 12");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn of_an_openbao_it_tells_how_relying_parties_reach_it() {
        let dir = folder("json-openbao");
        let layout = Layout::create(&dir).unwrap();
        let value = described(&layout, CertificateManager::OpenBao);
        assert_eq!(value["cm"]["kind"], "openbao");
        assert_eq!(pids(&value.to_string()).unwrap(), "gateway: process 11, openbao: process 13, sandbox: process 12");
        assert_eq!(value["status"]["open"]["crl"], "http://127.0.0.1:14008/v1/acme/open/pki/crl");
        assert!(value.get("auditor_config").is_some() && value.get("approver_config").is_none());
        assert!(described(&layout, CertificateManager::Rest).get("status").is_none());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_file_is_there_while_the_quickstart_is_up() {
        let dir = folder("json-file");
        let layout = Layout::create(&dir).unwrap();
        let published = publish(&layout, &described(&layout, CertificateManager::Rest)).unwrap();
        let words = remind_of_a_running_one(&layout, anyhow::anyhow!("in use")).to_string();
        assert!(words.starts_with("in use. Perhaps") && words.contains("process 11"), "{words}");
        drop(published);
        assert!(!layout.description().exists());
        assert_eq!(remind_of_a_running_one(&layout, anyhow::anyhow!("in use")).to_string(), "in use");
        fs::remove_dir_all(dir).unwrap();
    }
}
