//! Why OpenBao did not do what was asked, and what that means: for another attempt, for the circuit and for
//! the caller of the trait (CM contract section 9.4).
//!
//! Its status codes do not tell enough: 400 is a lost check-and-set as well as a bad CSR, 403 a dead token
//! as well as the policy, 500 a node without a leader as well as a certificate of another CA. So its
//! sentences are looked at, in this file and nowhere else.

use std::time::Duration;

use acme::{
    ids::RealmName,
    problem::{Problem, ProblemKind},
};

use crate::{CallOutcome, CmError, Outcome, observation::word, transport::circuit::Sign};
use tokio::time::Instant;

/// What `Retry-After` is raised to: OpenBao's quotas send 0.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(250);
/// How long to leave an OpenBao alone that does not know or accept our certificate (section 8).
const STRANGER_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Why there is no 2xx answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// OpenBao said no, and will say so again.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its sentences.
        errors: String,
    },
    /// A quota was reached. Nothing was done.
    Busy {
        /// When there is room again.
        retry_after: Duration,
    },
    /// There was no answer, or one of a node that cannot answer now.
    Away {
        /// What was there instead.
        instead: Instead,
        /// Whether the call may have had its effect.
        outcome: Outcome,
        /// When to try again, if that is known.
        retry_after: Option<Duration>,
    },
    /// One side does not accept the other's certificate, or OpenBao has no such role for it.
    Stranger,
    /// An answer that cannot be taken.
    Broken(String),
}

/// What there was in place of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instead {
    /// No connection.
    NoConnection,
    /// One that broke.
    ConnectionLost,
    /// Nothing in time.
    TimedOut,
    /// A node that is sealed, stands by, or looks for its leader; or something that is no OpenBao.
    NotActive { status: u16 },
    /// No question: others were not answered.
    CircuitOpen,
    /// No question: too many others.
    QueueFull,
}

/// What a refused sign is about.
const SIGN: [(&str, ProblemKind, &str); 8] = [
    ("not allowed by this role", REJECTED, "an identifier is not allowed by the profile"),
    ("are not allowed in this role", REJECTED, "an identifier is not allowed by the profile"),
    ("RSA keys <", BAD_CSR, "the key in the CSR is not accepted; use another key"),
    ("role requires", BAD_CSR, "the key in the CSR is not accepted; use another key"),
    ("csr contains no data", BAD_CSR, "the CSR was not accepted"),
    ("certificate request could not be parsed", BAD_CSR, "the CSR was not accepted"),
    ("request signature invalid", BAD_CSR, "the CSR was not accepted"),
    ("not_after_bound", ProblemKind::Malformed, "notAfter is not allowed by the profile"),
];
const REJECTED: ProblemKind = ProblemKind::RejectedIdentifier;
const BAD_CSR: ProblemKind = ProblemKind::BadCsr;

/// Sentences of a 500 that no repetition changes.
const PERMANENT: [&str; 2] = ["unable to verify signature", "does not match"];

impl Failure {
    /// Judges an answer that is no 2xx.
    pub(super) fn of(status: u16, errors: &[String], retry_after: Option<u64>) -> Self {
        let errors = errors.join("; ");
        match status {
            429 => {
                Self::Busy { retry_after: Duration::from_secs(retry_after.unwrap_or(0).min(3600)).max(RETRY_AFTER_MIN) }
            }
            400..=499 => Self::Refused { status, errors },
            500 if PERMANENT.iter().any(|sentence| errors.contains(sentence)) => Self::Refused { status, errors },
            // A redirect is a standby's that knows a leader, dead or alive; what was asked was not done.
            300..=399 => Self::not_active(status, Outcome::NotSent),
            _ => Self::not_active(status, Outcome::Unknown),
        }
    }

    pub(super) const fn not_active(status: u16, outcome: Outcome) -> Self {
        Self::Away { instead: Instead::NotActive { status }, outcome, retry_after: None }
    }

    pub(super) const fn lost(instead: Instead) -> Self {
        Self::Away { instead, outcome: Outcome::Unknown, retry_after: None }
    }

    pub(super) const fn not_asked(instead: Instead, retry_after: Option<Duration>) -> Self {
        Self::Away { instead, outcome: Outcome::NotSent, retry_after }
    }

    /// A refusal, with the realm that it is about, for whoever sets it up.
    pub(super) fn of_realm(self, realm: &RealmName) -> Self {
        match self {
            Self::Refused { status, errors } => Self::Refused {
                status,
                errors: format!("realm {realm}: {}; prepare it with deploy/openbao/prepare", errors.trim()),
            },
            other @ (Self::Busy { .. } | Self::Away { .. } | Self::Stranger | Self::Broken(_)) => other,
        }
    }

    /// There is no such thing.
    pub(super) const fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// The token is dead, or the policy forbids it.
    pub(super) const fn is_denied(&self) -> bool {
        matches!(self, Self::Refused { status: 403, .. })
    }

    /// Somebody else wrote first: a check-and-set that missed.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Self::Refused { status: 400, errors } if errors.contains("check-and-set"))
    }

    /// Somebody else created it first. What can only be created is denied to whoever would write it again, so
    /// whether it was that or the policy, a look tells.
    pub(super) fn may_exist(&self) -> bool {
        self.is_stale() || self.is_denied()
    }

    /// Transit has no key of this name.
    pub(super) fn is_unknown_key(&self) -> bool {
        matches!(self, Self::Refused { status: 400, errors } if errors.contains("encryption key not found"))
    }

    /// Whether the same call may go better later, or at another node.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Away { .. })
    }

    /// Whether this attempt may have had its effect.
    pub(super) const fn outcome(&self) -> Outcome {
        match self {
            Self::Away { outcome, .. } => *outcome,
            Self::Broken(_) => Outcome::Unknown,
            Self::Refused { .. } | Self::Busy { .. } | Self::Stranger => Outcome::NotSent,
        }
    }

    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } => Some(*retry_after),
            Self::Away { retry_after, .. } => *retry_after,
            Self::Refused { .. } | Self::Stranger | Self::Broken(_) => None,
        }
    }

    /// An earlier attempt may have had its effect even if this one had none.
    pub(super) fn after(self, before: Outcome) -> Self {
        match self {
            Self::Away { instead, outcome, retry_after } => {
                Self::Away { instead, outcome: outcome.and(before), retry_after }
            }
            Self::Busy { retry_after } if before == Outcome::Unknown => Self::Away {
                instead: Instead::NotActive { status: 429 },
                outcome: before,
                retry_after: Some(retry_after),
            },
            other @ (Self::Busy { .. } | Self::Refused { .. } | Self::Stranger | Self::Broken(_)) => other,
        }
    }

    /// What it says about OpenBao, if the call began then.
    pub(super) const fn sign(&self, began: Instant) -> Sign {
        match self {
            Self::Away { instead: Instead::ConnectionLost, .. } => Sign::Lost { began },
            Self::Away { .. } | Self::Stranger => Sign::Silent,
            Self::Refused { .. } | Self::Busy { .. } | Self::Broken(_) => Sign::Answered,
        }
    }

    /// What the caller of the trait has to do, if nothing better is known.
    pub(super) fn into_error(self) -> CmError {
        match self {
            Self::Away { outcome, retry_after, .. } => CmError::Unavailable { retry_after, outcome },
            Self::Busy { retry_after } => {
                CmError::Unavailable { retry_after: Some(retry_after), outcome: Outcome::NotSent }
            }
            Self::Stranger => {
                CmError::Unavailable { retry_after: Some(STRANGER_RETRY_AFTER), outcome: Outcome::NotSent }
            }
            Self::Refused { status, errors } => CmError::Internal {
                outcome: Outcome::NotSent,
                detail: format!("OpenBao answered {status}: {}", acme::problem::shown(&errors)),
            },
            Self::Broken(detail) => CmError::Internal { outcome: Outcome::Unknown, detail },
        }
    }

    /// The same of a sign: what OpenBao finds wrong with it is the client's to mend.
    pub(super) fn into_sign_error(self) -> CmError {
        if let Self::Refused { status: 400, errors } = &self
            && let Some((_, kind, sentence)) = SIGN.iter().find(|(text, ..)| errors.contains(text))
        {
            tracing::info!(errors = %acme::problem::shown(errors), "OpenBao refused to sign");
            return CmError::Refused(Problem::new(*kind, *sentence));
        }
        self.into_error()
    }

    /// How it is told to whoever listens.
    pub(super) fn told(&self) -> CallOutcome {
        let problem = |status: u16, code: &str| CallOutcome::Problem { status, code: word(code), request_id: None };
        match self {
            Self::Refused { status: 404, .. } => problem(404, "not-found"),
            Self::Refused { status, .. } if self.may_exist() => problem(*status, "precondition-failed"),
            Self::Refused { status, .. } => problem(*status, "refused"),
            Self::Busy { .. } => problem(429, "rate-limited"),
            Self::Stranger => CallOutcome::CertificateRefused,
            Self::Broken(_) => CallOutcome::TooLarge,
            Self::Away { instead, .. } => match *instead {
                Instead::NoConnection => CallOutcome::NoConnection,
                Instead::ConnectionLost => CallOutcome::ConnectionLost,
                Instead::TimedOut => CallOutcome::TimedOut,
                Instead::NotActive { status: 503 } => problem(503, "issuer-unavailable"),
                Instead::NotActive { status } => CallOutcome::NotTheCm { status },
                Instead::CircuitOpen => CallOutcome::CircuitOpen,
                Instead::QueueFull => CallOutcome::QueueFull,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, error: &str) -> Failure {
        Failure::of(status, &[error.to_owned()], None)
    }

    const CAS: &str = "check-and-set parameter did not match the current version";

    #[test]
    fn a_lost_check_and_set_and_a_path_that_exists_are_the_same_to_the_loser() {
        assert!(failure(400, CAS).may_exist() && failure(400, CAS).is_stale());
        let denied = failure(403, "1 error occurred:\n\t* permission denied\n\n");
        assert!(denied.may_exist() && !denied.is_stale());
        assert!(!failure(400, "csr contains no data").may_exist());
        assert!(!failure(404, "").may_exist() && failure(404, "").is_missing());
    }

    #[test]
    fn what_openbao_answers_says_whether_it_was_done_and_whether_to_ask_again() {
        // Status and sentence as they were seen on the wire; whether another attempt may go better; what this one did.
        let table = [
            (400, CAS, false, Outcome::NotSent),
            (400, "encryption key not found", false, Outcome::NotSent),
            (403, "1 error occurred:\n\t* permission denied\n\n", false, Outcome::NotSent),
            (404, "", false, Outcome::NotSent),
            (405, "1 error occurred:\n\t* unsupported operation\n\n", false, Outcome::NotSent),
            (413, "http: request body too large", false, Outcome::NotSent),
            (429, "request path \"acme/tls/pki/revoke\": rate limit quota exceeded", true, Outcome::NotSent),
            // A permanent one is known by its sentence only.
            (500, "unable to verify signature on presented cert", false, Outcome::NotSent),
            (500, "provided key does not match", false, Outcome::NotSent),
            (500, "local node not active but active cluster node not found", true, Outcome::Unknown),
            (500, "context deadline exceeded", true, Outcome::Unknown),
            // A standby that knows a leader, dead or alive: it is not followed, and nothing was done.
            (307, "", true, Outcome::NotSent),
            (502, "", true, Outcome::Unknown),
            (503, "Vault is sealed", true, Outcome::Unknown),
            (504, "", true, Outcome::Unknown),
        ];
        for (status, sentence, may_pass, outcome) in table {
            let seen = failure(status, sentence);
            assert_eq!((seen.may_pass(), seen.outcome()), (may_pass, outcome), "{status} {sentence}");
        }
        assert!(failure(400, "encryption key not found").is_unknown_key());
    }

    #[test]
    fn a_retry_after_of_zero_is_a_quarter_second() {
        assert_eq!(Failure::of(429, &[], Some(0)).retry_after(), Some(RETRY_AFTER_MIN));
        assert_eq!(Failure::of(429, &[], Some(7)).retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(Failure::of(429, &[], Some(u64::MAX)).retry_after(), Some(Duration::from_secs(3600)));
    }

    #[test]
    fn what_an_earlier_attempt_may_have_done_is_not_forgotten() {
        let busy = Failure::of(429, &[], None).after(Outcome::Unknown);
        assert_eq!(busy.outcome(), Outcome::Unknown);
        assert_eq!(failure(307, "").after(Outcome::Unknown).outcome(), Outcome::Unknown);
        assert_eq!(Failure::of(429, &[], None).after(Outcome::NotSent).outcome(), Outcome::NotSent);
    }

    #[test]
    fn a_refused_sign_says_what_the_client_can_mend_and_nothing_of_openbao() {
        let table = [
            ("subject alternate name foo_bar.example.com not allowed by this role", ProblemKind::RejectedIdentifier),
            (
                "URI Subject Alternative Names are not allowed in this role, but were provided via CSR",
                ProblemKind::RejectedIdentifier,
            ),
            ("RSA keys < 2048 bits are unsafe and not supported", ProblemKind::BadCsr),
            ("csr contains no data", ProblemKind::BadCsr),
            ("not_after_bound is set to ttl-limited. Cannot satisfy request", ProblemKind::Malformed),
        ];
        for (sentence, kind) in table {
            let CmError::Refused(problem) = failure(400, sentence).into_sign_error() else { panic!("{sentence}") };
            assert_eq!(problem.kind, kind, "{sentence}");
            assert!(!problem.detail.contains("role") && !problem.detail.contains("foo_bar"), "{}", problem.detail);
        }
        let unknown = failure(400, "something of a later version").into_sign_error();
        assert!(matches!(unknown, CmError::Internal { outcome: Outcome::NotSent, .. }), "{unknown:?}");
        let forbidden = failure(403, "1 error occurred").into_sign_error();
        assert!(matches!(forbidden, CmError::Internal { .. }), "{forbidden:?}");
    }
}
