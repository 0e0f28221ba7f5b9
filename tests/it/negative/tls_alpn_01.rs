//! Handshakes that prove nothing (RFC 8737 §3).

use serde_json::json;

use super::{Row, attempt::Attempt, prove, trial::Trial};

pub(super) const ROWS: &[Row] = &[Row::fails(
    "N-130",
    "A handshake shows one self-signed certificate with one name and the digest",
    "incorrectResponse",
    |trial| {
        for (what, flaw) in [
            ("another protocol", "no-alpn"),
            ("signed by an authority", "signed-by-another"),
            ("two names", "extra-name"),
            ("another name", "other-name"),
            ("a common name alone", "common-name-only"),
            ("an extension that is not critical", "not-critical"),
            ("no extension", "no-extension"),
            ("an extension of another number", "number-of-drafts"),
            ("a digest of 31 octets", "short-digest"),
        ] {
            let attempt = attempt(trial, flaw);
            answer(&attempt, &attempt.key_authorization(), flaw);
            let _ = trial.fail(what, &attempt);
        }
        let attempt = attempt(trial, "digest");
        answer(&attempt, "something else", "none");
        let _ = trial.fail("the digest of something else", &attempt);
    },
)];

#[test]
fn handshakes_that_prove_nothing_make_challenges_invalid() {
    prove(ROWS);
}

fn attempt(trial: &Trial, name: &str) -> Attempt {
    trial.attempt("tls-alpn-01", &format!("{name}.tls-alpn.test"))
}

/// Lets the sandbox show a certificate with the digest of this content, and with this flaw.
fn answer(attempt: &Attempt, content: &str, flaw: &str) {
    let host = attempt.order.object["identifiers"][0]["value"].as_str().unwrap();
    let answer = json!({"host": host, "content": content, "flaw": flaw, "listen": true});
    attempt.client.site().control("/add-tlsalpn01", &answer);
}
