//! The server over real sockets, with a small App and short limits.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use actix_web::{App, HttpRequest, HttpResponse, web};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};

use super::{super::connection::read_body, *};

/// The limit under test is this long; all others are [`LONG`].
const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(180);
/// Connections of one address.
const PEER_CONNECTIONS_MAX: u32 = 8;

const GENEROUS: Limits = Limits {
    workers: 1,
    connections_per_worker_max: 100,
    handshake: LONG,
    shutdown: Duration::from_secs(1),
    pace: PaceLimits {
        head: LONG,
        body: LONG,
        idle: LONG,
        write: LONG,
        lifetime: Duration::from_secs(3600),
        requests_max: 100,
    },
};

fn with(change: impl FnOnce(&mut PaceLimits)) -> Limits {
    let mut limits = GENEROUS;
    change(&mut limits.pace);
    limits
}

async fn echo(body: web::Payload) -> HttpResponse {
    match read_body(&mut body.into_inner(), 1000).await {
        Ok(octets) => HttpResponse::Ok().body(octets.freeze()),
        Err(error) => HttpResponse::RequestTimeout().body(error.to_string()),
    }
}

async fn hello(request: HttpRequest) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("replay-nonce", "abc"))
        .append_header(("link", "<https://a.test/a>;rel=\"index\""))
        .append_header(("link", "<https://a.test/b>;rel=\"up\""))
        .insert_header(("location", "https://a.test/1"))
        .insert_header(("retry-after", "5"))
        .body(format!("{}!", request.peer_addr().unwrap()))
}

async fn big() -> HttpResponse {
    HttpResponse::Ok().body(vec![b'x'; 32 * 1024 * 1024])
}

/// Which key the client of the connection has.
async fn key(request: HttpRequest) -> String {
    request.conn_data::<KeyDigest>().map_or_else(|| String::from("none"), ToString::to_string)
}

/// Answers a little later, so that requests pile up behind it.
async fn waits() -> HttpResponse {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    HttpResponse::Ok().finish()
}

async fn refuse() -> Result<HttpResponse, actix_web::Error> {
    Err(actix_web::error::ErrorForbidden("no"))
}

/// Starts a server and gives its address.
fn start(transport: &Transport, limits: Limits) -> (SocketAddr, actix_server::ServerHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(vec![listener], transport, limits, &Peers::new(PEER_CONNECTIONS_MAX, None), || {
        App::new()
            .route("/", web::get().to(hello))
            .route("/", web::head().to(hello))
            .route("/echo", web::post().to(echo))
            .route("/early", web::post().to(|| async { HttpResponse::Forbidden().body("early") }))
            .route("/key", web::get().to(key))
            .route("/waits", web::get().to(waits))
            .route("/refuse", web::get().to(refuse))
            .route("/big", web::get().to(big))
    })
    .unwrap();
    let handle = server.handle();
    tokio::spawn(server);
    (address, handle)
}

async fn connect(limits: Limits) -> TcpStream {
    TcpStream::connect(start(&Transport::Plain, limits).0).await.unwrap()
}

/// Everything until the server ends the connection, and how long that took.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> (String, Duration) {
    let start = Instant::now();
    let mut octets = Vec::new();
    // A reset is an end as well.
    let _ended = timeout(LONG, stream.read_to_end(&mut octets)).await.expect("the server holds the connection");
    (String::from_utf8_lossy(&octets).into_owned(), start.elapsed())
}

/// Everything until `end` was seen.
async fn until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut seen = String::new();
    while !seen.ends_with(end) {
        let mut octet = [0];
        let read = timeout(LONG, stream.read(&mut octet)).await.expect("the server is silent").unwrap();
        assert_eq!(read, 1, "the connection ended after {seen:?}");
        seen.push(char::from(octet[0]));
    }
    seen
}

/// That it ended by the limit, which began after `since`.
fn ended_in_time(since: Instant, (answer, _): (String, Duration)) -> String {
    let took = since.elapsed();
    assert!(took >= SHORT, "cut off too early, after {took:?}");
    assert!(took < LONG / 2, "another limit ended it, after {took:?}");
    answer
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const GET_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn header_names_are_in_title_case_and_the_peer_is_known() {
    let mut stream = connect(GENEROUS).await;
    stream.write_all(GET_CLOSE).await.unwrap();
    let answer = rest(&mut stream).await.0;
    for line in [
        "HTTP/1.1 200 OK\r\n",
        "\r\nReplay-Nonce: abc\r\n",
        "\r\nLink: <https://a.test/a>;rel=\"index\"\r\n",
        "\r\nLink: <https://a.test/b>;rel=\"up\"\r\n",
        "\r\nLocation: https://a.test/1\r\n",
        "\r\nRetry-After: 5\r\n",
        "\r\nContent-Length: ",
        "\r\nDate: ",
        "\r\nConnection: close\r\n",
    ] {
        assert!(answer.contains(line), "{line:?} is not in {answer:?}");
    }
    assert!(answer.ends_with(&format!("\r\n\r\n{}!", stream.local_addr().unwrap())), "{answer:?}");
}

#[tokio::test]
async fn errors_have_header_names_in_title_case_too() {
    let mut stream = connect(GENEROUS).await;
    stream.write_all(b"GET /refuse HTTP/1.1\r\nHost: a.test\r\n\r\nGET /none HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await.0;
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n"), "{answer:?}");
    assert!(answer.contains("noHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"), "{answer:?}");
    assert!(!answer.contains("content-"), "{answer:?}");
}

#[tokio::test]
async fn head_and_http_1_0_are_served() {
    let mut stream = connect(GENEROUS).await;
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    assert!(until(&mut stream, "\r\n\r\n").await.contains("Replay-Nonce: abc"));
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await.0;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.contains("Replay-Nonce: abc"), "{answer:?}");
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_pipelined_ones() {
    let mut stream = connect(GENEROUS).await;
    for _ in 0..3 {
        stream.write_all(b"POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\n<ab>").await.unwrap();
        assert!(until(&mut stream, "<ab>").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    stream.write_all(&[GET, GET_CLOSE].concat()).await.unwrap();
    assert_eq!(rest(&mut stream).await.0.matches("HTTP/1.1 200 OK").count(), 2);
}

#[tokio::test]
async fn chunked_bodies_and_expect_continue_are_understood() {
    let mut stream = connect(GENEROUS).await;
    stream
        .write_all(
            b"POST /echo HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n<a\r\n2\r\nb>\r\n0\r\n\r\n",
        )
        .await
        .unwrap();
    assert!(until(&mut stream, "<ab>").await.starts_with("HTTP/1.1 200 OK\r\n"));
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"<cd>").await.unwrap();
    assert!(until(&mut stream, "<cd>").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_silent_peer_and_a_dripping_head_are_ended() {
    let limits = with(|pace| pace.head = SHORT);
    let since = Instant::now();
    let mut silent = connect(limits).await;
    assert_eq!(ended_in_time(since, rest(&mut silent).await), "");

    let since = Instant::now();
    let (mut reader, mut writer) = connect(limits).await.into_split();
    let drip = async {
        let mut ticks = interval(Duration::from_millis(40));
        for octet in b"GET / HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
            ticks.tick().await;
            if writer.write_all(&[*octet]).await.is_err() {
                break;
            }
        }
    };
    let ended = tokio::select! { ended = rest(&mut reader) => ended, () = drip => rest(&mut reader).await };
    ended_in_time(since, ended);
}

#[tokio::test]
async fn a_second_head_that_stalls_is_ended() {
    let mut stream = connect(with(|pace| pace.head = SHORT)).await;
    for _ in 0..2 {
        stream.write_all(GET).await.unwrap();
        until(&mut stream, "!").await;
    }
    let since = Instant::now();
    stream.write_all(b"GET / HT").await.unwrap();
    assert_eq!(ended_in_time(since, rest(&mut stream).await), "");
}

#[tokio::test]
async fn an_address_with_too_many_connections_gets_no_more_until_one_ends() {
    let (address, _handle) = start(&Transport::Plain, GENEROUS);
    let mut open = Vec::new();
    for _ in 0..PEER_CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(GET).await.unwrap();
        until(&mut stream, "!").await;
        open.push(stream);
    }
    let mut one_too_many = TcpStream::connect(address).await.unwrap();
    assert_eq!(rest(&mut one_too_many).await.0, "");
    for stream in &mut open {
        stream.write_all(GET).await.unwrap();
        until(stream, "!").await;
    }
    let mut last = open.pop().unwrap();
    last.write_all(GET_CLOSE).await.unwrap();
    rest(&mut last).await;
    drop(last);
    // The server may notice the end of a connection a moment later than its peer.
    let served = timeout(LONG, async {
        loop {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _sent = stream.write_all(GET_CLOSE).await;
            if rest(&mut stream).await.0.starts_with("HTTP/1.1 200") {
                break;
            }
        }
    });
    served.await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_ended() {
    let mut stream = connect(with(|pace| pace.idle = SHORT)).await;
    let since = Instant::now();
    stream.write_all(GET).await.unwrap();
    until(&mut stream, "!").await;
    assert_eq!(ended_in_time(since, rest(&mut stream).await), "");
}

#[tokio::test]
async fn a_body_that_stalls_is_refused_and_its_connection_ended() {
    for head in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
        let since = Instant::now();
        let mut stream = connect(with(|pace| pace.body = SHORT)).await;
        stream
            .write_all(format!("POST /echo HTTP/1.1\r\nHost: a.test\r\n{head}\r\n\r\n2\r\n").as_bytes())
            .await
            .unwrap();
        let answer = ended_in_time(since, rest(&mut stream).await);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_peer_that_sends_an_unwanted_body_for_ever_is_ended() {
    for head in ["Content-Length: 100000000000", "Transfer-Encoding: chunked"] {
        let (mut reader, mut writer) = connect(GENEROUS).await.into_split();
        writer.write_all(format!("POST /early HTTP/1.1\r\nHost: a.test\r\n{head}\r\n\r\n").as_bytes()).await.unwrap();
        let flood = async { while writer.write_all(&b"4\r\nxxxx\r\n".repeat(100)).await.is_ok() {} };
        let ((answer, took), ()) = tokio::join!(rest(&mut reader), flood);
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("early"), "{answer:?}");
        assert!(took < LONG / 2, "the flood went on for {took:?}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_the_response_is_cut_off() {
    let mut stream = connect(with(|pace| pace.write = SHORT)).await;
    let start = Instant::now();
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    // Writing fails once the server has cut the connection.
    let mut ticks = interval(Duration::from_millis(20));
    while stream.write_all(b"\r\n").await.is_ok() {
        assert!(start.elapsed() < LONG / 2, "the server waits for ever");
        ticks.tick().await;
    }
    let took = start.elapsed();
    assert!(took >= SHORT, "cut off too early, after {took:?}");
}

#[tokio::test]
async fn a_slow_reader_that_does_read_gets_everything() {
    let mut stream = connect(with(|pace| pace.write = LONG)).await;
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut ticks = interval(Duration::from_millis(1));
    let (mut octets, mut buffer) = (0, vec![0; 256 * 1024]);
    loop {
        ticks.tick().await;
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            read => octets += read,
        }
    }
    assert!(octets > 32 * 1024 * 1024, "only {octets} octets came");
}

#[tokio::test]
async fn the_last_request_of_a_connection_is_answered_with_close() {
    let mut stream = connect(with(|pace| pace.requests_max = 2)).await;
    stream.write_all(GET).await.unwrap();
    let first = until(&mut stream, "!").await;
    assert!(!first.contains("Connection: close"), "{first:?}");
    stream.write_all(GET).await.unwrap();
    let (second, took) = rest(&mut stream).await;
    assert!(second.contains("\r\nConnection: close\r\n"), "{second:?}");
    assert!(took < LONG / 2);

    let mut old = connect(with(|pace| pace.lifetime = LONG)).await;
    old.write_all(GET).await.unwrap();
    assert!(rest(&mut old).await.0.contains("\r\nConnection: close\r\n"));
}

#[tokio::test]
async fn requests_without_waiting_for_answers_do_not_keep_a_connection_for_ever() {
    let (mut reader, mut writer) = connect(with(|pace| pace.requests_max = 5)).await.into_split();
    let flood =
        async { while writer.write_all(&b"GET /waits HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(50)).await.is_ok() {} };
    let ((_, took), ()) = tokio::join!(rest(&mut reader), flood);
    assert!(took < LONG / 2, "the flood went on for {took:?}");
}

#[tokio::test]
async fn a_server_that_stops_ends_idle_connections_at_once() {
    let mut limits = GENEROUS;
    limits.shutdown = LONG;
    let (address, handle) = start(&Transport::Plain, limits);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    until(&mut stream, "!").await;
    let start = Instant::now();
    let (_, ended) = tokio::join!(handle.stop(true), rest(&mut stream));
    assert_eq!(ended.0, "");
    assert!(start.elapsed() < LONG / 2, "it waited for the idle time");
    assert!(TcpStream::connect(address).await.is_err(), "it still listens");
}

#[tokio::test]
async fn there_has_to_be_a_listener() {
    let refused = serve(Vec::new(), &Transport::Plain, GENEROUS, &Peers::new(1, None), App::new).err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
}

mod client_certificate;
mod strange;
mod tls;
