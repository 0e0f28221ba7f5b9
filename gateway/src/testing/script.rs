//! What a script can tell the Certificate Manager of the tests to do, and what a test can ask it
//! about afterwards.

use acme::{certificate::Check, ids::IdempotencyKey, problem::Problem};
use cm_connector::CmError;

use super::Moment;

/// The calls that a script can steer and a test can count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Identity,
    Registration,
    RegistrationByKey,
    CreateRegistration,
    BindRegistration,
    UpdateRegistration,
    Deactivate,
    ChangeKey,
    Submit,
    RequestByKey,
    RequestByOrder,
    Request,
    Cancel,
    ConfirmDelivery,
    Certificate,
    RenewalInfo,
    Revoke,
    Profiles,
}

/// What happens to one call.
pub(crate) enum Fault {
    /// The answer is lost, and the work was done or not.
    AnswerLost(Moment),
    /// There is never an answer, and the work was done or not.
    Hangs(Moment),
    /// The work is done, and this happens before the answer arrives.
    Overtaken(Box<dyn FnOnce() + Send>),
    /// This answer, and no work.
    Answers(CmError),
    /// A defect of ours.
    Panics,
}

/// What becomes of a new certificate request.
pub(crate) enum Ruling {
    /// It is issued, but the certificate is wrong.
    Wrong(Flaw),
    /// Each look at it finds another certificate.
    IssuedAnew,
    /// It is issued after it was looked at so often.
    IssuedAfter(u32),
    /// It is refused after it was looked at so often.
    RefusedAfter(u32, Problem),
}

/// How a certificate, or what the CM says of it, differs from what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    OtherKey,
    OtherName,
    UnknownRoot,
    OtherIssuer,
    TooLong,
    BeginsIn {
        minutes: u32,
    },
    NotForServers,
    OldSerial,
    FalseFingerprint,
    FalseRegistration,
    FalseOrder,
    FalseCsr,
    NoChain,
    /// Not a reason to withhold: a second chain leads to no root that we know.
    UnknownAlternate,
}

impl Flaw {
    /// The check that must find it; `None` if the certificate is good all the same.
    pub(crate) const fn found_by(self) -> Option<Check> {
        Some(match self {
            Self::OtherKey => Check::PublicKey,
            Self::OtherName => Check::Names,
            Self::UnknownRoot => Check::Chain,
            Self::OtherIssuer => Check::Issuer,
            Self::TooLong | Self::BeginsIn { .. } => Check::Validity,
            Self::NotForServers => Check::Usage,
            Self::OldSerial => Check::Serial,
            Self::FalseFingerprint | Self::FalseRegistration | Self::FalseOrder | Self::FalseCsr => Check::Claims,
            Self::NoChain => Check::Form,
            Self::UnknownAlternate => return None,
        })
    }
}

/// One call as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    /// The idempotency key, where there is one.
    pub(crate) key: Option<IdempotencyKey>,
    /// The octets of a submission.
    pub(crate) octets: Vec<u8>,
}
