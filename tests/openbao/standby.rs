//! A standby that is behind, as OpenBao's standbys are for a moment after each write, but for as long as a test wants:
//! it stands before a real node, hides the latest certificates, and is told by `X-Vault-Index` to ask the leader.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    mem,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod, SslStream};
use serde_json::Value;
use tests::{
    http::{Connection, Tls},
    openbao::OpenBao,
    response::Response,
};

/// How far the store is, in questions and answers.
const INDEX: &str = "x-vault-index";
/// How long a connection may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// It, until it is dropped.
pub(crate) struct Standby {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    node: SocketAddr,
    pki: PathBuf,
    stop: AtomicBool,
    /// Whether the next sign is passed on and its answer kept back.
    loses_sign: AtomicBool,
    /// Whether the next sign is kept until it is looked for, and then passed on.
    holds_sign: AtomicBool,
    held: Mutex<Held>,
    is_behind: AtomicBool,
    /// How far it is, or was when it fell behind.
    index: AtomicU64,
    /// Certificates whose answer it kept.
    unanswered: AtomicU64,
    /// Lists that it answered without what it has not heard of.
    stale_lists: AtomicU64,
}

/// A sign as in the socket of a frozen node: it is read right after the list that says that it was not.
#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    Sign(Request),
    /// A write that the gateway makes before it searches for the last time.
    LookedFor(Request),
}

#[derive(Clone)]
struct Request {
    octets: Vec<u8>,
    method: String,
    path: String,
    index: u64,
}

impl Standby {
    /// Before this node, as a gateway to it.
    pub(crate) fn before(node: &OpenBao) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            node: node.url().trim_start_matches("https://").parse().unwrap(),
            pki: node.pki().to_owned(),
            stop: AtomicBool::new(false),
            loses_sign: AtomicBool::new(false),
            holds_sign: AtomicBool::new(false),
            held: Mutex::default(),
            is_behind: AtomicBool::new(false),
            index: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            stale_lists: AtomicU64::new(0),
        });
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_certificate_chain_file(state.pki.join("cm-server.pem")).unwrap();
        acceptor.set_private_key_file(state.pki.join("cm-server.key"), SslFiletype::PEM).unwrap();
        let (acceptor, serving) = (Arc::new(acceptor.build()), Arc::clone(&state));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.stop.load(Ordering::SeqCst) {
                    return;
                }
                let (acceptor, state) = (Arc::clone(&acceptor), Arc::clone(&serving));
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(SILENCE_MAX));
                    if let Ok(stream) = acceptor.accept(stream) {
                        state.serve(stream);
                    }
                });
            }
        });
        Self { address, state, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The next sign is done and never answered, and this standby does not hear of its certificate.
    pub(crate) fn lose_next_sign(&self) {
        self.state.loses_sign.store(true, Ordering::SeqCst);
    }

    /// The next sign is never answered, and done when a list has been read that was to tell whether it ever was.
    pub(crate) fn hold_next_sign(&self) {
        self.state.holds_sign.store(true, Ordering::SeqCst);
    }

    /// How many certificates were signed whose answer it kept.
    pub(crate) fn unanswered(&self) -> u64 {
        self.state.unanswered.load(Ordering::SeqCst)
    }

    /// How many lists it answered without what it has not heard of.
    pub(crate) fn stale_lists(&self) -> u64 {
        self.state.stale_lists.load(Ordering::SeqCst)
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl State {
    /// Answers until either side has had enough.
    fn serve(&self, stream: SslStream<TcpStream>) {
        let mut reader = BufReader::new(stream);
        while let Some(request) = receive(&mut reader) {
            let Some(response) = self.answer(&request) else { return };
            if reader.get_mut().write_all(&octets(&response)).is_err() {
                return;
            }
        }
    }

    /// `None` if the connection breaks instead.
    fn answer(&self, request: &Request) -> Option<Response> {
        let is_sign = request.method == "POST" && request.path.contains("/pki/sign/");
        if is_sign && self.loses_sign.swap(false, Ordering::SeqCst) {
            self.is_behind.store(true, Ordering::SeqCst);
            self.sign(request);
            return None;
        }
        if is_sign && self.holds_sign.swap(false, Ordering::SeqCst) {
            *self.held.lock().unwrap() = Held::Sign(request.clone());
            return None;
        }
        let answers_itself = self.is_behind.load(Ordering::SeqCst)
            && request.method == "GET"
            && request.index <= self.index.load(Ordering::SeqCst);
        let mut response = self.pass_on(request)?;
        self.release(request);
        if answers_itself {
            response.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(INDEX));
            if request.path.contains("/pki/certs/detailed") {
                self.stale_lists.fetch_add(1, Ordering::SeqCst);
                (response.status, response.body) = (404, br#"{"errors":[]}"#.to_vec());
            }
        } else if !self.is_behind.load(Ordering::SeqCst) {
            self.index.fetch_max(index(response.header(INDEX)), Ordering::SeqCst);
        }
        Some(response)
    }

    /// Has the node sign and keeps what it says.
    fn sign(&self, request: &Request) {
        if self.pass_on(request).is_some_and(|signed| signed.status == 200) {
            self.unanswered.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Passes the sign on that was kept, if this was the list that it was looked for in.
    fn release(&self, answered: &Request) {
        let mut held = self.held.lock().unwrap();
        *held = match mem::take(&mut *held) {
            Held::Sign(sign) if answered.method == "POST" && answered.path.contains("/cm/data/order/") => {
                Held::LookedFor(sign)
            }
            Held::LookedFor(sign) if answered.path.contains("/pki/certs/detailed") => {
                self.sign(&sign);
                Held::Nothing
            }
            same @ (Held::Nothing | Held::Sign(_) | Held::LookedFor(_)) => same,
        };
    }

    fn pass_on(&self, request: &Request) -> Option<Response> {
        let file = |name: &str| self.pki.join(name);
        let (ca_file, certificate, key) = (file("infra-ca.pem"), file("gateway.pem"), file("gateway.key"));
        let tls = Tls { ca_file: Some(&ca_file), identity: Some((&certificate, &key)), ..Tls::default() };
        let (mut connection, _) = Connection::tls(self.node, &self.node.ip().to_string(), &tls).ok()?;
        connection.send(&request.octets).ok()?;
        connection.receive(&request.method).ok()
    }
}

/// One request as it came.
fn receive(reader: &mut BufReader<SslStream<TcpStream>>) -> Option<Request> {
    let (mut head, mut length, mut seen) = (String::new(), 0, 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        head.push_str(&line);
        let line = line.trim_end();
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "" => break,
            "content-length" => length = value.parse().ok()?,
            INDEX => seen = index(Some(value)),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    Some(Request { octets: [head.as_bytes(), &body].concat(), method, path, index: seen })
}

fn octets(response: &Response) -> Vec<u8> {
    let is_framing = |name: &str| ["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str());
    let headers = response.headers.iter().filter(|(name, _)| !is_framing(name));
    let headers: String = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("HTTP/1.1 {} X\r\n{headers}Content-Length: {}\r\n\r\n", response.status, response.body.len());
    [head.as_bytes(), &response.body].concat()
}

/// How far a header says that the store is; zero without one.
fn index(header: Option<&str>) -> u64 {
    let json = header.and_then(|text| STANDARD.decode(text).ok());
    let json: Option<Value> = json.and_then(|octets| serde_json::from_slice(&octets).ok());
    json.and_then(|json| json["value"].as_str()?.parse().ok()).unwrap_or(0)
}
