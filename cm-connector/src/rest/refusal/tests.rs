//! Every code of CM contract section 5, typed by hand from the document.

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
const REFUSALS: [(&str, u16, bool, &str, u16); 30] = [
    ("not-found", 404, false, "accountDoesNotExist", 400),
    ("eab-rejected", 403, false, "unauthorized", 403),
    ("eab-throttled", 429, false, "rateLimited", 429),
    ("link-rejected", 403, false, "unauthorized", 403),
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
    ("already-replaced", 409, true, "alreadyReplaced", 409),
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
        let may_be_a_guess = ["eab-rejected", "link-rejected"].contains(&code);
        assert_eq!(matches!(answer, CmError::BindingRefused(_)), may_be_a_guess, "{code}");
        let (CmError::Refused(refused)
        | CmError::EvidenceRefused(refused)
        | CmError::BindingRefused(refused)
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
    let CmError::Refused(empty) = judge(problem("csr-bad", 422, json!({"detail": " "})), Subject::Request, None) else {
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
