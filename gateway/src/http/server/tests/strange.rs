//! Strange requests by the hundred: whatever a peer sends, the App answers it and never the HTTP
//! library on its own.

use actix_web::HttpMessage as _;
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{super::super::connection::RefusedHead, *};

const CASES: u32 = 1500;

const METHODS: &[&str] = &["HEAD", "PUT", "OPTIONS", "CONNECT", "TRACE", "get", "G@T", "PRI", "", "\0"];
const TARGETS: &[&str] = &[
    "/",
    "/a?b",
    "*",
    "http://h/",
    "https://[::1]:443/x",
    "a:443",
    "//",
    "/%zz",
    "/\"",
    "/<>",
    "/\u{fc}",
    "/a#b",
    "http://",
    "http://:80/",
    "https://a:99999/",
    "https://a b/",
    "/\\",
    "",
    "/{}|^`",
    "/a\tb",
    "HTTP/1.1",
    "http:/a",
    "https://@/",
];
const VERSIONS: &[&str] = &["HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/1.1 ", ""];
const FIELDS: &[&str] = &[
    "Host: a",
    "Host: a",
    "Host: a",
    "Host:",
    "host: b",
    "Content-Length: 0",
    "Content-Length: 4",
    "Content-Length: +4",
    "Content-Length:  4 ",
    "Content-Length: \t4",
    "Content-Length: 0x4",
    "Content-Length: -0",
    "Content-Length:",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: CHUNKED ",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding:",
    "Connection: close",
    "Connection: upgrade",
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Upgrade: h2c, websocket",
    "Expect: 100-continue",
    "Expect: x",
    "Content-Type: a",
    "Content-Type: b",
    "X: \u{e9}",
    "X: \0",
    "X:",
    " X: a",
    "X: a\n b",
    "X : a",
    "X",
    ":",
    "\u{7f}: a",
    "X: a\rb",
    "X: \u{7f}",
    "Trailer: X",
    "TE: trailers",
    "Date: never",
];

/// The octets of one request, which may be anything; in each place something good is likelier.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let mostly =
        |good: &'static [&'static str], all: &'static [&'static str]| prop_oneof![3 => select(good), 1 => select(all)];
    let line_end = || mostly(&["\r\n"], &["\n"]);
    let line = (
        mostly(&["GET", "POST"], METHODS),
        mostly(&["/", "/a?b"], TARGETS),
        mostly(&["HTTP/1.1"], VERSIONS),
        line_end(),
        mostly(&["Host: a\r\n"], &[""]),
    );
    let fields = vec((select(FIELDS), line_end()), 0..4);
    (line, fields, line_end()).prop_map(|((method, target, version, end, host), fields, last)| {
        let fields: String = fields.into_iter().map(|(field, end)| format!("{field}{end}")).collect();
        // Whatever of a request such as this is missing comes with the end of another one.
        format!("{method} {target} {version}{end}{host}{fields}{last}\r\n\r\n").into_bytes()
    })
}

async fn ours(request: HttpRequest) -> HttpResponse {
    let refused = request.extensions().get::<RefusedHead>().is_some();
    let mut answer = if refused { HttpResponse::BadRequest() } else { HttpResponse::Ok() };
    answer.insert_header(("x-ours", "yes")).finish()
}

#[tokio::test]
async fn every_request_is_answered_by_the_app() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let make = || App::new().default_service(web::route().to(ours));
    tokio::spawn(serve(vec![listener], &Transport::Plain, GENEROUS, &Peers::new(1000, None), make).unwrap());
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), seed);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..CASES {
        let octets = request().new_tree(&mut runner).unwrap().current();
        let shown = String::from_utf8_lossy(&octets).into_owned();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&octets).await.unwrap();
        let mut answer = until(&mut stream, "\r\n\r\n").await;
        if answer.starts_with("HTTP/1.1 100") {
            answer = until(&mut stream, "\r\n\r\n").await;
        }
        assert!(answer.contains("X-Ours: yes\r\n"), "{shown:?} was answered {answer:?}");
        let good = answer.split(' ').nth(1) == Some("200");
        *(if good { &mut taken } else { &mut refused }) += 1;
    }
    assert!(
        taken > 20 && refused > 20,
        "{taken} taken, {refused} refused: the requests are not strange in the right measure"
    );
}
