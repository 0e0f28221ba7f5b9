//! The gateway's own TLS, and the roots it trusts for issued certificates.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use rustls::{
    ServerConfig, SignatureAlgorithm,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{
    http::ALPN,
    settings::{Server, require_private, require_readable},
};

/// TLS 1.2 and 1.3, HTTP/1.1 only: the server's HTTP/2 would bring an unmaintained library. Clients
/// that name no server, or one that we do not know, get the same certificate as all others.
pub(super) fn server_config(settings: &Server) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let identity = |certificate: &Path, key: &Path, prefix: &str| certified_key(&provider, certificate, key, prefix);
    let first = identity(&settings.certificate_file, &settings.key_file, "server.")?;
    let rsa = match (&settings.rsa_certificate_file, &settings.rsa_key_file) {
        (Some(certificate), Some(key)) => Some(identity(certificate, key, "server.rsa_")?),
        (Some(_) | None, Some(_) | None) => None,
    };
    if rsa.as_ref().is_some_and(|pair| pair.key.algorithm() != SignatureAlgorithm::RSA) {
        bail!("server.rsa_key_file: the key is not RSA; give the RSA key, and the other one as server.key_file");
    }
    let identities = Identities { first: Arc::new(first), rsa: rsa.map(Arc::new) };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(identities));
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// What this server shows of itself: one certificate, and one for clients that cannot verify the
/// first one's signatures.
#[derive(Debug)]
struct Identities {
    first: Arc<CertifiedKey>,
    rsa: Option<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Identities {
    /// rustls leaves only those signature schemes in the list that go with a cipher suite of the client.
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(client.signature_schemes()).is_some();
        let chosen = [Some(&self.first), self.rsa.as_ref()].into_iter().flatten().find(fits);
        Some(Arc::clone(chosen.unwrap_or(&self.first)))
    }
}

/// Reads one certificate with its key; refusals begin with the setting.
fn certified_key(
    provider: &CryptoProvider,
    certificate: &Path,
    key: &Path,
    prefix: &str,
) -> anyhow::Result<CertifiedKey> {
    let (certificate_file, key_file) = (format!("{prefix}certificate_file"), format!("{prefix}key_file"));
    let chain = certificates(certificate, &certificate_file)?;
    require_private(key, &key_file)?;
    let secret = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("{key_file}: {} holds no private key in PEM", key.display()))?;
    CertifiedKey::from_der(chain, secret, provider)
        .with_context(|| format!("{certificate_file} and {key_file} do not belong together"))
}

/// The roots that issued certificates must chain to, in DER.
pub(super) fn anchors(file: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let roots = certificates(file, "cm.issuer_roots_file")?;
    Ok(roots.into_iter().map(|root| root.to_vec()).collect())
}

fn certificates(file: &Path, setting: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    require_readable(file, setting)?;
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .with_context(|| format!("{setting}: {} does not hold certificates in PEM", file.display()))?;
    if certificates.is_empty() {
        bail!("{setting}: {} holds no certificate in PEM", file.display());
    }
    Ok(certificates)
}
