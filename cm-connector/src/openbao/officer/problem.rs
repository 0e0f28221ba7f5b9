//! What OpenBao and this adapter refuse, as a CM would say it (CM contract sections 5 and 9.4).

use serde_json::json;

use super::{super::failure::Failure, Answer};
use crate::Outcome;

/// A refusal in the contract's words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: u16,
    code: &'static str,
    detail: String,
}

impl Problem {
    pub(super) fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(400, "malformed", detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "not-found", detail)
    }

    /// Somebody else wrote since.
    pub(super) fn stale() -> Self {
        Self::new(412, "precondition-failed", "it has another version by now")
    }

    /// OpenBao has nothing for it.
    pub(super) fn missing(what: &str) -> Self {
        Self::new(501, "capability-missing", format!("OpenBao as a CM has no {what}; nothing was done"))
    }

    pub(super) fn into_answer(self) -> Answer {
        let json = json!({"code": self.code, "detail": self.detail, "status": self.status});
        Answer { status: self.status, content_type: "application/problem+json", body: json.to_string() }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        if failure.is_stale() {
            return Self::stale();
        }
        match failure {
            Failure::Refused { status: 403, .. } => {
                Self::new(403, "forbidden", "OpenBao's policy for this certificate does not allow it")
            }
            Failure::Refused { status: 404, errors } if errors.is_empty() => {
                Self::not_found("OpenBao has no such thing")
            }
            Failure::Refused { status, errors } => {
                Self::malformed(format!("OpenBao answered {status}: {}", acme::problem::shown(&errors)))
            }
            Failure::Busy { .. } => Self::new(429, "rate-limited", "a quota of OpenBao is used up; nothing was done"),
            Failure::Stranger => Self::new(
                401,
                "unauthenticated",
                "OpenBao does not let this certificate log in with the role in cm.openbao.login_role; it has a role for \
                 officers and one for auditors, and none for approvers: nothing waits for them there",
            ),
            Failure::Away { outcome: Outcome::NotSent, .. } => {
                Self::new(503, "issuer-unavailable", "OpenBao does not answer, or is sealed; nothing was done")
            }
            Failure::Away { outcome: Outcome::Unknown, .. } => Self::new(
                503,
                "issuer-unavailable",
                "OpenBao's answer was lost; whether it did what was asked is not known: look before you repeat",
            ),
            Failure::Broken(detail) => Self::new(500, "internal", acme::problem::shown(&detail).to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_openbao_are_told_in_the_contracts_words() {
        let refused = |status: u16, errors: &str| Problem::from(Failure::of(status, &[errors.to_owned()], None));
        let table = [
            (refused(403, "1 error occurred"), 403, "forbidden"),
            (refused(400, "check-and-set parameter did not match the current version"), 412, "precondition-failed"),
            (refused(400, "unknown field"), 400, "malformed"),
            (Problem::from(Failure::of(404, &[], None)), 404, "not-found"),
            (refused(429, ""), 429, "rate-limited"),
            (refused(503, "Vault is sealed"), 503, "issuer-unavailable"),
            (Problem::from(Failure::Stranger), 401, "unauthenticated"),
        ];
        for (problem, status, code) in table {
            assert_eq!((problem.status, problem.code), (status, code), "{problem:?}");
        }
        assert!(refused(503, "").detail.contains("not known") && refused(307, "").detail.contains("nothing was done"));
    }
}
