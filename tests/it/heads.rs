//! Requests that are no sound HTTP (RFC 9112 §2 to §6): refused in the words of ACME, and never understood in two ways.

use tests::{
    client::JOSE,
    http::{Connection, request},
    response::Response,
};

use crate::world;

/// One answer to octets as they are, and the connection it came over.
fn answer(octets: &[u8], method: &str) -> (Response, Connection) {
    let mut connection = world().site().connect();
    // The server may have answered and closed before everything is sent.
    let _sent = connection.send(octets);
    (
        connection.receive(method).unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(octets))),
        connection,
    )
}

/// The octets are refused as they should be.
#[track_caller]
fn assert_refused(octets: &[u8], about: &str) -> Connection {
    let (response, connection) = answer(octets, "GET");
    let shown: String = String::from_utf8_lossy(octets).chars().take(200).collect();
    let detail = response.assert_problem(400, "malformed");
    assert!(detail.contains(about), "{detail} is not about {about}: {shown:?}");
    assert_eq!(response.header("connection"), Some("close"), "{shown:?}");
    let nonces = response.all("replay-nonce").count();
    assert_eq!(nonces, usize::from(octets.starts_with(b"POST ")), "{response:?}");
    connection
}

fn post(path: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}").into_bytes()
}

#[test]
fn what_is_no_http_is_refused_with_a_problem_document() {
    let garbage: [&[u8]; 7] = [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"\x00\x00\x00\x00",
        b"GET /acme/open/directory\r\nHost: localhost\r\n\r\n",
        b"GET /acme/open/directory HTTP/2.0\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"{\"protected\":\"\",\"payload\":\"\",\"signature\":\"\"}\r\n\r\n",
    ];
    for octets in garbage {
        let _ = assert_refused(octets, "RFC 9112");
    }
    let _ = assert_refused(b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", "proxy");
    let _ = assert_refused(b"GET /acme/open/directory HTTP/1.1\r\n\r\n", "Host");
    let _ = assert_refused(b"POST /acme/open/new-order HTTP/1.0\r\n\r\n", "Content-Length");
}

#[test]
fn wrong_octets_in_header_fields_are_refused() {
    for field in ["X: a\0b", "X : a", "X\x7f: a", ": a", "X: a\r\n folded", "\x01X: a", "no colon"] {
        let _ = assert_refused(&post("/acme/open/new-order", &format!("{field}\r\n"), ""), "header fields");
    }
}

#[test]
fn doubled_fields_and_two_ways_to_end_a_body_are_refused() {
    let path = "/acme/open/new-order";
    let table = [
        ("Host: localhost\r\n", "Host"),
        ("Host: elsewhere.test\r\n", "Host"),
        ("Content-Length: 2\r\nContent-Length: 2\r\n", "Content-Length"),
        ("Content-Length: 2\r\nContent-Length: 3\r\n", "Content-Length"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding"),
        ("Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding"),
        ("Content-Type: application/jose+json\r\ncontent-type: application/jose+json\r\n", "Content-Type"),
        ("Content-Length: -1\r\n", "Content-Length"),
        ("Content-Length: 2, 2\r\n", "Content-Length"),
    ];
    for (fields, about) in table {
        let _ = assert_refused(&post(path, fields, "{}"), about);
    }
}

#[test]
fn a_request_hidden_in_a_refused_one_is_not_answered() {
    let hidden = "GET /acme/open/directory HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let both = format!("Content-Type: {JOSE}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n");
    let octets = post("/acme/open/new-order", &both, &format!("0\r\n\r\n{hidden}"));
    let rest = assert_refused(&octets, "Transfer-Encoding").receive_rest().unwrap_or_default();
    assert!(rest.is_empty(), "something else was answered: {:?}", String::from_utf8_lossy(&rest));
}

#[test]
fn heads_that_are_too_long_are_refused() {
    let long = "x".repeat(17 * 1024);
    let _ = assert_refused(&post("/acme/open/new-order", &format!("X: {long}\r\n"), ""), "16384 octets");
    // Without an end it is refused all the same, and not read for ever.
    let _ = assert_refused(format!("POST /acme/open/new-order HTTP/1.1\r\nX: {long}").as_bytes(), "16384 octets");
    let _ = assert_refused(format!("GET /{long}").as_bytes(), "16384 octets");
    let _ = assert_refused(&post("/acme/open/new-order", &"X: a\r\n".repeat(64), ""), "64 header fields");
    let url = format!("/acme/open/order/{}", "x".repeat(2048));
    let _ = assert_refused(&post(&url, "", ""), "2048 octets");
    let _ = assert_refused(&post(&url, &"X: a\r\n".repeat(300), &"x".repeat(300_000)), "64 header fields");
    let head = format!("GET /acme/open/directory HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(15 * 1024));
    let _ = answer(head.as_bytes(), "GET").0.expect(200);
}

#[test]
fn a_refused_head_leads_back_to_its_directory() {
    let site = world().site();
    let (response, _) = answer(&post("/acme/open/new-order", "Host: localhost\r\n", ""), "POST");
    response.assert_refused_below(&site.url("open", "directory"), 400, "malformed");
}

#[test]
fn a_refused_head_is_answered_in_its_turn() {
    let mut connection = world().site().connect();
    let get = request("GET", "/acme/open/directory", "localhost", &[], None);
    connection.send([get.as_slice(), &get, b"nonsense\r\n\r\n", &get].concat()).unwrap();
    let statuses = [200, 200, 400].map(|_| connection.receive("GET").unwrap().status);
    assert_eq!(statuses, [200, 200, 400]);
    assert!(connection.receive_rest().unwrap().is_empty());
}

#[test]
fn a_refused_head_request_has_no_body_in_its_answer() {
    let (response, mut connection) = answer(b"HEAD /acme/open/new-nonce HTTP/1.1\r\n\r\n", "HEAD");
    assert_eq!(response.status, 400, "{response:?}");
    assert!(connection.receive_rest().unwrap().is_empty());
}

#[test]
fn the_listener_for_operators_answers_no_unsound_request() {
    let mut connection = Connection::plain(world().site().ops).unwrap();
    connection.send("GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").unwrap();
    let _ = connection.receive("GET").unwrap().expect(404);
}

#[test]
fn a_body_with_broken_chunks_is_malformed_and_answered_once() {
    for broken in ["zz\r\n", "3\r\nabcd\r\n", "0\r\nTrailer: x\r\n\r\n"] {
        let fields = format!("Content-Type: {JOSE}\r\nTransfer-Encoding: chunked\r\n");
        let (response, mut connection) = answer(&post("/acme/open/new-order", &fields, broken), "POST");
        let _ = response.assert_refused(400, "malformed");
        assert_eq!(response.header("connection"), Some("close"), "{broken:?}");
        assert!(connection.receive_rest().unwrap_or_default().is_empty(), "{broken:?}");
    }
}
