//! Answers http-01 (RFC 8555 §8.3) for as long as a flight takes, whoever else asks meanwhile and however slowly.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

/// Where http-01 is asked for (RFC 8555 §8.3).
pub(super) const HTTP: u16 = 80;
/// For one question.
const QUESTION_MAX: Duration = Duration::from_secs(5);
/// Questions at a time at one address. One more, and the oldest gives way: strangers who say nothing hold up nobody.
const QUESTIONS_MAX: usize = 64;
/// After a connection that could not be taken, such as for want of file descriptors.
const FAILED_PAUSE: Duration = Duration::from_millis(100);
/// Connections that wait to be taken.
const BACKLOG: u32 = 128;
/// More than the head of any question has.
const HEAD_OCTETS_MAX: usize = 8 * 1024;
const PATH: &str = "/.well-known/acme-challenge/";

/// Listens until it is dropped.
pub(super) struct Responder {
    answers: Answers,
    #[cfg(test)]
    addresses: Vec<SocketAddr>,
    _listeners: JoinSet<()>,
}

type Answers = Arc<Mutex<BTreeMap<String, String>>>;

impl Responder {
    /// At each of these addresses, or nowhere.
    pub(super) async fn listen(addresses: &[SocketAddr]) -> anyhow::Result<Self> {
        let listeners = addresses.iter().map(|address| {
            bind(*address).with_context(|| format!("cannot listen on {address} for http-01; {}", who_listens(*address)))
        });
        Self::serve(listeners.collect::<anyhow::Result<_>>()?)
    }

    /// At every address of this machine, of both families; of IPv4 alone where there is no IPv6.
    pub(super) async fn listen_everywhere(port: u16) -> anyhow::Result<Self> {
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        match bind(both) {
            Ok(listener) => Self::serve(vec![listener]),
            Err(error) if is_without_family(&error) => {
                eprintln!("acme-gateway: there is no IPv6 here ({error}); http-01 is answered by IPv4 alone");
                Self::listen(&[SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))]).await
            }
            Err(error) => {
                let context = format!("cannot listen on port {port} for http-01; {}", who_listens(both));
                Err(anyhow::Error::new(error).context(context))
            }
        }
    }

    fn serve(bound: Vec<TcpListener>) -> anyhow::Result<Self> {
        let (answers, mut listeners) = (Answers::default(), JoinSet::new());
        #[cfg(test)]
        let addresses = bound.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        for listener in bound {
            let accept = async move || Ok(listener.accept().await?.0);
            listeners.spawn(serve(accept, Arc::clone(&answers)));
        }
        Ok(Self {
            answers,
            #[cfg(test)]
            addresses,
            _listeners: listeners,
        })
    }

    /// From now on this token is answered so.
    pub(super) fn answer(&self, token: &str, key_authorization: &str) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(token.to_owned(), key_authorization.to_owned());
    }
}

/// An address of all of IPv6 takes IPv4 too, whatever the machine does by default.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // What the flight before has left behind takes the port from nobody.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_without_family(error: &io::Error) -> bool {
    const NO_FAMILY: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(NO_FAMILY)
}

fn who_listens(address: SocketAddr) -> String {
    let port = address.port();
    format!("see who does (ss -ltnp 'sport = :{port}'), give the canary CAP_NET_BIND_SERVICE, or another --listen")
}

/// Each question in a task of its own.
async fn serve(mut accept: impl AsyncFnMut() -> io::Result<TcpStream>, answers: Answers) {
    let (mut questions, mut order) = (JoinSet::new(), VecDeque::<AbortHandle>::new());
    loop {
        // Whoever goes away before the end had no question.
        let Ok(stream) = accept().await else {
            sleep(FAILED_PAUSE).await;
            continue;
        };
        while questions.try_join_next().is_some() {}
        order.retain(|question| !question.is_finished());
        if order.len() >= QUESTIONS_MAX
            && let Some(oldest) = order.pop_front()
        {
            oldest.abort();
        }
        let answers = Arc::clone(&answers);
        order.push_back(questions.spawn(async move {
            let _given_up = timeout(QUESTION_MAX, converse(stream, &answers)).await;
        }));
    }
}

async fn converse(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    let (mut head, mut block) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_OCTETS_MAX {
        match stream.read(&mut block).await? {
            0 => return Ok(()),
            read => head.extend_from_slice(block.get(..read).unwrap_or_default()),
        }
    }
    let answer = {
        let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        asked(&head).and_then(|token| answers.get(token).cloned())
    };
    let (status, body) = answer.map_or(("404 Not Found", String::new()), |answer| ("200 OK", answer));
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

/// The token in the first line of a question.
fn asked(head: &[u8]) -> Option<&str> {
    let line = head.split(|octet| *octet == b'\r').next()?;
    let path = std::str::from_utf8(line).ok()?.strip_prefix("GET ")?.split(' ').next()?;
    path.strip_prefix(PATH)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// For what comes at once, on a machine that does much else.
    const LONG: Duration = Duration::from_secs(60);

    async fn ask(address: SocketAddr) -> String {
        let ask = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("GET {PATH}abc HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        timeout(LONG, ask).await.expect("an answer")
    }

    #[test]
    fn the_token_of_a_question_is_found_and_nothing_else_is_one() {
        for (head, token) in [
            ("GET /.well-known/acme-challenge/abc HTTP/1.1\r\nHost: a\r\n\r\n", Some("abc")),
            ("GET /.well-known/acme-challenge/ HTTP/1.1\r\n\r\n", Some("")),
            ("POST /.well-known/acme-challenge/abc HTTP/1.1\r\n\r\n", None),
            ("GET /abc HTTP/1.1\r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(asked(head.as_bytes()), token, "{head}");
        }
    }

    #[tokio::test]
    async fn strangers_who_say_nothing_hold_up_no_question() {
        let responder = Responder::listen(&[SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]).await.unwrap();
        responder.answer("abc", "abc.thumbprint");
        let address = responder.addresses[0];
        let mut strangers = Vec::new();
        for _ in 0..=QUESTIONS_MAX {
            strangers.push(TcpStream::connect(address).await.unwrap());
        }
        // One after the other they would take minutes.
        let answer = ask(address).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nabc.thumbprint"), "{answer}");
    }

    #[tokio::test]
    async fn both_families_are_answered() {
        let responder = Responder::listen_everywhere(0).await.unwrap();
        responder.answer("abc", "abc.thumbprint");
        let port = responder.addresses[0].port();
        assert!(ask(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.ends_with("abc.thumbprint"));
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok() {
            assert!(ask(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await.ends_with("abc.thumbprint"));
        }
    }

    #[tokio::test]
    async fn a_port_that_somebody_has_is_told_with_what_to_do() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = taken.local_addr().unwrap();
        let refused = Responder::listen(&[address]).await.err().expect("the port is taken");
        let said = format!("{refused:#}");
        assert!(said.contains(&address.to_string()) && said.contains("ss -ltnp"), "{said}");
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_cannot_be_taken_are_tried_again_after_a_pause() {
        let tried = AtomicU32::new(0);
        let accept = async || {
            // A loop without a pause would never let the time pass.
            assert!(tried.fetch_add(1, Ordering::Relaxed) < 100, "it spins");
            Err(io::Error::from(ErrorKind::Other))
        };
        let _for_ever = timeout(Duration::from_secs(1), serve(accept, Answers::default())).await;
        assert!((2..=11).contains(&tried.load(Ordering::Relaxed)), "{tried:?}");
    }
}
