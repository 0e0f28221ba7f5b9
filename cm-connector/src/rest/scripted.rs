//! A CM in tests: real TLS with client certificates on the loopback, and answers that the test
//! writes, down to the octets.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::Settings;

type Ca = CertifiedIssuer<'static, KeyPair>;

/// Both CAs of a CM, and the files of one gateway.
pub(super) struct Pki {
    infra: Ca,
    clients: Ca,
    folder: PathBuf,
}

/// What the server saw.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) line: String,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

/// What it does then. The connection ends after each.
pub(super) enum Reply {
    Octets(Vec<u8>),
    Silence,
}

pub(super) struct Server {
    pub(super) address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

fn ca(name: &str) -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Pki {
    pub(super) fn new() -> Self {
        Self::of("clients")
    }

    /// One whose CA for gateways has this name.
    pub(super) fn of(clients: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("cm-connector-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let pki = Self { infra: ca("infra"), clients: ca(clients), folder };
        pki.write("ca.pem", &pki.infra.pem());
        pki.renew_client("dmz-1");
        pki
    }

    pub(super) fn write(&self, file: &str, content: &str) {
        std::fs::write(self.folder.join(file), content).unwrap();
    }

    pub(super) fn renew_client(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(format!("urn:cm:gateway:{name}").try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.write("client.pem", &params.signed_by(&key, &self.clients).unwrap().pem());
        self.write("client.key", &key.serialize_pem());
    }

    pub(super) fn settings(&self, base_url: String) -> Settings {
        Settings {
            base_url,
            ca_file: self.folder.join("ca.pem"),
            certificate_file: self.folder.join("client.pem"),
            key_file: self.folder.join("client.key"),
        }
    }

    /// A server that bears this name or address, wants certificates of this PKI's clients and
    /// speaks this protocol.
    fn acceptor(&self, name: &str, alpn: &[u8]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.infra).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut trust = RootCertStore::empty();
        trust.add(CertificateDer::from(self.clients.der().to_vec())).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(trust), Arc::clone(&provider)).build().unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        config.alpn_protocols = vec![alpn.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Drop for Pki {
    fn drop(&mut self) {
        let _already_gone = std::fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    /// Answers each request as `script` says; it is told the request and how many came before.
    pub(super) async fn start(
        pki: &Pki,
        name: &str,
        script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (acceptor, script) = (pki.acceptor(name, b"http/1.1"), Arc::new(script));
        tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, script, seen) = (acceptor.clone(), Arc::clone(&script), Arc::clone(&seen));
                    tokio::spawn(async move { serve(stream, acceptor, &*script, &seen).await });
                }
            }
        });
        Self { address, seen }
    }

    pub(super) fn base_url(&self) -> String {
        format!("https://{}/cm/v1", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// The request lines, without the protocol.
    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|request| request.line).collect()
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    script: &(dyn Fn(&Request, usize) -> Reply + Send + Sync),
    seen: &Mutex<Vec<Request>>,
) -> Option<()> {
    let mut stream = match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => stream,
        Err((_, mut refused)) => {
            // Closing with octets unread would overtake the alert.
            while refused.read_buf(&mut Vec::new()).await.ok()? > 0 {}
            return None;
        }
    };
    let mut octets = Vec::new();
    let end = loop {
        if let Some(end) = octets.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut octets).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(octets[..end].to_vec()).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    while octets.len() < end + length {
        if stream.read_buf(&mut octets).await.ok()? == 0 {
            return None;
        }
    }
    let line = String::from_utf8(octets[..end].to_vec()).unwrap().lines().next().unwrap().replace(" HTTP/1.1", "");
    let request = Request { line, head, body: octets.split_off(end) };
    let reply = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        script(&request, seen.len() - 1)
    };
    match reply {
        Reply::Octets(octets) => {
            stream.write_all(&octets).await.ok()?;
            stream.shutdown().await.ok()
        }
        Reply::Silence => {
            // Until the client goes away.
            while stream.read_buf(&mut Vec::new()).await.ok()? > 0 {}
            None
        }
    }
}

/// A whole answer.
pub(super) fn answer(status: u16, headers: &str, content_type: &str, body: &str) -> Reply {
    Reply::Octets(
        format!(
            "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-type: {content_type}\r\n{headers}content-length: \
             {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}

pub(super) fn json_answer(status: u16, body: &Value) -> Reply {
    answer(status, "cm-request-id: 01KANM8C5T\r\n", "application/json", &body.to_string())
}

pub(super) fn problem(status: u16, code: &str) -> Reply {
    problem_with(status, "", json!({"code": code, "detail": "the words of the CM"}))
}

pub(super) fn problem_with(status: u16, headers: &str, body: Value) -> Reply {
    answer(status, headers, "application/problem+json", &body.to_string())
}

/// An HTTP/2 server.
pub(super) struct Http2Server {
    pub(super) base_url: String,
    /// The HTTP version of each request.
    pub(super) versions: Arc<Mutex<Vec<String>>>,
}

/// An HTTP/2 server that answers everything with this JSON, but for the requests after the first:
/// once there are `together` of them it drops its connections.
pub(super) async fn start_http2(pki: &Pki, body: Value, together: usize) -> Http2Server {
    use hyper_util::{
        rt::{TokioExecutor, TokioIo},
        server::conn::auto,
        service::TowerToHyperService,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("https://{}/cm/v1", listener.local_addr().unwrap());
    let acceptor = pki.acceptor("127.0.0.1", b"h2");
    let versions = Arc::new(Mutex::new(Vec::new()));
    let drop_all = Arc::new(tokio::sync::Notify::new());
    let seen = Arc::clone(&versions);
    let app = axum::Router::new().fallback({
        let (versions, drop_all) = (Arc::clone(&versions), Arc::clone(&drop_all));
        move |request: axum::extract::Request| async move {
            let number = {
                let mut versions = versions.lock().unwrap();
                versions.push(format!("{:?}", request.version()));
                versions.len()
            };
            if together > 0 && number == together + 1 {
                drop_all.notify_waiters();
            }
            if (2..=together + 1).contains(&number) {
                std::future::pending::<()>().await;
            }
            axum::Json(body)
        }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(app.clone()));
            let drop_all = Arc::clone(&drop_all);
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    tokio::select! {
                        _gone = builder.serve_connection(TokioIo::new(stream), service) => {}
                        () = drop_all.notified() => {}
                    }
                }
            });
        }
    });
    Http2Server { base_url, versions: seen }
}
