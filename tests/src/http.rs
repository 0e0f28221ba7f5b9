//! HTTP/1.1 by hand: what is sent is sent octet for octet, and what comes back is kept as it was on the wire.
//!
//! One connection a request unless a test wants otherwise. Every read has a deadline.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod, SslVerifyMode, SslVersion};

use crate::response::Response;

/// Longest silence that is waited out.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Largest response head.
const HEAD_OCTETS_MAX: usize = 64 * 1024;

/// Something to talk over.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection to a server.
pub struct Connection {
    stream: Box<dyn Stream>,
    /// Received and not yet consumed.
    received: Vec<u8>,
}

/// How to speak TLS.
#[derive(Default, Clone, Copy)]
pub struct Tls<'a> {
    /// The only certificate authorities to trust (PEM).
    pub ca_file: Option<&'a Path>,
    /// Own certificate and key (PEM).
    pub identity: Option<(&'a Path, &'a Path)>,
    /// The only version to offer.
    pub version: Option<SslVersion>,
    /// Protocols to offer in ALPN wire form.
    pub alpn: Option<&'a [u8]>,
}

impl Connection {
    /// Plain TCP.
    ///
    /// # Errors
    /// No connection.
    pub fn plain(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: Box::new(tcp(address)?), received: Vec::new() })
    }

    /// TLS to `host` at `address`, whose certificate is verified. Also tells the ALPN protocol that was agreed on.
    ///
    /// # Errors
    /// No connection, or no handshake.
    pub fn tls(address: SocketAddr, host: &str, tls: &Tls<'_>) -> io::Result<(Self, Option<String>)> {
        Self::tls_over(tcp(address)?, host, tls)
    }

    /// The same over a connection that is there.
    ///
    /// # Errors
    /// No handshake.
    pub fn tls_over(stream: TcpStream, host: &str, tls: &Tls<'_>) -> io::Result<(Self, Option<String>)> {
        // Not the library's ready-made connector: that one reads and trusts the authorities of this machine as well,
        // which is wrong here and takes longer than the handshake.
        let mut context = SslContext::builder(SslMethod::tls_client())?;
        context.set_verify(SslVerifyMode::PEER);
        if let Some(file) = tls.ca_file {
            context.set_ca_file(file)?;
        }
        if let Some((certificate, key)) = tls.identity {
            context.set_certificate_chain_file(certificate)?;
            context.set_private_key_file(key, SslFiletype::PEM)?;
        }
        if tls.version.is_some() {
            context.set_min_proto_version(tls.version)?;
            context.set_max_proto_version(tls.version)?;
        }
        if let Some(protocols) = tls.alpn {
            context.set_alpn_protos(protocols)?;
        }
        let mut ssl = Ssl::new(&context.build())?;
        match host.parse::<IpAddr>() {
            Ok(address) => ssl.param_mut().set_ip(address)?,
            Err(_) => {
                ssl.set_hostname(host)?;
                ssl.param_mut().set_host(host)?;
            }
        }
        let stream = ssl.connect(stream).map_err(io::Error::other)?;
        let agreed = stream.ssl().selected_alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        Ok((Self { stream: Box::new(stream), received: Vec::new() }, agreed))
    }

    /// Sends octets as they are.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn send(&mut self, octets: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(octets.as_ref())?;
        self.stream.flush()
    }

    /// Reads one response. `method` decides whether it can have a body.
    ///
    /// # Errors
    /// The connection ended or fell silent before the response did, or it is no HTTP.
    pub fn receive(&mut self, method: &str) -> io::Result<Response> {
        let head = self.receive_head()?;
        let mut response = parse_head(&head)?;
        let bodyless = method == "HEAD" || response.status == 204 || response.status == 304;
        if bodyless {
            return Ok(response);
        }
        response.body = if response.header("transfer-encoding").is_some() {
            self.receive_chunks()?
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(io::Error::other)?;
            self.receive_exactly(length)?
        } else {
            self.receive_rest()?
        };
        Ok(response)
    }

    /// Everything up to the end of the connection.
    ///
    /// # Errors
    /// The connection fell silent or broke.
    pub fn receive_rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? {}
        Ok(std::mem::take(&mut self.received))
    }

    fn receive_head(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                return Ok(self.received.drain(..end + 4).collect());
            }
            if self.received.len() > HEAD_OCTETS_MAX {
                return Err(io::Error::other("the head of the response does not end"));
            }
            if !self.fill()? {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before a response"));
            }
        }
    }

    fn receive_exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.received.len() < length {
            if !self.fill()? {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body broke off"));
            }
        }
        Ok(self.received.drain(..length).collect())
    }

    fn receive_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(end) = find(&self.received, b"\r\n") {
                    break self.receive_exactly(end + 2)?;
                }
                if !self.fill()? {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the chunks broke off"));
                }
            };
            let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).map_err(io::Error::other)?;
            let chunk = self.receive_exactly(size + 2)?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    /// False at the end of the connection.
    fn fill(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            // A peer that ends without close_notify has ended all the same.
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// The octets of a request with a body, if it has one.
#[must_use]
pub fn request(method: &str, path: &str, host: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: acme-gateway-tests\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body.unwrap_or_default()].concat()
}

/// A connection that comes from this address of ours.
pub(crate) fn tcp_from(source: IpAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        socket.connect(address).await?.into_std()
    })?;
    stream.set_nonblocking(false)?;
    patient(stream)
}

fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    patient(TcpStream::connect_timeout(&address, SILENCE_MAX)?)
}

fn patient(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn parse_head(head: &[u8]) -> io::Result<Response> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
    let version = first.next().unwrap_or_default().to_owned();
    let status = first.next().and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no HTTP response: {head:?}")))?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(Response { version, status, headers, body: Vec::new() })
}

fn find(octets: &[u8], wanted: &[u8]) -> Option<usize> {
    octets.windows(wanted.len()).position(|window| window == wanted)
}
