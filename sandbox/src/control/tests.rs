//! Commands sent to a served control server, and their effect on what it steers.

use super::*;
use crate::dns::DEFAULT_SUFFIXES;

struct Sandbox {
    url: String,
    control: Control,
    client: reqwest::Client,
    _task: tokio::task::JoinSet<()>,
}

async fn start() -> Sandbox {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let control = Control {
        zone: Zone::new(&DEFAULT_SUFFIXES).unwrap(),
        challenges: Challenges::default(),
        http_01_address: any,
        tls_alpn_01_address: any,
        faults: Faults::default(),
        books: Arc::new(|| json!({ "certificates": 3 })),
        configure: Arc::new(|change| {
            anyhow::ensure!(change["profile"] == "p", "there is no such realm or profile");
            Ok(())
        }),
    };
    let (address, server) = serve(any, control.clone()).await.unwrap();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(server);
    Sandbox {
        url: format!("http://{address}"),
        control,
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        _task: task,
    }
}

impl Sandbox {
    async fn post_text(&self, path: &str, body: String) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.url)).body(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.post_text(path, body.to_string()).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn refused(&self, path: &str, body: Value) -> String {
        let (status, answer) = self.post_text(path, body.to_string()).await;
        assert_eq!(status, 400, "{path}: {answer}");
        answer["error"].as_str().unwrap().to_owned()
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}{path}", self.url));
        let body = request.send().await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    /// What the name server answers: response code and record data, as its own server would send them.
    async fn lookup(&self, name: &str, record_type: &str) -> (String, Vec<String>) {
        use hickory_proto::op::{Message, Query};
        use hickory_proto::rr::Name;
        let any = "127.0.0.1:0".parse().unwrap();
        let (address, server) = crate::dns::serve(any, self.control.zone.clone()).await.unwrap();
        let mut task = tokio::task::JoinSet::new();
        task.spawn(server);
        let mut request = Message::query();
        let name = Name::from_ascii(name).unwrap();
        request.add_query(Query::query(name, record_type.parse().unwrap()));
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let bytes = request.to_vec().unwrap();
        socket.send_to(&bytes, address).await.unwrap();
        let mut buffer = vec![0; 4_096];
        let length = socket.recv(&mut buffer).await.unwrap();
        let answer = Message::from_vec(&buffer[..length]).unwrap();
        let data = answer.answers.iter().map(|record| record.data.to_string());
        let code = format!("{:?}", answer.metadata.response_code);
        (code, data.collect())
    }
}

#[tokio::test]
async fn txt_values_add_up_until_cleared() {
    let sandbox = start().await;
    let host = "_acme-challenge.example.test.";
    for (path, value) in [("/set-txt", "one"), ("/add-txt", "two")] {
        let body = json!({ "host": host, "value": value });
        sandbox.post(path, body).await;
    }
    let (_, values) = sandbox.lookup(host, "TXT").await;
    assert_eq!(values, ["one", "two"]);
    let pieces = json!({ "host": host, "strings": ["th", "ree"] });
    sandbox.post("/add-txt-strings", pieces).await;
    let (_, values) = sandbox.lookup(host, "TXT").await;
    assert_eq!(values, ["one", "two", "three"]);
    sandbox.post("/clear-txt", json!({ "host": host })).await;
    let (_, values) = sandbox.lookup(host, "TXT").await;
    assert!(values.is_empty());
}

#[tokio::test]
async fn addresses_aliases_and_caa_are_set_and_cleared() {
    let sandbox = start().await;
    let host = "host.example.test.";
    for (set, members, record_type, expected, clear) in [
        ("/add-a", json!({ "addresses": ["192.0.2.1", "192.0.2.2"] }), "A", vec!["192.0.2.1", "192.0.2.2"], "/clear-a"),
        ("/set-a-sequence", json!({ "answers": [["192.0.2.9"], ["127.0.0.1"]] }), "A", vec!["192.0.2.9"], "/clear-a"),
        ("/add-aaaa", json!({ "addresses": ["2001:db8::1"] }), "AAAA", vec!["2001:db8::1"], "/clear-aaaa"),
        ("/set-cname", json!({ "target": "other.example.test" }), "CNAME", vec!["other.example.test."], "/clear-cname"),
        (
            "/add-caa",
            json!({ "policies": [{ "tag": "issue", "value": "ca.example" }, { "flags": 128, "tag": "iodef", "value": "mailto:a@ca.example" }] }),
            "CAA",
            vec!["0 issue \"ca.example\"", "128 iodef \"mailto:a@ca.example\""],
            "/clear-caa",
        ),
    ] {
        let (_, before) = sandbox.lookup(host, record_type).await;
        let mut body = members;
        body["host"] = json!(host);
        sandbox.post(set, body).await;
        let (_, values) = sandbox.lookup(host, record_type).await;
        assert_eq!(values, expected, "{set}");
        sandbox.post(clear, json!({ "host": host })).await;
        let (_, values) = sandbox.lookup(host, record_type).await;
        assert_eq!(values, before, "{clear}");
    }
}

#[tokio::test]
async fn outcomes_are_forced_and_cleared() {
    let sandbox = start().await;
    let body = json!({ "host": "host.example.test" });
    let code = async || sandbox.lookup("host.example.test.", "CAA").await.0;
    sandbox.post("/set-servfail", body.clone()).await;
    assert_eq!(code().await, "ServFail");
    sandbox.post("/clear-servfail", body.clone()).await;
    assert_eq!(code().await, "NoError");
    let refused = json!({ "host": "host.example.test", "outcome": "refused", "type": "caa" });
    sandbox.post("/set-outcome", refused).await;
    assert_eq!(code().await, "Refused");
    assert_eq!(sandbox.lookup("host.example.test.", "A").await.0, "NoError");
    sandbox.post("/clear-outcome", body).await;
    assert_eq!(code().await, "NoError");
}

#[tokio::test]
async fn the_dns_history_is_read_and_cleared() {
    let sandbox = start().await;
    sandbox.lookup("A.example.test.", "TXT").await;
    sandbox.lookup("b.example.test.", "A").await;
    let history = sandbox.post("/dns-request-history", json!({ "host": "a.example.test" })).await;
    let expected = json!([{ "name": "A.example.test.", "record_type": "TXT", "transport": "udp" }]);
    assert_eq!(history, expected);
    sandbox.post("/clear-dns-request-history", json!({})).await;
    let history = sandbox.post("/dns-request-history", json!({})).await;
    assert_eq!(history, json!([]));
}

#[tokio::test]
async fn the_http_01_port_opens_when_asked_for_and_closes() {
    let sandbox = start().await;
    let quiet = json!({ "token": "t", "content": "t.k" });
    sandbox.post("/add-http01", quiet).await;
    let closed = sandbox.post("/http-01/close", json!({})).await;
    assert_eq!(closed, json!({ "closed": [] }));
    let loud = json!({ "token": "u", "content": "u.k", "listen": true });
    let opened = sandbox.post("/add-http01", loud).await;
    let address: SocketAddr = opened["address"].as_str().unwrap().parse().unwrap();
    let fetch = async |path: &str| {
        let url = format!("http://{address}{path}");
        let response = sandbox.client.get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let token = "/.well-known/acme-challenge/t";
    assert_eq!(fetch(token).await, (200, "t.k".to_owned()));
    let redirect = json!({ "path": "/from", "targetURL": token });
    sandbox.post("/add-redirect", redirect).await;
    assert_eq!(fetch("/from").await, (200, "t.k".to_owned()));
    sandbox.post("/del-redirect", json!({ "path": "/from" })).await;
    assert_eq!(fetch("/from").await.0, 404);
    let behaviour = json!({ "path": token, "behaviour": { "kind": "status", "status": 500 } });
    sandbox.post("/set-http01-behaviour", behaviour).await;
    assert_eq!(fetch(token).await.0, 500);
    sandbox.post("/clear-http01-behaviour", json!({ "path": token })).await;
    sandbox.post("/del-http01", json!({ "token": "t" })).await;
    assert_eq!(fetch(token).await.0, 404);
    let history = sandbox.post("/http-request-history", json!({})).await;
    assert_eq!(history.as_array().unwrap().len(), 6);
    let closed = sandbox.post("/http-01/close", json!({})).await;
    assert_eq!(closed, json!({ "closed": [address] }));
    assert!(TcpListener::bind(address).await.is_ok());
}

#[tokio::test]
async fn the_tls_alpn_01_port_opens_when_asked_for_and_closes() {
    let sandbox = start().await;
    let body = json!({ "host": "www.example.test", "content": "t.k", "flaw": "not-critical" });
    sandbox.post("/add-tlsalpn01", body).await;
    let (status, opened) = sandbox.post_text("/tls-alpn-01/listen", String::new()).await;
    assert_eq!(status, 200, "{opened}");
    let address = opened["address"].clone();
    let host = json!({ "host": "www.example.test" });
    sandbox.post("/del-tlsalpn01", host).await;
    let body = json!({ "address": address });
    let closed = sandbox.post("/tls-alpn-01/close", body).await;
    assert_eq!(closed, json!({ "closed": [address] }));
}

#[tokio::test]
async fn faults_and_books_go_to_their_owner() {
    let sandbox = start().await;
    let mut rule = json!({ "operation": "*", "count": 1, "fault": { "kind": "html-page" } });
    sandbox.post("/faults", rule.clone()).await;
    assert_eq!(sandbox.get("/faults").await, json!([rule]));
    rule["count"] = json!(0);
    let refused = sandbox.refused("/faults", rule).await;
    assert_eq!(refused, "/faults refused: count must be at least 1");
    let request = sandbox.client.delete(format!("{}/faults", sandbox.url));
    assert!(request.send().await.unwrap().status().is_success());
    assert_eq!(sandbox.get("/faults").await, json!([]));
    assert_eq!(sandbox.get("/books").await, json!({ "certificates": 3 }));
    let retire = |profile: &str| json!({"profile": profile, "retired": true}).to_string();
    assert_eq!(sandbox.post_text("/configure", retire("p")).await.0, 200);
    assert_eq!(sandbox.post_text("/configure", retire("q")).await.0, 400);
}

#[tokio::test]
async fn what_is_not_understood_is_refused_with_a_sentence() {
    let sandbox = start().await;
    let body = json!({ "host": "x.test", "value": "v", "ttl": 5 });
    let refused = sandbox.refused("/set-txt", body).await;
    assert!(refused.starts_with("/set-txt does not take this body: unknown field `ttl`"), "{refused}");
    let refused = sandbox.refused("/clear-a", json!({})).await;
    assert!(refused.contains("missing field `host`"), "{refused}");
    let body = json!({ "host": "a..b", "value": "v" });
    let refused = sandbox.refused("/set-txt", body).await;
    assert!(refused.contains("is no domain name"), "{refused}");
    let body = json!({ "address": "192.0.2.1:80" });
    let refused = sandbox.refused("/http-01/listen", body).await;
    assert!(refused.contains("loopback addresses only"), "{refused}");
    let body = json!({ "host": "x.test", "outcome": "refused", "type": "NONSENSE-TYPE" });
    let refused = sandbox.refused("/set-outcome", body).await;
    assert!(refused.contains("no DNS record type"), "{refused}");
    let (status, answer) = sandbox.post_text("/set-text", "{}".into()).await;
    assert_eq!(status, 404);
    assert_eq!(answer["error"], "there is no command /set-text");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let sandbox = start().await;
    let value = "x".repeat(BODY_BYTES_MAX);
    let body = json!({ "host": "x.test", "value": value }).to_string();
    let (status, _) = sandbox.post_text("/set-txt", body).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn it_serves_loopback_only() {
    let sandbox = start().await;
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let refused = serve(everywhere, sandbox.control.clone()).await.err();
    assert!(refused.unwrap().to_string().contains("loopback"));
    let control = Control { http_01_address: everywhere, ..sandbox.control.clone() };
    let refused = serve("127.0.0.1:0".parse().unwrap(), control).await.err();
    assert!(refused.unwrap().to_string().contains("loopback"));
}
