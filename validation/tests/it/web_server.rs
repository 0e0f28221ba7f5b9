//! A raw web server on loopback, with or without TLS: replies by a closure over the request's
//! head, and counts of what was accepted, asked and taken.

use std::{
    net::{Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
};
use tokio_rustls::{TlsAcceptor, rustls};

use crate::key_authorization;

/// What the server does after the request's head.
pub(crate) enum Reply {
    /// Sends this and closes.
    Octets(Vec<u8>),
    /// Sends this and stays silent.
    Stall(Vec<u8>),
    /// Sends this, then the second over and over until the peer has gone.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends this, then one `x` after another.
    Drip(Vec<u8>),
}

/// A reply of this status, extra header lines and body.
pub(crate) fn reply(status: u16, header: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Octets(format!("HTTP/1.1 {status} Words\r\nContent-Length: {length}\r\n{header}\r\n{body}").into_bytes())
}

/// A reply that redirects with status 302.
pub(crate) fn redirect_to(location: &str) -> Reply {
    reply(302, &format!("Location: {location}\r\n"), crate::SENTINEL)
}

/// The reply that proves control.
pub(crate) fn proof() -> Reply {
    reply(200, "", key_authorization().as_str())
}

type Replies = dyn Fn(&str) -> Reply + Send + Sync;

/// The server; it runs as long as the test's runtime.
#[derive(Clone)]
pub(crate) struct WebServer {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    accepted: AtomicUsize,
    taken: AtomicU64,
    heads: Mutex<Vec<String>>,
    server_names: Mutex<Vec<Option<String>>>,
}

impl WebServer {
    /// Listens on `address` (port 0 for any).
    pub(crate) async fn start(address: &str, replies: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let (seen, replies): (_, Arc<Replies>) = (Arc::clone(&server.seen), Arc::new(replies));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&replies), Arc::clone(&seen)));
            }
        });
        server
    }

    /// The same over TLS, with an expired, self-signed certificate for another name.
    pub(crate) async fn start_tls(address: &str, replies: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let (seen, replies): (_, Arc<Replies>) = (Arc::clone(&server.seen), Arc::new(replies));
        let acceptor = acceptor();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.accepted.fetch_add(1, Ordering::SeqCst);
                let (acceptor, seen, replies) = (acceptor.clone(), Arc::clone(&seen), Arc::clone(&replies));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let name = stream.get_ref().1.server_name().map(ToOwned::to_owned);
                        seen.server_names.lock().unwrap().push(name);
                        serve(stream, replies, seen).await;
                    }
                });
            }
        });
        server
    }

    /// The server every test needs: any address, and the proof at every path.
    pub(crate) async fn with_proof() -> Self {
        Self::start("127.0.0.1:0", |_| proof()).await
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn accepted(&self) -> usize {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    /// Octets of endless replies that the peer's side has taken, kernel buffers included.
    pub(crate) fn taken(&self) -> u64 {
        self.seen.taken.load(Ordering::SeqCst)
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    pub(crate) fn server_names(&self) -> Vec<Option<String>> {
        self.seen.server_names.lock().unwrap().clone()
    }
}

/// A port of 127.0.0.1 and `::1` at which connections are refused for as long as the sockets live.
pub(crate) fn closed_port() -> (u16, [TcpSocket; 2]) {
    let (v4, v6) = (TcpSocket::new_v4().unwrap(), TcpSocket::new_v6().unwrap());
    v4.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let port = v4.local_addr().unwrap().port();
    v6.bind(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port)).unwrap();
    (port, [v4, v6])
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, replies: Arc<Replies>, seen: Arc<Seen>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 * 1024 {
        match stream.read_u8().await {
            // Somebody wants to speak TLS: as plain servers do, it is answered without listening further.
            Ok(0x16) if head.is_empty() => break,
            Ok(octet) => head.push(octet),
            Err(_) => break,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    seen.heads.lock().unwrap().push(head.clone());
    let _ = answer(&mut stream, replies(&head), &seen).await;
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), reply: Reply, seen: &Seen) -> std::io::Result<()> {
    match reply {
        Reply::Octets(octets) => {
            stream.write_all(&octets).await?;
            stream.shutdown().await?;
        }
        Reply::Stall(octets) => {
            stream.write_all(&octets).await?;
            stream.flush().await?;
        }
        Reply::Endless(octets, block) => {
            stream.write_all(&octets).await?;
            loop {
                stream.write_all(&block).await?;
                seen.taken.fetch_add(u64::try_from(block.len()).unwrap(), Ordering::SeqCst);
            }
        }
        Reply::Drip(octets) => {
            stream.write_all(&octets).await?;
            let mut interval = tokio::time::interval(Duration::from_millis(50));
            loop {
                interval.tick().await;
                stream.write_all(b"x").await?;
                stream.flush().await?;
            }
        }
    }
    // Until the peer closes, so that it never sees a reset instead of the reply.
    while stream.read_u8().await.is_ok() {}
    Ok(())
}

fn acceptor() -> TlsAcceptor {
    let mut parameters = rcgen::CertificateParams::new(vec!["somebody.else.test".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
