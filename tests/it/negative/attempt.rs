//! One challenge that is about to be answered, in whatever way.

use serde_json::{Value, json};
use tests::{
    client::{Client, Order, challenge},
    csr::Csr,
    key::Key,
    response::Response,
};

/// An order for one identifier, with one of its challenges.
pub(crate) struct Attempt {
    /// Whose it is.
    pub(crate) client: Client,
    /// The order.
    pub(crate) order: Order,
    /// The authorization's URL.
    pub(crate) authorization: String,
    /// The challenge as it was offered.
    pub(crate) challenge: Value,
    identifier: Value,
}

impl Attempt {
    pub(super) fn new(client: Client, kind: &str, identifier: &Value) -> Self {
        let response = client.post(&client.url("new-order"), &json!({"identifiers": [identifier]})).expect(201);
        let order = Order { url: response.location(), object: response.json() };
        let authorization = order.object["authorizations"][0].as_str().unwrap().to_owned();
        let challenge = challenge(&client.read(&authorization).expect(200).json(), kind);
        Self { client, order, authorization, challenge, identifier: identifier.clone() }
    }

    /// The challenge's token.
    pub(crate) fn token(&self) -> &str {
        self.challenge["token"].as_str().unwrap()
    }

    /// The challenge's URL.
    pub(crate) fn url(&self) -> &str {
        self.challenge["url"].as_str().unwrap()
    }

    /// What a right answer is made of (RFC 8555 §8.1).
    pub(crate) fn key_authorization(&self) -> String {
        self.client.key_authorization(self.token())
    }

    /// Lets the sandbox's web server give the right answer.
    pub(crate) fn provide(&self) {
        let authorization = self.client.read(&self.authorization).expect(200).json();
        let _ = self.client.provide(&authorization, self.challenge["type"].as_str().unwrap());
    }

    /// Opens the sandbox's web server, which knows no answer to this challenge.
    pub(crate) fn listen(&self) {
        self.client.site().control("/http-01/listen", &json!({}));
    }

    /// Lets the sandbox's web server answer this challenge in this way, with the right answer at hand.
    pub(crate) fn behave(&self, behaviour: &Value) {
        self.provide();
        let path = format!("/.well-known/acme-challenge/{}", self.token());
        self.behave_at(&path, behaviour);
    }

    /// Lets it answer another path in this way.
    pub(crate) fn behave_at(&self, path: &str, behaviour: &Value) {
        self.client.site().control("/set-http01-behaviour", &json!({"path": path, "behaviour": behaviour}));
    }

    /// A CSR that would be right.
    pub(super) fn csr(&self) -> String {
        let value = self.identifier["value"].as_str().unwrap();
        match self.identifier["type"].as_str() {
            Some("ip") => Csr { ip: &[value], ..Csr::default() }.text(&Key::p256()),
            _ => Csr::for_names(&[value]).text(&Key::p256()),
        }
    }

    /// Responds, waits until the challenge has this status, and reads it.
    pub(crate) fn respond_and_wait(&self, status: &str) -> Response {
        let _ = self.client.post(self.url(), &json!({})).expect(200);
        let _ = self.client.wait_at(self.url(), status);
        self.client.read(self.url()).expect(200)
    }
}
