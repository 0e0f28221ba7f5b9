//! The tls-alpn-01 responder (RFC 8737; for IP addresses RFC 8738): shows, for the name in the SNI, a self-signed
//! certificate whose acmeIdentifier extension carries the digest of the key authorization. Where a test asks for it,
//! the certificate or the negotiation has one chosen flaw. No application data is ever exchanged.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rcgen::{CertificateParams, CustomExtension, DnType, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::Acceptor;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

use super::{ENTRIES_MAX, remember};
use crate::listener::Listeners;

/// The protocol name negotiated (RFC 8737 §6.2).
const ACME_TLS_1: &[u8] = b"acme-tls/1";
/// The acmeIdentifier extension, id-pe-acmeIdentifier (RFC 8737 §6.1).
const ACME_IDENTIFIER: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 31];
/// What drafts called it.
const ACME_IDENTIFIER_OF_DRAFTS: [u64; 10] = [1, 3, 6, 1, 5, 5, 7, 1, 30, 1];
/// How long one handshake may take.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(30);
/// The name shown by the flaws that show another one.
const OTHER_NAME: &str = "other.invalid";

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Flaw {
    /// Nothing: the answer is the right one.
    #[default]
    None,
    /// The acmeIdentifier extension is not marked critical.
    NotCritical,
    /// There is no acmeIdentifier extension.
    NoExtension,
    /// The extension has the number that drafts gave it.
    NumberOfDrafts,
    /// The extension carries one octet less than a digest has.
    ShortDigest,
    /// The name is the common name of the subject and nowhere else.
    CommonNameOnly,
    /// Another key has signed the certificate.
    SignedByAnother,
    /// The certificate is for another name.
    OtherName,
    /// The certificate is for a second name too.
    ExtraName,
    /// The server negotiates no application protocol.
    NoAlpn,
}

/// One handshake that was begun with the responder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SeenHandshake {
    /// The server name the client asked for.
    pub(crate) server_name: Option<String>,
    /// The application protocols the client offered.
    pub(crate) alpn: Vec<String>,
    /// The address the client came from.
    pub(crate) peer: SocketAddr,
}

/// The tls-alpn-01 responder. Clones are handles to the same responder.
#[derive(Clone, Default)]
pub(crate) struct TlsResponder {
    listeners: Arc<Listeners>,
    contents: Arc<Mutex<Contents>>,
}

#[derive(Default)]
struct Contents {
    /// By server name, in lower case.
    configurations: HashMap<String, Arc<ServerConfig>>,
    seen: VecDeque<SeenHandshake>,
}

impl TlsResponder {
    /// Opens `address` and answers the bound one. Nothing changes when it is open already.
    ///
    /// # Errors
    /// The address cannot be bound, or too many are open.
    pub(crate) async fn listen(&self, address: SocketAddr) -> anyhow::Result<SocketAddr> {
        let contents = Arc::clone(&self.contents);
        let handle = move |stream, peer| serve_connection(stream, peer, Arc::clone(&contents));
        self.listeners.open(address, CONNECTION_LIFETIME, handle).await
    }

    /// Closes one address, or all; on return the ports are free. What was set stays set.
    pub(crate) async fn close(&self, address: Option<SocketAddr>) -> Vec<SocketAddr> {
        self.listeners.close(address).await
    }

    /// Answers for `identifier` (a domain name or an IP address) with `digest`, the SHA-256 of the key
    /// authorization.
    ///
    /// # Errors
    /// `identifier` cannot stand in a certificate, or too many are set.
    pub(crate) fn set(&self, identifier: &str, digest: [u8; 32], flaw: Flaw) -> anyhow::Result<()> {
        let server_name = server_name(identifier);
        let configuration = Arc::new(configuration(identifier, digest, flaw)?);
        let configurations = &mut self.lock().configurations;
        ensure!(
            configurations.len() < ENTRIES_MAX || configurations.contains_key(&server_name),
            "{ENTRIES_MAX} identifiers are set, the most there may be: delete some first"
        );
        configurations.insert(server_name, configuration);
        Ok(())
    }

    /// Answers for `identifier` no more.
    pub(crate) fn delete(&self, identifier: &str) {
        self.lock().configurations.remove(&server_name(identifier));
    }

    /// The handshakes begun so far, oldest first.
    pub(crate) fn seen(&self) -> Vec<SeenHandshake> {
        self.lock().seen.iter().cloned().collect()
    }

    /// Forgets the handshakes begun so far.
    pub(crate) fn clear_seen(&self) {
        self.lock().seen.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        lock(&self.contents)
    }
}

fn lock(contents: &Mutex<Contents>) -> MutexGuard<'_, Contents> {
    contents.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The SNI a validator sends: the name itself, or the reverse-mapping name of an address (RFC 8738 §6).
fn server_name(identifier: &str) -> String {
    match identifier.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(address)) => {
            let nibbles = address.octets().into_iter().rev();
            let nibbles = nibbles.map(|octet| format!("{:x}.{:x}.", octet & 0xf, octet >> 4));
            format!("{}ip6.arpa", nibbles.collect::<String>())
        }
        Err(_) => identifier.trim_end_matches('.').to_ascii_lowercase(),
    }
}

fn configuration(identifier: &str, digest: [u8; 32], flaw: Flaw) -> anyhow::Result<ServerConfig> {
    let names = match flaw {
        Flaw::OtherName => vec![OTHER_NAME.to_owned()],
        Flaw::ExtraName => vec![identifier.to_owned(), OTHER_NAME.to_owned()],
        Flaw::CommonNameOnly => Vec::new(),
        Flaw::None
        | Flaw::NotCritical
        | Flaw::NoExtension
        | Flaw::NumberOfDrafts
        | Flaw::ShortDigest
        | Flaw::SignedByAnother
        | Flaw::NoAlpn => vec![identifier.to_owned()],
    };
    let mut params =
        CertificateParams::new(names).with_context(|| format!("{identifier:?} cannot stand in a certificate"))?;
    if flaw == Flaw::CommonNameOnly {
        params.distinguished_name.push(DnType::CommonName, identifier);
    }
    if flaw != Flaw::NoExtension {
        let number = if flaw == Flaw::NumberOfDrafts { &ACME_IDENTIFIER_OF_DRAFTS[..] } else { &ACME_IDENTIFIER };
        // An OCTET STRING of 32 bytes (RFC 8737 §3).
        let digest = if flaw == Flaw::ShortDigest { &digest[1..] } else { &digest };
        let mut content = vec![0x04, if flaw == Flaw::ShortDigest { 31 } else { 32 }];
        content.extend_from_slice(digest);
        let mut extension = CustomExtension::from_oid_content(number, content);
        extension.set_criticality(flaw != Flaw::NotCritical);
        params.custom_extensions.push(extension);
    }
    let key = KeyPair::generate().context("cannot make a key")?;
    let certificate = if flaw == Flaw::SignedByAnother {
        let other = KeyPair::generate().context("cannot make a key")?;
        params.signed_by(&key, &Issuer::from_params(&params, other))
    } else {
        params.self_signed(&key)
    };
    let certificate = certificate.context("cannot make a certificate")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let key = provider.key_provider.load_private_key(key).context("cannot use the key")?;
    // Handed over unchecked: rustls refuses to read a certificate with a critical extension it does not know, and this
    // protocol demands one.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut configuration = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("no TLS version")?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    if flaw != Flaw::NoAlpn {
        configuration.alpn_protocols = vec![ACME_TLS_1.to_vec()];
    }
    Ok(configuration)
}

async fn serve_connection(stream: TcpStream, peer: SocketAddr, contents: Arc<Mutex<Contents>>) {
    if let Err(error) = shake_hands(stream, peer, &contents).await {
        tracing::debug!(%error, %peer, "tls-alpn-01 handshake ended early");
    }
}

async fn shake_hands(stream: TcpStream, peer: SocketAddr, contents: &Mutex<Contents>) -> std::io::Result<()> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let hello = start.client_hello();
    let server_name = hello.server_name().map(str::to_ascii_lowercase);
    let alpn = hello.alpn().into_iter().flatten();
    let alpn: Vec<String> = alpn.map(|protocol| String::from_utf8_lossy(protocol).into_owned()).collect();
    // Somebody who does not speak the challenge protocol sees no certificate of it (RFC 8737 §3).
    let speaks_acme = alpn.iter().any(|protocol| protocol.as_bytes() == ACME_TLS_1);
    let configuration = {
        let mut contents = lock(contents);
        let configuration = server_name.as_ref().and_then(|name| contents.configurations.get(name)).cloned();
        let handshake = SeenHandshake { server_name, alpn, peer };
        remember(&mut contents.seen, handshake);
        configuration
    };
    let Some(configuration) = configuration.filter(|_| speaks_acme) else {
        return Ok(());
    };
    start.into_stream(configuration).await?.shutdown().await
}

#[cfg(test)]
mod tests;
