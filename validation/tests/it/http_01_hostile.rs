//! http-01: servers that stall, flood, lie or speak another protocol.

use std::time::Duration;

use acme::problem::ProblemKind;
use tokio::time::Instant;
use validation::Settings;

use crate::{
    SENTINEL, assert_failure,
    dns_server::{Answer, DnsServer},
    http_01, key_authorization, settings,
    web_server::{Reply, WebServer, proof, redirect_to, reply},
};

/// What kernel buffers may take of a stream that nobody reads.
const BUFFERED_OCTETS_MAX: u64 = 32 * 1024 * 1024;

/// What must come to an end long before the time for an attempt is over, however busy the machine is.
async fn against(replies: impl Fn(&str) -> Reply + Send + Sync + 'static, kind: ProblemKind, retry: bool, said: &str) {
    within(Duration::from_secs(60), replies, kind, retry, said).await;
}

/// What goes on for ever and is ended by the time for an attempt; enough for a busy machine to get to where it stalls.
async fn until_timeout(replies: impl Fn(&str) -> Reply + Send + Sync + 'static, said: &str) {
    within(Duration::from_secs(4), replies, ProblemKind::Connection, true, said).await;
}

async fn within(
    attempt_timeout: Duration,
    replies: impl Fn(&str) -> Reply + Send + Sync + 'static,
    kind: ProblemKind,
    retry: bool,
    said: &str,
) {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    let web = WebServer::start("127.0.0.1:0", replies).await;
    let settings = Settings { http_port: web.port(), attempt_timeout, ..settings(&dns) };
    let started = Instant::now();
    let result = http_01(settings, "a.test").await;
    assert!(started.elapsed() < Duration::from_secs(50), "{:?}", started.elapsed());
    assert_failure(result, kind, retry, said);
    assert_eq!(web.accepted(), 1);
    assert!(web.taken() < BUFFERED_OCTETS_MAX, "{} octets were taken", web.taken());
}

#[tokio::test]
async fn a_stream_of_ten_gigabytes_is_cut_off_unread() {
    let block = || vec![b'x'; 1024 * 1024];
    let counted =
        move |_: &str| Reply::Endless(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n".to_vec(), block());
    against(counted, ProblemKind::IncorrectResponse, false, "more than 256 octets").await;
    let uncounted = move |_: &str| Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), block());
    against(uncounted, ProblemKind::IncorrectResponse, false, "more than 256 octets").await;
    let chunk = move |_: &str| {
        let chunk = [b"100000\r\n".to_vec(), block(), b"\r\n".to_vec()].concat();
        Reply::Endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), chunk)
    };
    against(chunk, ProblemKind::IncorrectResponse, false, "more than 256 octets").await;
}

#[tokio::test]
async fn the_right_body_with_one_octet_too_many_is_too_large() {
    let body = format!("{}{}", key_authorization().as_str(), " ".repeat(170));
    let uncounted = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
    let counted = move |_: &str| reply(200, "", &body);
    against(counted, ProblemKind::IncorrectResponse, false, "more than 256 octets").await;
    let uncounted = move |_: &str| Reply::Octets(uncounted.clone().into_bytes());
    against(uncounted, ProblemKind::IncorrectResponse, false, "more than 256 octets").await;
    let announced = |_: &str| Reply::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 257\r\n\r\n".to_vec());
    against(announced, ProblemKind::IncorrectResponse, false, "more than 256 octets").await;
}

#[tokio::test]
async fn an_encoded_body_is_refused_unread() {
    for encoding in ["gzip", "br", "zstd", "deflate", "identity, gzip", "SENTINEL-do-not-repeat"] {
        let header = format!("Content-Encoding: {encoding}\r\n");
        let replies = move |_: &str| reply(200, &header, key_authorization().as_str());
        against(replies, ProblemKind::IncorrectResponse, false, "answered 200 with a Content-Encoding").await;
    }
}

#[tokio::test]
async fn a_body_that_drips_ends_with_the_attempt() {
    let said = "answered 200 but did not finish the body in time";
    let drip = |_: &str| Reply::Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 87\r\n\r\n".to_vec());
    until_timeout(drip, said).await;
    let stall = |_: &str| Reply::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 87\r\n\r\nSENTINEL".to_vec());
    until_timeout(stall, said).await;
}

#[tokio::test]
async fn a_header_that_drips_or_never_comes_ends_with_the_attempt() {
    until_timeout(|_| Reply::Stall(Vec::new()), "did not answer in time").await;
    let drip = |_: &str| Reply::Drip(b"HTTP/1.1 200 OK\r\nX-Slow: ".to_vec());
    until_timeout(drip, "did not answer in time").await;
}

#[tokio::test]
async fn a_flood_of_header_fields_is_cut_off() {
    let said = "did not answer with a sound HTTP/1.1 header";
    let fields =
        |_: &str| Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Flood: xxxxxxxxxxxxxxxx\r\n".repeat(4096));
    against(fields, ProblemKind::Connection, false, said).await;
    let one = |_: &str| Reply::Endless(b"HTTP/1.1 200 OK\r\nX-Flood: ".to_vec(), vec![b'x'; 1024 * 1024]);
    against(one, ProblemKind::Connection, false, said).await;
    let large = |_: &str| reply(200, &format!("X-Large: {}\r\n", "x".repeat(20_000)), key_authorization().as_str());
    against(large, ProblemKind::Connection, false, "more than 16 KiB of header fields").await;
}

#[tokio::test]
async fn another_protocol_on_the_port_is_recognised() {
    let said = "if TLS or HTTP/2 is spoken on that port, serve plain HTTP/1.1";
    let tls_alert = |_: &str| Reply::Octets(b"\x15\x03\x01\x00\x02\x02\x46".to_vec());
    against(tls_alert, ProblemKind::Connection, false, said).await;
    let http2_settings = |_: &str| Reply::Octets(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec());
    against(http2_settings, ProblemKind::Connection, false, said).await;
    let http2_preface = |_: &str| Reply::Octets(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec());
    against(http2_preface, ProblemKind::Connection, false, "HTTP/2").await;
    let text = |_: &str| Reply::Octets(format!("220 {SENTINEL} ESMTP\r\n").into_bytes());
    against(text, ProblemKind::Connection, false, said).await;
}

#[tokio::test]
async fn a_real_tls_server_on_the_http_port_is_a_connection_problem() {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    let web = WebServer::start_tls("127.0.0.1:0", |_| proof()).await;
    let result = http_01(Settings { http_port: web.port(), ..settings(&dns) }, "a.test").await;
    let said = "did not answer with a sound HTTP/1.1 header; if TLS or HTTP/2 is spoken on that port";
    assert_failure(result, ProblemKind::Connection, false, said);
}

#[tokio::test]
async fn a_tls_handshake_that_stalls_ends_with_the_dial_timeout() {
    let dns = DnsServer::all_names_at("127.0.0.1").await;
    let web = WebServer::start("127.0.0.1:0", |_| redirect_to("https://a.test/")).await;
    let silent = WebServer::start("127.0.0.1:0", |_| Reply::Stall(Vec::new())).await;
    let ports = Settings {
        http_port: web.port(),
        https_port: silent.port(),
        dial_timeout: Duration::from_secs(3),
        attempt_timeout: Duration::from_secs(60),
        ..settings(&dns)
    };
    let started = Instant::now();
    let result = http_01(ports, "a.test").await;
    assert_failure(result, ProblemKind::Connection, true, "did not complete a connection in time");
    assert!(started.elapsed() < Duration::from_secs(50), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_connection_problem_that_time_may_cure() {
    let said = "closed the connection before it answered";
    against(|_| Reply::Octets(Vec::new()), ProblemKind::Connection, true, said).await;
    let half = |_: &str| Reply::Octets(b"HTTP/1.1 200 OK\r\nContent-Length: 87\r\n\r\nSENTINEL".to_vec());
    against(half, ProblemKind::Connection, true, "broke the connection within the body").await;
}

#[tokio::test]
async fn a_resolver_that_is_silent_ends_with_the_attempt() {
    let dns = DnsServer::start(|_| Answer::Silence).await;
    let hurried =
        Settings { dns_timeout: Duration::from_millis(300), attempt_timeout: Duration::from_secs(4), ..settings(&dns) };
    let started = Instant::now();
    assert_failure(http_01(hurried, "a.test").await, ProblemKind::Dns, true, "the DNS query timed out");
    assert!(started.elapsed() < Duration::from_secs(50), "{:?}", started.elapsed());
}
