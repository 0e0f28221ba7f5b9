//! Jobs: slow work that was promised and must not be forgotten.
//!
//! One authorization has at most one validation job, one order at most one issuance job, and what is
//! asked about one certificate for one reason by one account or key at most one revocation job,
//! because a job's id follows from what it is about.

use std::time::Duration;

use acme::{
    account_key::Thumbprint,
    caa::CaaEvidence,
    certificate::{CertificateId, FailedCheck},
    challenge::ChallengeKind,
    ids::{AuthorizationId, CertificateRequestId, EndpointName, IdempotencyKey, JobId, OrderId, RealmName},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Slow work that is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Follows from the work.
    pub id: JobId,
    /// Not before this time.
    pub due_at: Timestamp,
    /// How often it was tried.
    pub attempt: u32,
    /// What is to be done.
    pub work: Work,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Check a challenge the client has responded to.
    Validate {
        /// Whose challenge.
        authorization: AuthorizationId,
        /// Which challenge.
        kind: ChallengeKind,
    },
    /// Get the certificate of a finalized order from the CM.
    Issue {
        /// Which order.
        order: OrderId,
        /// The CM's realm that it is asked for in.
        realm: RealmName,
        /// The same for each attempt of this order.
        idempotency_key: IdempotencyKey,
        /// The CSR in DER: the certificate must answer it.
        #[serde(with = "base64url")]
        csr: Vec<u8>,
        /// What goes to the CM, octet by octet the same in each attempt.
        #[serde(with = "base64url")]
        request: Vec<u8>,
        /// What the order's profile said when it was finalized; `None` in jobs of versions that did not keep it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        terms: Option<ProfileTerms>,
        /// The account key that had signed finalize; `None` in jobs of versions that did not keep it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed_by: Option<Thumbprint>,
        /// How far it has come.
        submission: Submission,
        /// What CAA records have said since the order was finalized.
        #[serde(default, skip_serializing_if = "CaaLooks::are_none")]
        caa: CaaLooks,
    },
    /// Report to the CM whether a certificate passed every check.
    ConfirmDelivery {
        /// The CM's realm.
        realm: RealmName,
        /// The request that was answered.
        request: CertificateRequestId,
        /// What is wrong with it; nothing if it was accepted.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failed: Vec<FailedCheck>,
        /// The order that it was for; not in jobs that an earlier release has made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<OrderId>,
        /// Whether to look first if the CM has made a second certificate for the request.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        look_again: bool,
    },
    /// Have the CM revoke a certificate.
    Revoke(RevocationWork),
}

/// A revocation that was authorised and is not confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationWork {
    /// Whose directory it was asked of.
    pub endpoint: EndpointName,
    /// The CM's realm.
    pub realm: RealmName,
    /// Which certificate.
    pub certificate: CertificateId,
    /// What tells several requests about one certificate apart: who asks, and why.
    pub asked: String,
    /// When the certificate expires, and nothing is left to revoke.
    pub not_after: Timestamp,
    /// What the CM is asked until it says no to it.
    #[serde(flatten)]
    pub call: RevocationCall,
    /// The same as it was asked for last: by a newer key of the account or on newer proofs, it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer: Option<RevocationCall>,
}

/// What the CM is asked about a revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationCall {
    /// The same for each attempt.
    pub idempotency_key: IdempotencyKey,
    /// What is asked, as the gateway wrote it.
    #[serde(with = "base64url")]
    pub revocation: Vec<u8>,
    /// What goes to the CM, octet by octet the same in each attempt; none in jobs of versions that did not keep it.
    #[serde(default, with = "base64url", skip_serializing_if = "Vec::is_empty")]
    pub request: Vec<u8>,
}

/// How far a request to the CM has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Submission {
    /// The CM has certainly not seen it.
    NotSent,
    /// It was going to be sent, so the CM may have it: ask for it by its key before anything else.
    MayHaveBeenSent {
        /// When that was recorded.
        since: Timestamp,
    },
    /// The CM has taken it.
    Accepted {
        /// The CM's name of it.
        request: CertificateRequestId,
        /// When that was recorded.
        since: Timestamp,
        /// Whether a person has to approve it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        approval: bool,
    },
}

/// What a profile says about certificates, as it was when an order was finalized. Its certificate is held to
/// it if the CM does not offer the profile any more when the certificate comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileTerms {
    /// Subject key identifiers of the issuers that may sign; none if the CM does not say.
    pub issuer_key_ids: Vec<Vec<u8>>,
    /// Longest validity; `None` if there is no limit.
    pub validity_max: Option<Duration>,
    /// Whether the certificate has to carry the TLS feature extension.
    pub must_staple: bool,
}

/// Looks at CAA records that an issuance job has made itself, besides those that came with the proofs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaaLooks {
    /// The latest that permitted issuance, one an authorization.
    pub permitted: Vec<(AuthorizationId, CaaEvidence)>,
    /// How often since then the DNS has not answered.
    pub unanswered: u32,
}

impl CaaLooks {
    /// Whether there was none.
    fn are_none(&self) -> bool {
        self.permitted.is_empty() && self.unanswered == 0
    }

    /// Keeps what a look has found before some names had no answer in time. Whoever gets on, however slowly, is not
    /// without an answer, and can do so at most once for each name.
    pub fn keep_some(&mut self, looks: Vec<(AuthorizationId, CaaEvidence)>) {
        if looks.is_empty() {
            self.unanswered = self.unanswered.saturating_add(1);
        }
        self.keep(looks);
    }

    /// Puts newer looks in the place of older ones.
    pub fn keep(&mut self, looks: Vec<(AuthorizationId, CaaEvidence)>) {
        self.permitted.retain(|(id, _)| looks.iter().all(|(newer, _)| newer != id));
        self.permitted.extend(looks);
    }
}

impl Job {
    /// The validation of one challenge, not yet tried.
    #[must_use]
    pub fn validate(authorization: AuthorizationId, kind: ChallengeKind, due_at: Timestamp) -> Self {
        let id = Self::validation_id(&authorization);
        Self { id, due_at, attempt: 0, work: Work::Validate { authorization, kind } }
    }

    /// The issuance for one order, not yet sent.
    #[must_use]
    pub fn issue(
        order: OrderId,
        realm: RealmName,
        idempotency_key: IdempotencyKey,
        csr: Vec<u8>,
        request: Vec<u8>,
        terms: Option<ProfileTerms>,
        due_at: Timestamp,
    ) -> Self {
        let id = Self::issuance_id(&order);
        let submission = Submission::NotSent;
        let caa = CaaLooks::default();
        let signed_by = None;
        let work = Work::Issue { order, realm, idempotency_key, csr, request, terms, signed_by, submission, caa };
        Self { id, due_at, attempt: 0, work }
    }

    /// The issuance that a request signed by this account key has asked for; other jobs stay as they are.
    #[must_use]
    pub const fn signed_by(mut self, key: Thumbprint) -> Self {
        if let Work::Issue { signed_by, .. } = &mut self.work {
            *signed_by = Some(key);
        }
        self
    }

    /// The report that the answer to one request was taken.
    #[must_use]
    pub fn report_taken(
        order: &OrderId,
        realm: RealmName,
        request: CertificateRequestId,
        look_again: bool,
        due_at: Timestamp,
    ) -> Self {
        let (failed, order) = (Vec::new(), Some(order.clone()));
        let work = Work::ConfirmDelivery { realm, request, failed, order, look_again };
        Self { id: work.job_id(), due_at, attempt: 0, work }
    }

    /// The report that the answer to one request is wrong in what `failed` says.
    #[must_use]
    pub fn report_refused(
        order: &OrderId,
        realm: RealmName,
        request: CertificateRequestId,
        failed: Vec<FailedCheck>,
        due_at: Timestamp,
    ) -> Self {
        let work = Work::ConfirmDelivery { realm, request, failed, order: Some(order.clone()), look_again: false };
        Self { id: work.job_id(), due_at, attempt: 0, work }
    }

    /// A revocation, to be called for from this time on.
    #[must_use]
    pub fn revoke(revocation: RevocationWork, due_at: Timestamp) -> Self {
        let work = Work::Revoke(revocation);
        Self { id: work.job_id(), due_at, attempt: 0, work }
    }

    /// The id of the validation job of an authorization.
    #[must_use]
    pub fn validation_id(authorization: &AuthorizationId) -> JobId {
        derive_id("validate", authorization.as_str())
    }

    /// The id of the issuance job of an order.
    #[must_use]
    pub fn issuance_id(order: &OrderId) -> JobId {
        derive_id("issue", order.as_str())
    }
}

impl Work {
    /// The id of the job that does this work.
    pub(crate) fn job_id(&self) -> JobId {
        match self {
            Self::Validate { authorization, .. } => Job::validation_id(authorization),
            Self::Issue { order, .. } => Job::issuance_id(order),
            Self::ConfirmDelivery { request, .. } => derive_id("confirm-delivery", request.as_str()),
            Self::Revoke(RevocationWork { certificate, asked, .. }) => {
                derive_id("revoke", &format!("{certificate}/{asked}"))
            }
        }
    }
}

/// Half of a SHA-256 digest: ids of two things do not meet, however long the ids they follow from.
fn derive_id(work: &str, about: &str) -> JobId {
    let digest = Sha256::digest(format!("{work}/{about}"));
    let mut bits = [0; 16];
    bits.iter_mut().zip(digest).for_each(|(bit, octet)| *bit = octet);
    JobId::from_random(bits)
}

/// Octets as base64url in JSON.
mod base64url {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&acme::base64url::encode(octets))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        acme::base64url::decode(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revocations_that_an_earlier_release_has_written_are_read() {
        let json = r#"{"endpoint":"open","realm":"tls","idempotency_key":"k","certificate":"a.b","asked":"reg_1/4",
            "not_after":"2027-01-15T08:00:00Z","revocation":"e30"}"#;
        let work: RevocationWork = serde_json::from_str(json).unwrap();
        assert_eq!((work.call.idempotency_key.as_str(), work.call.revocation.as_slice()), ("k", b"{}".as_slice()));
        assert_eq!((&work.newer, work.call.request.len()), (&None, 0));
        let newer = RevocationWork { newer: Some(work.call.clone()), ..work };
        assert_eq!(serde_json::from_slice::<RevocationWork>(&serde_json::to_vec(&newer).unwrap()).unwrap(), newer);
    }

    #[test]
    fn only_a_look_that_gets_nowhere_counts_as_unanswered() {
        let look = |name: &str| {
            let identities = Vec::new();
            let result = acme::caa::CaaResult::NoRecords;
            let checked_at = Timestamp::from_unix_secs(1_800_000_000);
            (AuthorizationId::parse(name).unwrap(), CaaEvidence { result, checked_at, identities })
        };
        let mut caa = CaaLooks::default();
        caa.keep_some(vec![look("a"), look("b")]);
        caa.keep_some(vec![look("c")]);
        assert_eq!((caa.unanswered, caa.permitted.len()), (0, 3));
        caa.keep_some(Vec::new());
        assert_eq!((caa.unanswered, caa.permitted.len()), (1, 3));
    }

    #[test]
    fn an_issuance_of_an_earlier_release_does_not_say_who_signed_it() {
        let (order, realm) = (OrderId::parse("o").unwrap(), RealmName::parse("r").unwrap());
        let key = IdempotencyKey::parse("k").unwrap();
        let job = Job::issue(order, realm, key, vec![1], vec![2], None, Timestamp::from_unix_secs(1_800_000_000));
        let earlier = serde_json::to_value(&job).unwrap();
        assert!(!earlier.to_string().contains("signed_by"));
        assert_eq!(serde_json::from_value::<Job>(earlier).unwrap(), job);
        let signed = job.clone().signed_by("ahIyRbwOXzMFPMuEDVyIX3geBBhi9oEWKOEyg1TMZ4s".parse().unwrap());
        assert_ne!(signed, job);
        let kept = serde_json::to_vec(&signed).unwrap();
        assert_eq!(serde_json::from_slice::<Job>(&kept).unwrap(), signed);
    }

    #[test]
    fn an_order_has_one_issuance_job_whatever_the_job_says() {
        let id = |text: &str| OrderId::parse(text).unwrap();
        assert_eq!(Job::issuance_id(&id("a")), Job::issuance_id(&id("a")));
        assert_ne!(Job::issuance_id(&id("a")), Job::issuance_id(&id("b")));
        assert_ne!(Job::issuance_id(&id("a")), Job::validation_id(&AuthorizationId::parse("a").unwrap()));
    }
}
