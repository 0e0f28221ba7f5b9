//! tls-alpn-01: a certificate made for the challenge, shown in a TLS handshake that negotiates
//! `acme-tls/1` (RFC 8737; RFC 8738 §6 for addresses).
//!
//! Nothing but the handshake happens: no request is sent and nothing is read. The name or address
//! is dialled like that of an http-01 challenge, and there are no redirects.

pub(crate) mod certificate;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use acme::{challenge::KeyAuthorization, identifier::Identifier, problem::ProblemKind, problem::shown};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use self::certificate::Flaw;
use crate::{
    Failure, Parts, Reached,
    dial::{self, Candidates, NO_TURN},
    egress::Dialable,
    observation::{self, Observation, ms_since, note},
    source, tls,
};

/// The protocol that has to be negotiated (RFC 8737 §6.2).
const ACME_TLS_1: &[u8] = b"acme-tls/1";
/// How long saying good-bye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Why there is no certificate. The texts are for clients: they continue "`address:port` …".
enum Missed {
    /// No connection came about; another address may do.
    NotConnected(&'static str),
    /// Connected, but the handshake did not end in time or was broken off.
    Broken(&'static str),
    /// The other side does not speak TLS, or refused the handshake.
    Tls(String),
    /// The handshake went well without the protocol of the challenge.
    Protocol,
    /// Our own fault.
    Internal,
}

/// Shakes hands and looks at the certificate.
pub(crate) async fn validate(
    parts: &Parts,
    identifier: &Identifier,
    key_authorization: &KeyAuthorization,
    deadline: Instant,
) -> Result<Reached, Failure> {
    let label = format!("tls-alpn-01 for {identifier}");
    let (shown, address) = reach(parts, identifier, &label, deadline).await?;
    tracing::info!(%identifier, %address, certificates = shown.len(), "tls-alpn-01 handshake");
    let expected = certificate::Expected { identifier, digest: key_authorization.digest() };
    let judged = shown.first().map(|certificate| certificate::check(certificate, &expected));
    note(|| Observation::Judgement {
        subject: format!("the certificate of {address}"),
        flaw: match &judged {
            Some(Ok(())) => None,
            Some(Err(Flaw::Digest(_))) => {
                Some(String::from("its acmeIdentifier is not the digest of the key authorization"))
            }
            Some(Err(flaw)) => Some(observation::text(&flaw.to_string())),
            None => Some(String::from("there is none")),
        },
    });
    match judged {
        Some(Ok(())) => {
            Ok(Reached { source: source::towards(address), target: address.to_string(), reusable_until: None })
        }
        Some(Err(flaw)) => Err(Failure::lasting(
            ProblemKind::IncorrectResponse,
            format!("{label}: {address} showed a certificate that does not answer the challenge: {flaw}"),
        )),
        None => {
            Err(Failure::lasting(ProblemKind::IncorrectResponse, format!("{label}: {address} showed no certificate")))
        }
    }
}

/// Shakes hands with the one or two addresses of the identifier.
async fn reach(
    parts: &Parts,
    identifier: &Identifier,
    label: &str,
    deadline: Instant,
) -> Result<(Vec<CertificateDer<'static>>, SocketAddr), Failure> {
    // Nothing but a handshake is asked of our own listener, and it answers its own challenges only.
    let is_ours = matches!(identifier, Identifier::Dns(name) if parts.settings.own_names.contains(name));
    let egress = if is_ours { &parts.egress_to_ourselves } else { &parts.egress };
    let candidates = dial::candidates(parts, egress, identifier, label, deadline).await?;
    let config = tls::with_challenge_protocol(ACME_TLS_1).map_err(|_| missed(label, "", None, Missed::Internal))?;
    let config = Arc::new(config);
    let address = |dialable: Dialable| SocketAddr::new(dialable.address(), parts.settings.tls_port);
    let ask = async |dialable: Dialable, dial_timeout: Duration| {
        let _turn = dial::turn(parts, address(dialable), deadline).await.ok_or(Missed::Broken(NO_TURN))?;
        shake_hands(&config, identifier, address(dialable), dial_timeout, deadline).await
    };
    let first = candidates.first;
    match (ask(first, candidates.first_timeout(parts, deadline)).await, candidates.second) {
        (Ok(shown), _) => Ok((shown, address(first))),
        (Err(Missed::NotConnected(reason)), Some(second)) => {
            let before = format!("{} {reason}, then ", address(first));
            let answer = ask(second, Candidates::second_timeout(parts, deadline)).await;
            let answer = answer.map(|shown| (shown, address(second)));
            answer.map_err(|why| missed(label, &before, Some(address(second)), why))
        }
        (Err(why), _) => Err(missed(label, "", Some(address(first)), why)),
    }
}

/// One connection: its certificates, the server's own first.
async fn shake_hands(
    config: &Arc<ClientConfig>,
    identifier: &Identifier,
    address: SocketAddr,
    dial_timeout: Duration,
    deadline: Instant,
) -> Result<Vec<CertificateDer<'static>>, Missed> {
    let name = ServerName::try_from(server_name(identifier)).map_err(|_| Missed::Internal)?;
    let started = Instant::now();
    let connected = match timeout(dial_timeout, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(not_connected(error.kind())),
        Err(_) => Err("did not complete a connection in time"),
    };
    note(|| {
        let failure = connected.as_ref().err().map(|reason| String::from(*reason));
        Observation::Dial { address, failure, ms: ms_since(started) }
    });
    let stream = connected.map_err(Missed::NotConnected)?;
    let started = Instant::now();
    let handshake = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    let shaken = match timeout_at(deadline, handshake).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(broken(&error)),
        Err(_) => Err(Missed::Broken("did not complete the TLS handshake in time")),
    };
    note(|| told(address, &shaken, ms_since(started)));
    let mut stream = shaken?;
    let (_, connection) = stream.get_ref();
    let negotiated = connection.alpn_protocol() == Some(ACME_TLS_1);
    let certificates = connection.peer_certificates().unwrap_or_default();
    let certificates: Vec<_> = certificates.iter().map(|certificate| certificate.clone().into_owned()).collect();
    // Whether the other side takes the good-bye proves nothing.
    let _closed = timeout(CLOSE_TIMEOUT, stream.shutdown()).await;
    if negotiated { Ok(certificates) } else { Err(Missed::Protocol) }
}

/// One handshake, for operators.
fn told(address: SocketAddr, shaken: &Result<TlsStream<TcpStream>, Missed>, ms: u64) -> Observation {
    let (protocol, failure) = match shaken {
        Ok(stream) => (stream.get_ref().1.alpn_protocol(), None),
        Err(Missed::Broken(reason) | Missed::NotConnected(reason)) => (None, Some(observation::text(reason))),
        Err(Missed::Tls(reason)) => (None, Some(observation::text(reason))),
        Err(Missed::Protocol | Missed::Internal) => (None, Some(String::from("the handshake could not be made"))),
    };
    let protocol = protocol.map(|protocol| observation::text(&String::from_utf8_lossy(protocol)));
    Observation::Handshake { address, protocol, failure, ms }
}

/// The server name to ask for: the name itself, or the reverse-mapping name of an address
/// (RFC 8738 §6, RFC 1034 §5.2.1, RFC 3596 §2.5).
fn server_name(identifier: &Identifier) -> String {
    match identifier {
        Identifier::Dns(name) | Identifier::Wildcard(name) => name.to_string(),
        Identifier::Ip(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Identifier::Ip(IpAddr::V6(address)) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 0xf, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

fn not_connected(kind: io::ErrorKind) -> &'static str {
    if kind == io::ErrorKind::TimedOut {
        "did not complete a connection in time"
    } else if kind == io::ErrorKind::ConnectionRefused {
        "refused the connection"
    } else if kind == io::ErrorKind::ConnectionReset {
        "reset the connection"
    } else {
        "could not be reached"
    }
}

fn broken(error: &io::Error) -> Missed {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)) => {
            Missed::Tls(String::from("it does not speak acme-tls/1 (alert no_application_protocol)"))
        }
        Some(tls) => Missed::Tls(shown(&tls.to_string()).into_owned()),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            Missed::Broken("closed the connection during the TLS handshake")
        }
        None => Missed::Broken("broke the connection during the TLS handshake"),
    }
}

/// A server that is about to learn its answer refuses the protocol until then, so only what the
/// certificate says is final.
fn missed(label: &str, before: &str, address: Option<SocketAddr>, why: Missed) -> Failure {
    let address = address.map_or_else(String::new, |address| address.to_string());
    match why {
        Missed::NotConnected(reason) | Missed::Broken(reason) => {
            Failure::passing(ProblemKind::Connection, format!("{label}: {before}{address} {reason}"))
        }
        Missed::Tls(reason) => Failure::passing(
            ProblemKind::Tls,
            format!("{label}: {before}the TLS handshake with {address} failed: {reason}"),
        ),
        Missed::Protocol => Failure::passing(
            ProblemKind::IncorrectResponse,
            format!("{label}: {before}{address} did not negotiate acme-tls/1; it answers no tls-alpn-01 challenge"),
        ),
        Missed::Internal => {
            Failure::passing(ProblemKind::ServerInternal, format!("{label}: the handshake could not be made"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_asked_for_by_their_reverse_names() {
        let asked = |text: &str| server_name(&Identifier::parse_ip(text).unwrap());
        assert_eq!(asked("192.0.2.7"), "7.2.0.192.in-addr.arpa");
        assert_eq!(
            asked("2001:db8::1"),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            "the example of RFC 8738 section 6"
        );
        assert_eq!(server_name(&Identifier::parse_dns("A.test").unwrap()), "a.test");
    }
}
