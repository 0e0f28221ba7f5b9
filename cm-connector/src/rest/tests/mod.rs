//! The adapter against scripted CMs over real mutual TLS.

use std::path::PathBuf;

use acme::{
    account_key::PublicKey,
    problem::{Problem, ProblemKind},
    revocation::RevocationReason,
};
use serde_json::{Value, json};

use super::{
    scripted::{Pki, Reply, Request, Server, answer, json_answer, problem, problem_with, start_http2},
    *,
};
use crate::{Basis, CertificateManager, Client as AcmeClient, Jws, Outcome};

mod certificates;
mod circuit;
mod credentials;
mod faults;
mod issuance;
mod observation;
mod pace;
mod registration;
mod service;

const ID: &str = "reg_01KANM3T9V5R8YFZ2Q6W4XH7CE";
const REQUEST_ID: &str = "req_01KANM8C5T3E9W2YB7Q4R6X1ZD";

fn realm() -> RealmName {
    "tls".parse().unwrap()
}

fn id() -> RegistrationId {
    ID.parse().unwrap()
}

fn key() -> IdempotencyKey {
    "5Zb8Qk2mT7wYcR1nV4xLdA".parse().unwrap()
}

fn registration_with(change: impl FnOnce(&mut Value)) -> Value {
    let mut json = examples::registration();
    change(&mut json);
    json
}

fn jws() -> Jws {
    serde_json::from_value(examples::bind_request()["proof"]["jws"].clone()).unwrap()
}

fn new_registration() -> NewRegistration {
    let bind = examples::bind_request();
    NewRegistration {
        key: PublicKey::from_jwk(bind["key"]["jwk"].as_object().unwrap()).unwrap(),
        contacts: vec![String::from("mailto:pki@web.example.com")],
        terms_of_service_agreed_at: None,
        client: AcmeClient { ip: "203.0.113.9".parse().unwrap(), user_agent: None },
        proof: Proof(jws()),
        binding: Some(crate::Binding::ExternalAccount(jws())),
        idempotency_key: key(),
    }
}

fn revocation() -> Revocation {
    Revocation {
        certificate: "H7DK09vx8N9sqX9XzokOmQ2YyCY.L-ITZvnF--QXqGeTLnlC4gFxjHA".parse().unwrap(),
        sha256: [1; 32],
        reason: RevocationReason::Superseded,
        basis: Basis::CertificateKey,
        client: AcmeClient { ip: "203.0.113.9".parse().unwrap(), user_agent: None },
        proof: Some(Proof(jws())),
        block_key: false,
    }
}

struct World {
    pki: Pki,
    server: Server,
    cm: RestCertificateManager,
}

async fn world(script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> World {
    let pki = Pki::new();
    let server = Server::start(&pki, "127.0.0.1", script).await;
    let cm = RestCertificateManager::new(pki.settings(server.base_url())).unwrap();
    World { pki, server, cm }
}

impl World {
    async fn submit(&self) -> Result<RequestState, CmError> {
        let request = examples::certificate_request_create().to_string();
        self.cm.submit(&realm(), &key(), request.as_bytes(), Duration::from_secs(20)).await
    }

    async fn registration(&self) -> Result<Option<Registration>, CmError> {
        self.cm.registration(&realm(), &id()).await
    }
}

fn unknown() -> CmError {
    CmError::Unavailable { retry_after: None, outcome: Outcome::Unknown }
}

fn frozen_call() -> Call {
    let millis = Duration::from_millis;
    Call {
        method: reqwest::Method::GET,
        path: String::from("/info"),
        query: None,
        headers: Vec::new(),
        body: None,
        lane: Lane::Rest,
        deadline: Deadline { first_byte: millis(2000), whole: millis(2000), total: millis(20_000), attempts: 2 },
    }
}
