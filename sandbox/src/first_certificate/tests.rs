//! The whole exchange against a small ACME server in this process, which checks what matters here: the challenge is
//! fetched over HTTP and compared, the request's signature and key are what is certified.

use std::os::unix::fs::PermissionsExt as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use http::{Request, Response};
use instant_acme::{BodyWrapper, BytesResponse, Error};
use rcgen::{BasicConstraints, CertificateSigningRequestParams, IsCa, Issuer};
use rustls::pki_types::CertificateSigningRequestDer;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;

const DIRECTORY: &str = "https://acme.test/directory";

#[derive(Default)]
struct State {
    thumbprint: String,
    name: String,
    status: &'static str,
    chain: String,
    error: Value,
}

/// The server, used as the client's HTTP layer.
#[derive(Clone)]
struct FakeServer {
    http_01: SocketAddr,
    /// Tells a challenge failure whatever the responder says.
    refuses: bool,
    state: Arc<Mutex<State>>,
}

impl HttpClient for FakeServer {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let server = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(axum::body::Body::new(body), usize::MAX);
            let body = body.await.unwrap();
            let jws: Value = serde_json::from_slice(&body).unwrap_or_default();
            let body = server.answer(parts.uri.path(), &jws).await;
            let response = Response::builder()
                .header("Replay-Nonce", "nonce")
                .header("Location", "https://acme.test/order-1")
                .body(())
                .unwrap();
            let (parts, ()) = response.into_parts();
            let body = Box::new(Bytes::from(body));
            Ok(BytesResponse { parts, body })
        })
    }
}

fn decoded(jws: &Value, member: &str) -> Value {
    let text = jws[member].as_str().unwrap_or_default();
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

impl FakeServer {
    fn new(http_01: SocketAddr) -> Self {
        Self { http_01, refuses: false, state: Arc::default() }
    }

    async fn answer(&self, path: &str, jws: &Value) -> String {
        let url = |path: &str| format!("https://acme.test/{path}");
        let payload = decoded(jws, "payload");
        match path {
            "/directory" => json!({
                "newNonce": url("nonce"), "newAccount": url("account"), "newOrder": url("order"),
            })
            .to_string(),
            "/account" => {
                let jwk = &decoded(jws, "protected")["jwk"];
                let members = json!({ "crv": jwk["crv"], "kty": jwk["kty"], "x": jwk["x"], "y": jwk["y"] });
                self.state.lock().unwrap().thumbprint =
                    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(members.to_string()));
                "{}".into()
            }
            "/order" => {
                let mut state = self.state.lock().unwrap();
                let name = payload["identifiers"][0]["value"].as_str();
                state.name = name.unwrap().to_owned();
                state.status = "pending";
                drop(state);
                self.order()
            }
            "/order-1" => self.order(),
            "/authorization" => {
                let state = self.state.lock().unwrap();
                json!({
                    "identifier": { "type": "dns", "value": state.name },
                    "status": "pending",
                    "challenges": [{
                        "type": "http-01", "url": url("challenge"), "token": "tok",
                        "status": "pending", "error": state.error,
                    }],
                })
                .to_string()
            }
            "/challenge" => {
                self.validate().await;
                json!({ "type": "http-01", "url": url("challenge"), "token": "tok", "status": "processing" })
                    .to_string()
            }
            "/finalize" => {
                self.issue(payload["csr"].as_str().unwrap());
                self.order()
            }
            "/certificate" => self.state.lock().unwrap().chain.clone(),
            _ => String::new(),
        }
    }

    fn order(&self) -> String {
        json!({
            "status": self.state.lock().unwrap().status,
            "authorizations": ["https://acme.test/authorization"],
            "finalize": "https://acme.test/finalize",
            "certificate": "https://acme.test/certificate",
        })
        .to_string()
    }

    async fn validate(&self) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let url = format!("http://{}/.well-known/acme-challenge/tok", self.http_01);
        let body = match self.refuses {
            true => String::new(),
            false => reqwest::get(url).await.unwrap().text().await.unwrap(),
        };
        let mut state = self.state.lock().unwrap();
        state.status = "ready";
        if body != format!("tok.{}", state.thumbprint) {
            state.status = "invalid";
            state.error = json!({
                "type": "urn:ietf:params:acme:error:connection", "detail": "nobody there",
            });
        }
    }

    fn issue(&self, csr: &str) {
        let csr = BASE64_URL_SAFE_NO_PAD.decode(csr).unwrap();
        let csr = CertificateSigningRequestDer::from(csr);
        let csr = CertificateSigningRequestParams::from_der(&csr).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().pem();
        let certificate = csr.signed_by(&Issuer::new(params, key)).unwrap().pem();
        let mut state = self.state.lock().unwrap();
        state.chain = format!("{certificate}{root}");
        state.status = "valid";
    }
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("acme-sandbox-{}-{name}", std::process::id()))
}

async fn obtain_from(server: FakeServer, name: &str) -> anyhow::Result<Obtained> {
    let http_01 = server.http_01;
    obtain(Box::new(server), DIRECTORY, identifier(name).unwrap(), http_01).await
}

#[tokio::test]
async fn a_certificate_is_obtained_summed_up_and_saved() {
    let http_01 = free_address();
    let obtained = obtain_from(FakeServer::new(http_01), "www.example.test").await.unwrap();
    let summary = summary(&obtained).unwrap();
    assert!(summary.contains("  names        www.example.test\n"), "{summary}");
    assert!(summary.contains("  issuer       CN=rcgen"), "{summary}");
    assert!(summary.contains("  chain        2 certificates\n"), "{summary}");
    assert!(std::net::TcpListener::bind(http_01).is_ok(), "the challenge port stays open");

    let out = scratch("saved");
    std::fs::create_dir_all(&out).unwrap();
    // A file that was readable by all before must not stay so.
    std::fs::write(out.join("www.example.test.key"), "old").unwrap();
    let (certificate, key) = save(&out, "www.example.test", &obtained).unwrap();
    assert_eq!(std::fs::read_to_string(certificate).unwrap(), obtained.chain_pem);
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let saved = KeyPair::from_pem(&std::fs::read_to_string(key).unwrap()).unwrap();
    assert_eq!(saved.public_key_raw(), obtained.key.public_key_raw());
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 2);
    std::fs::remove_dir_all(out).unwrap();
}

#[tokio::test]
async fn an_ip_address_can_be_asked_for() {
    let obtained = obtain_from(FakeServer::new(free_address()), "127.0.0.1").await.unwrap();
    let summary = summary(&obtained).unwrap();
    assert!(summary.contains("  names        127.0.0.1\n"), "{summary}");
}

#[tokio::test]
async fn a_failed_validation_is_told_in_the_servers_words() {
    let http_01 = free_address();
    let mut server = FakeServer::new(http_01);
    server.refuses = true;
    let refused = obtain_from(server, "www.example.test").await;
    let refused = format!("{:#}", refused.err().unwrap());
    assert!(refused.starts_with("control of the name was not proven"), "{refused}");
    assert!(refused.contains("the server says: nobody there"), "{refused}");
    assert!(refused.contains("no request reached this responder"), "{refused}");
    assert!(std::net::TcpListener::bind(http_01).is_ok());
}

#[tokio::test]
async fn a_taken_challenge_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = FakeServer::new(taken.local_addr().unwrap());
    let refused = obtain_from(server, "www.example.test").await;
    let refused = format!("{:#}", refused.err().unwrap());
    assert!(refused.contains("challenge cannot be answered: cannot listen on"), "{refused}");
}

#[tokio::test]
async fn a_certificate_for_another_key_is_refused() {
    let server = FakeServer::new(free_address());
    let mut obtained = obtain_from(server, "www.example.test").await.unwrap();
    obtained.key = KeyPair::generate().unwrap();
    let refused = summary(&obtained).unwrap_err().to_string();
    assert!(refused.contains("another key"), "{refused}");
}

#[tokio::test]
async fn an_unreachable_server_is_named() {
    let ca = scratch("ca.pem");
    let key = KeyPair::generate().unwrap();
    let authority = CertificateParams::new(Vec::new()).unwrap();
    std::fs::write(&ca, authority.self_signed(&key).unwrap().pem()).unwrap();
    let directory = format!("https://{}/directory", free_address());
    let args = Args {
        directory: directory.clone(),
        ca: ca.clone(),
        identifier: "www.example.test".into(),
        http_01: free_address(),
        out: scratch("unused"),
    };
    let refused = format!("{:#}", run(args).await.unwrap_err());
    let expected = format!("no account could be made at {directory}: ");
    assert!(refused.starts_with(&expected), "{refused}");
    assert!(!scratch("unused").exists());
    std::fs::remove_file(ca).unwrap();
}

#[test]
fn names_that_cannot_be_asked_for_are_refused() {
    let refused = |text: &str| identifier(text).unwrap_err().to_string();
    assert!(refused("*.example.test").contains("wildcard"));
    for text in ["", "../etc/passwd", ".hidden", "a b", "a/b"] {
        assert!(refused(text).contains("neither a domain name"), "{text}");
    }
    assert!(identifier("2001:db8::1").is_ok());
}
