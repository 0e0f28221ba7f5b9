//! Handshakes: what is on offer, how long they may take, and whose turn it is.

use prometheus::IntCounter;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, SupportedProtocolVersion,
    client::WantsClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::{NoClientAuth, danger::ClientCertVerifier},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;

pub(super) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A server configuration with a certificate of its own, and that certificate.
pub(super) fn configuration() -> (Arc<rustls::ServerConfig>, CertificateDer<'static>) {
    configuration_for(Arc::new(NoClientAuth))
}

/// The same for these clients.
pub(super) fn configuration_for(
    clients: Arc<dyn ClientCertVerifier>,
) -> (Arc<rustls::ServerConfig>, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![String::from("localhost")]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![ALPN.to_vec()];
    (Arc::new(config), cert.der().clone())
}

async fn handshake(
    address: SocketAddr,
    root: &CertificateDer<'static>,
    alpn: &[&[u8]],
) -> io::Result<TlsStream<TcpStream>> {
    handshake_over(TcpStream::connect(address).await?, root, alpn).await
}

async fn handshake_over(
    socket: TcpStream,
    root: &CertificateDer<'static>,
    alpn: &[&[u8]],
) -> io::Result<TlsStream<TcpStream>> {
    let mut config = client_configuration(root, rustls::DEFAULT_VERSIONS).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    handshake_as(socket, Arc::new(config)).await
}

/// A client configuration that trusts this root, up to what the client shows.
pub(super) fn client_configuration(
    root: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
}

pub(super) async fn handshake_as(socket: TcpStream, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), socket).await
}

#[tokio::test]
async fn http_1_1_is_the_only_protocol_on_offer() {
    let (config, root) = configuration();
    let (_sender, receiver) = watch::channel(config);
    let (address, _handle) = start(&Transport::Tls(receiver, Handshakes::new(1000, None)), GENEROUS);
    for alpn in [[].as_slice(), &[b"h2".as_slice(), ALPN]] {
        let mut stream = handshake(address, &root, alpn).await.unwrap();
        stream.write_all(GET_CLOSE).await.unwrap();
        assert!(rest(&mut stream).await.0.contains("\r\nReplay-Nonce: abc\r\n"));
        assert_eq!(stream.get_ref().1.alpn_protocol(), (!alpn.is_empty()).then_some(ALPN));
    }
    assert!(handshake(address, &root, &[b"h2"]).await.is_err(), "h2 alone is not spoken");
}

#[tokio::test]
async fn an_idle_connection_is_closed_with_a_notice() {
    let (config, root) = configuration();
    let (_sender, receiver) = watch::channel(config);
    let (address, _handle) =
        start(&Transport::Tls(receiver, Handshakes::new(1000, None)), with(|pace| pace.idle = SHORT));
    let mut stream = handshake(address, &root, &[ALPN]).await.unwrap();
    stream.write_all(GET).await.unwrap();
    until(&mut stream, "!").await;
    // rustls reports a connection that ends without close_notify as an error.
    assert_eq!(timeout(LONG / 2, stream.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_handshake_that_stalls_or_drips_is_ended() {
    let (config, _) = configuration();
    let (_sender, receiver) = watch::channel(config);
    let mut limits = GENEROUS;
    limits.handshake = SHORT;
    let (address, _handle) = start(&Transport::Tls(receiver, Handshakes::new(1000, None)), limits);
    let since = Instant::now();
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(ended_in_time(since, rest(&mut silent).await), "");
    let since = Instant::now();
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let drip = async {
        let mut ticks = interval(Duration::from_millis(40));
        // The beginning of a record that would take 512 octets.
        for octet in [0x16, 3, 1, 2, 0, 1].into_iter().chain(std::iter::repeat(0)) {
            ticks.tick().await;
            if writer.write_all(&[octet]).await.is_err() {
                break;
            }
        }
    };
    let ended = tokio::select! { ended = rest(&mut reader) => ended, () = drip => rest(&mut reader).await };
    ended_in_time(since, ended);
}

#[tokio::test]
async fn a_crowd_of_handshakes_is_spread_and_a_flood_is_refused_while_silent_peers_take_no_turn() {
    let refused = IntCounter::new("refused", "Refused.").unwrap();
    let (config, root) = configuration();
    let (_sender, receiver) = watch::channel(config);
    // One at once, and one each at half a second and a second.
    let handshakes = Handshakes::new(2, Some(refused.clone()));
    let (address, _handle) = start(&Transport::Tls(receiver, handshakes), GENEROUS);
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let flood = (0..6).map(|_| handshake(address, &root, &[ALPN]));
    let outcomes = futures_util::future::join_all(flood).await;
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    // On a busy machine the flood takes longer, and more of it finds a turn.
    assert!((3..6).contains(&done), "{outcomes:?}");
    assert_eq!(refused.get(), 6 - done as u64);
    let mut stream = handshake(address, &root, &[ALPN]).await.unwrap();
    stream.write_all(GET_CLOSE).await.unwrap();
    assert!(rest(&mut stream).await.0.contains("200 OK"), "the flood is over");
}

#[tokio::test]
async fn a_flood_from_one_address_does_not_keep_another_address_out() {
    let refused = IntCounter::new("refused", "Refused.").unwrap();
    let (config, root) = configuration();
    let (_sender, receiver) = watch::channel(config);
    let handshakes = Handshakes::new(2, Some(refused.clone()));
    let (address, _handle) = start(&Transport::Tls(receiver, handshakes), GENEROUS);
    let other = async {
        // The line is full.
        while refused.get() < 3 {
            tokio::task::yield_now().await;
        }
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        handshake_over(socket.connect(address).await.unwrap(), &root, &[ALPN]).await
    };
    let flood = (0..6).map(|_| handshake(address, &root, &[ALPN]));
    let (flood, other) = tokio::join!(futures_util::future::join_all(flood), other);
    let done = flood.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(other.is_ok(), "{other:?}");
    // On a busy machine the flood takes longer, and more of it finds a turn.
    assert!((2..6).contains(&done), "{flood:?}");
    assert_eq!(refused.get(), 6 - done as u64, "whoever gave its place is counted");
}

#[tokio::test]
async fn a_new_certificate_is_used_from_the_next_handshake_on() {
    let (config, first) = configuration();
    let (sender, receiver) = watch::channel(config);
    let (address, _handle) = start(&Transport::Tls(receiver, Handshakes::new(1000, None)), GENEROUS);
    let mut old = handshake(address, &first, &[ALPN]).await.unwrap();
    let (config, second) = configuration();
    sender.send(config).unwrap();
    assert!(handshake(address, &first, &[ALPN]).await.is_err(), "the first certificate is still in use");
    handshake(address, &second, &[ALPN]).await.unwrap();
    old.write_all(GET_CLOSE).await.unwrap();
    assert!(rest(&mut old).await.0.contains("200 OK"), "connections that are open live on");
}
