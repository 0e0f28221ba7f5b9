//! The settings of an OpenBao of one node: raft in a folder, TLS with client certificates, and a seal that opens itself.

use std::net::SocketAddr;

use anyhow::Context as _;

use super::super::{
    layout::{Layout, replace},
    ports::Ports,
};

/// How long it works on a request, in seconds; the gateway has to know it.
pub(crate) const REQUEST_DURATION_MAX_SECS: u32 = 30;
/// The key of the seal, in octets.
const SEAL_KEY_OCTETS: usize = 32;

/// Writes the settings anew, and the key of the seal once.
///
/// # Errors
/// A file cannot be written, or the machine gives no random octets.
pub(super) fn write(layout: &Layout, ports: &Ports) -> anyhow::Result<()> {
    let seal_key = layout.openbao("seal.key");
    if !seal_key.exists() {
        replace(&seal_key, &random()?, 0o600)?;
    }
    replace(&layout.openbao("server.hcl"), text(layout, ports).as_bytes(), 0o644)
}

fn random() -> anyhow::Result<[u8; SEAL_KEY_OCTETS]> {
    use std::io::Read as _;
    let mut key = [0; SEAL_KEY_OCTETS];
    let mut source = std::fs::File::open("/dev/urandom").context("/dev/urandom cannot be opened")?;
    source.read_exact(&mut key).context("/dev/urandom cannot be read")?;
    Ok(key)
}

/// The second listener is for relying parties, who ask for OCSP and CRL without TLS. Nobody can log in there, for want of
/// a client certificate.
fn text(layout: &Layout, ports: &Ports) -> String {
    let path = |path: &std::path::Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    let url = |address: SocketAddr| format!("\"https://{address}\"");
    format!(
        r#"# An OpenBao for a demonstration, written anew by each quickstart.
api_addr = {api_url}
cluster_addr = {cluster_url}
ui = false

storage "raft" {{
  path = {data}
  node_id = "quickstart"
  performance_multiplier = 1
}}

# WARNING: whoever reads this file opens the seal. In production this is an HSM or a KMS.
seal "static" {{
  current_key_id = "1"
  current_key = {seal_key}
}}

listener "tcp" {{
  address = "{api}"
  cluster_address = "{cluster}"
  tls_cert_file = {certificate}
  tls_key_file = {key}
  tls_client_ca_file = {clients_ca}
  tls_require_and_verify_client_cert = true
  max_request_duration = "{REQUEST_DURATION_MAX_SECS}s"
}}

# OCSP and CRL for relying parties. WARNING: all of the API answers here, without TLS. In production this is a proxy that
# passes /v1/MOUNT/REALM/pki/ocsp and /v1/MOUNT/REALM/pki/issuer/*/{{der,crl/der}} only.
listener "tcp" {{
  address = "{status}"
  cluster_address = "127.0.0.1:0"
  tls_disable = true
}}
"#,
        api_url = url(ports.openbao()),
        cluster_url = url(ports.openbao_cluster()),
        data = path(&layout.openbao("data")),
        seal_key = serde_json::Value::from(format!("file://{}", layout.openbao("seal.key").display())),
        api = ports.openbao(),
        cluster = ports.openbao_cluster(),
        certificate = path(&layout.pki("cm-server.pem")),
        key = path(&layout.pki("cm-server.key")),
        clients_ca = path(&layout.pki("clients-ca.pem")),
        status = ports.openbao_status(),
    )
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::{super::super::layout::tests::folder, *};

    #[test]
    fn the_key_of_the_seal_is_made_once_and_for_its_owner_only() {
        let dir = folder("openbao-seal");
        let layout = Layout::create(&dir).unwrap();
        fs::create_dir(layout.openbao("")).unwrap();
        let ports = Ports::plan(14000, 5002, 5001).unwrap();
        write(&layout, &ports).unwrap();
        let key = fs::read(layout.openbao("seal.key")).unwrap();
        write(&layout, &Ports::plan(15000, 5002, 5001).unwrap()).unwrap();
        assert_eq!((fs::read(layout.openbao("seal.key")).unwrap(), key.len()), (key, SEAL_KEY_OCTETS));
        assert_eq!(fs::metadata(layout.openbao("seal.key")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(layout.openbao("server.hcl")).unwrap().contains("127.0.0.1:15006"));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn only_who_shows_a_client_certificate_reaches_the_listener_with_logins() {
        let dir = folder("openbao-\"listeners");
        let layout = Layout::create(&dir).unwrap();
        let text = text(&layout, &Ports::plan(14000, 5002, 5001).unwrap());
        let listeners: Vec<&str> = text.split("listener \"tcp\"").skip(1).collect();
        assert_eq!(listeners.len(), 2);
        assert!(listeners[0].contains("\"127.0.0.1:14006\"") && listeners[0].contains("verify_client_cert = true"));
        assert!(listeners[1].contains("\"127.0.0.1:14008\"") && listeners[1].contains("tls_disable = true"));
        assert!(text.contains("xtask-") && text.contains("openbao-\\\"listeners/openbao/data\""), "{text}");
        fs::remove_dir_all(dir).unwrap();
    }
}
