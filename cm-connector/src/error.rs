//! Why a call to the CM did not succeed: the variant is what the caller must do.
//!
//! Two texts that never mix: a [`Problem`] is made for ACME clients, `detail` is for our log.

use std::time::Duration;

use acme::{ids::RegistrationId, problem::Problem};

use crate::Certificate;

/// What the caller must do about a call to the CM that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmError {
    /// The CM said no, for good: answer the client with this problem. The detail is the CM's own
    /// where the contract lets it through (section 5, †), else a general sentence.
    #[error("the CM refused: {}", .0.detail)]
    Refused(Problem),
    /// The CM does not accept the evidence of validation: answer with this problem, end the order
    /// and never use its authorizations again.
    #[error("the CM refused the evidence: {}", .0.detail)]
    EvidenceRefused(Problem),
    /// There is no such external account key or directory link, or the binding was not made with the
    /// key: answer with this problem. Whoever hears it may be guessing.
    #[error("the CM refused the binding: {}", .0.detail)]
    BindingRefused(Problem),
    /// This registration asks too often: answer with this problem and `Retry-After`. Nothing was
    /// done, and an order stays as it is.
    #[error("the CM limits the registration: {}", .problem.detail)]
    RateLimited {
        /// For the client.
        problem: Problem,
        /// When it may try again.
        retry_after: Option<Duration>,
    },
    /// The account key belongs to another registration: answer with that account.
    #[error("the key is in use")]
    KeyInUse {
        /// Whose key it is, if the CM says so.
        registration: Option<RegistrationId>,
    },
    /// The certificate was revoked before, not under this idempotency key.
    #[error("the certificate is revoked already")]
    AlreadyRevoked,
    /// The order has its certificate already: check it and go on with it.
    #[error("the certificate is issued already")]
    AlreadyIssued(Box<Certificate>),
    /// Busy, down, unreachable, limiting the gateway, or not accepting its credentials (which is
    /// logged as an error): try later. Nothing was decided against the client.
    #[error("the CM is unavailable")]
    Unavailable {
        /// When to try again, if the CM says so.
        retry_after: Option<Duration>,
        /// Whether the call may have had its effect.
        outcome: Outcome,
    },
    /// A fault of ours, a wrong role or realm, or an answer that breaks the contract: raise an
    /// alarm and tell the client nothing but `serverInternal`.
    #[error("{detail}")]
    Internal {
        /// Whether the call may have had its effect.
        outcome: Outcome,
        /// For the log.
        detail: String,
    },
}

/// Whether a call that did not succeed may have had its effect all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It had none: nothing was sent, or the CM said that it did nothing.
    NotSent,
    /// Nobody knows: look before repeating.
    Unknown,
}

impl Outcome {
    /// What is known after two attempts at the same thing.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::NotSent, Self::NotSent) => Self::NotSent,
            (Self::Unknown, Self::NotSent | Self::Unknown) | (Self::NotSent, Self::Unknown) => Self::Unknown,
        }
    }
}
