//! What was refused, by which rule: requests that ended without a certificate, and what the CM's audit trail says.

use acme::time::Timestamp;
use serde_json::{Value, json};

use super::{Report, counted, record::time};
use crate::error::Failure;

/// States of a request that ended without a certificate and not by the client's own wish.
pub(crate) const REFUSED: [&str; 3] = ["rejected", "expired", "failed"];
/// The outcome of an audit entry about a refusal.
const OUTCOME: &str = "refused";
/// Who calls on behalf of clients. What people are refused are their own mistakes: the audit trail has them.
const CLIENTS_ROLE: &str = "gateway";
/// What the CM does not know.
const NOTE: &str = "What the gateway refuses by itself, such as names that are not allowed (identifier.not-listed) and \
    registrations that are suspended, never reaches the CM, so it is not in this report: the gateway's own audit log has it, \
    and orders show REF for one order.";

struct Refusal {
    at: Timestamp,
    cells: [String; 7],
}

/// From `from` on and before `to`, oldest first. `audit` is `None` if the CM does not show it to whoever asks.
///
/// # Errors
/// [`Failure::Broken`] if a time of the CM is none.
pub(crate) fn refused(
    requests: &[Value],
    audit: Option<&[Value]>,
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
) -> Result<Report, Failure> {
    let mut refusals = Vec::new();
    for request in requests {
        refusals.push(of_request(request)?);
    }
    for entry in audit.into_iter().flatten().filter(|entry| is_refusal_of_client(entry)) {
        refusals.push(of_audit(entry)?);
    }
    refusals.retain(|refusal| refusal.at >= from && refusal.at < to);
    refusals.sort_by(|a, b| (a.at, &a.cells).cmp(&(b.at, &b.cells)));
    let totals = counted(refusals.iter().map(rule_of));
    let mut notes = vec![NOTE.to_owned()];
    if audit.is_none() {
        let note = "The CM shows its audit trail to auditors only, so what it refused at once is not in this report.";
        notes.push(note.to_owned());
    }
    let row = |refusal: &Refusal| {
        std::iter::once(json!(refusal.at)).chain(refusal.cells.iter().map(|cell| json!(cell))).collect()
    };
    Ok(Report {
        name: "refused",
        title: format!("Refused from {from} to before {to}"),
        made_at: now,
        columns: &["at", "rule", "source", "action", "registration", "subject", "actor", "detail"],
        rows: refusals.iter().map(row).collect(),
        totals: totals.into_iter().map(|(rule, number)| (format!("rule {rule}"), number)).collect(),
        notes,
    })
}

fn is_refusal_of_client(entry: &Value) -> bool {
    text(entry, "/outcome") == OUTCOME && text(entry, "/role") == CLIENTS_ROLE
}

fn rule_of(refusal: &Refusal) -> &str {
    let [rule, ..] = &refusal.cells;
    rule
}

fn of_request(request: &Value) -> Result<Refusal, Failure> {
    let at = match text(request, "/finishedAt") {
        "" => text(request, "/receivedAt"),
        finished => finished,
    };
    let rule = match text(request, "/problem/code") {
        "" => format!("request-{}", text(request, "/status")),
        code => code.to_owned(),
    };
    let words = ["request", "requestCertificate", text(request, "/registration"), text(request, "/id"), ""];
    Ok(Refusal { at: time(at)?, cells: cells(rule, words, text(request, "/problem/detail")) })
}

fn of_audit(entry: &Value) -> Result<Refusal, Failure> {
    let subject = text(entry, "/subject");
    let registration = if subject.starts_with("reg_") { subject } else { "" };
    let words = ["audit", text(entry, "/action"), registration, subject, text(entry, "/actor")];
    let rule = text(entry, "/problem/code").to_owned();
    Ok(Refusal { at: time(text(entry, "/time"))?, cells: cells(rule, words, text(entry, "/problem/detail")) })
}

fn cells(rule: String, words: [&str; 5], detail: &str) -> [String; 7] {
    let [source, action, registration, subject, actor] = words.map(str::to_owned);
    [rule, source, action, registration, subject, actor, detail.to_owned()]
}

fn text<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn refusals_of_both_sources_are_in_order_and_counted_by_rule() {
        let requests = [
            json!({"id": "req_1", "status": "rejected", "registration": "reg_1", "receivedAt": "2026-11-01T00:00:00Z",
                   "finishedAt": "2026-11-03T00:00:00Z", "problem": {"code": "request-rejected", "detail": "no"}}),
            json!({"id": "req_2", "status": "expired", "registration": "reg_1", "receivedAt": "2026-11-01T00:00:00Z"}),
            json!({"id": "req_3", "status": "failed", "receivedAt": "2026-10-31T23:59:59Z"}),
        ];
        let audit = [
            json!({"time": "2026-11-02T00:00:00Z", "actor": "urn:cm:gateway:g", "role": "gateway", "action": "requestCertificate",
                   "outcome": "refused", "problem": {"code": "identifier-not-allowed", "detail": "d"}}),
            json!({"time": "2026-11-02T00:00:01Z", "role": "gateway", "outcome": "done"}),
            json!({"time": "2026-11-02T00:00:02Z", "actor": "urn:cm:officer:o", "role": "officer", "action": "createRegistration",
                   "outcome": "refused", "problem": {"code": "malformed", "detail": "a mistake in typing"}}),
        ];
        let (from, to) = (at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
        let report = refused(&requests, Some(&audit), from, to, to).unwrap();
        let rules: Vec<_> = report.rows.iter().map(|row| row.get(1).unwrap().as_str().unwrap()).collect();
        assert_eq!(rules, ["request-expired", "identifier-not-allowed", "request-rejected"]);
        assert_eq!(report.totals.get("rule identifier-not-allowed"), Some(&1));
        assert_eq!(report.notes.len(), 1);
        let without = refused(&requests, None, from, to, to).unwrap();
        assert!(without.notes.iter().any(|note| note.contains("auditors only")), "{without:?}");
        assert!(refused(&[json!({"id": "req_4"})], None, from, to, to).is_err(), "a refusal without a time is none");
    }
}
