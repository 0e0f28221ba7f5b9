//! A TLS server on loopback that answers a tls-alpn-01 challenge, rightly or with whatever certificate, protocol and
//! manner a test gives it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    LazyConfigAcceptor,
    rustls::{
        ServerConfig, SupportedProtocolVersion,
        crypto::aws_lc_rs,
        pki_types::PrivatePkcs8KeyDer,
        server::Acceptor,
        sign::{CertifiedKey, SingleCertAndKey},
        version::{TLS12, TLS13},
    },
};

use crate::key_authorization;

/// What the server does with a connection.
#[derive(Clone)]
pub(crate) enum Manner {
    /// Shakes hands with this.
    Tls(Arc<ServerConfig>),
    /// Sends these octets at once.
    Octets(&'static [u8]),
    /// Takes the connection and does nothing.
    Silence,
}

/// What one client said first, and whether anything came after the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) server_name: Option<String>,
    pub(crate) protocols: Vec<String>,
    /// Octets of application data.
    pub(crate) data: usize,
}

/// The server; it runs as long as the test's runtime.
pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl TlsServer {
    pub(crate) async fn start(address: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            accepted: Arc::default(),
            seen: Arc::new(Mutex::new(Vec::new())),
        };
        let (accepted, seen) = (Arc::clone(&server.accepted), Arc::clone(&server.seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, manner.clone(), Arc::clone(&seen)));
            }
        });
        server
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, seen: Arc<Mutex<Vec<Seen>>>) {
    match manner {
        Manner::Tls(config) => shake_hands(stream, config, &seen).await,
        Manner::Octets(octets) => {
            let _ = stream.write_all(octets).await;
        }
        Manner::Silence => {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    }
}

async fn shake_hands(stream: TcpStream, config: Arc<ServerConfig>, memory: &Mutex<Vec<Seen>>) {
    let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), stream).await else { return };
    let hello = start.client_hello();
    let protocols = hello.alpn().into_iter().flatten().map(|name| String::from_utf8(name.to_vec()).unwrap());
    let mut seen =
        Seen { server_name: hello.server_name().map(str::to_owned), protocols: protocols.collect(), data: 0 };
    if let Ok(mut stream) = start.into_stream(config).await {
        seen.data = stream.read_to_end(&mut Vec::new()).await.unwrap_or_default();
    }
    memory.lock().unwrap().push(seen);
}

/// A certificate for these names; `None` for the digest leaves the extension out.
pub(crate) fn params(names: &[&str], digest: Option<[u8; 32]>) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    if let Some(digest) = digest {
        let value = [[0x04, 0x20].as_slice(), &digest].concat();
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 31], value);
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
    }
    params
}

/// The right answer for one identifier.
pub(crate) fn right(identifier: &str) -> Manner {
    let key = KeyPair::generate().unwrap();
    tls(&params(&[identifier], Some(key_authorization().digest())), &key, &key, &[b"acme-tls/1"], &[&TLS12, &TLS13])
}

/// A handshake with the self-signed certificate of `key` by a server that holds `held`.
pub(crate) fn tls(
    params: &CertificateParams,
    key: &KeyPair,
    held: &KeyPair,
    protocols: &[&[u8]],
    versions: &[&'static SupportedProtocolVersion],
) -> Manner {
    let certificate = params.self_signed(key).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let held = PrivatePkcs8KeyDer::from(held.serialize_der()).into();
    let held = provider.key_provider.load_private_key(held).unwrap();
    // Unchecked: rustls refuses to read the critical extension that this protocol demands.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], held);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Manner::Tls(Arc::new(config))
}
