//! Why there is no answer of the CM, and what that means: for the caller of the trait, for another
//! attempt, for the circuit (CM contract sections 5 and 6).

use std::time::Duration;

use tokio::time::Instant;

use super::{
    refusal::{self, Code, Subject},
    wire::{Broken, problem::ProblemIn},
};
use crate::{CallOutcome, CmError, Outcome, observation::word, transport::circuit::Sign};

/// Why there is no 2xx answer of the CM.
#[derive(Debug)]
pub(super) enum Failure {
    /// The CM said no; `earlier` is what attempts before this one may have done.
    Problem { problem: Box<ProblemIn>, retry_after: Option<Duration>, earlier: Outcome },
    /// There was no answer of the CM.
    Unanswered { silence: Silence, outcome: Outcome, retry_after: Option<Duration> },
    /// One side does not accept the other's certificate, so nothing was sent this time.
    Certificate { earlier: Outcome },
    /// The answer breaks the contract.
    Broken(Broken),
    /// What should be sent is not fit to be sent.
    Unfit(String),
}

/// What there was in place of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// No connection.
    NoConnection,
    /// One that broke.
    ConnectionLost,
    /// Nothing in time.
    TimedOut,
    /// An answer, but not the CM's, or not to this.
    NotTheCm { status: u16 },
    /// No question: others were not answered.
    CircuitOpen,
    /// No question: too many others.
    QueueFull,
}

impl Failure {
    /// Silence, after which nobody knows.
    pub(super) const fn lost(silence: Silence) -> Self {
        Self::Unanswered { silence, outcome: Outcome::Unknown, retry_after: None }
    }

    /// Nothing was asked.
    pub(super) const fn not_asked(silence: Silence, retry_after: Option<Duration>) -> Self {
        Self::Unanswered { silence, outcome: Outcome::NotSent, retry_after }
    }

    /// What the caller of the trait has to do.
    pub(super) fn into_error(self, subject: Subject) -> CmError {
        match self {
            Self::Problem { problem, retry_after, earlier } => {
                let mut error = refusal::judge(*problem, subject, retry_after);
                if let CmError::Unavailable { outcome, .. } | CmError::Internal { outcome, .. } = &mut error {
                    *outcome = outcome.and(earlier);
                }
                error
            }
            Self::Unanswered { outcome, retry_after, .. } => CmError::Unavailable { retry_after, outcome },
            Self::Certificate { earlier } => {
                CmError::Unavailable { retry_after: Some(refusal::STRANGER_RETRY_AFTER), outcome: earlier }
            }
            Self::Broken(broken) => CmError::Internal { outcome: Outcome::Unknown, detail: broken.to_string() },
            Self::Unfit(detail) => CmError::Internal { outcome: Outcome::NotSent, detail },
        }
    }

    /// True if it is a problem with this code.
    pub(super) fn is(&self, code: Code) -> bool {
        match self {
            Self::Problem { problem, .. } => Code::parse(&problem.code) == Some(code),
            Self::Unanswered { .. } | Self::Certificate { .. } | Self::Broken(_) | Self::Unfit(_) => false,
        }
    }

    /// Whether the same call may go better later (section 6, Retry).
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unanswered { .. } => true,
            Self::Problem { problem, .. } => match problem.status {
                408 | 425 | 429 | 502 | 503 | 504 => true,
                500 => problem.retryable.unwrap_or(true),
                _ => self.is(Code::RequestInProgress),
            },
            Self::Certificate { .. } | Self::Broken(_) | Self::Unfit(_) => false,
        }
    }

    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem { retry_after, .. } | Self::Unanswered { retry_after, .. } => *retry_after,
            Self::Certificate { .. } | Self::Broken(_) | Self::Unfit(_) => None,
        }
    }

    /// What it says about the CM, if the call began then. Answered is what nobody but the CM itself
    /// could have said.
    pub(super) fn sign(&self, began: Instant) -> Sign {
        match self {
            Self::Unanswered { silence: Silence::ConnectionLost, .. } => Sign::Lost { began },
            Self::Unanswered { .. } | Self::Certificate { .. } => Sign::Silent,
            Self::Problem { .. } if self.is(Code::Overloaded) => Sign::Silent,
            Self::Problem { .. } | Self::Broken(_) | Self::Unfit(_) => Sign::Answered,
        }
    }

    /// True if the CM limits this gateway, or one of its realms, and not one registration.
    pub(super) fn is_too_fast(&self) -> bool {
        match self {
            Self::Problem { problem, .. } => {
                self.is(Code::RateLimited) && problem.scope.as_deref() != Some("registration")
            }
            Self::Unanswered { .. } | Self::Certificate { .. } | Self::Broken(_) | Self::Unfit(_) => false,
        }
    }

    /// An earlier attempt may have had its effect even if this one had none.
    pub(super) fn after(mut self, before: Outcome) -> Self {
        match &mut self {
            Self::Unanswered { outcome: known, .. }
            | Self::Problem { earlier: known, .. }
            | Self::Certificate { earlier: known } => *known = known.and(before),
            Self::Broken(_) | Self::Unfit(_) => {}
        }
        self
    }

    /// How it is told to whoever listens. `request_id` is the one in the head of the answer.
    pub(super) fn told(&self, request_id: Option<String>) -> CallOutcome {
        match self {
            Self::Problem { problem, .. } => CallOutcome::Problem {
                status: problem.status,
                code: word(&problem.code),
                request_id: request_id.or_else(|| problem.request_id.as_deref().map(word)),
            },
            Self::Unanswered { silence, .. } => match *silence {
                Silence::NoConnection => CallOutcome::NoConnection,
                Silence::ConnectionLost => CallOutcome::ConnectionLost,
                Silence::TimedOut => CallOutcome::TimedOut,
                Silence::NotTheCm { status } => CallOutcome::NotTheCm { status },
                Silence::CircuitOpen => CallOutcome::CircuitOpen,
                Silence::QueueFull => CallOutcome::QueueFull,
            },
            Self::Certificate { .. } => CallOutcome::CertificateRefused,
            Self::Broken(_) => CallOutcome::TooLarge,
            Self::Unfit(_) => CallOutcome::Unfit,
        }
    }
}
