//! The ACME listener: the routes, dressed, on the configured addresses.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_server::Server;
use actix_web::{App as Web, middleware::from_fn, web};
use anyhow::Context as _;
use rustls::ServerConfig;
use tokio::{net::TcpSocket, sync::watch};

use acme::problem::ProblemKind;

use super::{
    HttpError,
    connection::{PaceLimits, Peers},
    headers::dress,
    load::Load,
    open_files::connections_within_limit,
    router::routes,
    server::{Handshakes, Limits, Transport, serve},
};
use crate::{app::Current, settings::Settings};

/// Connections that wait to be accepted, at most; the kernel may allow less.
const BACKLOG: u32 = 1024;

/// Listens for ACME over HTTPS. Another TLS configuration sent to `tls` holds for every handshake
/// from then on.
pub(crate) fn listen(current: &Current, tls: watch::Receiver<Arc<ServerConfig>>) -> anyhow::Result<Server> {
    let app = current.app();
    let settings = &app.settings.server;
    let listeners =
        settings.listen.iter().map(|address| bind(*address, &settings.listen)).collect::<Result<Vec<_>, _>>()?;
    let data = web::Data::new(current.clone());
    let load = web::Data::new(Load::new(settings.requests_in_hand_max));
    let limits_now = current.clone();
    let peers = Peers::new(settings.connections_per_address_max, Some(app.metrics.connections_refused.clone()))
        .exempting(move |address| limits_now.app().limits.is_exempt(address));
    let make = move || {
        let no_such_path = |_, _: &_| HttpError::new(ProblemKind::NotFound, "there is nothing at this URL").into();
        let bad_query =
            |_, _: &_| HttpError::malformed("the query of this URL is not one that this server gave out").into();
        Web::new()
            .app_data(data.clone())
            .app_data(load.clone())
            .app_data(web::PathConfig::default().error_handler(no_such_path))
            .app_data(web::QueryConfig::default().error_handler(bad_query))
            .wrap(from_fn(dress))
            .configure(routes)
    };
    let handshakes = Handshakes::new(settings.handshakes_per_second_max, Some(app.metrics.handshakes_refused.clone()));
    Ok(serve(listeners, &Transport::Tls(tls, handshakes), limits(&app.settings), &peers, make)?)
}

fn bind(address: SocketAddr, all: &[SocketAddr]) -> anyhow::Result<TcpListener> {
    let fix = "choose another address, or see who has the port with: ss -ltnp";
    let bound = if leaves_ipv4(address, all) { bind_ipv6_alone(address) } else { TcpListener::bind(address) };
    bound.with_context(|| format!("server.listen: cannot listen on {address}; {fix}"))
}

/// Linux takes IPv4 at `[::]` too. Where an IPv4 address with this port is named beside it, that would be in its own way.
fn leaves_ipv4(address: SocketAddr, all: &[SocketAddr]) -> bool {
    let is_beside = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
    address.is_ipv6() && address.ip().is_unspecified() && all.iter().any(is_beside)
}

fn bind_ipv6_alone(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    // As the standard library does: what an earlier process left behind takes the port from nobody.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// What else needs open files: each validation a connection and a question to a resolver, then the
/// CM, the store, the log.
fn open_files_elsewhere(settings: &Settings) -> usize {
    const CM_AND_STORE: usize = 128;
    settings.validation.concurrent_max.saturating_mul(2).saturating_add(CM_AND_STORE)
}

fn limits(settings: &Settings) -> Limits {
    let others = open_files_elsewhere(settings);
    let settings = &settings.server;
    let connections_max = connections_within_limit(settings.connections_max, others);
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if settings.workers == 0 { processors() } else { settings.workers };
    Limits {
        workers,
        connections_per_worker_max: connections_max.div_ceil(workers),
        handshake: settings.handshake_timeout.duration(),
        shutdown: settings.shutdown_timeout.duration(),
        pace: PaceLimits {
            head: settings.head_timeout.duration(),
            body: settings.body_timeout.duration(),
            idle: settings.keep_alive.duration(),
            write: settings.write_timeout.duration(),
            lifetime: settings
                .connection_lifetime
                .duration()
                .max(settings.keep_alive.duration() + Duration::from_secs(1)),
            requests_max: settings.requests_per_connection_max,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::from_text;

    const LEAST: &str =
        "server.external_url = 'https://acme.example.com'\ncm.url = 'https://cm.example.net:9443'\n[endpoints.a]\n";

    #[test]
    fn all_of_ipv6_leaves_ipv4_to_an_address_that_is_named_beside_it() {
        for (listen, expected) in [
            (vec!["[::]:443"], [false].as_slice()),
            (vec!["0.0.0.0:443", "[::]:443"], &[false, true]),
            (vec!["[::]:443", "127.0.0.1:443"], &[true, false]),
            (vec!["0.0.0.0:8443", "[::]:443", "[::1]:8443"], &[false, false, false]),
        ] {
            let all: Vec<SocketAddr> = listen.iter().map(|address| address.parse().unwrap()).collect();
            let found: Vec<_> = all.iter().map(|address| leaves_ipv4(*address, &all)).collect();
            assert_eq!(found, expected, "{listen:?}");
        }
    }

    /// Where the machine has no IPv6 there is nothing to see.
    #[tokio::test]
    async fn a_listener_for_ipv6_alone_is_one() {
        if let Ok(listener) = bind_ipv6_alone("[::]:0".parse().unwrap()) {
            assert!(rustix::net::sockopt::ipv6_v6only(&listener).unwrap());
        }
    }

    #[test]
    fn by_default_clients_have_the_time_that_they_need_and_no_more() {
        let limits = limits(&from_text(LEAST).unwrap());
        let pace = limits.pace;
        assert!(pace.idle >= Duration::from_secs(60), "clients wait a minute and expect the connection to be there");
        assert!(pace.lifetime > pace.idle && pace.lifetime <= Duration::from_secs(120) && pace.requests_max == 100);
        assert!(limits.handshake <= Duration::from_secs(5) && pace.head <= Duration::from_secs(10));
        assert!(pace.body <= Duration::from_secs(30) && pace.write <= Duration::from_secs(30));
    }

    #[test]
    fn a_connection_that_may_idle_longer_than_it_may_live_answers_at_least_once_before_it_ends() {
        let text = format!("server.keep_alive_secs = 75\nserver.connection_lifetime_secs = 10\n{LEAST}");
        let pace = limits(&from_text(&text).unwrap()).pace;
        assert_eq!(pace.lifetime, Duration::from_secs(76));
    }
}
