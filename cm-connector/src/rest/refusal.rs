//! From the CM's problem codes to what the caller does: CM contract section 5, as one table.
//!
//! The code decides; texts are for people, and only those marked † in the contract reach clients.
//! A code that we do not know is judged by its HTTP status, strictly.

use std::time::Duration;

use acme::problem::{Problem, ProblemKind, Subproblem};

use super::wire::{
    certificate::CertificateIn,
    problem::{ProblemIn, SubproblemIn},
};
use crate::{CmError, Outcome};

/// Longest text of the CM that is passed to a client, in characters.
const DETAIL_CHARACTERS_MAX: usize = 400;
/// Most subproblems that are passed on: one an identifier of the largest request.
const SUBPROBLEMS_MAX: usize = 100;
/// How long to leave a CM alone that does not know or accept our certificate (section 8).
pub(super) const STRANGER_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What a call is about: what is missing if the CM answers `not-found`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The registration that acts.
    Registration,
    /// The certificate to be revoked.
    Certificate,
    /// A certificate request.
    Request,
    /// Anything that the configuration names: realm, profile, issuer.
    Configuration,
}

macro_rules! codes {
    ($($variant:ident = $text:literal,)*) => {
        /// The problem codes of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Code { $($variant,)* }

        impl Code {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Takes a code word; `None` for one that a newer CM may have.
            pub(super) fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }

            #[cfg(test)]
            const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

codes! {
    Malformed = "malformed",
    IdempotencyKeyMissing = "idempotency-key-missing",
    PreconditionRequired = "precondition-required",
    Unauthenticated = "unauthenticated",
    Forbidden = "forbidden",
    NotFound = "not-found",
    EabRejected = "eab-rejected",
    EabThrottled = "eab-throttled",
    LinkRejected = "link-rejected",
    PreregistrationNotInWindow = "preregistration-not-in-window",
    PreregistrationExhausted = "preregistration-exhausted",
    RegistrationNotActive = "registration-not-active",
    KeyInUse = "key-in-use",
    KeyRetired = "key-retired",
    AccountKeyRejected = "account-key-rejected",
    ContactInvalid = "contact-invalid",
    ContactUnsupported = "contact-unsupported",
    IdentifierNotAllowed = "identifier-not-allowed",
    IdentifierUnsupported = "identifier-unsupported",
    ProfileNotAllowed = "profile-not-allowed",
    CsrBad = "csr-bad",
    CsrMismatch = "csr-mismatch",
    CsrKeyRejected = "csr-key-rejected",
    CsrKeyBlocked = "csr-key-blocked",
    ValidityNotAllowed = "validity-not-allowed",
    EvidenceMissing = "evidence-missing",
    EvidenceStale = "evidence-stale",
    EvidenceRejected = "evidence-rejected",
    CaaForbidden = "caa-forbidden",
    ReplacesInvalid = "replaces-invalid",
    AlreadyReplaced = "already-replaced",
    ProofInvalid = "proof-invalid",
    ProofReplayed = "proof-replayed",
    RequestRejected = "request-rejected",
    RequestExpired = "request-expired",
    OrderAlreadyIssued = "order-already-issued",
    AlreadyIssued = "already-issued",
    AlreadyRevoked = "already-revoked",
    CertificateExpired = "certificate-expired",
    RevocationReasonNotAllowed = "revocation-reason-not-allowed",
    RevocationNotAuthorised = "revocation-not-authorised",
    RequestInProgress = "request-in-progress",
    IdempotencyKeyReused = "idempotency-key-reused",
    PreconditionFailed = "precondition-failed",
    RateLimited = "rate-limited",
    IssuerUnavailable = "issuer-unavailable",
    Overloaded = "overloaded",
    ReadOnly = "read-only",
    Internal = "internal",
    CapabilityMissing = "capability-missing",
    CursorExpired = "cursor-expired",
}

/// What a code asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// Refuse with the CM's own text (†); the sentence stands in for an empty one.
    Tell(ProblemKind, &'static str),
    /// Refuse with this sentence; the CM's text stays in the log.
    Say(ProblemKind, &'static str),
    /// Something does not exist; what it is, the call knows.
    Missing,
    /// The evidence is not accepted.
    Evidence,
    /// As [`Action::Say`], to somebody who may be guessing.
    Binding(&'static str),
    /// The client is too fast.
    SlowDown(&'static str),
    /// Whose fault the speed is, the scope says.
    ByScope,
    /// The key has another registration.
    KeyInUse,
    /// The problem carries the certificate.
    TakeCertificate,
    /// Revoked before.
    Revoked,
    /// Try later.
    Later(Outcome),
    /// Try later if the CM says that it helps, else raise an alarm.
    LaterIfRetryable,
    /// The CM does not know us: alarm, and try again slowly.
    Stranger,
    /// Our fault or a wrong setting: alarm.
    Alarm(Outcome),
}

impl Code {
    const fn action(self) -> Action {
        use Action::{
            Alarm, Binding, ByScope, Evidence, KeyInUse, Later, LaterIfRetryable, Missing, Revoked, Say, SlowDown,
            Stranger, TakeCertificate, Tell,
        };
        use ProblemKind as Kind;
        match self {
            Self::Malformed
            | Self::IdempotencyKeyMissing
            | Self::PreconditionRequired
            | Self::Forbidden
            | Self::ProofInvalid
            | Self::ProofReplayed
            | Self::CapabilityMissing
            | Self::CursorExpired => Alarm(Outcome::NotSent),
            Self::IdempotencyKeyReused => Alarm(Outcome::Unknown),
            Self::Unauthenticated => Stranger,
            Self::NotFound => Missing,
            Self::EabRejected => {
                Binding("the external account binding was not accepted; check the key identifier and the MAC key")
            }
            Self::LinkRejected => {
                Binding("this directory URL is not accepted; ask the registration authority for a new directory URL")
            }
            Self::EabThrottled => SlowDown("too many attempts to bind an account were not accepted; try again later"),
            Self::PreregistrationNotInWindow => {
                Tell(Kind::Unauthorized, "the external account cannot be used at this time; ask its issuer")
            }
            Self::PreregistrationExhausted => {
                Tell(Kind::Unauthorized, "the external account has been used already; ask its issuer for another")
            }
            Self::RegistrationNotActive => Tell(Kind::Unauthorized, "the account is suspended; ask the RA officer"),
            Self::KeyInUse => KeyInUse,
            Self::KeyRetired => Say(
                Kind::BadPublicKey,
                "this account key was replaced or withdrawn and is not accepted again; use a new key",
            ),
            Self::AccountKeyRejected => Tell(Kind::BadPublicKey, "the account key is not accepted; use another key"),
            Self::ContactInvalid => Tell(Kind::InvalidContact, "a contact is not valid"),
            Self::ContactUnsupported => Tell(Kind::UnsupportedContact, "only mailto contacts are supported"),
            Self::IdentifierNotAllowed => {
                Tell(Kind::RejectedIdentifier, "an identifier is not allowed for this account")
            }
            Self::IdentifierUnsupported => Tell(Kind::UnsupportedIdentifier, "an identifier is not supported"),
            Self::ProfileNotAllowed => Tell(Kind::InvalidProfile, "the profile is not allowed for this account"),
            Self::CsrBad => Tell(Kind::BadCsr, "the CSR was not accepted"),
            Self::CsrMismatch => Tell(Kind::BadCsr, "the CSR does not name exactly the identifiers of the order"),
            Self::CsrKeyRejected => Tell(Kind::BadCsr, "the key in the CSR is not accepted; use another key"),
            Self::CsrKeyBlocked => Tell(Kind::BadCsr, "the key in the CSR is blocked; use another key"),
            Self::ValidityNotAllowed => Tell(Kind::Malformed, "notBefore or notAfter is not allowed by the profile"),
            Self::EvidenceMissing | Self::EvidenceStale | Self::EvidenceRejected => Evidence,
            Self::CaaForbidden => Tell(Kind::Caa, "CAA records forbid issuance"),
            Self::ReplacesInvalid => Tell(Kind::Malformed, "the certificate to be replaced is not yours"),
            Self::AlreadyReplaced => {
                Tell(Kind::AlreadyReplaced, "the certificate to be replaced has been replaced already")
            }
            Self::RequestRejected => Tell(Kind::Unauthorized, "the request was rejected by the certificate authority"),
            Self::RequestExpired => Tell(Kind::Unauthorized, "nobody approved the request in time; create a new order"),
            Self::OrderAlreadyIssued | Self::AlreadyIssued => TakeCertificate,
            Self::AlreadyRevoked => Revoked,
            Self::CertificateExpired => Tell(Kind::Malformed, "the certificate has expired"),
            Self::RevocationReasonNotAllowed => Tell(Kind::BadRevocationReason, "the reason is not allowed"),
            Self::RevocationNotAuthorised => {
                Say(Kind::Unauthorized, "you may not revoke this certificate; use its account or its key")
            }
            Self::RequestInProgress => Later(Outcome::Unknown),
            Self::PreconditionFailed => Later(Outcome::NotSent),
            Self::RateLimited => ByScope,
            // A 503 can come after the request was taken down: look before repeating.
            Self::IssuerUnavailable | Self::Overloaded | Self::ReadOnly => Later(Outcome::Unknown),
            Self::Internal => LaterIfRetryable,
        }
    }
}

/// Says what a problem of the CM means for the caller, and logs the CM's own text.
pub(super) fn judge(problem: ProblemIn, subject: Subject, retry_after: Option<Duration>) -> CmError {
    let detail = problem.detail.clone().unwrap_or_default();
    let action = match Code::parse(&problem.code) {
        Some(code) => code.action(),
        None => unknown_code(&problem),
    };
    tracing::info!(
        code = %acme::problem::shown(&problem.code),
        status = problem.status,
        detail = %acme::problem::shown(&detail),
        "the CM refused a request"
    );
    let alarm = |outcome| CmError::Internal { outcome, detail: inside(&problem.code, &detail) };
    match action {
        Action::Tell(kind, sentence) => CmError::Refused(told(kind, sentence, &problem)),
        Action::Say(kind, sentence) => CmError::Refused(Problem::new(kind, sentence)),
        Action::Missing => missing(subject, &problem.code, &detail),
        Action::Evidence => CmError::EvidenceRefused(Problem::new(
            ProblemKind::Unauthorized,
            "the proofs of control were not accepted for issuance; create a new order and prove control again",
        )),
        Action::Binding(sentence) => CmError::BindingRefused(Problem::new(ProblemKind::Unauthorized, sentence)),
        Action::SlowDown(sentence) => {
            CmError::RateLimited { problem: Problem::new(ProblemKind::RateLimited, sentence), retry_after }
        }
        Action::ByScope if problem.scope.as_deref() == Some("registration") => CmError::RateLimited {
            problem: Problem::new(ProblemKind::RateLimited, "this account makes too many requests; try again later"),
            retry_after,
        },
        Action::ByScope => CmError::Unavailable { retry_after, outcome: Outcome::NotSent },
        Action::KeyInUse => CmError::KeyInUse { registration: problem.registration.and_then(|id| id.parse().ok()) },
        Action::TakeCertificate => certificate(problem),
        Action::Revoked => CmError::AlreadyRevoked,
        Action::Later(outcome) => CmError::Unavailable { retry_after, outcome },
        Action::LaterIfRetryable if problem.retryable.unwrap_or(true) => {
            CmError::Unavailable { retry_after, outcome: Outcome::Unknown }
        }
        Action::LaterIfRetryable => alarm(Outcome::Unknown),
        Action::Stranger => {
            tracing::error!("the CM does not accept the gateway's client certificate");
            CmError::Unavailable { retry_after: retry_after.max(Some(STRANGER_RETRY_AFTER)), outcome: Outcome::NotSent }
        }
        Action::Alarm(outcome) => alarm(outcome),
    }
}

/// A 4xx is a refusal whatever its code; the client hears no more than that.
fn unknown_code(problem: &ProblemIn) -> Action {
    let clients_business = matches!(problem.status, 403 | 409 | 422) && problem.retryable != Some(true);
    match problem.status {
        408 | 425 | 429 => Action::Later(Outcome::NotSent),
        400..=499 if clients_business => {
            Action::Say(ProblemKind::ServerInternal, "the certificate authority refused the request")
        }
        400..=499 if problem.retryable != Some(true) => Action::Alarm(Outcome::NotSent),
        _ => Action::Later(Outcome::Unknown),
    }
}

fn missing(subject: Subject, code: &str, detail: &str) -> CmError {
    match subject {
        Subject::Registration => {
            CmError::Refused(Problem::new(ProblemKind::AccountDoesNotExist, "there is no such account"))
        }
        Subject::Certificate => CmError::Refused(Problem::new(
            ProblemKind::NotFound,
            "this certificate authority does not know the certificate",
        )),
        Subject::Request => CmError::Internal { outcome: Outcome::Unknown, detail: inside(code, detail) },
        Subject::Configuration => CmError::Internal { outcome: Outcome::NotSent, detail: inside(code, detail) },
    }
}

fn certificate(problem: ProblemIn) -> CmError {
    let broken = |detail: String| CmError::Internal { outcome: Outcome::Unknown, detail };
    let Some(json) = problem.certificate else {
        return broken(format!("{}, but the problem carries no certificate", problem.code));
    };
    match super::wire::read::<CertificateIn>(json).and_then(CertificateIn::convert) {
        Ok(certificate) => CmError::AlreadyIssued(Box::new(certificate)),
        Err(error) => broken(error.to_string()),
    }
}

/// The CM's own refusal, made fit for a client: bounded, one line, and about what it asked for.
fn told(kind: ProblemKind, sentence: &'static str, problem: &ProblemIn) -> Problem {
    let subproblems = problem.subproblems.iter().flatten().take(SUBPROBLEMS_MAX);
    let detail = problem.detail.as_deref().filter(|detail| !detail.trim().is_empty());
    Problem {
        subproblems: subproblems.filter_map(|json| told_of(kind, json)).collect(),
        ..Problem::new(kind, detail.map_or_else(|| sentence.to_owned(), bounded))
    }
}

/// One identifier's part, if its code lets its text through too.
fn told_of(parent: ProblemKind, json: &serde_json::Value) -> Option<Subproblem> {
    let part: SubproblemIn = serde_json::from_value(json.clone()).ok()?;
    let (kind, sentence, passes) = match Code::parse(&part.code).map(Code::action) {
        Some(Action::Tell(kind, sentence)) => (kind, sentence, true),
        Some(_) | None => (parent, "not accepted", false),
    };
    let detail = part.detail.as_deref().filter(|detail| passes && !detail.trim().is_empty());
    let detail = detail.map_or_else(|| sentence.to_owned(), bounded);
    Some(Subproblem::about_text(kind, &part.identifier.kind, &part.identifier.value, detail))
}

fn bounded(text: &str) -> String {
    text.chars().take(DETAIL_CHARACTERS_MAX).collect()
}

fn inside(code: &str, detail: &str) -> String {
    format!("the CM answered {}: {}", acme::problem::shown(code), acme::problem::shown(detail))
}

#[cfg(test)]
mod tests;
