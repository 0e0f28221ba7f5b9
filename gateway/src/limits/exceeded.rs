//! What somebody is told who has met a limit: which one, how large it is, and when to come again.

use std::{borrow::Cow, time::Duration};

use acme::problem::{Problem, ProblemKind};
use policies::rate_limit::RateLimit;

use crate::ra::{self, Refusal};

/// A limit was met. Nothing was spent.
#[derive(Debug)]
pub(crate) struct Exceeded {
    /// The setting, without its table.
    pub(super) setting: &'static str,
    /// What there were too many of.
    pub(super) what: Cow<'static, str>,
    pub(super) size: RateLimit,
    /// In whole seconds, at least one.
    pub(super) retry_after: Duration,
}

impl Exceeded {
    /// The same, about one thing of several.
    pub(super) fn of(self, thing: impl std::fmt::Display) -> Self {
        Self { what: Cow::from(format!("{} of {thing}", self.what)), ..self }
    }

    fn detail(&self) -> String {
        let Self { setting, what, size, retry_after } = self;
        let (burst, period_secs, wait_secs) = (size.burst(), size.period().as_secs(), retry_after.as_secs());
        format!(
            "too many {what}: {burst} may come at once and {burst} in {period_secs} s (limits.{setting}); \
            try again in {wait_secs} s, or ask the operator of this server to raise the limit"
        )
    }

    /// As a problem of another kind than `rateLimited`.
    pub(crate) fn as_kind(&self, kind: ProblemKind) -> Refusal {
        let problem = Problem::new(kind, self.detail());
        Refusal { problem, retry_after: Some(self.retry_after), terms_of_service: None, transcript: None }
    }
}

impl From<Exceeded> for ra::Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::Refused(Box::new(exceeded.as_kind(ProblemKind::RateLimited)))
    }
}
