//! The sandbox's name server: UDP and TCP on one port (RFC 1035 §4.2), answering from a [`Zone`] that tests and
//! demos change while it runs. It stands in for the outside DNS; it forwards nothing and knows no DNSSEC.

mod answer;
mod owner;
mod zone;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use self::answer::{Transport, answer};
pub(crate) use self::owner::{CaaProperty, Outcome};
pub(crate) use self::zone::{DEFAULT_SUFFIXES, Zone};
use crate::listener::accept;

/// Tries to find one port number that is free for both UDP and TCP when the port is left open.
const BIND_ATTEMPTS_MAX: usize = 32;
/// The largest datagram read; questions are far smaller.
const DATAGRAM_BYTES_MAX: usize = 4_096;
/// How long one TCP connection may live, idle or not.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(30);
/// Questions answered on one TCP connection before it is closed.
const QUESTIONS_PER_CONNECTION_MAX: usize = 128;
/// Pause after a failed receive, so that the loop does not spin.
const RECEIVE_PAUSE: Duration = Duration::from_millis(50);

/// Binds `address` (port 0: any) for UDP and TCP and answers the bound address with the server as a future that
/// never ends by itself; dropping it closes both sockets.
///
/// # Errors
/// The address cannot be bound for both transports.
pub(crate) async fn serve(
    address: SocketAddr,
    zone: Zone,
) -> anyhow::Result<(SocketAddr, impl Future<Output = ()> + Send + 'static)> {
    let (udp, tcp) = bind(address).await?;
    let bound = udp.local_addr().context("the DNS socket has no address")?;
    let server = async move {
        let tcp_zone = zone.clone();
        let connections =
            accept(tcp, CONNECTION_LIFETIME, move |stream, _peer| answer_connection(stream, tcp_zone.clone()));
        tokio::join!(answer_datagrams(Arc::new(udp), zone), connections);
    };
    Ok((bound, server))
}

async fn bind(address: SocketAddr) -> anyhow::Result<(UdpSocket, TcpListener)> {
    let mut attempts_left = BIND_ATTEMPTS_MAX;
    loop {
        attempts_left = attempts_left.saturating_sub(1);
        let udp = UdpSocket::bind(address).await.with_context(|| format!("cannot bind UDP {address} for DNS"))?;
        let bound = udp.local_addr().context("the DNS socket has no address")?;
        match TcpListener::bind(bound).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(_) if address.port() == 0 && attempts_left > 0 => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot bind TCP {bound} for DNS"));
            }
        }
    }
}

async fn answer_datagrams(socket: Arc<UdpSocket>, zone: Zone) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let (request_bytes, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "DNS receive failed");
                tokio::time::sleep(RECEIVE_PAUSE).await;
                continue;
            }
        };
        let request = buffer.get(..request_bytes).unwrap_or_default();
        if let Some(response) = answer(&zone, request, Transport::Udp)
            && let Err(error) = socket.send_to(&response, peer).await
        {
            tracing::debug!(%error, "DNS answer not sent");
        }
    }
}

async fn answer_connection(mut stream: TcpStream, zone: Zone) {
    for _ in 0..QUESTIONS_PER_CONNECTION_MAX {
        if let Err(error) = answer_one_question(&mut stream, &zone).await {
            tracing::trace!(%error, "DNS connection ended");
            return;
        }
    }
}

async fn answer_one_question(stream: &mut TcpStream, zone: &Zone) -> std::io::Result<()> {
    let length = stream.read_u16().await?;
    let mut request = vec![0; usize::from(length)];
    stream.read_exact(&mut request).await?;
    let Some(response) = answer(zone, &request, Transport::Tcp) else {
        return Ok(());
    };
    let length = u16::try_from(response.len()).map_err(std::io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(&response);
    stream.write_all(&framed).await
}

#[cfg(test)]
mod tests;
