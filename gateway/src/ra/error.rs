//! Why an operation was not done: outside text and inside text are different types.

use std::time::Duration;

use acme::problem::{Problem, ProblemKind};
use cm_connector::{CmError, Outcome};
use store::{CommitError, ReadError};

/// An operation that was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The client may read why.
    #[error("{}", .0.problem.detail)]
    Refused(Box<Refusal>),
    /// Something that was read has changed meanwhile: read again and decide again.
    #[error("something changed at the same time")]
    Conflict,
    /// Nobody outside may read why; it is logged where the answer is made.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

/// What a client is told.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) problem: Problem,
    /// When it is worth to try again.
    pub(crate) retry_after: Option<Duration>,
    /// Terms of service to agree to, for `userActionRequired`.
    pub(crate) terms_of_service: Option<String>,
    /// Where it is told how it came about.
    pub(crate) transcript: Option<String>,
}

/// How long clients wait when something of ours is away for an unknown time.
const AWAY: Duration = Duration::from_secs(30);

impl Error {
    pub(crate) fn refused(kind: ProblemKind, detail: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Problem::new(kind, detail).into()
    }

    pub(crate) fn internal(error: impl Into<anyhow::Error>) -> Self {
        Self::Internal(error.into())
    }

    /// Somebody else's resource, or none at all, told apart only by the caller.
    pub(crate) fn not_yours(thing: &str) -> Self {
        Self::refused(ProblemKind::Unauthorized, format!("this {thing} belongs to another account"))
    }

    pub(crate) fn not_found(thing: &str) -> Self {
        Self::refused(ProblemKind::NotFound, format!("there is no such {thing}"))
    }

    pub(crate) fn unavailable(detail: &'static str, retry_after: Option<Duration>) -> Self {
        Self::Refused(Box::new(Refusal {
            problem: Problem::new(ProblemKind::Unavailable, detail),
            retry_after: Some(retry_after.unwrap_or(AWAY)),
            terms_of_service: None,
            transcript: None,
        }))
    }
}

impl Error {
    fn store_away(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "the store is not available");
        Self::unavailable("this server cannot read or write its records; try again later", None)
    }
}

/// Does an operation again, from reading to committing, when something it read has changed.
///
/// # Errors
/// What the operation says; [`Error::Conflict`] if it lost every time.
pub(crate) async fn again_on_conflict<T>(mut operation: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    const ATTEMPTS: usize = 5;
    for _ in 1..ATTEMPTS {
        match operation().await {
            Err(Error::Conflict) => {}
            done => return done,
        }
    }
    operation().await
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(Refusal { problem, retry_after: None, terms_of_service: None, transcript: None }))
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(_) => Self::store_away(&error),
            ReadError::Damaged { .. } | ReadError::UnknownVersion { .. } => Self::internal(error),
        }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::Conflict,
            CommitError::Full => {
                Self::unavailable("this server has no space left for new orders; try again later", None)
            }
            CommitError::Unavailable(_) => Self::store_away(&error),
            CommitError::Invalid(_) => Self::internal(error),
        }
    }
}

/// For calls on behalf of a waiting client. What a caller can do something about
/// (a key in use, a certificate that exists) it takes out before.
impl From<CmError> for Error {
    fn from(error: CmError) -> Self {
        match error {
            CmError::Refused(problem) | CmError::EvidenceRefused(problem) | CmError::BindingRefused(problem) => {
                problem.into()
            }
            CmError::RateLimited { problem, retry_after } => Self::Refused(Box::new(Refusal {
                problem,
                retry_after: Some(retry_after.unwrap_or(AWAY)),
                terms_of_service: None,
                transcript: None,
            })),
            CmError::AlreadyRevoked => Self::refused(ProblemKind::AlreadyRevoked, "the certificate is revoked already"),
            CmError::Unavailable { retry_after, .. } => Self::unavailable(
                "the certificate authority behind this server is not available; try again later",
                retry_after,
            ),
            // What cannot be read, or is about something else, says nothing; the next answer may.
            error @ CmError::Internal { outcome: Outcome::Unknown, .. } => {
                tracing::error!(%error, "ALARM: the CM's answer is of no use; the client is told to try again");
                Self::unavailable(
                    "the certificate authority behind this server did not answer as it should; try again later",
                    None,
                )
            }
            other @ (CmError::KeyInUse { .. }
            | CmError::AlreadyIssued(_)
            | CmError::Internal { outcome: Outcome::NotSent, .. }) => Self::internal(other),
        }
    }
}
