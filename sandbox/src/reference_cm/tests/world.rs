//! A served CM, callers of each role, and account holders who sign.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::routing::MethodFilter;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::ReferenceCm;
use super::super::identity::Role;
use super::super::ids::new_id;
use super::super::moment::Moment;
use crate::faults::Faults;
use crate::scratch::Scratch;
use crate::{pki, reference_cm};

pub(super) const OPEN: &str = "https://acme.example.net/acme/open";
pub(super) const REGISTERED: &str = "https://acme.example.net/acme/registered";

/// A served CM in a folder of its own.
pub(super) struct World {
    pub(super) scratch: Scratch,
    pub(super) cm: Arc<ReferenceCm>,
    pub(super) faults: Faults,
    pub(super) api: String,
    pub(super) status: String,
    clients: Vec<(Role, reqwest::Client)>,
    tasks: JoinSet<()>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Status and problem code, to compare refusals by.
    pub(super) fn refusal(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or("(no code)"))
    }

    /// The reply, if it has this status; says what it was otherwise.
    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

pub(super) fn tls(pki: &Path, identity: Option<(&str, &str)>) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.join("infra-ca.pem")).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(pki.join(certificate)).unwrap()],
                PrivateKeyDer::from_pem_file(pki.join(key)).unwrap(),
            )
            .unwrap(),
    }
}

pub(super) fn client(tls: rustls::ClientConfig) -> reqwest::Client {
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
}

impl World {
    pub(super) async fn start() -> Self {
        Self::start_with(|settings| settings).await
    }

    /// Starts a CM whose settings file was changed first.
    pub(super) async fn start_with(change: impl FnOnce(String) -> String) -> Self {
        let scratch = Scratch::new();
        pki::init(scratch.path(), "quickstart", time::OffsetDateTime::now_utc()).unwrap();
        let settings = change(super::super::settings::first_file("quickstart"));
        std::fs::write(scratch.path().join("cm.toml"), settings).unwrap();
        Self::serve(scratch).await
    }

    /// Ends the CM and starts it again in the same folder.
    pub(super) async fn restart(self) -> Self {
        let Self { scratch, mut tasks, cm, .. } = self;
        tasks.shutdown().await;
        drop(cm);
        Self::serve(scratch).await
    }

    async fn serve(scratch: Scratch) -> Self {
        reference_cm::init(scratch.path(), "quickstart").unwrap();
        let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let status = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api_url = format!("https://localhost:{}", api.local_addr().unwrap().port());
        let status_url = format!("http://{}", status.local_addr().unwrap());
        let faults = Faults::default();
        let bases = [format!("open={OPEN}"), format!("registered={REGISTERED}")];
        let cm = ReferenceCm::open(scratch.path(), &status_url, &bases, faults.clone()).unwrap();
        let mut tasks = JoinSet::new();
        let folder = scratch.path().to_owned();
        let served = Arc::clone(&cm);
        tasks.spawn(async move { served.serve_api(api, &folder).await.unwrap() });
        let served = Arc::clone(&cm);
        tasks.spawn(async move { served.serve_status(status).await.unwrap() });
        tasks.spawn(Arc::clone(&cm).look_after());
        let folder = scratch.path().join("pki");
        let clients = Role::ALL
            .iter()
            .map(|role| {
                let files = (format!("{}.pem", role.name()), format!("{}.key", role.name()));
                (*role, client(tls(&folder, Some((&files.0, &files.1)))))
            })
            .collect();
        Self { scratch, cm, faults, api: api_url, status: status_url, clients, tasks }
    }

    pub(super) fn client(&self, role: Role) -> &reqwest::Client {
        &self.clients.iter().find(|(of, _)| *of == role).unwrap().1
    }

    /// Sends a request; the error is that of the connection.
    pub(super) async fn try_send(
        &self,
        role: Role,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Reply, reqwest::Error> {
        let mut request = self.client(role).request(method.clone(), format!("{}/cm/v1{path}", self.api));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            let media_type = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
            request = request.header("content-type", media_type).body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Reply { status, headers, text, body })
    }

    pub(super) async fn get(&self, role: Role, path: &str) -> Reply {
        self.try_send(role, Method::GET, path, &[], None).await.unwrap()
    }

    pub(super) async fn post(&self, role: Role, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        self.try_send(role, Method::POST, path, headers, Some(body.to_string())).await.unwrap()
    }

    pub(super) async fn patch(&self, role: Role, path: &str, version: i64, body: &Value) -> Reply {
        let etag = format!("\"{version}\"");
        self.try_send(role, Method::PATCH, path, &[("if-match", &etag)], Some(body.to_string())).await.unwrap()
    }

    /// A versioned POST.
    pub(super) async fn post_at(&self, role: Role, path: &str, version: i64, body: &Value) -> Reply {
        let etag = format!("\"{version}\"");
        self.post(role, path, &[("if-match", &etag)], body).await
    }

    /// A POST with a fresh Idempotency-Key.
    pub(super) async fn post_once(&self, role: Role, path: &str, body: &Value) -> Reply {
        self.post(role, path, &[("idempotency-key", &fresh_key())], body).await
    }

    /// A new account in the open realm.
    pub(super) async fn open_account(&self) -> Account {
        let mut account = Account::new(OPEN);
        let created = self
            .post_once(Role::Gateway, "/realms/open/registrations", &account.creation(&["mailto:a@example.test"]))
            .await
            .expect(201);
        account.id = created.body["id"].as_str().unwrap().to_owned();
        account
    }

    /// Asks for a certificate in the open realm.
    pub(super) async fn issue(&self, account: &Account, order: &Order) -> Reply {
        self.post_once(Role::Gateway, "/realms/open/certificate-requests", &account.request(order)).await
    }
}

/// The method of a route.
pub(super) fn method_of(filter: MethodFilter) -> Method {
    if filter == MethodFilter::GET {
        Method::GET
    } else if filter == MethodFilter::POST {
        Method::POST
    } else if filter == MethodFilter::DELETE {
        Method::DELETE
    } else {
        Method::PATCH
    }
}

pub(super) fn fresh_key() -> String {
    new_id("key-", Moment::now())
}

/// An account holder with a P-256 key.
pub(super) struct Account {
    pub(super) base: &'static str,
    pub(super) id: String,
    pub(super) key: EcdsaKeyPair,
}

/// What an order asks for; tests change what they need.
pub(super) struct Order {
    pub(super) reference: String,
    pub(super) names: Vec<&'static str>,
    pub(super) key: rcgen::KeyPair,
    pub(super) profile: &'static str,
}

impl Order {
    pub(super) fn of(names: &[&'static str]) -> Self {
        Self {
            reference: new_id("", Moment::now()),
            names: names.to_vec(),
            key: rcgen::KeyPair::generate().unwrap(),
            profile: "tls-server",
        }
    }

    pub(super) fn csr(&self) -> Vec<u8> {
        let names: Vec<String> = self.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.serialize_request(&self.key).unwrap().der().to_vec()
    }
}

pub(super) fn identifier(name: &str) -> Value {
    let kind = if name.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
    json!({"type": kind, "value": name})
}

pub(super) fn validations(names: &[&str]) -> Value {
    let now = Moment::now();
    let list: Vec<Value> = names
        .iter()
        .map(|name| {
            let plain = name.strip_prefix("*.").unwrap_or(name);
            let wildcard = plain != *name;
            json!({
                "identifier": identifier(plain), "wildcard": wildcard,
                "method": if wildcard { "dns-01" } else { "http-01" }, "authzRef": "authz-1",
                "validatedAt": now, "reused": false, "dnssec": "insecure",
                "perspectives": [{"id": "local", "source": "127.0.0.1", "result": "valid", "at": now}],
                "caa": {"result": "no-records", "checkedAt": now},
            })
        })
        .collect();
    json!(list)
}

pub(super) fn new_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

pub(super) fn jwk(key: &EcdsaKeyPair) -> Value {
    let point = key.public_key().as_ref();
    json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
           "y": URL_SAFE_NO_PAD.encode(&point[33..65])})
}

pub(super) fn sign(key: &EcdsaKeyPair, header: &Value, payload: &Value) -> Value {
    let protected = URL_SAFE_NO_PAD.encode(header.to_string());
    let payload = URL_SAFE_NO_PAD.encode(payload.to_string());
    let input = format!("{protected}.{payload}");
    let signature = key.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    json!({"protected": protected, "payload": payload, "signature": URL_SAFE_NO_PAD.encode(signature.as_ref())})
}

pub(super) fn mac(secret: &str, header: &Value, payload: &Value) -> Value {
    let protected = URL_SAFE_NO_PAD.encode(header.to_string());
    let payload = URL_SAFE_NO_PAD.encode(payload.to_string());
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &URL_SAFE_NO_PAD.decode(secret).unwrap());
    let tag = aws_lc_rs::hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
    json!({"protected": protected, "payload": payload, "signature": URL_SAFE_NO_PAD.encode(tag.as_ref())})
}

impl Account {
    pub(super) fn new(base: &'static str) -> Self {
        Self { base, id: String::new(), key: new_key() }
    }

    pub(super) fn jwk(&self) -> Value {
        jwk(&self.key)
    }

    fn nonce() -> String {
        new_id("nonce-", Moment::now())
    }

    /// A JWS that carries its key.
    pub(super) fn sign_new(&self, path: &str, payload: &Value) -> Value {
        let header = json!({"alg": "ES256", "jwk": self.jwk(), "nonce": Self::nonce(),
                            "url": format!("{}{path}", self.base)});
        sign(&self.key, &header, payload)
    }

    /// A JWS that names its account; without a path it goes to the account URL.
    pub(super) fn sign_for(&self, path: Option<&str>, payload: &Value) -> Value {
        let account = format!("{}/acct/{}", self.base, self.id);
        let url = path.map_or_else(|| account.clone(), |path| format!("{}{path}", self.base));
        let header = json!({"alg": "ES256", "kid": account, "nonce": Self::nonce(), "url": url});
        sign(&self.key, &header, payload)
    }

    /// The body that creates this account in open mode.
    pub(super) fn creation(&self, contacts: &[&str]) -> Value {
        let payload = json!({"termsOfServiceAgreed": true, "contact": contacts});
        json!({"mode": "open", "key": {"jwk": self.jwk()}, "contacts": contacts,
               "termsOfServiceAgreedAt": Moment::now(), "client": {"ip": "203.0.113.9"},
               "proof": {"type": "acme", "jws": self.sign_new("/new-account", &payload)}})
    }

    /// The body that binds this account by EAB.
    pub(super) fn binding(&self, kid: &str, secret: &str) -> Value {
        let header = json!({"alg": "HS256", "kid": kid, "url": format!("{}/new-account", self.base)});
        let eab = mac(secret, &header, &self.jwk());
        let payload = json!({"externalAccountBinding": eab});
        json!({"eab": eab, "key": {"jwk": self.jwk()}, "client": {"ip": "203.0.113.9"},
               "proof": {"type": "acme", "jws": self.sign_new("/new-account", &payload)}})
    }

    /// The body that asks for a certificate.
    pub(super) fn request(&self, order: &Order) -> Value {
        let csr = URL_SAFE_NO_PAD.encode(order.csr());
        let path = format!("/order/{}/finalize", order.reference);
        let identifiers: Vec<Value> = order.names.iter().map(|name| identifier(name)).collect();
        json!({
            "registration": self.id, "orderRef": order.reference, "profile": order.profile, "csr": csr,
            "identifiers": identifiers, "validations": validations(&order.names),
            "notBefore": null, "notAfter": null, "replaces": null, "client": {"ip": "203.0.113.9"},
            "proof": {"type": "acme", "jws": self.sign_for(Some(&path), &json!({"csr": csr}))},
        })
    }

    /// The body that revokes a certificate on the basis of the account.
    pub(super) fn revocation(&self, certificate: &Value, reason: &str, code: u8) -> Value {
        let payload = json!({"certificate": leaf_base64url(certificate), "reason": code});
        json!({"reason": reason, "basis": {"type": "account", "registration": self.id},
               "certificateSha256": certificate["sha256"], "client": {"ip": "203.0.113.9"},
               "proof": {"type": "acme", "jws": self.sign_for(Some("/revoke-cert"), &payload)}})
    }
}

/// The leaf of a certificate object, as ACME revocations carry it.
pub(super) fn leaf_base64url(certificate: &Value) -> String {
    URL_SAFE_NO_PAD.encode(leaf_der(certificate))
}

pub(super) fn leaf_der(certificate: &Value) -> Vec<u8> {
    let pem = certificate["chains"][0]["pem"].as_str().unwrap();
    x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

/// Pre-registers as an officer; gives the registration with its secret.
pub(super) async fn preregister(world: &World, kid: &str, more: Value) -> Value {
    let mut body = json!({"mode": "preregistered", "eab": {"kid": kid, "use": "once"},
        "allowedIdentifiers": {"mode": "listed",
            "rules": [{"type": "dns", "match": "suffix", "value": "example.test"}]},
        "owner": "web team"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    world.post(Role::Officer, "/realms/registered/registrations", &[], &body).await.expect(201).body
}

/// Binds a new account to a pre-registration.
pub(super) async fn bound_account(world: &World, preregistration: &Value) -> Account {
    let mut account = Account::new(REGISTERED);
    let secret = &preregistration["eabSecret"];
    let binding = account.binding(secret["kid"].as_str().unwrap(), secret["hmacKey"].as_str().unwrap());
    let bound = world.post(Role::Gateway, "/realms/registered/registrations/bind", &[], &binding).await.expect(201);
    account.id = bound.body["id"].as_str().unwrap().to_owned();
    account
}
