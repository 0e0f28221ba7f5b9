//! The gateway's own certificates and TLS, and the roots it trusts for issued certificates.

use std::{path::Path, sync::Arc};

use acme::{certificate::Validity, time::Timestamp};
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
    settings::{Cm, Server, require_private, require_readable},
};

/// A certificate of this gateway and its key, in the files that the settings name.
pub(super) struct Identity<'a> {
    /// What it is called in metrics.
    pub(super) name: &'static str,
    /// What the names of its two settings begin with.
    prefix: &'static str,
    pub(super) certificate: &'a Path,
    pub(super) key: &'a Path,
}

/// What the RSA pair is called in metrics, if there is one.
pub(super) const SERVER_RSA: &str = "server_rsa";

/// What this gateway shows to clients.
pub(super) fn server_identities(settings: &Server) -> Vec<Identity<'_>> {
    let first = Identity {
        name: "server",
        prefix: "server.",
        certificate: &settings.certificate_file,
        key: &settings.key_file,
    };
    let rsa = settings.rsa_certificate_file.as_deref().zip(settings.rsa_key_file.as_deref());
    let rsa = rsa.map(|(certificate, key)| Identity { name: SERVER_RSA, prefix: "server.rsa_", certificate, key });
    [Some(first), rsa].into_iter().flatten().collect()
}

/// What this gateway shows to the CM.
pub(super) fn cm_identity(settings: &Cm) -> Identity<'_> {
    Identity { name: "cm", prefix: "cm.", certificate: &settings.certificate_file, key: &settings.key_file }
}

/// TLS 1.2 and 1.3, HTTP/1.1 only: the server's HTTP/2 would bring an unmaintained library. Clients
/// that name no server, or one that we do not know, get the same certificate as all others.
pub(super) fn server_config(settings: &Server) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut pairs = server_identities(settings).into_iter().map(|identity| identity.read(&provider));
    let Some(first) = pairs.next().transpose()? else { bail!("server.certificate_file: there is none") };
    let rsa = pairs.next().transpose()?;
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

impl Identity<'_> {
    /// Reads both files; refusals begin with the setting.
    fn read(&self, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
        let (certificate_file, key_file) = (self.certificate_file(), format!("{}key_file", self.prefix));
        let chain = certificates(self.certificate, &certificate_file)?;
        require_private(self.key, &key_file)?;
        let secret = PrivateKeyDer::from_pem_file(self.key)
            .with_context(|| format!("{key_file}: {} holds no private key in PEM", self.key.display()))?;
        CertifiedKey::from_der(chain, secret, provider)
            .with_context(|| format!("{certificate_file} and {key_file} do not belong together"))
    }

    /// That both files can be used, and that the certificate is valid now; says until when.
    pub(super) fn require_valid(&self, now: Timestamp) -> anyhow::Result<Timestamp> {
        let setting = self.certificate_file();
        let validity = self.validity(&self.read(&aws_lc_rs::default_provider())?)?;
        let file = self.certificate.display();
        if validity.not_after < now {
            bail!("{setting}: {file} expired at {}; put a renewed certificate there", validity.not_after);
        }
        if now < validity.not_before {
            bail!("{setting}: {file} is not valid before {}; see whether the clock is right", validity.not_before);
        }
        Ok(validity.not_after)
    }

    /// Until when the certificate is valid, or was.
    pub(super) fn expires(&self) -> anyhow::Result<Timestamp> {
        Ok(self.validity(&self.read(&aws_lc_rs::default_provider())?)?.not_after)
    }

    fn validity(&self, pair: &CertifiedKey) -> anyhow::Result<Validity> {
        let validity = pair.cert.first().and_then(|leaf| Validity::of(leaf));
        validity.with_context(|| {
            format!(
                "{}: {} begins with something else than a certificate",
                self.certificate_file(),
                self.certificate.display()
            )
        })
    }

    fn certificate_file(&self) -> String {
        format!("{}certificate_file", self.prefix)
    }
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
