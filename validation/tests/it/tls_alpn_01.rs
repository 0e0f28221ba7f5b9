//! tls-alpn-01 against real TLS servers (RFC 8737, RFC 8738 §6).

use std::time::{Duration, Instant};

use acme::{challenge::ChallengeKind, identifier::DnsName, problem::ProblemKind};
use rcgen::KeyPair;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use validation::{Failure, Settings, Validator};

use crate::{
    Evidence, assert_failure, attempt,
    dns_server::{DnsServer, NX_DOMAIN},
    http_01, key_authorization, settings,
    tls_server::{Manner, Seen, TlsServer, params, right, tls},
};

const ACME: &[&[u8]] = &[b"acme-tls/1"];

async fn tls_alpn_01(settings: Settings, identifier: &str) -> Result<Evidence, Failure> {
    attempt(&Validator::new(settings).unwrap(), ChallengeKind::TlsAlpn01, identifier).await
}

/// One attempt at `a.test` on a server of this manner.
async fn against(manner: Manner) -> (Result<Evidence, Failure>, TlsServer) {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    let server = TlsServer::start("127.0.0.1:0", manner).await;
    let result = tls_alpn_01(Settings { tls_port: server.address.port(), ..settings(&dns) }, "a.test").await;
    (result, server)
}

#[tokio::test]
async fn the_right_certificate_proves_the_name_over_both_versions_of_tls() {
    for version in [&TLS12, &TLS13] {
        let key = KeyPair::generate().unwrap();
        let right = params(&["a.test"], Some(key_authorization().digest()));
        let (result, server) = against(tls(&right, &key, &key, ACME, &[version])).await;
        let evidence = result.unwrap();
        assert_eq!((evidence.target, evidence.source.as_str()), (server.address.to_string(), "127.0.0.1"));
        let expected =
            Seen { server_name: Some("a.test".to_owned()), protocols: vec!["acme-tls/1".to_owned()], data: 0 };
        crate::until(|| server.seen().len() == 1).await;
        assert_eq!(server.seen(), [expected], "nothing but the handshake, for nothing but the challenge");
    }
}

#[tokio::test]
async fn our_own_address_is_dialled_for_our_own_names_and_for_no_others() {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    let server = TlsServer::start("127.0.0.1:0", right("a.test")).await;
    let own = vec!["127.0.0.1/32".parse().unwrap()];
    let with_names = |own_names| {
        let tls_port = server.address.port();
        Settings { tls_port, http_port: tls_port, own: own.clone(), own_names, ..settings(&dns) }
    };
    let refused = "the name resolves to an address that is not dialled; own addresses are never dialled";
    let result = tls_alpn_01(with_names(vec![DnsName::parse("b.test").unwrap()]), "a.test").await;
    assert_failure(result, ProblemKind::Connection, false, refused);
    let ours = with_names(vec![DnsName::parse("a.test").unwrap()]);
    let result = http_01(ours.clone(), "a.test").await;
    assert_failure(result, ProblemKind::Connection, false, refused);
    assert_eq!(server.seen(), [], "nothing was dialled");
    assert_eq!(tls_alpn_01(ours, "a.test").await.unwrap().target, server.address.to_string());
}

#[tokio::test]
async fn every_common_kind_of_key_is_taken() {
    for algorithm in
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256]
    {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let right = params(&["a.test"], Some(key_authorization().digest()));
        let (result, _server) = against(tls(&right, &key, &key, ACME, &[&TLS12, &TLS13])).await;
        assert!(result.is_ok(), "{algorithm:?}: {result:?}");
    }
}

#[tokio::test]
async fn an_address_is_proven_under_its_reverse_name_without_any_dns() {
    for (address, reverse) in [
        ("127.0.0.1", "1.0.0.127.in-addr.arpa"),
        ("::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa"),
    ] {
        let dns = DnsServer::start(|_| NX_DOMAIN).await;
        let listen = if address.contains(':') { "[::1]:0" } else { "127.0.0.1:0" };
        let server = TlsServer::start(listen, right(address)).await;
        let result = tls_alpn_01(Settings { tls_port: server.address.port(), ..settings(&dns) }, address).await;
        assert_eq!(result.unwrap().target, server.address.to_string());
        crate::until(|| server.seen().len() == 1).await;
        assert_eq!(server.seen()[0].server_name.as_deref(), Some(reverse));
        assert_eq!(dns.asked().len(), 0);
    }
}

#[tokio::test]
async fn a_certificate_that_is_no_answer_is_final_and_says_what_is_wrong_with_it() {
    let digest = Some(key_authorization().digest());
    let digest_text: String = key_authorization().digest().iter().map(|octet| format!("{octet:02x}")).collect();
    for (names, digest, part) in [
        (vec!["a.test"], None, "it has no acmeIdentifier extension"),
        (vec!["a.test"], Some([1; 32]), digest_text.as_str()),
        (vec!["a.test", "b.test"], digest, "it has 2 subject alternative names"),
        (vec!["b.test"], digest, "its subject alternative name is not a.test"),
        (vec![], digest, "it has no subject alternative name"),
    ] {
        let key = KeyPair::generate().unwrap();
        let (result, server) = against(tls(&params(&names, digest), &key, &key, ACME, &[&TLS13])).await;
        assert_failure(result.clone(), ProblemKind::IncorrectResponse, false, part);
        assert_failure(result, ProblemKind::IncorrectResponse, false, &server.address.to_string());
    }
}

#[tokio::test]
async fn a_server_that_does_not_negotiate_the_protocol_may_learn_it_yet() {
    let key = KeyPair::generate().unwrap();
    let right = params(&["a.test"], Some(key_authorization().digest()));
    let (none, _server) = against(tls(&right, &key, &key, &[], &[&TLS13])).await;
    assert_failure(none, ProblemKind::IncorrectResponse, true, "did not negotiate acme-tls/1");
    let (other, _server) = against(tls(&right, &key, &key, &[b"h2", b"http/1.1"], &[&TLS13])).await;
    assert_failure(other, ProblemKind::Tls, true, "it does not speak acme-tls/1");
}

#[tokio::test]
async fn whoever_shows_a_certificate_must_hold_its_key() {
    for version in [&TLS12, &TLS13] {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let right = params(&["a.test"], Some(key_authorization().digest()));
        let (result, _server) = against(tls(&right, &key, &other, ACME, &[version])).await;
        assert_failure(result, ProblemKind::Tls, true, "the TLS handshake with 127.0.0.1");
    }
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_is_a_tls_problem_and_is_not_quoted() {
    let (result, _server) = against(Manner::Octets(b"HTTP/1.1 400 SENTINEL-do-not-repeat\r\n\r\n")).await;
    assert_failure(result, ProblemKind::Tls, true, "the TLS handshake with 127.0.0.1");
    let (result, _server) = against(Manner::Octets(b"")).await;
    assert_failure(result, ProblemKind::Connection, true, "during the TLS handshake");
}

#[tokio::test]
async fn a_peer_that_stays_silent_ends_with_the_attempt() {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    let server = TlsServer::start("127.0.0.1:0", Manner::Silence).await;
    let quick = Settings { tls_port: server.address.port(), attempt_timeout: Duration::from_secs(3), ..settings(&dns) };
    let start = Instant::now();
    assert_failure(
        tls_alpn_01(quick, "a.test").await,
        ProblemKind::Connection,
        true,
        "did not complete the TLS handshake in time",
    );
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
}

#[tokio::test]
async fn ipv6_is_dialled_first_and_gives_way_to_one_ipv4_address() {
    let dns = DnsServer::names_at(&[("a.test", "::1"), ("a.test", "127.0.0.1"), ("a.test", "127.0.0.2")]).await;
    let v4 = TlsServer::start("127.0.0.1:0", right("a.test")).await;
    let port = v4.address.port();
    let both = Settings { tls_port: port, ..settings(&dns) };
    assert_eq!(tls_alpn_01(both.clone(), "a.test").await.unwrap().target, v4.address.to_string(), "nothing on ::1");
    let v6 = TlsServer::start(&format!("[::1]:{port}"), right("a.test")).await;
    assert_eq!(tls_alpn_01(both.clone(), "a.test").await.unwrap().target, v6.address.to_string());
    assert_eq!((v4.accepted(), v6.accepted()), (1, 1));
}

#[tokio::test]
async fn a_handshake_that_fails_over_ipv6_is_not_tried_over_ipv4() {
    let dns = DnsServer::names_at(&[("a.test", "::1"), ("a.test", "127.0.0.1")]).await;
    let v6 = TlsServer::start("[::1]:0", right("b.test")).await;
    let v4 = TlsServer::start(&format!("127.0.0.1:{}", v6.address.port()), right("a.test")).await;
    let result = tls_alpn_01(Settings { tls_port: v6.address.port(), ..settings(&dns) }, "a.test").await;
    assert_failure(result, ProblemKind::IncorrectResponse, false, &v6.address.to_string());
    assert_eq!(v4.accepted(), 0);
}

#[tokio::test]
async fn addresses_outside_the_policy_are_not_dialled() {
    let dns = DnsServer::names_at(&[("a.test", "169.254.169.254")]).await;
    let result = tls_alpn_01(settings(&dns), "a.test").await;
    assert_failure(result, ProblemKind::Connection, false, "cloud-metadata addresses are never dialled");
    let result = tls_alpn_01(settings(&dns), "10.0.0.1").await;
    assert_failure(result, ProblemKind::Connection, false, "private addresses are dialled only if");
}

#[tokio::test]
async fn a_wildcard_is_not_proven_by_a_server() {
    let dns = DnsServer::start(|_| NX_DOMAIN).await;
    let result = tls_alpn_01(settings(&dns), "*.a.test").await;
    assert_failure(result, ProblemKind::ServerInternal, false, "tls-alpn-01 cannot prove control of *.a.test");
    assert_eq!(dns.asked().len(), 0);
}
