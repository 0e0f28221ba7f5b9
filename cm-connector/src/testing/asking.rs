//! A request for a certificate, with evidence and the client's word, as the gateway makes it.

use std::time::Duration;

use acme::{
    certificate::CertificateId,
    challenge::{ChallengeKind, Evidence},
    identifier::Identifier,
    ids::{AuthorizationId, IdempotencyKey, OrderId, RealmName, RegistrationId},
};

use super::{
    ClientKey, Realm, Subject, Wanted,
    expect::{fresh, now},
    person::{Person, client},
};
use crate::{CertificateManager, CertificateRequest, CmError, RequestState, Validation};

/// How long the CM may take to answer with the certificate.
const WAIT: Duration = Duration::from_secs(20);

/// A request that can be sent again and again.
pub(super) struct Asking {
    pub(super) realm: RealmName,
    pub(super) key: IdempotencyKey,
    pub(super) request: CertificateRequest,
    /// Of the certificate.
    pub(super) subject_key: Box<dyn ClientKey>,
}

impl Asking {
    /// By an account of the open realm.
    pub(super) async fn open(
        subject: &dyn Subject,
        person: &Person<'_>,
        id: &RegistrationId,
        cm: &dyn CertificateManager,
        names: &[&str],
    ) -> Self {
        Self::of(subject, person, id, cm, &subject.realm(Realm::Open), names).await
    }

    /// By an account of a realm, for the realm's default profile, with everything proven a moment ago.
    pub(super) async fn of(
        subject: &dyn Subject,
        person: &Person<'_>,
        id: &RegistrationId,
        cm: &dyn CertificateManager,
        realm: &RealmName,
        names: &[&str],
    ) -> Self {
        let profiles = cm.profiles(realm).await.expect("profiles");
        let profile = profiles.into_iter().find(|profile| profile.is_default).expect("a default profile").name;
        let subject_key = subject.cryptography().new_key();
        let csr_der = subject_key.csr(&Wanted { names, common_name: None });
        let order = OrderId::from_random(fresh());
        let identifiers: Vec<_> = names.iter().map(|name| Identifier::parse_dns(name).expect("a name")).collect();
        let request = CertificateRequest {
            registration: id.clone(),
            proof: person.finalize(realm, id, &order, &csr_der),
            order,
            profile,
            validations: identifiers.iter().map(proven).collect(),
            identifiers,
            csr_der,
            not_before: None,
            not_after: None,
            replaces: None,
            client: client(),
        };
        Self { realm: realm.clone(), key: IdempotencyKey::from_random(fresh()), request, subject_key }
    }

    /// With another CSR, which the client has signed too.
    pub(super) fn with_csr(mut self, person: &Person<'_>, wanted: &Wanted<'_>) -> Self {
        self.request.csr_der = self.subject_key.csr(wanted);
        self.sign(person)
    }

    /// In place of a certificate.
    pub(super) fn replacing(mut self, certificate: &CertificateId) -> Self {
        self.request.replaces = Some(certificate.clone());
        self
    }

    /// For the order of another request, under a key of its own.
    pub(super) fn for_order_of(mut self, person: &Person<'_>, other: &Self) -> Self {
        self.request.order = other.request.order.clone();
        self.sign(person)
    }

    fn sign(mut self, person: &Person<'_>) -> Self {
        let request = &self.request;
        self.request.proof = person.finalize(&self.realm, &request.registration, &request.order, &request.csr_der);
        self
    }

    /// The octets that a gateway stores before it sends them.
    pub(super) fn octets(&self, cm: &dyn CertificateManager) -> Vec<u8> {
        cm.certificate_request(&self.request).expect("octets")
    }

    /// Sends it.
    pub(super) async fn submit(&self, cm: &dyn CertificateManager) -> Result<RequestState, CmError> {
        cm.submit(&self.realm, &self.key, &self.octets(cm), WAIT).await
    }

    /// What became of it.
    pub(super) async fn outcome(&self, cm: &dyn CertificateManager) -> Result<Option<RequestState>, CmError> {
        cm.request_by_key(&self.realm, &self.key).await
    }

    /// Its first name.
    pub(super) fn name(&self) -> String {
        self.request.identifiers[0].to_string()
    }
}

/// A proof of control over DNS, by a method that proves wildcards too.
fn proven(identifier: &Identifier) -> Validation {
    Validation {
        identifier: identifier.clone(),
        authorization: AuthorizationId::from_random(fresh()),
        kind: ChallengeKind::Dns01,
        evidence: Evidence {
            perspective: String::from("local"),
            source: String::from("192.0.2.2"),
            target: format!("_acme-challenge.{}", identifier.without_wildcard()),
            at: now(),
            caa: None,
            reusable_until: None,
        },
        reused: false,
        waived: None,
    }
}
