//! The API's listener: TCP, TLS with a client certificate, HTTP/1.1 and HTTP/2 by ALPN.
//!
//! A certificate of the clients CA is demanded in the handshake: without one there is no HTTP.
//! What the certificate says about its holder is read once per connection.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyper::service::Service as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;

use super::identity::Identity;

/// Most connections at the same time.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long a client may take to send its headers; also how long an idle HTTP/1.1 connection lives,
/// hence more than the 55 s after which gateways close theirs (contract section 6).
const HEADER_TIME: Duration = Duration::from_secs(65);
/// How long a connection that is to freeze stays open.
const FROZEN_TIME: Duration = Duration::from_secs(120);

/// What a request knows of its connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// Where it comes from.
    pub(crate) peer: IpAddr,
    /// Who is at the other end, or why nobody can say.
    pub(crate) identity: Result<Identity, &'static str>,
    cut: Arc<Notify>,
    frozen: Arc<Notify>,
}

impl Connection {
    /// Drops the connection without a word, for faults.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    /// Reads and writes nothing more, and keeps it open, for faults.
    pub(crate) fn freeze(&self) {
        self.frozen.notify_one();
    }
}

/// The TLS settings of the API.
pub(crate) fn settings(pki: &Path) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut clients = RootCertStore::empty();
    clients.add(CertificateDer::from_pem_file(pki.join("clients-ca.pem"))?)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider))
        .build()
        .context("the clients CA is not usable")?;
    let chain = CertificateDer::pem_file_iter(pki.join("cm-server.pem"))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(pki.join("cm-server.key"))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Accepts connections for ever; each is served by a task of its own.
pub(crate) async fn accept(listener: TcpListener, config: ServerConfig, router: Router) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(cause) => {
                tracing::warn!(%cause, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let acceptor = acceptor.clone();
        let router = router.clone();
        tokio::spawn(async move {
            if let Err(cause) = serve(stream, peer, acceptor, router).await {
                tracing::debug!(%peer, cause = format!("{cause:#}"), "connection ended");
            }
            drop(permit);
        });
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, acceptor: TlsAcceptor, router: Router) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE_TIME, acceptor.accept(stream))
        .await
        .context("the handshake took too long")?
        .inspect_err(|cause| tracing::warn!(%peer, %cause, "handshake failed"))?;
    let identity = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first)
        .ok_or("there is no client certificate")
        .and_then(|certificate| Identity::from_certificate(certificate));
    let (cut, frozen) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let connection = Connection { peer: peer.ip(), identity, cut: Arc::clone(&cut), frozen: Arc::clone(&frozen) };
    let service = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request| {
        request.extensions_mut().insert(connection.clone());
        service.call(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(15)))
        .keep_alive_timeout(Duration::from_secs(5));
    let mut http = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        served = http.as_mut() => served.map_err(|cause| anyhow::anyhow!(cause)),
        () = cut.notified() => Ok(()),
        () = frozen.notified() => {
            // The socket lives in `http`, which nobody polls meanwhile.
            tokio::time::sleep(FROZEN_TIME).await;
            Ok(())
        }
    }
}
