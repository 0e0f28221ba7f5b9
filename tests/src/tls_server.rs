//! A web server with a self-signed certificate that answers every request alike.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use openssl::{
    asn1::Asn1Time,
    hash::MessageDigest,
    ssl::{SslAcceptor, SslMethod},
    x509::{X509, X509Builder, X509NameBuilder},
};

use crate::key::Key;

/// How long one connection may take.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(60);

/// A port that nothing answers yet.
pub struct TlsServer {
    listener: TcpListener,
}

/// A server that runs until this is dropped.
pub struct Serving {
    port: u16,
    stop: Arc<AtomicBool>,
    lines: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl TlsServer {
    /// Takes a free port of 127.0.0.1.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn bind() -> Self {
        Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap() }
    }

    /// The port.
    ///
    /// # Panics
    /// The listener has no address.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// Answers every request with these octets, as they are, and closes the connection.
    ///
    /// # Panics
    /// The library cannot make a certificate.
    #[must_use]
    pub fn serve(self, response: String) -> Serving {
        let port = self.port();
        let (stop, lines) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&lines));
        let acceptor = acceptor();
        let thread = thread::spawn(move || {
            for stream in self.listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                if let Some(line) = stream.ok().and_then(|stream| answer(&acceptor, stream, &response)) {
                    seen.lock().unwrap().push(line);
                }
            }
        });
        Serving { port, stop, lines, thread: Some(thread) }
    }
}

impl Serving {
    /// The first lines of the requests so far.
    ///
    /// # Panics
    /// The server panicked.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread, which then sees that it is over.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Answers one request and tells its first line.
fn answer(acceptor: &SslAcceptor, stream: TcpStream, response: &str) -> Option<String> {
    stream.set_read_timeout(Some(CONNECTION_LIFETIME)).ok()?;
    stream.set_write_timeout(Some(CONNECTION_LIFETIME)).ok()?;
    let mut reader = BufReader::new(acceptor.accept(stream).ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 || line == "\r\n" {
            break;
        }
    }
    let mut stream = reader.into_inner();
    stream.write_all(response.as_bytes()).ok()?;
    let _ = stream.shutdown();
    Some(first.trim_end().to_owned())
}

fn acceptor() -> SslAcceptor {
    let key = Key::p256();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_private_key(key.pkey()).unwrap();
    acceptor.set_certificate(&self_signed(&key)).unwrap();
    acceptor.build()
}

fn self_signed(key: &Key) -> X509 {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "self-signed").unwrap();
    let name = name.build();
    let mut certificate = X509Builder::new().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.set_pubkey(key.pkey()).unwrap();
    certificate.sign(key.pkey(), MessageDigest::sha256()).unwrap();
    certificate.build()
}
