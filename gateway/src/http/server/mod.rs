//! From a listening socket to the App: TLS, the clock of each connection, HTTP/1.
//!
//! HTTP/1.1 and 1.0 only: actix's HTTP/2 rests on a release line of h2 that gets no more fixes. The
//! parts of actix are put together by hand, because its ready-made server takes streams as they are
//! and cannot keep a slow peer from holding a connection for ever (see [`super::connection`]).
//! What is served, and what errors look like, is the App's business.

mod client_certificate;
mod handshakes;

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use acme::waiver::KeyDigest;
use actix_http::{ConnectionType, Extensions, HttpMessage as _, HttpService, KeepAlive, Payload, Request, Response};
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config,
};
use actix_web::{
    body::{BoxBody, MessageBody},
    dev::{AppConfig, ServiceResponse},
};
use rustls::server::Acceptor;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tracing::debug;

use self::client_certificate::proven_key;
pub(crate) use self::{client_certificate::AnyClientCertificate, handshakes::Handshakes};
use super::connection::{Afterwards, LINGER, Pace, PaceLimits, Paced, Peers, REFUSED_TARGET, Seat, TimedBody};

/// The only protocol that is offered in TLS handshakes (RFC 7301).
pub(crate) const ALPN: &[u8] = b"http/1.1";
/// Offered beside it by a gateway that proves control of its own names (RFC 8737 §3).
pub(crate) const ACME_TLS_1: &[u8] = b"acme-tls/1";

/// More threads than this are not accepted by actix.
const WORKERS_MAX: usize = 512;

/// How octets come.
#[derive(Debug, Clone)]
pub(crate) enum Transport {
    /// In the clear: for a listener on loopback.
    Plain,
    /// In TLS. Each handshake uses the configuration of its moment, so certificates are exchanged
    /// by sending another one. It has to offer [`ALPN`] and nothing else but [`ACME_TLS_1`].
    Tls(watch::Receiver<Arc<rustls::ServerConfig>>, Handshakes),
}

/// What one server may hold, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Threads.
    pub(crate) workers: usize,
    /// Open connections of each thread; no more are accepted until one ends.
    pub(crate) connections_per_worker_max: usize,
    /// For a TLS handshake.
    pub(crate) handshake: Duration,
    /// For requests in flight when the server is told to stop; counted in whole seconds.
    pub(crate) shutdown: Duration,
    /// For everything after the handshake.
    pub(crate) pace: PaceLimits,
}

/// What octets go both ways through.
trait Duplex: AsyncRead + AsyncWrite {
    /// What the client proved to hold when it came.
    fn client_key(&self) -> Option<KeyDigest>;
}

impl Duplex for TcpStream {
    fn client_key(&self) -> Option<KeyDigest> {
        None
    }
}

impl Duplex for TlsStream<TcpStream> {
    fn client_key(&self) -> Option<KeyDigest> {
        proven_key(self.get_ref().1.peer_certificates())
    }
}

type Connection = Paced<Pin<Box<dyn Duplex>>>;

/// Serves an App on all these listeners. The server runs when its future is awaited, and stops when
/// `handle().stop(graceful)` is called; it does not listen to signals.
///
/// Responses have header names in title case, because shell clients look for `Replay-Nonce` and
/// `Location` in that spelling. The peer's address is in `HttpRequest::peer_addr`. A request body
/// fails to read when it is late (see [`super::connection::read_body`]). Links must not be built
/// from the App's own idea of host and scheme: it has none. A request whose head was refused comes
/// with a [`RefusedHead`](super::connection::RefusedHead) in its extensions and leads nowhere. The key that the
/// client showed in the handshake, if it did, is the connection's [`KeyDigest`] (`HttpRequest::conn_data`).
///
/// # Errors
/// A listener cannot be used, or there is none.
pub(crate) fn serve<F, A, S, B>(
    listeners: Vec<TcpListener>,
    transport: &Transport,
    limits: Limits,
    peers: &Peers,
    app: F,
) -> io::Result<Server>
where
    F: Fn() -> A + Send + Clone + 'static,
    A: IntoServiceFactory<S, Request> + 'static,
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<B>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    if listeners.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no address to listen on"));
    }
    let mut server = Server::build()
        .workers(limits.workers.clamp(1, WORKERS_MAX))
        .max_concurrent_connections(limits.connections_per_worker_max)
        .shutdown_timeout(limits.shutdown.as_secs())
        .disable_signals();
    let stopping = server.graceful_shutdown_signal();
    for listener in listeners {
        let (transport, stopping, peers, app) = (transport.clone(), stopping.clone(), peers.clone(), app.clone());
        server = server.listen("http", listener, move || {
            let http = http_service(app(), stopping.clone());
            connections(transport.clone(), limits, peers.clone()).and_then(http)
        })?;
    }
    Ok(server.run())
}

/// Makes a connection out of each socket; that of a peer that has too many is closed before anything
/// is read from it.
fn connections(
    transport: Transport,
    limits: Limits,
    peers: Peers,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (Connection, Option<SocketAddr>), Error = (), InitError = ()>
{
    fn_service(move |socket: TcpStream| {
        let peer = socket.peer_addr().ok();
        let admitted = peer.map(|peer| peers.admit(peer.ip()).ok_or(()));
        let transport = transport.clone();
        async move {
            let seat = admitted.transpose()?;
            match open(socket, peer, seat, &transport, limits).await {
                Ok(connection) => Ok((connection, peer)),
                Err(error) => {
                    debug!(?peer, %error, "no TLS connection came about");
                    Err(())
                }
            }
        }
    })
}

async fn open(
    socket: TcpStream,
    peer: Option<SocketAddr>,
    seat: Option<Seat>,
    transport: &Transport,
    limits: Limits,
) -> io::Result<Connection> {
    socket.set_nodelay(true)?;
    let stream: Pin<Box<dyn Duplex>> = match transport {
        Transport::Plain => Box::pin(socket),
        Transport::Tls(config, handshakes) => {
            // Those without an address, if there are any, are one peer.
            let address = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.ip());
            Box::pin(timeout(limits.handshake, shake_hands(socket, address, config, handshakes)).await??)
        }
    };
    Ok(Paced::new(stream, seat, limits.pace))
}

/// Who says nothing waits for nothing: only a handshake that has begun is in line for its turn.
async fn shake_hands(
    socket: TcpStream,
    address: IpAddr,
    config: &watch::Receiver<Arc<rustls::ServerConfig>>,
    handshakes: &Handshakes,
) -> io::Result<TlsStream<TcpStream>> {
    let begun = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
    if !handshakes.turn(address).await {
        return Err(io::Error::other("too many TLS handshakes at a time"));
    }
    let config = Arc::clone(&config.borrow());
    let mut stream = begun.into_stream(config).await?;
    if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS_1) {
        // Nothing is said after this handshake (RFC 8737 §3).
        stream.shutdown().await?;
        return Err(io::Error::other("it came for a challenge"));
    }
    Ok(stream)
}

/// Speaks HTTP/1 on each connection. Its deadlines are those of [`Paced`], so actix's own are off.
fn http_service<A, S, B>(
    app: A,
    stopping: GracefulShutdownSignal,
) -> impl ServiceFactory<(Connection, Option<SocketAddr>), Config = (), Response = (), Error = (), InitError = ()>
where
    A: IntoServiceFactory<S, Request>,
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<B>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    let app = map_config(app.into_factory(), |()| AppConfig::default());
    HttpService::build()
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(LINGER)
        // Not part of actix-http's documented interface, but the way its own server ends idle
        // connections at once when it stops.
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .on_connect_ext(|connection: &Connection, data: &mut Extensions| {
            data.insert(connection.pace());
            if let Some(key) = connection.stream().client_key() {
                data.insert(key);
            }
        })
        .h1(apply_fn_factory(app, |request: Request, app: &S::Service| {
            let (request, pace) = begin(request);
            let answer = app.call(request);
            async move { Ok(end(answer.await, pace)) }
        }))
        .map_err(|error| debug!(%error, "a connection ended in an error"))
}

/// Tells the clock that a head is complete, puts a deadline on the body, and says in the request's
/// extensions if it stands for one that was refused.
fn begin(mut request: Request) -> (Request, Option<Rc<Pace>>) {
    let pace = request.conn_data::<Rc<Pace>>().map(Rc::clone);
    if let Some(pace) = &pace {
        pace.request_began();
        if request.path() == REFUSED_TARGET
            && let Some(refused) = pace.refused()
        {
            request.extensions_mut().insert(refused);
        }
        let body = request.take_payload();
        if !matches!(body, Payload::None) {
            *request.payload() = Payload::Stream { payload: Box::pin(TimedBody::new(body, Rc::clone(pace))) };
        }
    }
    (request, pace)
}

/// Tells the clock that a response is ready, and finishes its head.
fn end<B: MessageBody + 'static>(
    answer: Result<ServiceResponse<B>, actix_web::Error>,
    pace: Option<Rc<Pace>>,
) -> Response<BoxBody> {
    let mut response = match answer {
        Ok(response) => Response::from(response).map_into_boxed_body(),
        Err(error) => Response::from(error.error_response()),
    };
    let head = response.head_mut();
    head.set_camel_case_headers(true);
    if pace.is_some_and(|pace| pace.request_ended() == Afterwards::Close) {
        head.set_connection_type(ConnectionType::Close);
    }
    response
}

#[cfg(test)]
mod tests;
