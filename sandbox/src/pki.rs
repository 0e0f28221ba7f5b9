//! The throwaway PKI of the sandbox: made by `init` in `DIR/pki/`, kept by every further `init`.
//!
//! Roots of trust that must not be mixed up: infra (the CM's server), clients (who calls the CM),
//! acme (the gateway's HTTPS), root with issuing-1 below it (what relying parties see), and an
//! older root that vouches for root, for relying parties that know no newer one. A CM that is no part of
//! the sandbox gets issuing CAs of its own below root. Every subject says that it is a sandbox. NOT FOR PRODUCTION: all keys are files.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rand::RngCore as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The organization in every subject.
pub(crate) const SANDBOX_ORGANIZATION: &str = "ACME sandbox - NOT FOR PRODUCTION";

/// Life of the roots, of the issuing CA and of everything below.
const ROOT_LIFE: Duration = Duration::days(3_650);
const ISSUING_LIFE: Duration = Duration::days(1_825);
const LEAF_LIFE: Duration = Duration::days(90);
/// Certificates begin this much earlier than now, for clocks that are behind.
const BACKDATE: Duration = Duration::hours(1);

/// Names of the root and of the certificate that the older root made of it.
const ROOT_NAME: &str = "ACME sandbox root";

/// A CA that can sign.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// Whether it was made just now, so that everything below it is made anew.
    is_new: bool,
}

/// What a leaf is for.
enum Purpose {
    /// A server on this machine.
    Server,
    /// A caller of the CM, by its URN.
    Client(String),
}

/// Makes what is missing, renews what has lived two thirds of its life, keeps the rest.
pub(crate) fn init(folder: &Path, gateway_name: &str, now: OffsetDateTime) -> anyhow::Result<()> {
    let folder = folder.join("pki");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let place = |name: &str| folder.join(name);

    let infra = root_ca(&place("infra-ca"), "ACME sandbox infra CA", now)?;
    let clients = root_ca(&place("clients-ca"), "ACME sandbox clients CA", now)?;
    let acme = root_ca(&place("acme-ca"), "ACME sandbox web CA", now)?;
    leaf(&place("cm-server"), "ACME sandbox CM", &infra, &Purpose::Server, now)?;
    leaf(&place("acme-server"), "ACME sandbox gateway", &acme, &Purpose::Server, now)?;
    for (file, role, name) in [
        ("gateway", "gateway", gateway_name),
        ("officer", "officer", "anna"),
        ("approver", "approver", "berta"),
        ("auditor", "auditor", "clara"),
    ] {
        let urn = format!("urn:cm:{role}:{name}");
        leaf(&place(file), &urn, &clients, &Purpose::Client(urn.clone()), now)?;
    }

    let root = root_ca(&place("root"), ROOT_NAME, now)?;
    let older_root = root_ca(&place("older-root"), "ACME sandbox older root", now)?;
    cross_certificate(&place("root-by-older-root.pem"), &root, &older_root, now)?;
    let roots = ["root.pem", "older-root.pem"].map(|name| std::fs::read_to_string(place(name)));
    let [root_pem, older_root_pem] = roots;
    replace(&place("roots.pem"), &(root_pem? + &older_root_pem?), 0o644)?;
    intermediate_ca(&place("issuing-1"), "ACME sandbox issuing 1", &root, now)
}

/// Makes one more issuing CA below the root, for a CM that is no part of the sandbox; keeps one that is there.
pub(crate) fn issuing_ca(folder: &Path, name: &str, now: OffsetDateTime) -> anyhow::Result<()> {
    let folder = folder.join("pki");
    let root = folder.join("root");
    anyhow::ensure!(root.with_extension("pem").exists(), "there is no root in {}; run init first", folder.display());
    let root = root_ca(&root, ROOT_NAME, now)?;
    intermediate_ca(&folder.join(name), &format!("ACME sandbox {name}"), &root, now)
}

/// Reads a private key in PEM.
pub(crate) fn read_key(path: &Path) -> anyhow::Result<KeyPair> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    KeyPair::from_pem(&text).with_context(|| format!("{} is no private key", path.display()))
}

fn root_ca(place: &Path, name: &str, now: OffsetDateTime) -> anyhow::Result<Ca> {
    if is_fresh(place, None, now)? {
        let text = std::fs::read_to_string(place.with_extension("pem"))?;
        let key = read_key(&place.with_extension("key"))?;
        return Ok(Ca { issuer: Issuer::from_ca_cert_pem(&text, key)?, is_new: false });
    }
    let key = KeyPair::generate()?;
    let params = ca_params(name, BasicConstraints::Unconstrained, ROOT_LIFE, now);
    let text = params.self_signed(&key)?.pem();
    write(place, &text, &key)?;
    Ok(Ca { issuer: Issuer::from_ca_cert_pem(&text, key)?, is_new: true })
}

fn intermediate_ca(place: &Path, name: &str, root: &Ca, now: OffsetDateTime) -> anyhow::Result<()> {
    if !root.is_new && is_fresh(place, None, now)? {
        return Ok(());
    }
    let key = KeyPair::generate()?;
    let mut params = ca_params(name, BasicConstraints::Constrained(0), ISSUING_LIFE, now);
    params.use_authority_key_identifier_extension = true;
    write(place, &params.signed_by(&key, &root.issuer)?.pem(), &key)
}

/// The root's name and key in a certificate of the older root.
fn cross_certificate(path: &Path, root: &Ca, older_root: &Ca, now: OffsetDateTime) -> anyhow::Result<()> {
    if !root.is_new && !older_root.is_new && path.exists() {
        return Ok(());
    }
    let mut params = ca_params(ROOT_NAME, BasicConstraints::Unconstrained, ROOT_LIFE, now);
    params.use_authority_key_identifier_extension = true;
    replace(path, &params.signed_by(root.issuer.key(), &older_root.issuer)?.pem(), 0o644)
}

fn leaf(place: &Path, name: &str, ca: &Ca, purpose: &Purpose, now: OffsetDateTime) -> anyhow::Result<()> {
    let urn = match purpose {
        Purpose::Server => None,
        Purpose::Client(urn) => Some(urn.as_str()),
    };
    if !ca.is_new && is_fresh(place, urn, now)? {
        return Ok(());
    }
    let key = KeyPair::generate()?;
    let mut params = params(name, LEAF_LIFE, now);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    match purpose {
        Purpose::Server => {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.subject_alt_names = vec![
                SanType::DnsName("localhost".try_into()?),
                SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            ];
        }
        Purpose::Client(urn) => {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.subject_alt_names = vec![SanType::URI(urn.as_str().try_into()?)];
        }
    }
    write(place, &params.signed_by(&key, &ca.issuer)?.pem(), &key)
}

/// Whether certificate and key are there, the certificate has a third of its life before it, and it is still for
/// the same caller.
fn is_fresh(place: &Path, urn: Option<&str>, now: OffsetDateTime) -> anyhow::Result<bool> {
    let (certificate, key) = (place.with_extension("pem"), place.with_extension("key"));
    if !certificate.exists() || !key.exists() {
        return Ok(false);
    }
    let octets = std::fs::read(&certificate)?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&octets)
        .with_context(|| format!("{} is not PEM; remove it to have it made anew", certificate.display()))?;
    let (_, parsed) = X509Certificate::from_der(&pem.contents)
        .with_context(|| format!("{} is no certificate; remove it", certificate.display()))?;
    let begins = parsed.validity().not_before.to_datetime();
    let ends = parsed.validity().not_after.to_datetime();
    let same_caller = urn.is_none_or(|urn| parsed.subject().iter_common_name().any(|name| name.as_str() == Ok(urn)));
    Ok(same_caller && ends - now > (ends - begins) / 3)
}

fn params(name: &str, life: Duration, now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut serial = [0_u8; 19];
    rand::rng().fill_bytes(&mut serial);
    // A leading octet that is neither zero nor negative keeps the number at its length.
    params.serial_number = Some(SerialNumber::from_slice(&[[1].as_slice(), &serial].concat()));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, SANDBOX_ORGANIZATION);
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now - BACKDATE;
    params.not_after = now - BACKDATE + life - Duration::SECOND;
    params
}

fn ca_params(name: &str, constraints: BasicConstraints, life: Duration, now: OffsetDateTime) -> CertificateParams {
    let mut params = params(name, life, now);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// Writes the key first: a certificate without its key would be taken for complete otherwise.
fn write(place: &Path, certificate: &str, key: &KeyPair) -> anyhow::Result<()> {
    replace(&place.with_extension("key"), &key.serialize_pem(), 0o600)?;
    replace(&place.with_extension("pem"), certificate, 0o644)
}

/// Replaces a file whole or not at all.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut draft = PathBuf::from(path).into_os_string();
    draft.push(".draft");
    let draft = PathBuf::from(draft);
    if draft.exists() {
        // A draft of a process that died may have another mode.
        std::fs::remove_file(&draft)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)
        .with_context(|| format!("cannot write {}", draft.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_second_init_keeps_what_is_there_and_renews_what_is_near_its_end() {
        let scratch = Scratch::new();
        let now = OffsetDateTime::now_utc();
        let read = |name: &str| std::fs::read(scratch.path().join("pki").join(name)).unwrap();
        init(scratch.path(), "quickstart", now).unwrap();
        let (root, gateway) = (read("root.pem"), read("gateway.pem"));
        init(scratch.path(), "quickstart", now + Duration::days(30)).unwrap();
        assert_eq!((&root, &gateway), (&read("root.pem"), &read("gateway.pem")));
        init(scratch.path(), "quickstart", now + Duration::days(61)).unwrap();
        assert_eq!(root, read("root.pem"));
        assert_ne!(gateway, read("gateway.pem"));
        let renewed = read("gateway.pem");
        init(scratch.path(), "other", now + Duration::days(61)).unwrap();
        assert_ne!(renewed, read("gateway.pem"));
    }

    #[test]
    fn one_more_issuing_ca_is_below_the_same_root_and_is_made_once() {
        let scratch = Scratch::new();
        let now = OffsetDateTime::now_utc();
        let more = || issuing_ca(scratch.path(), "issuing-open", now);
        assert!(more().unwrap_err().to_string().ends_with("run init first"));
        init(scratch.path(), "quickstart", now).unwrap();
        more().unwrap();
        let read = |name: &str| std::fs::read(scratch.path().join("pki").join(name)).unwrap();
        let certificates = ["root.pem", "issuing-1.pem", "issuing-open.pem"].map(read);
        let pem = |octets: &[u8]| x509_parser::pem::parse_x509_pem(octets).unwrap().1.contents;
        let [root, first, more_pem] = certificates.each_ref().map(|octets| pem(octets));
        let parsed = [&root, &first, &more_pem].map(|der| X509Certificate::from_der(der).unwrap().1);
        let [root, first, further] = &parsed;
        further.verify_signature(Some(root.public_key())).unwrap();
        assert!(further.subject() != first.subject() && further.public_key() != first.public_key());
        more().unwrap();
        assert_eq!(certificates[2], read("issuing-open.pem"));
    }

    #[test]
    fn keys_are_pkcs8_and_for_their_owner_only() {
        let scratch = Scratch::new();
        init(scratch.path(), "quickstart", OffsetDateTime::now_utc()).unwrap();
        for name in ["cm-server", "gateway", "officer", "approver", "auditor", "acme-server", "root", "issuing-1"] {
            let path = scratch.path().join("pki").join(name).with_extension("key");
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("-----BEGIN PRIVATE KEY-----"), "{name}");
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
