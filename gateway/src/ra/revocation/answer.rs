//! What the CM's answer to a revocation means: for the entry in the journal, and for the client that waits.

use acme::problem::{Problem, ProblemKind};
use cm_connector::CmError;

use super::super::Error;

/// What a client is told of a revocation that is written down and not confirmed.
pub(super) const GOES_ON: &str = "the certificate authority has not confirmed the revocation yet; this server goes on asking for it; repeat the request \
                       to learn whether it is done";

/// What a client is told while a revocation goes on: that it need not begin again.
pub(super) fn goes_on(error: Error) -> Error {
    match error {
        Error::Refused(mut refusal) if refusal.problem.kind == ProblemKind::Unavailable => {
            refusal.problem = Problem::new(ProblemKind::Unavailable, GOES_ON);
            Error::Refused(refusal)
        }
        refused @ Error::Refused(_) => refused,
        Error::Conflict | Error::Internal(_) => Error::unavailable(GOES_ON, None),
    }
}

/// Whether the CM may revoke on another call. What it refuses for good is the request. If it refuses the gateway, as
/// while an officer has taken its role away, or answers what is no answer, that may change, and it was accepted. A
/// certificate that it does not find it knew when the revocation was authorised, so it may know it again (CM contract section 8).
pub(super) fn may_still_be_done(error: &CmError) -> bool {
    match error {
        CmError::Unavailable { .. }
        | CmError::RateLimited { .. }
        | CmError::Internal { .. }
        | CmError::BindingRefused(_)
        | CmError::KeyInUse { .. }
        | CmError::AlreadyIssued(_) => true,
        CmError::Refused(problem) => problem.kind == ProblemKind::NotFound,
        CmError::EvidenceRefused(_) | CmError::AlreadyRevoked => false,
    }
}

/// What a client is told of an answer that decides.
pub(super) fn told(error: CmError) -> Error {
    match error {
        CmError::EvidenceRefused(_) => Error::refused(
            ProblemKind::Unauthorized,
            "the proofs of control are not accepted for a revocation; prove control of all names again in a new order",
        ),
        CmError::Refused(_)
        | CmError::BindingRefused(_)
        | CmError::RateLimited { .. }
        | CmError::KeyInUse { .. }
        | CmError::AlreadyRevoked
        | CmError::AlreadyIssued(_)
        | CmError::Unavailable { .. }
        | CmError::Internal { .. } => error.into(),
    }
}
