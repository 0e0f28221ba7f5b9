//! Requests over TCP to an open responder, and what comes back byte for byte.

use super::*;

/// A test that would wait for ever fails instead.
const PATIENCE: Duration = Duration::from_secs(20);

async fn start() -> (HttpResponder, SocketAddr) {
    let responder = HttpResponder::default();
    let any = "127.0.0.1:0".parse().unwrap();
    let address = responder.listen(any).await.unwrap();
    responder.set_token("token", "token.thumbprint").unwrap();
    (responder, address)
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap()
}

async fn fetch(address: SocketAddr, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: www.example.test\r\n\r\n")).await
}

async fn fetch_behaving(behaviour: Behaviour) -> String {
    let (responder, address) = start().await;
    let path = "/.well-known/acme-challenge/token";
    responder.set_behaviour(path, behaviour).unwrap();
    fetch(address, path).await
}

#[tokio::test]
async fn a_set_token_is_served_and_a_deleted_one_is_not_found() {
    let (responder, address) = start().await;
    let answer = fetch(address, "/.well-known/acme-challenge/token?x=1").await;
    let expected = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
                    Content-Length: 16\r\nConnection: close\r\n\r\ntoken.thumbprint";
    assert_eq!(answer, expected);
    responder.delete_token("token");
    let answer = fetch(address, "/.well-known/acme-challenge/token").await;
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
}

#[tokio::test]
async fn what_was_asked_is_remembered() {
    let (responder, address) = start().await;
    fetch(address, "/elsewhere?x=1").await;
    let seen = responder.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, "GET");
    assert_eq!(seen[0].target, "/elsewhere?x=1");
    assert_eq!(seen[0].host.as_deref(), Some("www.example.test"));
    responder.clear_seen();
    assert!(responder.seen().is_empty());
}

#[tokio::test]
async fn bytes_that_are_no_http_get_400() {
    let (_responder, address) = start().await;
    let answer = exchange(address, "EHLO sandbox\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_redirect_is_followed_by_an_http_client() {
    let (responder, address) = start().await;
    let location = format!("http://{address}/.well-known/acme-challenge/token");
    let status = 307;
    responder.set_behaviour("/from", Behaviour::Redirect { location, status }).unwrap();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(format!("http://{address}/from")).send().await;
    assert_eq!(response.unwrap().text().await.unwrap(), "token.thumbprint");
    assert_eq!(responder.seen().len(), 2);
}

#[tokio::test]
async fn a_status_keeps_the_body() {
    let answer = fetch_behaving(Behaviour::Status { status: 503 }).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\ntoken.thumbprint"), "{answer}");
}

#[tokio::test]
async fn chunks_are_well_formed() {
    let (responder, address) = start().await;
    let path = "/.well-known/acme-challenge/long";
    let content = "0123456789abcdef-rest";
    responder.set_token("long", content).unwrap();
    responder.set_behaviour(path, Behaviour::Chunked).unwrap();
    let answer = fetch(address, path).await;
    let body = "\r\n\r\n10\r\n0123456789abcdef\r\n5\r\n-rest\r\n0\r\n\r\n";
    assert!(answer.contains("Transfer-Encoding: chunked\r\n"));
    assert!(answer.ends_with(body), "{answer}");
}

#[tokio::test]
async fn a_trailing_newline_and_other_content_are_sent() {
    let answer = fetch_behaving(Behaviour::TrailingNewline).await;
    assert!(answer.ends_with("\r\n\r\ntoken.thumbprint\n"), "{answer}");
    let content = "other".to_owned();
    let answer = fetch_behaving(Behaviour::Content { content }).await;
    assert!(answer.ends_with("\r\n\r\nother"), "{answer}");
}

#[tokio::test]
async fn a_huge_body_has_no_length_and_all_its_bytes() {
    let bytes = 1_000_000;
    let answer = fetch_behaving(Behaviour::Huge { bytes }).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.contains("Content-Length"));
    assert_eq!(body.len(), 1_000_000 + "token.thumbprint".len());
}

#[tokio::test]
async fn a_drip_arrives_whole_in_the_end() {
    let interval_millis = 1;
    let answer = fetch_behaving(Behaviour::Drip { interval_millis }).await;
    assert!(answer.ends_with("\r\n\r\ntoken.thumbprint"), "{answer}");
}

#[tokio::test]
async fn a_closed_connection_sends_nothing() {
    assert_eq!(fetch_behaving(Behaviour::Close).await, "");
}

#[tokio::test]
async fn silence_sends_nothing_while_the_connection_lives() {
    let (responder, address) = start().await;
    responder.set_behaviour("/mute", Behaviour::Silence).unwrap();
    let mut mute = TcpStream::connect(address).await.unwrap();
    mute.write_all(b"GET /mute HTTP/1.1\r\n\r\n").await.unwrap();
    let arrived = async {
        while responder.seen().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.unwrap();
    // Others are served meanwhile, and closing the responder is what ends the silent connection.
    assert!(fetch(address, "/").await.starts_with("HTTP/1.1 404 "));
    responder.close(None).await;
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, mute.read_to_end(&mut answer));
    let _ = ended.await.unwrap();
    assert!(answer.is_empty());
}

#[test]
fn a_behaviour_is_set_for_a_path_and_within_its_bounds() {
    let responder = HttpResponder::default();
    assert!(responder.set_behaviour("x", Behaviour::Close).is_err());
    assert!(responder.set_behaviour("/x", Behaviour::Status { status: 99 }).is_err());
    assert!(responder.set_behaviour("/x", Behaviour::Close).is_ok());
}
