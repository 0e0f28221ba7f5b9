//! Somebody with an account key, and the requests that come of it.

use std::sync::atomic::{AtomicU32, Ordering};

use acme::{
    account_key::PublicKey,
    ids::{IdempotencyKey, OrderId, RegistrationId},
};
use cm_connector::{
    Binding, CertificateManager, Client, Jws, NewRegistration, Proof, Registered, openbao::OpenBaoCertificateManager,
};
use serde_json::{Value, json};
use tests::{
    csr::Csr,
    jws::{self, sign_text},
    key::Key,
};

use crate::realm;

/// Where accounts are made.
pub(crate) const NEW_ACCOUNT: &str = "https://acme.example.net/acme/registered/new-account";

/// Somebody with an account key.
pub(crate) struct Person {
    pub(crate) key: Key,
}

impl Person {
    pub(crate) fn new() -> Self {
        Self { key: Key::p256() }
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey::from_jwk(self.key.jwk().as_object().unwrap()).unwrap()
    }

    /// newAccount in open mode.
    pub(crate) fn request(&self) -> NewRegistration {
        self.wish(&json!({"termsOfServiceAgreed": true}), None)
    }

    /// newAccount with an external account binding by this secret.
    pub(crate) fn bound_request(&self, kid: &str, secret: &[u8]) -> NewRegistration {
        let binding = jws::Binding { algorithm: "HS256", kid, secret, url: NEW_ACCOUNT, jwk: self.key.jwk() }.sign();
        let payload = json!({"externalAccountBinding": binding});
        self.wish(&payload, Some(Binding::ExternalAccount(serde_json::from_value(binding).unwrap())))
    }

    fn wish(&self, payload: &Value, binding: Option<Binding>) -> NewRegistration {
        let header = json!({"alg": "ES256", "jwk": self.key.jwk(), "nonce": "n", "url": NEW_ACCOUNT});
        NewRegistration {
            key: self.public_key(),
            contacts: vec![String::from("mailto:somebody@example.com")],
            terms_of_service_agreed_at: Some("2026-11-22T00:00:00Z".parse().unwrap()),
            client: Client { ip: "192.0.2.1".parse().unwrap(), user_agent: None },
            proof: Proof(jws_of(sign_text(&header.to_string(), payload.to_string().as_bytes(), &self.key))),
            binding,
            idempotency_key: IdempotencyKey::from_random(fresh()),
        }
    }

    /// An account at `open`.
    pub(crate) async fn register(&self, cm: &OpenBaoCertificateManager) -> Registered {
        cm.create_registration(&realm("open"), &self.request()).await.unwrap()
    }
}

pub(crate) fn jws_of(json: Value) -> Jws {
    serde_json::from_value(json).unwrap()
}

/// What nothing rests on here.
pub(crate) fn no_proof() -> Proof {
    Proof(jws_of(json!({"protected": "", "payload": "", "signature": ""})))
}

/// A certificate request, as octets.
pub(crate) struct Asking {
    pub(crate) key: IdempotencyKey,
    pub(crate) order: OrderId,
    pub(crate) json: Value,
}

impl Asking {
    /// For DNS names, all of them proven.
    pub(crate) fn of(registration: &RegistrationId, names: &[&str]) -> Self {
        Self::with_csr(registration, names, &Csr::for_names(names).text(&Key::p256()))
    }

    /// The same with a CSR that may be about something else.
    pub(crate) fn with_csr(registration: &RegistrationId, names: &[&str], csr: &str) -> Self {
        let order = OrderId::from_random(fresh());
        let identifiers: Vec<_> = names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        let validation = |name: &&str| {
            let plain = name.strip_prefix("*.").unwrap_or(name);
            json!({"identifier": {"type": "dns", "value": plain}, "wildcard": plain != *name, "method": "dns-01"})
        };
        let json = json!({
            "registration": registration, "orderRef": order, "profile": "tls-server", "csr": csr,
            "identifiers": identifiers, "validations": names.iter().map(validation).collect::<Vec<_>>(),
            "notBefore": null, "notAfter": null, "replaces": null,
        });
        Self { key: IdempotencyKey::from_random(fresh()), order, json }
    }

    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.json[member] = value.into();
        self
    }

    pub(crate) fn octets(&self) -> Vec<u8> {
        self.json.to_string().into_bytes()
    }
}

/// Sixteen octets that are used once.
fn fresh() -> [u8; 16] {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let seed = format!("{:?} {count} {}", std::time::SystemTime::now(), std::process::id());
    tests::from_base64url(&tests::base64url(seed.as_bytes()))
        .iter()
        .rev()
        .take(16)
        .copied()
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}
