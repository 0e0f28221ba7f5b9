//! Problem documents (RFC 8555 §6.7, RFC 9457).

use std::borrow::Cow;

use serde::Serialize;

use crate::problem::{Problem as Model, Subproblem as SubproblemModel};

/// A problem document; also the `error` member of orders and challenges.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the members of RFC 8555 section 6.7 and RFC 9457 section 3.1")]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: String,
    pub detail: Cow<'static, str>,
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithms: Option<&'static [&'static str]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subproblems: Vec<Subproblem>,
}

/// What is wrong with one identifier (RFC 8555 §6.7.1).
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the members of RFC 8555 section 6.7.1")]
pub struct Subproblem {
    #[serde(rename = "type")]
    pub kind: String,
    pub detail: Cow<'static, str>,
    pub status: u16,
    pub identifier: IdentifierText,
}

/// An identifier as the client wrote it.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the members of RFC 8555 section 7.1.3")]
pub struct IdentifierText {
    #[serde(rename = "type")]
    pub kind: String,
    pub value: String,
}

impl From<&Model> for Problem {
    fn from(problem: &Model) -> Self {
        Self {
            kind: problem.kind.urn(),
            detail: problem.detail.clone(),
            status: problem.kind.status(),
            instance: None,
            algorithms: None,
            subproblems: problem.subproblems.iter().map(Subproblem::from).collect(),
        }
    }
}

impl From<&SubproblemModel> for Subproblem {
    fn from(problem: &SubproblemModel) -> Self {
        let (kind, value) = problem.identifier.clone();
        Self {
            kind: problem.kind.urn(),
            detail: problem.detail.clone(),
            status: problem.kind.status(),
            identifier: IdentifierText { kind, value },
        }
    }
}
