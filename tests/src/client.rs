//! A small honest ACME client (RFC 8555) that shows raw responses and hands out every step for tests to get wrong.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use openssl::{
    pkey::{PKey, Public},
    x509::X509,
};
use serde_json::{Map, Value, json};

use crate::{
    csr::Csr,
    jws::{Binding, Draft},
    key::Key,
    response::Response,
    site::{Shown, Site},
    wait_for,
};

/// How long validation, and then issuance, may take.
const DONE_WITHIN: Duration = Duration::from_secs(120);
/// The media type of requests.
pub const JOSE: &str = "application/jose+json";

/// A client of one endpoint with one key.
pub struct Client {
    site: Arc<Site>,
    endpoint: String,
    /// The account key.
    pub key: Key,
    /// The account URL, once there is an account.
    pub kid: Option<String>,
    /// Left from the answer before; whoever of the account's hands comes first uses it.
    nonce: Arc<Mutex<Option<String>>>,
}

/// An order with its URL.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its URL.
    pub url: String,
    /// The object as it was when it was read.
    pub object: Value,
}

/// A certificate that was just issued.
pub struct Issued {
    /// The order's URL.
    pub order_url: String,
    /// The certificate's URL.
    pub url: String,
    /// The chain as it was downloaded.
    pub pem: String,
    /// The certificate itself.
    pub leaf: X509,
    /// Its key.
    pub key: Key,
}

impl Client {
    /// A client without an account.
    #[must_use]
    pub fn new(site: Arc<Site>, endpoint: &str, key: Key) -> Self {
        Self { site, endpoint: endpoint.to_owned(), key, kid: None, nonce: Arc::default() }
    }

    /// The same account, in another hand: for two requests at once.
    #[must_use]
    pub fn twin(&self) -> Self {
        let twin = Self::new(Arc::clone(&self.site), &self.endpoint, self.key.clone());
        Self { kid: self.kid.clone(), nonce: Arc::clone(&self.nonce), ..twin }
    }

    /// The same account in a program that was started again: it has no nonce left.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let restarted = Self::new(Arc::clone(&self.site), &self.endpoint, self.key.clone());
        Self { kid: self.kid.clone(), ..restarted }
    }

    /// The same account in a hand that shows this of itself.
    #[must_use]
    pub fn showing(&self, shown: Shown) -> Self {
        let site = Site { shown, ..Site::clone(&self.site) };
        Self { site: Arc::new(site), ..self.twin() }
    }

    /// Where things are.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// A URL of this endpoint.
    #[must_use]
    pub fn url(&self, resource: &str) -> String {
        self.site.url(&self.endpoint, resource)
    }

    /// The account URL.
    ///
    /// # Panics
    /// There is no account.
    #[must_use]
    pub fn account_url(&self) -> String {
        self.kid.clone().expect("the client has an account")
    }

    /// A nonce that was not used: the last one received, or a new one.
    #[must_use]
    pub fn nonce(&self) -> String {
        let kept = self.nonce.lock().unwrap().take();
        kept.unwrap_or_else(|| {
            let response = self.site.send("HEAD", &self.url("new-nonce"), &[], None);
            response.header("replay-nonce").expect("newNonce gives a nonce").to_owned()
        })
    }

    /// A request that would be right, unsigned.
    #[must_use]
    pub fn draft(&self, url: &str, payload: impl Into<Vec<u8>>) -> Draft {
        let mut protected = Map::new();
        protected.insert("alg".to_owned(), self.key.algorithm().into());
        protected.insert("nonce".to_owned(), self.nonce().into());
        protected.insert("url".to_owned(), url.into());
        match &self.kid {
            Some(kid) => protected.insert("kid".to_owned(), kid.as_str().into()),
            None => protected.insert("jwk".to_owned(), self.key.jwk()),
        };
        Draft { protected, payload: payload.into(), key: self.key.clone() }
    }

    /// The same with the key in the request, account or not.
    #[must_use]
    pub fn self_signed(&self, url: &str, payload: &Value, key: &Key) -> Draft {
        let draft = Draft { key: key.clone(), ..self.draft(url, payload.to_string()) };
        draft.without("kid").with("alg", key.algorithm()).with("jwk", key.jwk())
    }

    /// Sends a JWS, whatever is in it.
    #[must_use]
    pub fn send(&self, url: &str, jws: &Value) -> Response {
        self.send_octets(url, jws.to_string().as_bytes(), &[("Content-Type", JOSE)])
    }

    /// Sends any body.
    #[must_use]
    pub fn send_octets(&self, url: &str, body: &[u8], headers: &[(&str, &str)]) -> Response {
        let response = self.site.send("POST", url, headers, Some(body));
        if let Some(nonce) = response.header("replay-nonce") {
            *self.nonce.lock().unwrap() = Some(nonce.to_owned());
        }
        response
    }

    /// A signed request.
    #[must_use]
    pub fn post(&self, url: &str, payload: &Value) -> Response {
        self.send(url, &self.draft(url, payload.to_string()).sign())
    }

    /// POST-as-GET.
    #[must_use]
    pub fn read(&self, url: &str) -> Response {
        self.send(url, &self.draft(url, "").sign())
    }

    /// newAccount; remembers the account URL.
    pub fn register(&mut self, payload: &Value) -> Response {
        let url = self.url("new-account");
        let response = self.send(&url, &self.self_signed(&url, payload, &self.key).sign());
        if matches!(response.status, 200 | 201) {
            self.kid = Some(response.location());
        }
        response
    }

    /// An external account binding for this client's key.
    #[must_use]
    pub fn binding(&self, kid: &str, secret: &[u8]) -> Value {
        let url = self.url("new-account");
        Binding { algorithm: "HS256", kid, secret, url: &url, jwk: self.key.jwk() }.sign()
    }

    /// newOrder for DNS names.
    #[must_use]
    pub fn new_order(&self, names: &[&str]) -> Response {
        let identifiers: Vec<_> = names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        self.post(&self.url("new-order"), &json!({"identifiers": identifiers}))
    }

    /// An order that must be accepted.
    #[must_use]
    pub fn order(&self, names: &[&str]) -> Order {
        let response = self.new_order(names).expect(201);
        Order { url: response.location(), object: response.json() }
    }

    /// The order as it is now.
    #[must_use]
    pub fn reread(&self, order: &Order) -> Order {
        Order { url: order.url.clone(), object: self.read(&order.url).expect(200).json() }
    }

    /// The key authorization of a token (RFC 8555 §8.1).
    #[must_use]
    pub fn key_authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.key.thumbprint())
    }

    /// Puts the answer of a challenge where the gateway will look, by `kind`.
    pub fn provide(&self, authorization: &Value, kind: &str) -> Value {
        let challenge = challenge(authorization, kind);
        let token = challenge["token"].as_str().unwrap();
        let answer = self.key_authorization(token);
        match kind {
            "http-01" => {
                self.site.control("/add-http01", &json!({"token": token, "content": answer, "listen": true}));
            }
            "dns-01" => {
                let host = format!("_acme-challenge.{}.", authorization["identifier"]["value"].as_str().unwrap());
                let digest = crate::base64url(openssl::sha::sha256(answer.as_bytes()));
                self.site.control("/add-txt", &json!({"host": host, "value": digest}));
            }
            "tls-alpn-01" => {
                let host = authorization["identifier"]["value"].as_str().unwrap();
                self.site.control("/add-tlsalpn01", &json!({"host": host, "content": answer, "listen": true}));
            }
            other => panic!("no such challenge: {other}"),
        }
        challenge
    }

    /// Proves control of everything in the order.
    #[must_use]
    pub fn prove(&self, order: &Order) -> Order {
        for url in strings(&order.object["authorizations"]) {
            let authorization = self.read(&url).expect(200).json();
            if authorization["status"] == "valid" {
                continue;
            }
            let kind = if authorization["wildcard"] == true { "dns-01" } else { "http-01" };
            let challenge = self.provide(&authorization, kind);
            let _ = self.post(challenge["url"].as_str().unwrap(), &json!({})).expect(200);
        }
        self.wait(order, "ready")
    }

    /// Waits until the order has this status.
    ///
    /// # Panics
    /// It gets another final one, or none in time.
    #[must_use]
    pub fn wait(&self, order: &Order, status: &str) -> Order {
        wait_for(&format!("order {status}"), DONE_WITHIN, || {
            let now = self.reread(order);
            let found = now.object["status"].as_str().unwrap();
            let over = matches!(found, "valid" | "invalid") && found != status;
            assert!(!over, "the order should become {status}: {now:?}\n{}", self.failures(&now));
            (found == status).then_some(now)
        })
    }

    /// Waits until the authorization or challenge at `url` has this status.
    #[must_use]
    pub fn wait_at(&self, url: &str, status: &str) -> Value {
        wait_for(&format!("{url} {status}"), DONE_WITHIN, || {
            let object = self.read(url).expect(200).json();
            (object["status"] == status).then_some(object)
        })
    }

    /// An order that can be finalized.
    #[must_use]
    pub fn ready_order(&self, names: &[&str]) -> Order {
        self.prove(&self.order(names))
    }

    /// finalize.
    #[must_use]
    pub fn finalize(&self, order: &Order, csr: &str) -> Response {
        self.post(order.object["finalize"].as_str().unwrap(), &json!({"csr": csr}))
    }

    /// Everything from newOrder to the certificate, with a P-256 key.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_for(names, Key::p256())
    }

    /// Everything from newOrder to the certificate.
    #[must_use]
    pub fn issue_for(&self, names: &[&str], key: Key) -> Issued {
        let order = self.ready_order(names);
        let _ = self.finalize(&order, &Csr::for_names(names).text(&key)).expect(200);
        self.download(&self.wait(&order, "valid"), key)
    }

    /// Downloads the certificate of a valid order.
    ///
    /// # Panics
    /// There is none, or its URL does not end in a name that begins with a letter.
    #[must_use]
    pub fn download(&self, order: &Order, key: Key) -> Issued {
        let url = order.object["certificate"].as_str().expect("a valid order has a certificate").to_owned();
        let handle = url.rsplit('/').next().unwrap_or_default();
        // Clients name files by it, and programs take a name that begins with a hyphen for an option.
        assert!(handle.starts_with(|first: char| first.is_ascii_alphabetic()), "{url}");
        let pem = self.read(&url).expect(200).text();
        let leaf = chain(&pem).remove(0);
        Issued { order_url: order.url.clone(), url, pem, leaf, key }
    }

    /// revokeCert, signed by the account.
    #[must_use]
    pub fn revoke(&self, certificate: &X509, reason: impl Into<Value>) -> Response {
        self.post(&self.url("revoke-cert"), &revocation(certificate, reason))
    }

    /// What the failed challenges of an order say.
    fn failures(&self, order: &Order) -> String {
        let read = |url: String| self.read(&url).text();
        strings(&order.object["authorizations"]).into_iter().map(read).collect()
    }
}

/// The payload of revokeCert.
///
/// # Panics
/// The certificate cannot be encoded.
#[must_use]
pub fn revocation(certificate: &X509, reason: impl Into<Value>) -> Value {
    let mut payload = json!({"certificate": crate::base64url(certificate.to_der().unwrap())});
    let reason = reason.into();
    if !reason.is_null() {
        payload["reason"] = reason;
    }
    payload
}

/// The challenge of this type.
///
/// # Panics
/// It is not on offer.
#[must_use]
pub fn challenge(authorization: &Value, kind: &str) -> Value {
    let challenges = authorization["challenges"].as_array().expect("challenges are a list");
    let found = challenges.iter().find(|challenge| challenge["type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {authorization}")).clone()
}

/// A list of texts.
///
/// # Panics
/// It is something else.
#[must_use]
pub fn strings(value: &Value) -> Vec<String> {
    let list = value.as_array().unwrap_or_else(|| panic!("no list: {value}"));
    list.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

/// The certificates of a PEM chain.
///
/// # Panics
/// There is none.
#[must_use]
pub fn chain(pem: &str) -> Vec<X509> {
    let certificates = X509::stack_from_pem(pem.as_bytes()).unwrap();
    assert!(!certificates.is_empty(), "no certificate in {pem:?}");
    certificates
}

/// The DNS names of a certificate, sorted.
#[must_use]
pub fn dns_names(certificate: &X509) -> Vec<String> {
    let names = certificate.subject_alt_names();
    let names = names.iter().flatten().filter_map(|name| name.dnsname().map(str::to_owned));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// The public key of a certificate.
///
/// # Panics
/// It has none.
#[must_use]
pub fn public_key(certificate: &X509) -> PKey<Public> {
    certificate.public_key().unwrap()
}
