//! Why an attempt did not show the proof: text for the client, and advice for the caller.

use std::borrow::Cow;

use acme::problem::{Problem, ProblemKind};

/// An attempt that did not show the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For the client: the name and address tried, what was seen and what was expected. Never an
    /// octet of a body or of a header.
    pub problem: Problem,
    /// Whether a later attempt may succeed with nothing changed at the client: a server that does
    /// not answer yet, a record that has not arrived yet.
    pub retry: bool,
}

impl Failure {
    /// A failure that time may cure.
    pub(crate) fn passing(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { problem: Problem::new(kind, detail), retry: true }
    }

    /// A failure that somebody has to cure.
    pub(crate) fn lasting(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { problem: Problem::new(kind, detail), retry: false }
    }
}
