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
            Alarm, ByScope, Evidence, KeyInUse, Later, LaterIfRetryable, Missing, Revoked, Say, SlowDown, Stranger,
            TakeCertificate, Tell,
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
            Self::EabRejected => Say(
                Kind::Unauthorized,
                "the external account binding was not accepted; check the key identifier and the MAC key",
            ),
            Self::EabThrottled => SlowDown("too many external account bindings were not accepted; try again later"),
            Self::PreregistrationNotInWindow => {
                Tell(Kind::Unauthorized, "the external account cannot be used at this time; ask its issuer")
            }
            Self::PreregistrationExhausted => {
                Tell(Kind::Unauthorized, "the external account has been used already; ask its issuer for another")
            }
            Self::RegistrationNotActive => Tell(Kind::Unauthorized, "the account is suspended; ask the RA officer"),
            Self::KeyInUse => KeyInUse,
            Self::KeyRetired => Say(Kind::BadPublicKey, "this account key was replaced by another; use a new key"),
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
            Self::AlreadyReplaced => Tell(Kind::Conflict, "the certificate to be replaced has been replaced already"),
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rest::examples;

    const TEXT: &str = "the words of the CM";

    fn problem(code: &str, status: u16, change: serde_json::Value) -> ProblemIn {
        let mut json = json!({"type": format!("urn:cm:problem:{code}"), "code": code, "status": status,
            "detail": TEXT, "retryable": status >= 500 || status == 429});
        json.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(json).unwrap()
    }

    fn answer(code: &str, status: u16) -> CmError {
        judge(problem(code, status, json!({})), Subject::Registration, Some(Duration::from_secs(9)))
    }

    fn later(outcome: Outcome) -> CmError {
        CmError::Unavailable { retry_after: Some(Duration::from_secs(9)), outcome }
    }

    /// Every row of the table in section 5 that ends in an ACME problem: code, HTTP status of the
    /// CM, †, ACME type and status.
    const REFUSALS: [(&str, u16, bool, &str, u16); 29] = [
        ("not-found", 404, false, "accountDoesNotExist", 400),
        ("eab-rejected", 403, false, "unauthorized", 403),
        ("eab-throttled", 429, false, "rateLimited", 429),
        ("preregistration-not-in-window", 403, true, "unauthorized", 403),
        ("preregistration-exhausted", 403, true, "unauthorized", 403),
        ("registration-not-active", 403, true, "unauthorized", 403),
        ("key-retired", 409, false, "badPublicKey", 400),
        ("account-key-rejected", 422, true, "badPublicKey", 400),
        ("contact-invalid", 422, true, "invalidContact", 400),
        ("contact-unsupported", 422, true, "unsupportedContact", 400),
        ("identifier-not-allowed", 422, true, "rejectedIdentifier", 403),
        ("identifier-unsupported", 422, true, "unsupportedIdentifier", 400),
        ("profile-not-allowed", 422, true, "invalidProfile", 400),
        ("csr-bad", 422, true, "badCSR", 400),
        ("csr-mismatch", 422, true, "badCSR", 400),
        ("csr-key-rejected", 422, true, "badCSR", 400),
        ("csr-key-blocked", 422, true, "badCSR", 400),
        ("validity-not-allowed", 422, true, "malformed", 400),
        ("evidence-missing", 422, false, "unauthorized", 403),
        ("evidence-stale", 422, false, "unauthorized", 403),
        ("evidence-rejected", 422, false, "unauthorized", 403),
        ("caa-forbidden", 422, true, "caa", 403),
        ("replaces-invalid", 422, true, "malformed", 400),
        ("already-replaced", 409, true, "malformed", 409),
        ("request-rejected", 422, true, "unauthorized", 403),
        ("request-expired", 422, true, "unauthorized", 403),
        ("certificate-expired", 409, true, "malformed", 400),
        ("revocation-reason-not-allowed", 422, true, "badRevocationReason", 400),
        ("revocation-not-authorised", 403, false, "unauthorized", 403),
    ];
    /// The rows that raise an alarm.
    const ALARMS: [(&str, u16); 9] = [
        ("malformed", 400),
        ("idempotency-key-missing", 400),
        ("precondition-required", 428),
        ("forbidden", 403),
        ("proof-invalid", 422),
        ("proof-replayed", 409),
        ("idempotency-key-reused", 422),
        ("capability-missing", 501),
        ("cursor-expired", 410),
    ];
    /// The rows that mean: later.
    const LATER: [(&str, u16, Outcome); 7] = [
        ("request-in-progress", 409, Outcome::Unknown),
        ("precondition-failed", 412, Outcome::NotSent),
        ("rate-limited", 429, Outcome::NotSent),
        ("issuer-unavailable", 503, Outcome::Unknown),
        ("overloaded", 503, Outcome::Unknown),
        ("read-only", 503, Outcome::Unknown),
        ("internal", 500, Outcome::Unknown),
    ];
    /// The rows that each have a test of their own.
    const OTHERS: [&str; 5] =
        ["unauthenticated", "key-in-use", "order-already-issued", "already-issued", "already-revoked"];

    #[test]
    fn every_code_of_the_contract_has_one_row() {
        let rows = REFUSALS
            .iter()
            .map(|row| row.0)
            .chain(ALARMS.iter().map(|row| row.0))
            .chain(LATER.iter().map(|row| row.0))
            .chain(OTHERS);
        let mut rows: Vec<_> = rows.collect();
        let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        rows.sort_unstable();
        codes.sort_unstable();
        assert_eq!(rows, codes);
        assert!(Code::ALL.iter().all(|code| Code::parse(code.as_str()) == Some(*code)));
    }

    #[test]
    fn refusals_have_the_type_and_status_of_the_contract_and_pass_only_marked_texts() {
        for (code, status, passes, name, acme_status) in REFUSALS {
            let answer = answer(code, status);
            assert_eq!(matches!(answer, CmError::EvidenceRefused(_)), code.starts_with("evidence-"), "{code}");
            assert_eq!(matches!(answer, CmError::RateLimited { .. }), code == "eab-throttled", "{code}");
            let (CmError::Refused(refused)
            | CmError::EvidenceRefused(refused)
            | CmError::RateLimited { problem: refused, .. }) = answer
            else {
                panic!("{code}: {answer:?}")
            };
            assert_eq!(refused.kind.name_and_status(), (name, acme_status), "{code}");
            assert_eq!(refused.detail == TEXT, passes, "{code}");
        }
    }

    #[test]
    fn our_own_faults_are_alarms() {
        for (code, status) in ALARMS {
            let CmError::Internal { detail, .. } = answer(code, status) else { panic!("{code}") };
            assert!(detail.contains(code) && detail.contains(TEXT));
        }
    }

    #[test]
    fn what_passes_by_itself_is_for_later() {
        for (code, status, outcome) in LATER {
            assert_eq!(answer(code, status), later(outcome), "{code}");
        }
        let permanent = judge(problem("internal", 500, json!({"retryable": false})), Subject::Request, None);
        assert!(matches!(permanent, CmError::Internal { outcome: Outcome::Unknown, .. }));
    }

    #[test]
    fn a_limit_is_the_clients_business_only_if_it_is_its_registrations() {
        let limited = |scope: serde_json::Value| {
            judge(problem("rate-limited", 429, json!({"scope": scope})), Subject::Registration, None)
        };
        assert!(matches!(limited(json!("registration")), CmError::RateLimited { .. }));
        for scope in [json!("gateway"), json!("realm"), json!("tenant"), json!(null)] {
            assert_eq!(limited(scope), CmError::Unavailable { retry_after: None, outcome: Outcome::NotSent });
        }
    }

    #[test]
    fn a_cm_that_does_not_know_us_is_left_alone_for_a_minute() {
        let expected = CmError::Unavailable { retry_after: Some(STRANGER_RETRY_AFTER), outcome: Outcome::NotSent };
        assert_eq!(answer("unauthenticated", 401), expected);
    }

    #[test]
    fn what_is_missing_depends_on_what_was_asked() {
        let about = |subject| judge(problem("not-found", 404, json!({})), subject, None);
        let CmError::Refused(certificate) = about(Subject::Certificate) else { panic!("refused") };
        assert_eq!(certificate.kind, ProblemKind::NotFound);
        assert!(matches!(about(Subject::Request), CmError::Internal { outcome: Outcome::Unknown, .. }));
        assert!(matches!(about(Subject::Configuration), CmError::Internal { outcome: Outcome::NotSent, .. }));
    }

    #[test]
    fn the_owner_of_a_key_is_named_if_the_cm_names_it() {
        let owner = |change| judge(problem("key-in-use", 409, change), Subject::Registration, None);
        let named = CmError::KeyInUse { registration: Some("reg_1".parse().unwrap()) };
        assert_eq!(owner(json!({"registration": "reg_1"})), named);
        assert_eq!(owner(json!({})), CmError::KeyInUse { registration: None });
    }

    #[test]
    fn a_certificate_that_exists_already_is_taken_from_the_problem() {
        let certificate = examples::certificate_request()["certificate"].clone();
        for code in ["order-already-issued", "already-issued"] {
            let with = problem(code, 409, json!({"certificate": certificate}));
            let CmError::AlreadyIssued(issued) = judge(with, Subject::Request, None) else { panic!("{code}") };
            assert_eq!(issued.order_ref.unwrap().as_str(), "01KANM7QJ2");
            let without = judge(problem(code, 409, json!({})), Subject::Request, None);
            assert!(matches!(without, CmError::Internal { outcome: Outcome::Unknown, .. }), "{code}");
        }
        assert_eq!(answer("already-revoked", 409), CmError::AlreadyRevoked);
    }

    #[test]
    fn the_contracts_problem_is_told_with_its_identifiers() {
        let problem: ProblemIn = serde_json::from_value(examples::problem()).unwrap();
        let CmError::Refused(told) = judge(problem, Subject::Request, None) else { panic!("refused") };
        assert_eq!(told.kind, ProblemKind::RejectedIdentifier);
        let [part] = told.subproblems.as_slice() else { panic!("one") };
        assert_eq!(part.identifier, (String::from("dns"), String::from("vpn.example.com")));
        assert_eq!((part.kind, part.detail.as_ref()), (ProblemKind::RejectedIdentifier, "excluded by policy"));
    }

    #[test]
    fn texts_of_the_cm_are_made_fit_for_clients() {
        let hostile = json!({
            "detail": format!("\"a\r\nb\"{}", "x".repeat(5000)),
            "subproblems": [
                {"code": "internal", "identifier": {"type": "dns", "value": "a\u{1b}[31m.test"}, "detail": "stack trace"},
                "text", {"code": "csr-bad"},
            ],
        });
        let CmError::Refused(told) = judge(problem("csr-bad", 422, hostile), Subject::Request, None) else {
            panic!("refused")
        };
        assert_eq!(told.detail.chars().count(), DETAIL_CHARACTERS_MAX);
        assert!(told.detail.starts_with("'a  b'x"));
        let [part] = told.subproblems.as_slice() else { panic!("one") };
        assert_eq!((part.kind, part.detail.as_ref()), (ProblemKind::BadCsr, "not accepted"));
        assert_eq!(part.identifier.1, "a?[31m.test");
        let CmError::Refused(empty) = judge(problem("csr-bad", 422, json!({"detail": " "})), Subject::Request, None)
        else {
            panic!("refused")
        };
        assert_eq!(empty.detail, "the CSR was not accepted");
    }

    #[test]
    fn a_code_that_we_do_not_know_is_judged_by_its_status() {
        let unknown = |status, retryable: bool| {
            judge(problem("quantum-exhausted", status, json!({"retryable": retryable})), Subject::Request, None)
        };
        let CmError::Refused(refused) = unknown(422, false) else { panic!("refused") };
        assert_eq!((refused.kind, refused.detail == TEXT), (ProblemKind::ServerInternal, false));
        assert!(matches!(unknown(422, true), CmError::Unavailable { outcome: Outcome::Unknown, .. }));
        assert!(matches!(unknown(400, false), CmError::Internal { .. }));
        assert!(matches!(unknown(429, true), CmError::Unavailable { outcome: Outcome::NotSent, .. }));
        assert!(matches!(unknown(503, true), CmError::Unavailable { outcome: Outcome::Unknown, .. }));
    }
}
