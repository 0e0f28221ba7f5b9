//! The gateway's own certificates and TLS, and the roots it trusts for issued certificates.

use std::{borrow::Cow, path::Path, sync::Arc};

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
    http::{ACME_TLS_1, ALPN},
    server_certificate::{self, Challenges, Files},
    settings::{Cm, Settings, require_private, require_readable},
};

/// A certificate of this gateway and its key, in the files that the settings name.
pub(super) struct Identity<'a> {
    /// What it is called in metrics.
    pub(super) name: &'static str,
    /// The settings that name its two files.
    settings: [&'static str; 2],
    pub(super) certificate: Cow<'a, Path>,
    pub(super) key: Cow<'a, Path>,
}

/// What the RSA pair is called in metrics, if there is one.
pub(super) const SERVER_RSA: &str = "server_rsa";

/// What the identity at the CM is called in metrics.
pub(super) const CM: &str = "cm";

/// What the first pair is called in metrics.
pub(super) const SERVER: &str = "server";

/// What this gateway shows to clients. The first is by nobody as long as one by the CM is awaited.
pub(super) fn server_identities(settings: &Settings) -> Vec<Identity<'_>> {
    let (server, own) = (&settings.server, &settings.server_certificate);
    let first = if own.from_endpoint.is_some() {
        // Key and certificate are one file.
        let file = Files::of(own).shown();
        let settings = ["server_certificate.dir", "server_certificate.dir"];
        Identity { name: SERVER, settings, certificate: Cow::Owned(file.clone()), key: Cow::Owned(file) }
    } else {
        let (certificate, key) = (Cow::from(&server.certificate_file), Cow::from(&server.key_file));
        Identity { name: SERVER, settings: ["server.certificate_file", "server.key_file"], certificate, key }
    };
    [Some(first), rsa_identity(settings)].into_iter().flatten().collect()
}

fn rsa_identity(settings: &Settings) -> Option<Identity<'_>> {
    let server = &settings.server;
    let (certificate, key) = server.rsa_certificate_file.as_deref().zip(server.rsa_key_file.as_deref())?;
    let settings = ["server.rsa_certificate_file", "server.rsa_key_file"];
    Some(Identity { name: SERVER_RSA, settings, certificate: certificate.into(), key: key.into() })
}

/// What this gateway shows to the CM.
pub(super) fn cm_identity(settings: &Cm) -> Identity<'_> {
    let (certificate, key) = (Cow::from(&settings.certificate_file), Cow::from(&settings.key_file));
    Identity { name: CM, settings: ["cm.certificate_file", "cm.key_file"], certificate, key }
}

/// TLS 1.2 and 1.3, HTTP/1.1 only: the server's HTTP/2 would bring an unmaintained library. Clients
/// that name no server, or one that we do not know, get the same certificate as all others. Whoever
/// comes for a challenge gets what is shown for it.
pub(super) fn server_config(settings: &Settings, challenges: &Arc<Challenges>) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let Some(first) = server_identities(settings).first().map(|identity| identity.read(&provider)).transpose()? else {
        bail!("server.certificate_file: there is none")
    };
    let rsa = read_rsa(settings, &provider)?.map(Arc::new);
    let identities = Identities { first: Arc::new(first), rsa, challenges: Arc::clone(challenges) };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(identities));
    config.alpn_protocols = vec![ALPN.to_vec()];
    if settings.server_certificate.from_endpoint.is_some() {
        config.alpn_protocols.push(ACME_TLS_1.to_vec());
    }
    Ok(Arc::new(config))
}

/// That the files of the server can be used, as far as there has to be any yet.
pub(super) fn check_server(settings: &Settings) -> anyhow::Result<()> {
    if server_certificate::is_awaited(settings) {
        return read_rsa(settings, &aws_lc_rs::default_provider()).map(|_| ());
    }
    server_config(settings, &Arc::default()).map(|_| ())
}

fn read_rsa(settings: &Settings, provider: &CryptoProvider) -> anyhow::Result<Option<CertifiedKey>> {
    let rsa = rsa_identity(settings).map(|identity| identity.read(provider)).transpose()?;
    if rsa.as_ref().is_some_and(|pair| pair.key.algorithm() != SignatureAlgorithm::RSA) {
        bail!("server.rsa_key_file: the key is not RSA; give the RSA key, and the other one as server.key_file");
    }
    Ok(rsa)
}

/// What this server shows of itself: one certificate, and one for clients that cannot verify the
/// first one's signatures.
#[derive(Debug)]
struct Identities {
    first: Arc<CertifiedKey>,
    rsa: Option<Arc<CertifiedKey>>,
    challenges: Arc<Challenges>,
}

impl ResolvesServerCert for Identities {
    /// rustls leaves only those signature schemes in the list that go with a cipher suite of the client.
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if Challenges::is_meant(&client) {
            return self.challenges.certificate(&client);
        }
        let fits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(client.signature_schemes()).is_some();
        let chosen = [Some(&self.first), self.rsa.as_ref()].into_iter().flatten().find(fits);
        Some(Arc::clone(chosen.unwrap_or(&self.first)))
    }
}

impl Identity<'_> {
    /// Reads both files; refusals begin with the setting.
    fn read(&self, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
        let [certificate_file, key_file] = self.settings;
        let chain = certificates(&self.certificate, certificate_file)?;
        require_private(&self.key, key_file)?;
        let secret = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("{key_file}: {} holds no private key in PEM", self.key.display()))?;
        CertifiedKey::from_der(chain, secret, provider)
            .with_context(|| format!("{certificate_file} and {key_file} do not belong together"))
    }

    /// That both files can be used, and that the certificate is valid now; says when it is.
    pub(super) fn require_valid(&self, now: Timestamp) -> anyhow::Result<Validity> {
        let [setting, _] = self.settings;
        let validity = self.validity()?;
        let file = self.certificate.display();
        if validity.not_after < now {
            bail!("{setting}: {file} expired at {}; put a renewed certificate there", validity.not_after);
        }
        if now < validity.not_before {
            bail!("{setting}: {file} is not valid before {}; see whether the clock is right", validity.not_before);
        }
        Ok(validity)
    }

    /// When the certificate is valid, or was.
    pub(super) fn validity(&self) -> anyhow::Result<Validity> {
        self.validity_of(&self.read(&aws_lc_rs::default_provider())?)
    }

    fn validity_of(&self, pair: &CertifiedKey) -> anyhow::Result<Validity> {
        let validity = pair.cert.first().and_then(|leaf| Validity::of(leaf));
        validity.with_context(|| {
            let [setting, _] = self.settings;
            format!("{setting}: {} begins with something else than a certificate", self.certificate.display())
        })
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
