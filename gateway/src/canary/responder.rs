//! Answers http-01 (RFC 8555 §8.3) for as long as a flight takes, one question after the other.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// For one question. Strangers may ask too, and wait for each other.
const QUESTION_MAX: Duration = Duration::from_secs(5);
/// More than the head of any question has.
const HEAD_OCTETS_MAX: usize = 8 * 1024;
const PATH: &str = "/.well-known/acme-challenge/";

/// Listens until it is dropped.
pub(super) struct Responder {
    answers: Answers,
    _listeners: JoinSet<()>,
}

type Answers = Arc<Mutex<BTreeMap<String, String>>>;

impl Responder {
    pub(super) async fn listen(addresses: &[SocketAddr]) -> anyhow::Result<Self> {
        let (answers, mut listeners) = (Answers::default(), JoinSet::new());
        for address in addresses {
            let listener = TcpListener::bind(address).await;
            let listener = listener.with_context(|| format!("cannot listen on {address} for http-01"))?;
            listeners.spawn(serve(listener, Arc::clone(&answers)));
        }
        Ok(Self { answers, _listeners: listeners })
    }

    /// From now on this token is answered so.
    pub(super) fn answer(&self, token: &str, key_authorization: &str) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(token.to_owned(), key_authorization.to_owned());
    }
}

async fn serve(listener: TcpListener, answers: Answers) {
    loop {
        // Whoever goes away before the end had no question.
        if let Ok((stream, _)) = listener.accept().await {
            let _given_up = timeout(QUESTION_MAX, converse(stream, &answers)).await;
        }
    }
}

async fn converse(mut stream: TcpStream, answers: &Answers) -> std::io::Result<()> {
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
    use super::*;

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
}
