//! The http-01 responder (RFC 8555 §8.3): serves key authorizations under `/.well-known/acme-challenge/`, and, where
//! a test asks for it, misbehaves in one chosen way.
//!
//! One request per connection; it serves nothing else and speaks no TLS.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::behaviour::{Behaviour, write_simple};
use super::{ENTRIES_MAX, remember};
use crate::listener::Listeners;

/// Where challenge bodies are served (RFC 8555 §8.3).
const PATH_PREFIX: &str = "/.well-known/acme-challenge/";
/// Bytes of request line and headers read before giving up.
const REQUEST_HEAD_BYTES_MAX: usize = 16_384;
/// How long one connection may take, misbehaving included.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(60);

/// One request that reached the responder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SeenRequest {
    /// The method, for example `GET`.
    pub(crate) method: String,
    /// The request target as sent, with its query.
    pub(crate) target: String,
    /// The `Host` header as sent.
    pub(crate) host: Option<String>,
    /// The address the request came from.
    pub(crate) peer: SocketAddr,
}

/// The http-01 responder. Clones are handles to the same responder.
#[derive(Clone, Default)]
pub(crate) struct HttpResponder {
    listeners: Arc<Listeners>,
    contents: Arc<Mutex<Contents>>,
}

#[derive(Default)]
struct Contents {
    bodies: HashMap<String, String>,
    behaviours: HashMap<String, Behaviour>,
    seen: VecDeque<SeenRequest>,
}

/// What one request gets: the behaviour of its path, if any, and the body of its token, if any.
struct Decision {
    behaviour: Option<Behaviour>,
    body: Option<String>,
}

impl HttpResponder {
    /// Opens `address` and answers the bound one. Nothing changes when it is open already.
    ///
    /// # Errors
    /// The address cannot be bound, or too many are open.
    pub(crate) async fn listen(&self, address: SocketAddr) -> anyhow::Result<SocketAddr> {
        let contents = Arc::clone(&self.contents);
        let handle = move |stream, peer| serve_connection(stream, peer, Arc::clone(&contents));
        self.listeners.open(address, CONNECTION_LIFETIME, handle).await
    }

    /// Closes one address, or all; on return the ports are free. What was set stays set.
    pub(crate) async fn close(&self, address: Option<SocketAddr>) -> Vec<SocketAddr> {
        self.listeners.close(address).await
    }

    /// Serves `content` for `token`, in place of what was served for it before.
    ///
    /// # Errors
    /// Too many tokens are set.
    pub(crate) fn set_token(&self, token: &str, content: &str) -> anyhow::Result<()> {
        let bodies = &mut self.lock().bodies;
        ensure!(
            bodies.len() < ENTRIES_MAX || bodies.contains_key(token),
            "{ENTRIES_MAX} tokens are set, the most there may be: delete some first"
        );
        bodies.insert(token.to_owned(), content.to_owned());
        Ok(())
    }

    /// Serves nothing for `token` any more.
    pub(crate) fn delete_token(&self, token: &str) {
        self.lock().bodies.remove(token);
    }

    /// Makes `path` (without a query) answer in this way.
    ///
    /// # Errors
    /// The behaviour is out of its bounds, the path does not start with `/`, or too many are set.
    pub(crate) fn set_behaviour(&self, path: &str, behaviour: Behaviour) -> anyhow::Result<()> {
        ensure!(path.starts_with('/'), "a path starts with '/': {path:?}");
        behaviour.check()?;
        let behaviours = &mut self.lock().behaviours;
        ensure!(
            behaviours.len() < ENTRIES_MAX || behaviours.contains_key(path),
            "{ENTRIES_MAX} behaviours are set, the most there may be: clear some first"
        );
        behaviours.insert(path.to_owned(), behaviour);
        Ok(())
    }

    /// Makes `path` answer simply again.
    pub(crate) fn clear_behaviour(&self, path: &str) {
        self.lock().behaviours.remove(path);
    }

    /// The requests seen so far, oldest first.
    pub(crate) fn seen(&self) -> Vec<SeenRequest> {
        self.lock().seen.iter().cloned().collect()
    }

    /// Forgets the requests seen so far.
    pub(crate) fn clear_seen(&self) {
        self.lock().seen.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        lock(&self.contents)
    }
}

fn lock(contents: &Mutex<Contents>) -> MutexGuard<'_, Contents> {
    contents.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve_connection(mut stream: TcpStream, peer: SocketAddr, contents: Arc<Mutex<Contents>>) {
    let served = async {
        let Some(request) = read_request(&mut stream, peer).await? else {
            return write_simple(&mut stream, 400, "").await;
        };
        let decision = decide(&mut lock(&contents), request);
        write_decision(&mut stream, decision).await?;
        stream.shutdown().await
    };
    if let Err(error) = served.await {
        tracing::debug!(%error, %peer, "http-01 connection ended early");
    }
}

/// Reads request line and headers; `None` when they are not HTTP/1.x or too long.
async fn read_request(stream: &mut TcpStream, peer: SocketAddr) -> std::io::Result<Option<SeenRequest>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let read_bytes = stream.read_buf(&mut head).await?;
        if read_bytes == 0 || head.len() > REQUEST_HEAD_BYTES_MAX {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Ok(None);
    };
    if !version.starts_with("HTTP/1.") {
        return Ok(None);
    }
    let host = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim().to_owned());
    Ok(Some(SeenRequest { method: method.to_owned(), target: target.to_owned(), host, peer }))
}

fn decide(contents: &mut Contents, request: SeenRequest) -> Decision {
    let path = request.target.split_once('?').map_or(request.target.as_str(), |(path, _)| path);
    let token = path.strip_prefix(PATH_PREFIX);
    let decision = Decision {
        behaviour: contents.behaviours.get(path).cloned(),
        body: token.and_then(|token| contents.bodies.get(token)).cloned(),
    };
    remember(&mut contents.seen, request);
    decision
}

async fn write_decision(stream: &mut TcpStream, decision: Decision) -> std::io::Result<()> {
    let Some(behaviour) = decision.behaviour else {
        return match decision.body {
            Some(body) => write_simple(stream, 200, &body).await,
            None => write_simple(stream, 404, "").await,
        };
    };
    behaviour.write(stream, &decision.body.unwrap_or_default()).await
}

#[cfg(test)]
mod tests;
