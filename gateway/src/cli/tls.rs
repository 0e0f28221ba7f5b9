//! The gateway's own certificates and TLS, and the roots it trusts for issued certificates.

use std::{borrow::Cow, fs, path::Path, sync::Arc};

use acme::{certificate::Validity, time::Timestamp};
use anyhow::{Context as _, bail};
use rustls::{
    ServerConfig, SignatureAlgorithm,
    client::verify_server_name,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ClientHello, NoClientAuth, ParsedCertificate, ResolvesServerCert, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use crate::{
    http::{ACME_TLS_1, ALPN, AnyClientCertificate},
    server_certificate::{self, Challenges, Files},
    settings::{ClientCertificates, Cm, Settings, require_private, require_readable},
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

/// What this gateway shows to clients. It is by nobody as long as one by the CM is awaited.
pub(super) fn server_identity(settings: &Settings) -> Identity<'_> {
    let (server, own) = (&settings.server, &settings.server_certificate);
    if own.from_endpoint.is_some() {
        // Key and certificate are one file.
        let file = Files::of(own).shown();
        let settings = ["server_certificate.dir", "server_certificate.dir"];
        Identity { name: SERVER, settings, certificate: Cow::Owned(file.clone()), key: Cow::Owned(file) }
    } else {
        let (certificate, key) = (Cow::from(&server.certificate_file), Cow::from(&server.key_file));
        Identity { name: SERVER, settings: ["server.certificate_file", "server.key_file"], certificate, key }
    }
}

/// What it shows to clients that cannot verify the signatures of the first one.
pub(super) fn rsa_identity(settings: &Settings) -> Option<Identity<'_>> {
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

/// The pairs that clients see. Each is judged by itself: one that cannot be used does not keep the other from being
/// exchanged.
#[derive(Debug, Clone)]
pub(super) struct Pairs {
    first: Arc<CertifiedKey>,
    rsa: Option<Arc<CertifiedKey>>,
}

impl Pairs {
    /// From the files that the settings name. A certificate that has expired is taken: better than none.
    pub(super) fn read(settings: &Settings) -> anyhow::Result<Self> {
        let first = server_identity(settings).read()?;
        let rsa = rsa_identity(settings).map(|identity| identity.read()).transpose()?;
        Ok(Self { first: Arc::new(first), rsa: rsa.map(Arc::new) })
    }

    /// Exchanges the first pair for what its files hold, if that is valid now.
    pub(super) fn exchange_first(&mut self, settings: &Settings, now: Timestamp) -> anyhow::Result<()> {
        self.first = Arc::new(server_identity(settings).read_valid(now)?.0);
        Ok(())
    }

    /// Exchanges the RSA pair for what its files hold, if that is valid now; there is none if none is named.
    pub(super) fn exchange_rsa(&mut self, settings: &Settings, now: Timestamp) -> anyhow::Result<()> {
        let read = rsa_identity(settings).map(|identity| identity.read_valid(now)).transpose()?;
        self.rsa = read.map(|(pair, _)| Arc::new(pair));
        Ok(())
    }

    /// What each is called in metrics, and when it is valid.
    pub(super) fn validities(&self) -> impl Iterator<Item = (&'static str, Validity)> {
        let pairs = [(SERVER, Some(&self.first)), (SERVER_RSA, self.rsa.as_ref())];
        pairs.into_iter().filter_map(|(name, pair)| Some((name, Validity::of(pair?.cert.first()?)?)))
    }

    /// TLS 1.2 and 1.3, HTTP/1.1 only: the server's HTTP/2 would bring an unmaintained library. Clients
    /// that name no server, or one that we do not know, get the same certificate as all others. Whoever
    /// comes for a challenge gets what is shown for it.
    pub(super) fn config(
        &self,
        settings: &Settings,
        challenges: &Arc<Challenges>,
    ) -> anyhow::Result<Arc<ServerConfig>> {
        let identities = Identities { pairs: self.clone(), challenges: Arc::clone(challenges) };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients: Arc<dyn ClientCertVerifier> = match settings.server.client_certificates {
            ClientCertificates::Ignore => Arc::new(NoClientAuth),
            ClientCertificates::Request => Arc::new(AnyClientCertificate::new(Arc::clone(&provider))),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(identities));
        config.alpn_protocols = vec![ALPN.to_vec()];
        if settings.server_certificate.from_endpoint.is_some() {
            config.alpn_protocols.push(ACME_TLS_1.to_vec());
        }
        Ok(Arc::new(config))
    }
}

/// The pairs that must be there at the start: not one that the gateway gets by itself.
pub(super) fn identities(settings: &Settings) -> Vec<Identity<'_>> {
    let comes = server_certificate::is_awaited(settings) || server_certificate::require_usable(settings).is_err();
    let first = (!comes).then(|| server_identity(settings));
    first.into_iter().chain(rsa_identity(settings)).chain([cm_identity(&settings.cm)]).collect()
}

/// What this server shows of itself, and to whom.
#[derive(Debug)]
struct Identities {
    pairs: Pairs,
    challenges: Arc<Challenges>,
}

impl ResolvesServerCert for Identities {
    /// rustls leaves only those signature schemes in the list that go with a cipher suite of the client.
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if Challenges::is_meant(&client) {
            return self.challenges.certificate(&client);
        }
        let fits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(client.signature_schemes()).is_some();
        let Pairs { first, rsa } = &self.pairs;
        let chosen = [Some(first), rsa.as_ref()].into_iter().flatten().find(fits);
        Some(Arc::clone(chosen.unwrap_or(first)))
    }
}

impl Identity<'_> {
    /// Reads both files; refusals begin with the setting.
    fn read(&self) -> anyhow::Result<CertifiedKey> {
        let [certificate_file, key_file] = self.settings;
        let chain = certificates(&self.certificate, certificate_file)?;
        require_private(&self.key, key_file)?;
        require_unencrypted(&self.key, key_file)?;
        let secret = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("{key_file}: {} holds no private key in PEM", self.key.display()))?;
        let pair = CertifiedKey::from_der(chain, secret, &aws_lc_rs::default_provider())
            .with_context(|| format!("{certificate_file} and {key_file} do not belong together"))?;
        if self.name == SERVER_RSA && pair.key.algorithm() != SignatureAlgorithm::RSA {
            bail!("{key_file}: the key is not RSA; give the RSA key, and the other one as server.key_file");
        }
        Ok(pair)
    }

    /// Which setting names its key.
    pub(super) fn key_setting(&self) -> &'static str {
        let [_, key_file] = self.settings;
        key_file
    }

    /// That the certificate can be read, whatever its key is.
    pub(super) fn require_certificate(&self) -> anyhow::Result<()> {
        let [certificate_file, _] = self.settings;
        certificates(&self.certificate, certificate_file).map(|_| ())
    }

    /// That clients who ask for this host can take the certificate.
    pub(super) fn require_host(&self, host: &str) -> anyhow::Result<()> {
        let [setting, _] = self.settings;
        let chain = certificates(&self.certificate, setting)?;
        let (Some(leaf), Ok(name)) = (chain.first(), ServerName::try_from(host)) else { return Ok(()) };
        let is_for_host = ParsedCertificate::try_from(leaf).and_then(|leaf| verify_server_name(&leaf, &name)).is_ok();
        if !is_for_host {
            bail!("{setting}: {} is not for {host}, the host of server.external_url", self.certificate.display());
        }
        Ok(())
    }

    /// That both files can be used, and that the certificate is valid now; says when it is.
    pub(super) fn require_valid(&self, now: Timestamp) -> anyhow::Result<Validity> {
        Ok(self.read_valid(now)?.1)
    }

    fn read_valid(&self, now: Timestamp) -> anyhow::Result<(CertifiedKey, Validity)> {
        let [setting, _] = self.settings;
        let pair = self.read()?;
        let validity = self.validity_of(&pair)?;
        let file = self.certificate.display();
        if validity.not_after < now {
            bail!("{setting}: {file} expired at {}; put a renewed certificate there", validity.not_after);
        }
        if now < validity.not_before {
            bail!("{setting}: {file} is not valid before {}; see whether the clock is right", validity.not_before);
        }
        Ok((pair, validity))
    }

    /// When the certificate is valid, or was.
    pub(super) fn validity(&self) -> anyhow::Result<Validity> {
        self.validity_of(&self.read()?)
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

/// Nobody is there to give a pass phrase when the service starts.
fn require_unencrypted(key: &Path, setting: &str) -> anyhow::Result<()> {
    let pem = Zeroizing::new(fs::read(key).with_context(|| format!("{setting}: cannot read {}", key.display()))?);
    let key = key.display();
    if pem.windows(b"ENCRYPTED".len()).any(|word| word == b"ENCRYPTED") {
        bail!("{setting}: {key} is encrypted; run: openssl pkey -in {key} -out {key}.plain, and name that file");
    }
    Ok(())
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
