//! http-01: which addresses are dialled, in which order, and that no others are.

use std::{net::SocketAddr, time::Duration};

use acme::{challenge::ChallengeKind, problem::ProblemKind};
use hickory_resolver::proto::rr::RecordType;
use tokio::{net::TcpSocket, time::Instant};
use validation::{Settings, Validator};

use crate::{
    assert_failure, attempt,
    dns_server::{Answer, DnsServer, NO_DATA, a},
    http_01, settings, until,
    web_server::{Reply, WebServer, closed_port, proof, redirect_to, reply},
};

#[tokio::test]
async fn loopback_is_not_dialled_unless_it_is_switched_on() {
    let web = WebServer::with_proof().await;
    let dns = DnsServer::names_at(&[("a.test", "127.0.0.1"), ("b.test", "::1")]).await;
    let closed = Settings { http_port: web.port(), danger_allow_loopback: false, ..settings(&dns) };
    let said = "the name resolves to an address that is not dialled; loopback addresses are never dialled";
    assert_failure(http_01(closed.clone(), "a.test").await, ProblemKind::Connection, false, said);
    assert_failure(
        http_01(closed.clone(), "b.test").await,
        ProblemKind::Connection,
        false,
        "resolves to an address that is not dialled; loopback",
    );
    assert_failure(http_01(closed, "127.0.0.1").await, ProblemKind::Connection, false, "not dialled; loopback");
    assert_eq!(web.accepted(), 0);
}

#[tokio::test]
async fn addresses_outside_the_policy_are_refused_by_their_rule() {
    let dns = DnsServer::names_at(&[
        ("metadata.test", "169.254.169.254"),
        ("mapped.test", "::ffff:127.0.0.1"),
        ("nat64.test", "64:ff9b::7f00:1"),
        ("private.test", "10.1.2.3"),
        ("public.test", "8.8.8.8"),
        ("any.test", "0.0.0.0"),
    ])
    .await;
    let table = [
        ("metadata.test", "cloud-metadata addresses are never dialled"),
        ("mapped.test", "embedded-IPv4 addresses are never dialled"),
        ("nat64.test", "embedded-IPv4 addresses are never dialled"),
        ("private.test", "private addresses are dialled only if their network is on the allow list"),
        ("public.test", "public addresses are not dialled by this server"),
        ("any.test", "unspecified addresses are never dialled"),
    ];
    for (name, said) in table {
        assert_failure(http_01(settings(&dns), name).await, ProblemKind::Connection, false, said);
    }
}

#[tokio::test]
async fn a_redirect_does_not_lead_to_what_may_not_be_dialled() {
    let dns = DnsServer::names_at(&[
        ("a.test", "127.0.0.1"),
        ("manager.test", "127.0.0.9"),
        ("metadata.test", "169.254.169.254"),
    ])
    .await;
    let front = WebServer::start("127.0.0.1:0", |_| redirect_to("http://manager.test/")).await;
    let manager = WebServer::start(&format!("127.0.0.9:{}", front.port()), |_| proof()).await;
    let guarded = Settings { http_port: front.port(), never: vec!["127.0.0.9/32".parse().unwrap()], ..settings(&dns) };
    let said = "http://manager.test (redirect 1): the name resolves to an address that is not dialled; own";
    assert_failure(http_01(guarded.clone(), "a.test").await, ProblemKind::Connection, false, said);
    assert_eq!((front.accepted(), manager.accepted()), (1, 0));

    for (location, said) in [
        ("http://127.0.0.9/", "answered 302: the redirect leads to an IP address"),
        ("http://2130706441/", "answered 302: the redirect leads to an IP address"),
        ("http://169.254.169.254/latest/meta-data/", "answered 302: the redirect leads to an IP address"),
        ("http://metadata.test/", "resolves to an address that is not dialled; cloud-metadata"),
        ("https://manager.test/", "resolves to an address that is not dialled; own"),
    ] {
        let front = WebServer::start("127.0.0.1:0", move |_| redirect_to(location)).await;
        let result = http_01(Settings { http_port: front.port(), ..guarded.clone() }, "a.test").await;
        assert_failure(result, ProblemKind::Connection, false, said);
    }
    assert_eq!(manager.accepted(), 0);
}

#[tokio::test]
async fn the_address_that_was_judged_is_the_one_that_is_dialled() {
    let dns = DnsServer::start(|asked| match (asked.kind == RecordType::A, asked.earlier) {
        (false, _) => NO_DATA,
        (true, 0) => Answer::Data(vec![a("127.0.0.1")]),
        (true, _) => Answer::Data(vec![a("127.0.0.9")]),
    })
    .await;
    let web = WebServer::with_proof().await;
    let manager = WebServer::start(&format!("127.0.0.9:{}", web.port()), |_| proof()).await;
    let guarded = Settings { http_port: web.port(), never: vec!["127.0.0.9/32".parse().unwrap()], ..settings(&dns) };
    assert_eq!(http_01(guarded.clone(), "a.test").await.unwrap().target, web.address.to_string());
    assert_eq!(dns.count("a.test", RecordType::A), 1, "one lookup per hop");
    assert_failure(http_01(guarded, "a.test").await, ProblemKind::Connection, false, "own addresses are never dialled");
    assert_eq!((web.accepted(), manager.accepted()), (1, 0));
}

#[tokio::test]
async fn each_hop_is_looked_up_and_judged_anew() {
    let dns = DnsServer::start(|asked| match (asked.kind == RecordType::A, asked.earlier) {
        (false, _) => NO_DATA,
        (true, 0) => Answer::Data(vec![a("127.0.0.1")]),
        (true, _) => Answer::Data(vec![a("127.0.0.9")]),
    })
    .await;
    let web = WebServer::start("127.0.0.1:0", |_| redirect_to("/again")).await;
    let manager = WebServer::start(&format!("127.0.0.9:{}", web.port()), |_| proof()).await;
    let guarded = Settings { http_port: web.port(), never: vec!["127.0.0.9/32".parse().unwrap()], ..settings(&dns) };
    let said = "http://a.test (redirect 1): the name resolves to an address that is not dialled; own";
    assert_failure(http_01(guarded, "a.test").await, ProblemKind::Connection, false, said);
    assert_eq!((web.accepted(), manager.accepted()), (1, 0));
}

#[tokio::test]
async fn a_refused_address_is_passed_over_if_another_one_may_be_dialled() {
    let dns = DnsServer::names_at(&[
        ("a.test", "fe80::1"),
        ("a.test", "169.254.169.254"),
        ("a.test", "127.0.0.1"),
        ("a.test", "127.0.0.9"),
    ])
    .await;
    let web = WebServer::with_proof().await;
    let evidence = http_01(Settings { http_port: web.port(), ..settings(&dns) }, "a.test").await.unwrap();
    assert_eq!(evidence.target, web.address.to_string());
}

#[tokio::test]
async fn ipv6_is_dialled_first() {
    let dns = DnsServer::names_at(&[("a.test", "127.0.0.1"), ("a.test", "::1")]).await;
    let v4 = WebServer::with_proof().await;
    let v6 = WebServer::start(&format!("[::1]:{}", v4.port()), |_| proof()).await;
    let evidence = http_01(Settings { http_port: v4.port(), ..settings(&dns) }, "a.test").await.unwrap();
    assert_eq!((evidence.target, evidence.source.as_str()), (v6.address.to_string(), "::1"));
    assert_eq!((v6.accepted(), v4.accepted()), (1, 0));
}

#[tokio::test]
async fn an_ipv6_address_that_refuses_gives_way_to_one_ipv4_address() {
    let dns = DnsServer::names_at(&[("a.test", "::1"), ("a.test", "127.0.0.1"), ("a.test", "127.0.0.2")]).await;
    let web = WebServer::with_proof().await;
    let evidence = http_01(Settings { http_port: web.port(), ..settings(&dns) }, "a.test").await.unwrap();
    assert_eq!(evidence.target, web.address.to_string());

    let (closed, _sockets) = closed_port();
    let result = http_01(Settings { http_port: closed, ..settings(&dns) }, "a.test").await;
    let said = format!("[::1]:{closed} refused the connection, then 127.0.0.1:{closed} refused the connection");
    assert_failure(result, ProblemKind::Connection, true, &said);
}

#[tokio::test]
async fn an_answer_over_ipv6_is_final() {
    let dns = DnsServer::names_at(&[("a.test", "::1"), ("a.test", "127.0.0.1")]).await;
    let v4 = WebServer::with_proof().await;
    let v6 = WebServer::start(&format!("[::1]:{}", v4.port()), |_| reply(404, "", "")).await;
    let result = http_01(Settings { http_port: v4.port(), ..settings(&dns) }, "a.test").await;
    let said = format!("{} answered 404", v6.address);
    assert_failure(result, ProblemKind::IncorrectResponse, true, &said);
    assert_eq!(v4.accepted(), 0);
}

#[tokio::test]
async fn an_ipv6_address_that_never_answers_leaves_half_of_the_time_to_ipv4() {
    let dns = DnsServer::names_at(&[("a.test", "::1"), ("a.test", "127.0.0.1")]).await;
    let web = WebServer::with_proof().await;
    let (_listener, _connections) = silent_listener(SocketAddr::new("::1".parse().unwrap(), web.port())).await;
    let hurried = Settings {
        http_port: web.port(),
        dial_timeout: Duration::from_secs(60),
        attempt_timeout: Duration::from_secs(8),
        ..settings(&dns)
    };
    let started = Instant::now();
    let evidence = http_01(hurried, "a.test").await.unwrap();
    assert_eq!(evidence.target, web.address.to_string());
    assert!(started.elapsed() > Duration::from_secs(3), "IPv6 was given its time: {:?}", started.elapsed());
}

/// A listener whose queue is full, so that the kernel drops whoever else wants to connect.
async fn silent_listener(address: SocketAddr) -> (tokio::net::TcpListener, Vec<tokio::net::TcpStream>) {
    let socket = TcpSocket::new_v6().unwrap();
    socket.bind(address).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut connections = Vec::new();
    for _ in 0..16 {
        let connecting = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_secs(2), connecting).await {
            Ok(connection) => connections.push(connection.unwrap()),
            Err(_) => return (listener, connections),
        }
    }
    panic!("the queue never filled");
}

#[tokio::test]
async fn attempts_at_one_network_take_turns_and_those_at_others_do_not_wait() {
    let dns = DnsServer::names_at(&[("a.test", "127.0.0.1"), ("b.test", "127.0.0.2"), ("c.test", "127.0.1.1")]).await;
    // Ten octets in half a second for the first, the proof at once for the others.
    let web = WebServer::start("0.0.0.0:0", |head| match head.contains("ost: a.test\r\n") {
        true => Reply::Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n".to_vec()),
        false => proof(),
    })
    .await;
    let limited = Settings { http_port: web.port(), concurrent_per_network_max: 1, ..settings(&dns) };
    let validator = Validator::new(limited).unwrap();
    let attempt = async |name: &str| attempt(&validator, ChallengeKind::Http01, name).await;
    let others = async {
        until(|| web.accepted() == 1).await;
        let elsewhere = async {
            attempt("c.test").await.unwrap();
            assert_eq!(web.accepted(), 2, "the second of the same network waits");
        };
        tokio::join!(attempt("b.test"), elsewhere).0
    };
    let (first, second) = tokio::join!(attempt("a.test"), others);
    first.unwrap_err();
    second.unwrap();
    assert_eq!(web.accepted(), 3);
}

/// The environment is that of a process, so other tests run again in a process of their own.
#[test]
fn proxies_of_the_environment_are_not_used() {
    let tests = [
        "http_01::the_request_is_the_one_of_the_rfc_and_nothing_more",
        "http_01_redirects::a_chain_over_names_and_schemes_is_followed_to_any_certificate",
    ];
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    for scheme in ["http", "https", "all"] {
        let variable = format!("{scheme}_proxy");
        // Nobody listens on the discard port: who dials the proxy fails.
        again.env(variable.to_uppercase(), "http://127.0.0.1:9").env(variable, "http://127.0.0.1:9");
    }
    let output = again.arg("--exact").args(tests).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(&format!("{} passed", tests.len())), "{said}");
}
