//! One HTTPS request that tells where it failed: name, connection, who refused whom in TLS, or after it.

use std::{
    error::Error,
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use acme::secret::Secret;
use http::{Method, Request, StatusCode, Uri, header};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};
use serde_json::Value;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use crate::http::ALPN;

/// More than anything has that is asked for here.
const BODY_OCTETS_MAX: usize = 1024 * 1024;

/// Whom to believe, and what to show.
pub(super) struct Manner {
    /// The only roots that are trusted; `None` takes any certificate, to look at it.
    pub(super) trust: Option<RootCertStore>,
    /// Our certificate with its chain, and its key.
    pub(super) identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// What is sent.
pub(super) struct Question<'a> {
    pub(super) url: &'a str,
    /// Of OpenBao.
    pub(super) token: Option<&'a Secret<String>>,
    /// With a body it is a POST.
    pub(super) body: Option<&'a Value>,
}

/// What came of a request.
pub(super) struct Probed {
    /// What the other side showed of itself, leaf first; empty if it did not come to that.
    pub(super) shown: Vec<CertificateDer<'static>>,
    pub(super) outcome: Result<Response, Broken>,
}

/// An answer, whatever its status.
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// What it says, if that is JSON; else null.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Where it failed.
#[derive(Debug)]
pub(super) enum Broken {
    /// It cannot be asked at all.
    Unfit(String),
    /// The name has no address.
    Name(io::Error),
    /// No connection to this address.
    Connection(SocketAddr, io::Error),
    /// We do not accept the certificate of the other side.
    RefusedByUs(rustls::Error),
    /// The other side sent an alert in the handshake.
    RefusedByThem(rustls::AlertDescription),
    /// It sent one after the handshake, as TLS 1.3 does about client certificates.
    RefusedAfterwards(rustls::AlertDescription),
    /// Something else in the handshake.
    Handshake(io::Error),
    /// After the handshake there was no answer in HTTP.
    NoAnswer(String),
}

/// Asks for this URL.
pub(super) async fn ask(url: &str, manner: Manner) -> Probed {
    send(&Question { url, token: None, body: None }, manner).await
}

/// Sends this once.
pub(super) async fn send(question: &Question<'_>, manner: Manner) -> Probed {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let recorder = match Recorder::new(manner.trust, provider) {
        Ok(recorder) => Arc::new(recorder),
        Err(error) => return Probed { shown: Vec::new(), outcome: Err(Broken::Unfit(error)) },
    };
    let outcome = exchange(question, manner.identity, Arc::clone(&recorder)).await;
    let seen = recorder.seen();
    let outcome = match (outcome, seen.refused) {
        (Err(Broken::Handshake(_)), Some(refused)) => Err(Broken::RefusedByUs(refused)),
        (other, _) => other,
    };
    Probed { shown: seen.shown, outcome }
}

async fn exchange(
    question: &Question<'_>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    recorder: Arc<Recorder>,
) -> Result<Response, Broken> {
    const HTTPS: u16 = 443;
    let unfit = |error: &dyn fmt::Display| Broken::Unfit(error.to_string());
    let uri: Uri = question.url.parse().map_err(|error: http::uri::InvalidUri| unfit(&error))?;
    let (Some(host), Some(authority)) = (uri.host(), uri.authority()) else {
        return Err(Broken::Unfit(String::from("a URL without a host")));
    };
    let host = host.trim_matches(['[', ']']);
    let config = ClientConfig::builder_with_provider(Arc::clone(&recorder.provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(&error))?
        .dangerous()
        .with_custom_certificate_verifier(recorder);
    let mut config = match identity {
        Some((chain, key)) => config.with_client_auth_cert(chain, key).map_err(|error| unfit(&error))?,
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    let name = ServerName::try_from(host.to_owned()).map_err(|error| unfit(&error))?;
    let socket = connect(host, uri.port_u16().unwrap_or(HTTPS)).await?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
    let stream = stream.map_err(|error| alert(&error).map_or(Broken::Handshake(error), Broken::RefusedByThem))?;
    let no_answer = |error: hyper::Error| {
        alert(&error).map_or_else(|| Broken::NoAnswer(chain_of(&error)), Broken::RefusedAfterwards)
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(no_answer)?;
    // Ends with its one request.
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder()
        .method(if question.body.is_some() { Method::POST } else { Method::GET })
        .uri(path)
        .header(header::HOST, authority.as_str())
        .header(header::USER_AGENT, concat!("acme-gateway/", env!("CARGO_PKG_VERSION"), " (doctor)"));
    if let Some(token) = question.token {
        request = request.header("x-vault-token", token.expose_secret());
    }
    let body = question.body.map(Value::to_string).unwrap_or_default();
    let request = request.body(body).map_err(|error| unfit(&error))?;
    let (head, body) = match sender.send_request(request).await {
        Ok(response) => response.into_parts(),
        Err(error) if alert(&error).is_some() => return Err(no_answer(error)),
        // An alert may have ended the connection before the request was on it: then the connection knows why.
        Err(error) => {
            let ended = connection.await.ok().and_then(Result::err).filter(|ended| alert(ended).is_some());
            return Err(no_answer(ended.unwrap_or(error)));
        }
    };
    Ok(Response { status: head.status, body: read(body).await? })
}

/// To the first address that takes it.
async fn connect(host: &str, port: u16) -> Result<TcpStream, Broken> {
    let addresses: Vec<_> = lookup_host((host, port)).await.map_err(Broken::Name)?.collect();
    let mut last = Broken::Name(io::Error::other("the name has no address"));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Broken::Connection(address, error),
        }
    }
    Err(last)
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, Broken> {
    let mut octets = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| Broken::NoAnswer(chain_of(&error)))?;
        if let Ok(data) = frame.into_data() {
            octets.extend_from_slice(&data);
        }
        if octets.len() > BODY_OCTETS_MAX {
            return Err(Broken::NoAnswer(format!("an answer of more than {BODY_OCTETS_MAX} octets")));
        }
    }
    Ok(octets)
}

/// The alert of the other side, wherever in the causes it is.
fn alert(error: &(dyn Error + 'static)) -> Option<rustls::AlertDescription> {
    let mut at = Some(error);
    while let Some(error) = at {
        // An io::Error that wraps another one has the source of that one.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = wrapped.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(alert)) = tls.or_else(|| error.downcast_ref()) {
            return Some(*alert);
        }
        at = error.source();
    }
    None
}

pub(super) fn chain_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Remembers what was shown, and decides as it is told.
#[derive(Debug)]
struct Recorder {
    trust: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default, Clone)]
struct Seen {
    shown: Vec<CertificateDer<'static>>,
    refused: Option<rustls::Error>,
}

impl Recorder {
    fn new(trust: Option<RootCertStore>, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let verifier =
            |roots| WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let trust = trust.map(verifier).transpose().map_err(|error| error.to_string())?;
        Ok(Self { trust, provider, seen: Mutex::default() })
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = match &self.trust {
            Some(verifier) => verifier.verify_server_cert(leaf, issuers, name, ocsp, now),
            None => Ok(ServerCertVerified::assertion()),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.shown = std::iter::once(leaf).chain(issuers).map(|one| one.clone().into_owned()).collect();
        seen.refused = verdict.as_ref().err().cloned();
        verdict
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
