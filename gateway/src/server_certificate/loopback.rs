//! The HTTP client that speaks to this gateway's own ACME listener, and to nothing else: it dials the
//! listener's address whatever the URL says, and takes the very certificate that the listener shows. The canary speaks to
//! the public directory by it, and takes what clients take.

use std::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::http::ALPN;

/// For one request: finalize may wait some seconds for the CM.
const REQUEST_MAX: Duration = Duration::from_secs(60);
/// More than any answer of ours has.
const BODY_OCTETS_MAX: usize = 256 * 1024;

/// Speaks to one listener. Each request has a connection of its own.
pub(crate) struct Loopback {
    address: SocketAddr,
    name: ServerName<'static>,
    connector: TlsConnector,
    agent: &'static str,
}

/// What the listener answers.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Loopback {
    /// To the listener at this address, which is called by this name and shows exactly this certificate.
    pub(crate) fn new(listener: SocketAddr, name: &str, shown: CertificateDer<'static>) -> anyhow::Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pinned = Pinned { shown, provider: Arc::clone(&provider) };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_no_client_auth();
        Self::by(config, reachable(listener), name, concat!("acme-gateway/", env!("CARGO_PKG_VERSION"), " (itself)"))
    }

    /// To whoever shows at this address a certificate of this name that these roots vouch for: the canary comes as
    /// clients come.
    pub(crate) fn verified(address: SocketAddr, name: &str, roots: RootCertStore) -> anyhow::Result<Self> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self::by(config, address, name, concat!("acme-gateway/", env!("CARGO_PKG_VERSION"), " (canary)"))
    }

    fn by(mut config: ClientConfig, address: SocketAddr, name: &str, agent: &'static str) -> anyhow::Result<Self> {
        config.alpn_protocols = vec![ALPN.to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { address, name: ServerName::try_from(name.to_owned())?, connector, agent })
    }

    /// One request to a URL of this gateway.
    pub(crate) async fn send(&self, method: Method, url: &str, body: String) -> anyhow::Result<Response> {
        timeout(REQUEST_MAX, self.exchange(method, url, body)).await.context("the listener does not answer")?
    }

    async fn exchange(&self, method: Method, url: &str, body: String) -> anyhow::Result<Response> {
        let uri: Uri = url.parse()?;
        let request = Request::builder()
            .method(method)
            .uri(uri.path_and_query().context("a URL without a path")?.as_str())
            .header(header::HOST, uri.authority().context("a URL without a host")?.as_str())
            .header(header::USER_AGENT, self.agent)
            .header(header::CONTENT_TYPE, "application/jose+json")
            .body(body)?;
        let socket = TcpStream::connect(self.address).await.context("cannot reach the listener")?;
        let stream = self.connector.connect(self.name.clone(), socket).await.context("no TLS with the listener")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with its one request.
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Response { status: head.status, headers: head.headers, body: read(body).await? })
    }
}

async fn read(mut body: Incoming) -> anyhow::Result<Vec<u8>> {
    let mut octets = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            octets.extend_from_slice(&data);
        }
        ensure!(octets.len() <= BODY_OCTETS_MAX, "an answer of more than {BODY_OCTETS_MAX} octets");
    }
    Ok(octets)
}

/// An address that listens everywhere is reached on loopback.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let everywhere = listener.ip().is_unspecified();
    let address = match listener.ip() {
        IpAddr::V4(address) => IpAddr::V4(if everywhere { Ipv4Addr::LOCALHOST } else { address }),
        IpAddr::V6(address) => IpAddr::V6(if everywhere { Ipv6Addr::LOCALHOST } else { address }),
    };
    SocketAddr::new(address, listener.port())
}

/// Takes one certificate and no other. What a chain, a name or a date would say is of no interest: we
/// know what we show, and until the first certificate came nobody vouches for it.
#[derive(Debug)]
struct Pinned {
    shown: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _issuers: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *leaf == self.shown {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General(String::from("not the certificate that this gateway shows")))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_everywhere_is_dialled_on_loopback() {
        for (listener, dialled) in [
            ("0.0.0.0:443", "127.0.0.1:443"),
            ("[::]:8443", "[::1]:8443"),
            ("192.0.2.7:443", "192.0.2.7:443"),
            ("127.0.0.1:14000", "127.0.0.1:14000"),
        ] {
            assert_eq!(reachable(listener.parse().unwrap()), dialled.parse().unwrap());
        }
    }

    #[test]
    fn no_certificate_but_the_one_that_is_shown_is_taken() {
        let certificate = || {
            let key = rcgen::KeyPair::generate().unwrap();
            let names = vec![String::from("acme.example.test")];
            rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap().der().clone()
        };
        let (shown, other) = (certificate(), certificate());
        let pinned = Pinned { shown: shown.clone(), provider: Arc::new(aws_lc_rs::default_provider()) };
        let name = ServerName::try_from("acme.example.test").unwrap();
        let verify = |leaf| pinned.verify_server_cert(leaf, &[], &name, &[], UnixTime::now());
        assert!(verify(&shown).is_ok() && verify(&other).is_err());
    }
}
