//! Orders: a request for one certificate (RFC 8555 §7.1.3, §7.1.6).
//!
//! Facts are stored, status is derived: the five statuses come from what happened to the order and
//! to its authorizations, so none of them can contradict another. "Issued without a certificate"
//! and "pending with a CSR" cannot be written down.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    authorization::{Authorization, AuthorizationStatus},
    certificate::CertificateId,
    identifier::Identifier,
    ids::{AuthorizationId, EndpointName, OrderId, ProfileName, RegistrationId},
    problem::{Problem, ProblemKind, Subproblem},
    time::Timestamp,
};

/// SHA-256 of a CSR in DER: tells a repeated finalize from a different one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsrDigest(pub [u8; 32]);

impl CsrDigest {
    /// The digest of these octets, whatever they are.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

/// A request for one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its id; also the CM's `orderRef`.
    pub id: OrderId,
    /// The directory it was made under.
    pub endpoint: EndpointName,
    /// The account it belongs to, for ever.
    pub account: RegistrationId,
    /// What the certificate will name, in the client's order; never changes.
    pub identifiers: Vec<Identifier>,
    /// One authorization an identifier, in the same order; never changes.
    pub authorizations: Vec<AuthorizationId>,
    /// Those of them that were proven before this order was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reused: Vec<AuthorizationId>,
    /// What the CM shall issue by.
    pub profile: ProfileName,
    /// The certificate that this one takes the place of (RFC 9773 §5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<CertificateId>,
    /// Wanted start of validity.
    pub not_before: Option<Timestamp>,
    /// Wanted end of validity.
    pub not_after: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it can be finalized.
    pub expires: Timestamp,
    /// What has happened to it.
    pub progress: Progress,
}

/// What has happened to an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Not finalized.
    Open,
    /// A CSR was accepted; an issuance job exists.
    Finalizing {
        /// Which CSR.
        csr: CsrDigest,
        /// Since when.
        since: Timestamp,
    },
    /// The certificate exists and passed every check.
    Issued {
        /// Which CSR it answers.
        csr: CsrDigest,
        /// The CM's name of the certificate.
        certificate: CertificateId,
    },
    /// It ended without a certificate.
    Failed {
        /// Why, for the client.
        problem: Problem,
    },
}

/// The status words of RFC 8555 §7.1.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// Some authorization is not yet valid.
    Pending,
    /// It can be finalized.
    Ready,
    /// The certificate is being issued.
    Processing,
    /// The certificate can be downloaded.
    Valid,
    /// It ended without a certificate.
    Invalid,
}

/// What a finalize request leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finalize {
    /// The CSR is accepted: issuance has to be started, with the commit of this order.
    Accepted(Box<Order>),
    /// The same CSR was accepted before; nothing changes.
    Repeated,
}

/// The order cannot be finalized now (RFC 8555 §7.4, `orderNotReady`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the order is {}", self.0.as_str())]
pub struct NotReady(pub OrderStatus);

impl OrderStatus {
    /// The status word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Processing => "processing",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
        }
    }
}

impl Order {
    /// The status at this time. `authorizations` are those that the order names; a missing one
    /// counts as ended.
    #[must_use]
    pub fn status(&self, authorizations: &[Authorization], now: Timestamp) -> OrderStatus {
        match &self.progress {
            Progress::Finalizing { .. } => OrderStatus::Processing,
            Progress::Issued { .. } => OrderStatus::Valid,
            Progress::Failed { .. } => OrderStatus::Invalid,
            Progress::Open if self.expires <= now => OrderStatus::Invalid,
            Progress::Open => self.status_while_open(authorizations, now),
        }
    }

    fn status_while_open(&self, authorizations: &[Authorization], now: Timestamp) -> OrderStatus {
        let mut all_valid = !self.authorizations.is_empty(); // nothing proven is not everything proven
        for id in &self.authorizations {
            match authorizations.iter().find(|authorization| authorization.id == *id).map(|found| found.status(now)) {
                Some(AuthorizationStatus::Valid) => {}
                Some(AuthorizationStatus::Pending) => all_valid = false,
                Some(
                    AuthorizationStatus::Invalid
                    | AuthorizationStatus::Deactivated
                    | AuthorizationStatus::Expired
                    | AuthorizationStatus::Revoked,
                )
                | None => return OrderStatus::Invalid,
            }
        }
        if all_valid { OrderStatus::Ready } else { OrderStatus::Pending }
    }

    /// Takes a CSR that passed the policies (RFC 8555 §7.4). Sending the same CSR again while it
    /// is worked on or issued is harmless: some clients do.
    ///
    /// # Errors
    /// [`NotReady`] with the status that stands in the way.
    pub fn finalize(
        &self,
        authorizations: &[Authorization],
        csr: CsrDigest,
        now: Timestamp,
    ) -> Result<Finalize, NotReady> {
        match &self.progress {
            Progress::Finalizing { csr: accepted, .. } | Progress::Issued { csr: accepted, .. } if *accepted == csr => {
                Ok(Finalize::Repeated)
            }
            Progress::Open | Progress::Finalizing { .. } | Progress::Issued { .. } | Progress::Failed { .. } => {
                match self.status(authorizations, now) {
                    OrderStatus::Ready => Ok(Finalize::Accepted(Box::new(Self {
                        progress: Progress::Finalizing { csr, since: now },
                        ..self.clone()
                    }))),
                    status @ (OrderStatus::Pending
                    | OrderStatus::Processing
                    | OrderStatus::Valid
                    | OrderStatus::Invalid) => Err(NotReady(status)),
                }
            }
        }
    }

    /// Records the certificate; `None` unless the order is being finalized.
    #[must_use]
    pub fn record_issued(&self, certificate: CertificateId) -> Option<Self> {
        match &self.progress {
            Progress::Finalizing { csr, .. } => {
                Some(Self { progress: Progress::Issued { csr: *csr, certificate }, ..self.clone() })
            }
            Progress::Open | Progress::Issued { .. } | Progress::Failed { .. } => None,
        }
    }

    /// Records that no certificate will come; `None` if the order has come to its end already.
    #[must_use]
    pub fn record_failed(&self, problem: Problem) -> Option<Self> {
        match &self.progress {
            Progress::Open | Progress::Finalizing { .. } => {
                Some(Self { progress: Progress::Failed { problem }, ..self.clone() })
            }
            Progress::Issued { .. } | Progress::Failed { .. } => None,
        }
    }

    /// Why the order is invalid, for its `error` member: the failure of each identifier, if that is
    /// what ended it. `None` while it is not.
    #[must_use]
    pub fn error(&self, authorizations: &[Authorization], now: Timestamp) -> Option<Problem> {
        if let Progress::Failed { problem } = &self.progress {
            return Some(problem.clone());
        }
        if self.status(authorizations, now) != OrderStatus::Invalid {
            return None;
        }
        let ended = self.ended(authorizations, now, |_| true);
        Some(ended.unwrap_or_else(|| {
            let detail = format!("the order expired at {}; create a new order", self.expires);
            Problem::new(ProblemKind::Malformed, detail)
        }))
    }

    /// Why nothing may be issued for it although it was finalized: what it rests on was given up or
    /// taken back. `None` if it was not.
    #[must_use]
    pub fn withdrawn(&self, authorizations: &[Authorization], now: Timestamp) -> Option<Problem> {
        self.ended(authorizations, now, Authorization::is_withdrawn)
    }

    /// What ended those of its authorizations that are looked for.
    fn ended(
        &self,
        authorizations: &[Authorization],
        now: Timestamp,
        wanted: impl Fn(&Authorization) -> bool,
    ) -> Option<Problem> {
        let mine = self.authorizations.iter().filter_map(|id| authorizations.iter().find(|one| one.id == *id));
        let ended: Vec<_> = mine.filter(|one| wanted(one)).filter_map(|one| why_ended(one, now)).collect();
        (!ended.is_empty()).then(|| Problem::about_identifiers(ended, self.identifiers.len()))
    }
}

/// What ended an authorization, if something did.
fn why_ended(authorization: &Authorization, now: Timestamp) -> Option<Subproblem> {
    let about = |kind, detail: Cow<'static, str>| Some(Subproblem::new(kind, &authorization.identifier, detail));
    match authorization.status(now) {
        AuthorizationStatus::Pending | AuthorizationStatus::Valid => None,
        AuthorizationStatus::Invalid => {
            authorization.failure().and_then(|problem| about(problem.kind, problem.detail.clone()))
        }
        AuthorizationStatus::Deactivated => {
            about(ProblemKind::Unauthorized, "the authorization was deactivated; create a new order".into())
        }
        AuthorizationStatus::Revoked => about(
            ProblemKind::Unauthorized,
            "the proof of control was not accepted for issuance; create a new order and prove control again".into(),
        ),
        AuthorizationStatus::Expired => about(
            ProblemKind::Malformed,
            format!("the authorization expired at {}; create a new order", authorization.expires).into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::challenge::{Challenge, ChallengeKind, ChallengeState, Evidence, Token};

    const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
    const CSR: CsrDigest = CsrDigest([1; 32]);
    const OTHER_CSR: CsrDigest = CsrDigest([2; 32]);

    fn authorization(state: ChallengeState) -> Authorization {
        Authorization {
            id: AuthorizationId::parse("a1").unwrap(),
            endpoint: EndpointName::parse("open").unwrap(),
            account: RegistrationId::parse("reg_1").unwrap(),
            identifier: Identifier::parse_dns("a.test").unwrap(),
            challenges: vec![Challenge { state, ..Challenge::new(ChallengeKind::Http01, Token::from_random([7; 32])) }],
            expires: NOW.plus(Duration::from_secs(60)),
            deactivated_at: None,
            revoked_at: None,
        }
    }

    fn proven() -> Authorization {
        let evidence = Evidence {
            perspective: "local".into(),
            source: "x".into(),
            target: "y".into(),
            at: NOW,
            caa: None,
            reusable_until: None,
        };
        authorization(ChallengeState::Valid { evidence })
    }

    fn order() -> Order {
        Order {
            id: OrderId::parse("o1").unwrap(),
            endpoint: EndpointName::parse("open").unwrap(),
            account: RegistrationId::parse("reg_1").unwrap(),
            identifiers: vec![Identifier::parse_dns("a.test").unwrap()],
            authorizations: vec![AuthorizationId::parse("a1").unwrap()],
            reused: Vec::new(),
            profile: ProfileName::parse("tls-server").unwrap(),
            replaces: None,
            not_before: None,
            not_after: None,
            created: NOW,
            expires: NOW.plus(Duration::from_secs(60)),
            progress: Progress::Open,
        }
    }

    #[test]
    fn an_order_is_ready_exactly_while_every_authorization_is_valid() {
        let order = order();
        assert_eq!(order.status(&[authorization(ChallengeState::Pending)], NOW), OrderStatus::Pending);
        assert_eq!(order.status(&[proven()], NOW), OrderStatus::Ready);
        assert_eq!(order.status(&[proven()], NOW.plus(Duration::from_secs(60))), OrderStatus::Invalid);
        assert_eq!(order.status(&[], NOW), OrderStatus::Invalid);
        let given_up = proven().deactivate(NOW).unwrap();
        assert_eq!(order.status(&[given_up], NOW), OrderStatus::Invalid);
    }

    #[test]
    fn finalize_is_refused_while_an_authorization_is_pending() {
        let refused = order().finalize(&[authorization(ChallengeState::Pending)], CSR, NOW);
        assert_eq!(refused, Err(NotReady(OrderStatus::Pending)));
    }

    #[test]
    fn the_same_csr_again_changes_nothing_and_another_one_is_refused() {
        let Ok(Finalize::Accepted(order)) = order().finalize(&[proven()], CSR, NOW) else { panic!("not accepted") };
        assert_eq!(order.finalize(&[proven()], CSR, NOW), Ok(Finalize::Repeated));
        assert_eq!(order.finalize(&[proven()], OTHER_CSR, NOW), Err(NotReady(OrderStatus::Processing)));
        let issued = order.record_issued(CertificateId::parse("AA.BB").unwrap()).unwrap();
        assert_eq!(issued.finalize(&[], CSR, NOW), Ok(Finalize::Repeated));
        assert_eq!(issued.finalize(&[], OTHER_CSR, NOW), Err(NotReady(OrderStatus::Valid)));
    }

    #[test]
    fn nothing_leads_out_of_a_final_state() {
        let failed = order().record_failed(Problem::new(ProblemKind::Caa, "no")).unwrap();
        assert_eq!(failed.record_issued(CertificateId::parse("AA.BB").unwrap()), None);
        assert_eq!(failed.record_failed(Problem::new(ProblemKind::Caa, "no")), None);
        assert_eq!(failed.finalize(&[proven()], CSR, NOW), Err(NotReady(OrderStatus::Invalid)));
    }

    #[test]
    fn the_error_of_an_order_names_every_identifier_that_ended_it() {
        let failed = |kind, id: &str, name: &str| Authorization {
            id: AuthorizationId::parse(id).unwrap(),
            identifier: Identifier::parse_dns(name).unwrap(),
            ..authorization(ChallengeState::Invalid { at: NOW, problem: Problem::new(kind, "no answer") })
        };
        let order = Order {
            identifiers: ["a.test", "b.test", "c.test"].map(|name| Identifier::parse_dns(name).unwrap()).to_vec(),
            authorizations: ["a1", "a2", "a3"].map(|id| AuthorizationId::parse(id).unwrap()).to_vec(),
            ..order()
        };
        let told = |second: ProblemKind, third: Authorization| {
            let authorizations = [proven(), failed(second, "a2", "b.test"), third];
            let error = order.error(&authorizations, NOW).unwrap();
            let named: Vec<_> = error.subproblems.iter().map(|one| (one.identifier.1.clone(), one.kind)).collect();
            (error.kind, named)
        };
        let (b, c) = (String::from("b.test"), String::from("c.test"));
        let (dns, connection) = (ProblemKind::Dns, ProblemKind::Connection);
        let third = |kind| failed(kind, "a3", "c.test");
        assert_eq!(told(dns, third(dns)), (dns, vec![(b.clone(), dns), (c.clone(), dns)]));
        assert_eq!(told(dns, third(connection)), (ProblemKind::Compound, vec![(b.clone(), dns), (c, connection)]));
        let pending =
            Authorization { id: AuthorizationId::parse("a3").unwrap(), ..authorization(ChallengeState::Pending) };
        assert_eq!(told(dns, pending), (dns, vec![(b, dns)]));
        let expired = order.error(&[proven()], order.expires).unwrap();
        assert!(expired.detail.contains("expired at"), "{}", expired.detail);
    }

    #[test]
    fn a_finalized_order_loses_its_ground_when_a_proof_is_withdrawn_and_not_when_it_expires() {
        let later = NOW.plus(Duration::from_secs(600));
        assert_eq!(order().withdrawn(&[proven()], NOW), None);
        assert_eq!(order().withdrawn(&[proven()], later), None, "issuance goes on");
        for withdrawn in [proven().deactivate(NOW).unwrap(), proven().revoke(NOW).unwrap()] {
            let problem = order().withdrawn(&[withdrawn], later).unwrap();
            assert_eq!((problem.kind, problem.subproblems.len()), (ProblemKind::Unauthorized, 1));
        }
    }
}
