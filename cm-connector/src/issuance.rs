//! Certificate requests: what is sent, what becomes of them, and what is reported back
//! (CM contract section 4.4).

use std::time::Duration;

use acme::{
    authorization::Authorization,
    certificate::{CertificateId, Check, FailedCheck},
    challenge::{ChallengeKind, Evidence},
    identifier::Identifier,
    ids::{AuthorizationId, CertificateRequestId, OrderId, ProfileName, RegistrationId},
    problem::Problem,
    time::Timestamp,
    waiver::Waived,
};
use serde::{Deserialize, Serialize};

use crate::{Certificate, Client, Proof};

/// Everything the CM needs to judge and sign one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Who asks.
    pub registration: RegistrationId,
    /// The order; the CM issues at most once for it.
    pub order: OrderId,
    /// What to issue by.
    pub profile: ProfileName,
    /// The CSR in DER.
    pub csr_der: Vec<u8>,
    /// The names of the order.
    pub identifiers: Vec<Identifier>,
    /// Exactly one entry an identifier.
    pub validations: Vec<Validation>,
    /// Wanted start of validity.
    pub not_before: Option<Timestamp>,
    /// Wanted end of validity, met exactly or refused.
    pub not_after: Option<Timestamp>,
    /// The certificate that this one takes the place of (RFC 9773 §5).
    pub replaces: Option<CertificateId>,
    /// Where finalize came from.
    pub client: Client,
    /// The finalize JWS.
    pub proof: Proof,
}

/// How control of one identifier was proven, or by what waiver it need not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// What was proven; for a wildcard the wildcard itself.
    pub identifier: Identifier,
    /// The authorization that holds the proof.
    pub authorization: AuthorizationId,
    /// How.
    pub kind: ChallengeKind,
    /// What was seen, in the CAA records too.
    pub evidence: Evidence,
    /// True if the proof was made for an earlier order.
    pub reused: bool,
    /// The waiver that takes the place of a proof. The evidence then tells nothing but time and CAA records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<Waived>,
}

/// What the CM's answer says about the request itself (V11 of CM contract section 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestClaims {
    /// Whose request it is.
    pub registration: RegistrationId,
    /// Which order it is for; `None` if the CM names one that we cannot have made.
    pub order_ref: Option<OrderId>,
    /// SHA-256 of the CSR, if the CM says so.
    pub csr_sha256: Option<[u8; 32]>,
}

/// What has become of a certificate request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestState {
    /// A certificate exists. It proves nothing before it passed the checks of section 7.
    Issued {
        /// The request.
        id: CertificateRequestId,
        /// What was issued.
        certificate: Box<Certificate>,
        /// What the CM says it was issued for.
        claims: RequestClaims,
    },
    /// Not decided yet; also what an unknown status word is taken for.
    Pending {
        /// The request.
        id: CertificateRequestId,
        /// When to ask again.
        retry_after: Option<Duration>,
        /// True if a person has to decide.
        approval: bool,
    },
    /// It has ended, and there will be no certificate.
    Refused {
        /// The request.
        id: CertificateRequestId,
        /// Why.
        refusal: Refusal,
    },
}

/// Why a request ended without a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For the client: the order's error.
    pub problem: Problem,
    /// True if the CM did not accept the evidence: the order's authorizations are not to be used
    /// again.
    pub evidence_refused: bool,
}

/// What came of the gateway's checks of a certificate (CM contract section 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It passed; the client can have it.
    Accepted,
    /// It failed these checks; nobody has seen it.
    Refused(Vec<FailedCheck>),
}

impl Validation {
    /// The proof that an authorization holds, or the waiver that it rests on, if it is valid by either.
    #[must_use]
    pub fn of(authorization: &Authorization, reused: bool) -> Option<Self> {
        let (kind, evidence, waived) = match (authorization.proof(), authorization.waived()) {
            (Some((kind, evidence)), _) => (kind, evidence.clone(), None),
            (None, Some((at, waived))) => {
                (authorization.challenges.first()?.kind, nothing_seen(at), Some(waived.clone()))
            }
            (None, None) => return None,
        };
        Some(Self {
            identifier: authorization.identifier.clone(),
            authorization: authorization.id.clone(),
            kind,
            evidence,
            reused,
            waived,
        })
    }
}

/// What is known where nobody looked.
const fn nothing_seen(at: Timestamp) -> Evidence {
    Evidence {
        perspective: String::new(),
        source: String::new(),
        target: String::new(),
        at,
        caa: None,
        reusable_until: None,
    }
}

impl RequestClaims {
    /// Checks what the CM says about request and certificate against what was asked for: the part
    /// of V11 that needs no look into the certificate.
    ///
    /// # Errors
    /// A failed [`Check::Claims`].
    pub fn check(&self, certificate: &Certificate, expected: &Self) -> Result<(), FailedCheck> {
        let fail = |detail: String| Err(FailedCheck { check: Check::Claims, detail });
        if self.registration != expected.registration || certificate.registration != expected.registration {
            return fail(format!(
                "registration {} expected, the request has {}, the certificate {}",
                expected.registration, self.registration, certificate.registration
            ));
        }
        let other_order = certificate.order_ref.is_some() && certificate.order_ref != expected.order_ref;
        if self.order_ref != expected.order_ref || other_order {
            return fail(format!(
                "order {:?} expected, the request has {:?}, the certificate {:?}",
                expected.order_ref, self.order_ref, certificate.order_ref
            ));
        }
        if self.csr_sha256.is_some() && self.csr_sha256 != expected.csr_sha256 {
            return fail(String::from("the CM states another csrSha256"));
        }
        Ok(())
    }
}
