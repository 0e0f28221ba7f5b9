//! What can go wrong, sorted by what the officer has to do about it, and the exit code of each.

use serde_json::{Value, json};

/// A command that was not carried out. The texts are for the person at the keyboard.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// What was asked for makes no sense as it stands.
    #[error("{0}")]
    Usage(String),
    /// The settings or a file that they or the command name do not do.
    #[error("{0}")]
    File(String),
    /// The CM gave no answer. Whether a change was made is said in the text.
    #[error("{0}")]
    Unanswered(String),
    /// The CM says no.
    #[error("{}", .0.text())]
    Refused(Box<Refusal>),
    /// There is no such thing at the CM.
    #[error("{0}")]
    NotFound(String),
    /// Somebody else changed it between reading and writing. Nothing was done.
    #[error("{0}")]
    Changed(String),
    /// The CM's answer breaks the contract.
    #[error("{0}")]
    Broken(String),
}

/// A problem document of the CM (CM contract section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The contract's word for it.
    pub(crate) code: String,
    /// The CM's sentence.
    pub(crate) detail: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What the CM's own log calls this request.
    pub(crate) request_id: Option<String>,
    /// What this program knows to do about it.
    pub(crate) cure: Option<&'static str>,
}

impl Refusal {
    fn text(&self) -> String {
        let mut text = format!("the CM refuses: {} ({})", self.detail, self.code);
        if let Some(cure) = self.cure {
            text.push_str("; ");
            text.push_str(cure);
        }
        if let Some(id) = &self.request_id {
            text.push_str(&format!(" [request {id}]"));
        }
        text
    }
}

impl Failure {
    /// The exit code, as `docs/OFFICER.md` lists them.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Broken(_) => 1,
            Self::Usage(_) => 2,
            Self::File(_) => 3,
            Self::Unanswered(_) => 4,
            Self::Refused(_) => 5,
            Self::NotFound(_) => 6,
            Self::Changed(_) => 7,
        }
    }

    /// For programs, on standard error.
    pub(crate) fn json(&self) -> Value {
        let code = match self {
            Self::Usage(_) => "usage",
            Self::File(_) => "file",
            Self::Unanswered(_) => "unanswered",
            Self::Refused(refusal) => refusal.code.as_str(),
            Self::NotFound(_) => "not-found",
            Self::Changed(_) => "changed",
            Self::Broken(_) => "broken",
        };
        json!({"error": {"code": code, "detail": self.to_string(), "exit_code": self.exit_code()}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_the_cm_said_and_what_to_do() {
        let refusal = Refusal {
            code: "forbidden".to_owned(),
            detail: "the role auditor may not do this".to_owned(),
            status: 403,
            request_id: Some("01K".to_owned()),
            cure: Some("use another identity"),
        };
        let failure = Failure::Refused(Box::new(refusal));
        assert_eq!(
            failure.to_string(),
            "the CM refuses: the role auditor may not do this (forbidden); use another identity [request 01K]"
        );
        assert_eq!(failure.json().pointer("/error/code").unwrap(), "forbidden");
        assert_eq!(failure.exit_code(), 5);
    }

    #[test]
    fn every_kind_of_failure_has_its_own_exit_code() {
        let text = String::new;
        let all = [
            Failure::Broken(text()),
            Failure::Usage(text()),
            Failure::File(text()),
            Failure::Unanswered(text()),
            Failure::NotFound(text()),
            Failure::Changed(text()),
        ];
        let mut codes: Vec<u8> = all.iter().map(Failure::exit_code).collect();
        codes.dedup();
        assert_eq!(codes, [1, 2, 3, 4, 6, 7]);
    }
}
