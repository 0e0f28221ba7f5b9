//! Somebody with an account key, and everything that ACME has them sign (RFC 8555 §6.2, §7.3).

use acme::{
    account_key::PublicKey,
    base64url,
    certificate::PresentedCertificate,
    ids::{IdempotencyKey, OrderId, RealmName, RegistrationId},
    registration::Registration,
    revocation::RevocationReason,
};
use serde_json::{Map, Value, json};

use super::{
    ClientKey, ExternalAccount, Realm, Subject,
    expect::{certificate_id, fresh},
};
use crate::{
    Basis, Binding, CertificateManager, Client, DirectoryToken, Jws, NewRegistration, Proof, Registered,
    RegistrationUpdate, Revocation,
};

/// The contact of everybody.
pub(super) const CONTACT: &str = "mailto:somebody@example.com";

/// Somebody with an account key.
pub(super) struct Person<'a> {
    subject: &'a dyn Subject,
    key: Box<dyn ClientKey>,
}

impl<'a> Person<'a> {
    pub(super) fn new(subject: &'a dyn Subject) -> Self {
        Self { subject, key: subject.cryptography().new_key() }
    }

    /// Somebody who has got hold of this key.
    pub(super) fn with(subject: &'a dyn Subject, key: Box<dyn ClientKey>) -> Self {
        Self { subject, key }
    }

    pub(super) fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// newAccount in open mode.
    pub(super) fn request(&self) -> NewRegistration {
        let url = self.url(&self.subject.realm(Realm::Open), "/new-account");
        self.wish(&url, json!({"termsOfServiceAgreed": true, "contact": [CONTACT]}), None)
    }

    /// The same, signed by somebody else.
    pub(super) fn forged_request(&self, forger: &Self) -> NewRegistration {
        let theirs = forger.request();
        NewRegistration { proof: theirs.proof, ..self.request() }
    }

    /// newAccount with an external account binding, in a realm.
    pub(super) fn bound_request(&self, realm: &RealmName, account: &ExternalAccount) -> NewRegistration {
        let url = self.url(realm, "/new-account");
        let header = json!({"alg": "HS256", "kid": account.kid, "url": url});
        let input = signing_input(&header, &Value::Object(self.key.jwk()));
        let mac = self.subject.cryptography().mac(&account.secret, input.as_bytes());
        let binding = jws_json(&input, &mac);
        let payload = json!({"contact": [CONTACT], "externalAccountBinding": binding});
        self.wish(&url, payload, Some(Binding::ExternalAccount(jws(&binding))))
    }

    /// newAccount below a directory link.
    pub(super) fn linked_request(&self, realm: &RealmName, token: &DirectoryToken) -> NewRegistration {
        let url = self.url(realm, &format!("/r/{}/new-account", token.expose_secret()));
        self.wish(&url, json!({"contact": [CONTACT]}), Some(Binding::DirectoryLink(token.clone())))
    }

    fn wish(&self, url: &str, payload: Value, binding: Option<Binding>) -> NewRegistration {
        NewRegistration {
            key: self.public_key(),
            contacts: vec![String::from(CONTACT)],
            terms_of_service_agreed_at: None,
            client: client(),
            proof: self.sign(&json!({"jwk": self.key.jwk()}), url, &payload),
            binding,
            idempotency_key: IdempotencyKey::from_random(fresh()),
        }
    }

    /// An account at the open realm.
    pub(super) async fn register(&self, cm: &dyn CertificateManager) -> Registered {
        cm.create_registration(&self.subject.realm(Realm::Open), &self.request()).await.expect("an account")
    }

    /// An account by an external account.
    pub(super) async fn bind(
        &self,
        cm: &dyn CertificateManager,
        realm: &RealmName,
        account: &ExternalAccount,
    ) -> Registration {
        let bound = cm.bind_registration(realm, &self.bound_request(realm, account)).await;
        bound.expect("an account").registration
    }

    /// Other contacts, with the word of the client.
    pub(super) fn update(&self, realm: &RealmName, id: &RegistrationId, contact: &str) -> (RegistrationUpdate, Proof) {
        let update = RegistrationUpdate { contacts: Some(vec![contact.to_owned()]), terms_of_service_agreed_at: None };
        (update, self.account_proof(realm, id, &json!({"contact": [contact]})))
    }

    /// The word that gives an account up.
    pub(super) fn deactivation(&self, realm: &RealmName, id: &RegistrationId) -> Proof {
        self.account_proof(realm, id, &json!({"status": "deactivated"}))
    }

    /// The word that puts the key of `next` in place of this one (RFC 8555 §7.3.5).
    pub(super) fn key_change(&self, realm: &RealmName, id: &RegistrationId, next: &Self) -> Proof {
        let url = self.url(realm, "/key-change");
        let inner = json!({"account": self.account_url(realm, id), "oldKey": self.key.jwk()});
        let header = json!({"alg": next.key.algorithm(), "jwk": next.key.jwk(), "url": url});
        let input = signing_input(&header, &inner);
        let inner = jws_json(&input, &next.key.sign(input.as_bytes()));
        self.sign(&json!({"kid": self.account_url(realm, id)}), &url, &inner)
    }

    /// The word that finalizes an order.
    pub(super) fn finalize(&self, realm: &RealmName, id: &RegistrationId, order: &OrderId, csr_der: &[u8]) -> Proof {
        let payload = json!({"csr": base64url::encode(csr_der)});
        let url = self.url(realm, &format!("/order/{order}/finalize"));
        self.sign(&json!({"kid": self.account_url(realm, id)}), &url, &payload)
    }

    /// A revocation by the account.
    pub(super) fn revocation(&self, realm: &RealmName, id: &RegistrationId, der: &[u8]) -> Revocation {
        let header = json!({"kid": self.account_url(realm, id)});
        self.revoke_by(realm, der, &header, Basis::Account { registration: id.clone() })
    }

    /// A revocation by the key of the certificate, which is this one.
    pub(super) fn revocation_by_key(&self, realm: &RealmName, der: &[u8]) -> Revocation {
        self.revoke_by(realm, der, &json!({"jwk": self.key.jwk()}), Basis::CertificateKey)
    }

    fn revoke_by(&self, realm: &RealmName, der: &[u8], header: &Value, basis: Basis) -> Revocation {
        let reason = RevocationReason::Superseded;
        let payload = json!({"certificate": base64url::encode(der), "reason": reason.code()});
        let proof = self.sign(header, &self.url(realm, "/revoke-cert"), &payload);
        let leaf = PresentedCertificate::parse(der).expect("a certificate");
        Revocation {
            certificate: certificate_id(&leaf).parse().expect("an id as RFC 9773 has it"),
            sha256: leaf.sha256,
            reason,
            basis,
            client: client(),
            proof: Some(proof),
            block_key: false,
        }
    }

    fn account_proof(&self, realm: &RealmName, id: &RegistrationId, payload: &Value) -> Proof {
        let account = self.account_url(realm, id);
        self.sign(&json!({"kid": account}), &account, payload)
    }

    fn account_url(&self, realm: &RealmName, id: &RegistrationId) -> String {
        self.url(realm, &format!("/acct/{id}"))
    }

    fn url(&self, realm: &RealmName, path: &str) -> String {
        format!("{}{path}", self.subject.acme_base(realm))
    }

    fn sign(&self, who: &Value, url: &str, payload: &Value) -> Proof {
        let mut header: Map<String, Value> = who.as_object().cloned().unwrap_or_default();
        header.insert(String::from("alg"), json!(self.key.algorithm()));
        header.insert(String::from("nonce"), json!(base64url::encode(fresh())));
        header.insert(String::from("url"), json!(url));
        let input = signing_input(&Value::Object(header), payload);
        Proof(jws(&jws_json(&input, &self.key.sign(input.as_bytes()))))
    }
}

/// Where everybody comes from.
pub(super) fn client() -> Client {
    Client { ip: "192.0.2.1".parse().expect("an address"), user_agent: None }
}

fn signing_input(header: &Value, payload: &Value) -> String {
    format!("{}.{}", base64url::encode(header.to_string()), base64url::encode(payload.to_string()))
}

fn jws_json(input: &str, signature: &[u8]) -> Value {
    let (protected, payload) = input.split_once('.').expect("two parts");
    json!({"protected": protected, "payload": payload, "signature": base64url::encode(signature)})
}

fn jws(json: &Value) -> Jws {
    serde_json::from_value(json.clone()).expect("a JWS")
}
