//! TCP listeners that are opened and closed on demand, with every connection bounded in number and time.
//!
//! It knows no protocol: a handler gets the accepted stream. Closing waits until the port is free again, so that a
//! real ACME client may bind the same port at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Connections served at once by one listener; further ones are dropped unanswered.
const CONNECTIONS_MAX: usize = 256;
/// Listeners one responder may hold open.
const LISTENERS_MAX: usize = 16;
/// Pause after a failed accept (for example out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts for ever and runs `handle` on each connection, for at most `lifetime` each. Dropping the future closes
/// the listener and all its connections.
pub(crate) async fn accept<H, F>(listener: TcpListener, lifetime: Duration, handle: H)
where
    H: Fn(TcpStream, SocketAddr) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(tokio::time::timeout(lifetime, handle(stream, peer)));
            }
            Ok(_) => tracing::warn!(limit = CONNECTIONS_MAX, "connection dropped: too many at once"),
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The open listeners of one responder. Dropping it closes them all.
#[derive(Default)]
pub(crate) struct Listeners {
    open: Mutex<BTreeMap<SocketAddr, JoinSet<()>>>,
}

impl Listeners {
    /// Opens `address` and serves it with `handle` until closed; answers the bound address (the port is chosen when
    /// it was 0). Opening an address that is open already changes nothing.
    ///
    /// # Errors
    /// The address cannot be bound, or too many listeners are open.
    pub(crate) async fn open<H, F>(
        &self,
        address: SocketAddr,
        lifetime: Duration,
        handle: H,
    ) -> anyhow::Result<SocketAddr>
    where
        H: Fn(TcpStream, SocketAddr) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        if self.with_open(|open| open.contains_key(&address)) {
            return Ok(address);
        }
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let bound = listener.local_addr().context("the listener has no address")?;
        self.with_open(|open| {
            anyhow::ensure!(
                open.len() < LISTENERS_MAX,
                "{LISTENERS_MAX} listeners are open already, the most there may be: close one first"
            );
            open.entry(bound).or_default().spawn(accept(listener, lifetime, handle));
            Ok(bound)
        })
    }

    /// Closes one listener, or all when `address` is `None`, with their connections. On return the ports are free.
    /// Answers the addresses that were open.
    pub(crate) async fn close(&self, address: Option<SocketAddr>) -> Vec<SocketAddr> {
        let closing = self.with_open(|open| match address {
            Some(address) => open.remove(&address).map(|tasks| BTreeMap::from([(address, tasks)])).unwrap_or_default(),
            None => std::mem::take(open),
        });
        let mut closed = Vec::new();
        for (address, mut tasks) in closing {
            tasks.shutdown().await;
            closed.push(address);
        }
        closed
    }

    fn with_open<T>(&self, run: impl FnOnce(&mut BTreeMap<SocketAddr, JoinSet<()>>) -> T) -> T {
        run(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_port() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[tokio::test]
    async fn a_closed_port_can_be_bound_by_somebody_else_at_once() {
        let listeners = Listeners::default();
        let bound = listeners.open(any_port(), Duration::from_secs(5), |_stream, _peer| async {}).await.unwrap();
        assert!(TcpListener::bind(bound).await.is_err());
        assert_eq!(listeners.close(Some(bound)).await, vec![bound]);
        assert!(TcpListener::bind(bound).await.is_ok());
        assert!(listeners.close(None).await.is_empty());
    }

    #[tokio::test]
    async fn opening_an_open_address_again_changes_nothing() {
        let listeners = Listeners::default();
        let lifetime = Duration::from_secs(5);
        let bound = listeners.open(any_port(), lifetime, |_stream, _peer| async {}).await.unwrap();
        let again = listeners.open(bound, lifetime, |_stream, _peer| async {}).await.unwrap();
        assert_eq!(bound, again);
        assert_eq!(listeners.close(None).await, vec![bound]);
    }

    #[tokio::test]
    async fn the_number_of_listeners_is_bounded() {
        let listeners = Listeners::default();
        for _ in 0..LISTENERS_MAX {
            listeners.open(any_port(), Duration::from_secs(5), |_stream, _peer| async {}).await.unwrap();
        }
        let refused = listeners.open(any_port(), Duration::from_secs(5), |_stream, _peer| async {}).await;
        assert!(refused.unwrap_err().to_string().contains("close one first"));
    }
}
