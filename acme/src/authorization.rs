//! Authorizations: an account's proven or unproven control of one identifier (RFC 8555 §7.1.4).
//!
//! The six statuses are computed from facts; reading an authorization never changes it.

use serde::{Deserialize, Serialize};

use crate::{
    challenge::{Challenge, ChallengeKind, ChallengeState, Evidence, KeyAuthorization},
    identifier::Identifier,
    ids::{AuthorizationId, EndpointName, RegistrationId},
    problem::Problem,
    time::Timestamp,
    waiver::Waived,
};

/// An account's control of one identifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// Its id.
    pub id: AuthorizationId,
    /// The directory it was made under.
    pub endpoint: EndpointName,
    /// The account it belongs to, for ever.
    pub account: RegistrationId,
    /// What is to be proven; for `*.` names the wildcard itself, so the base name and its wildcard
    /// are two authorizations.
    pub identifier: Identifier,
    /// The challenges on offer; one that is valid suffices.
    pub challenges: Vec<Challenge>,
    /// End of the time to prove, and of the proof.
    pub expires: Timestamp,
    /// When its owner gave it up, if so.
    pub deactivated_at: Option<Timestamp>,
    /// When it was taken back, because its proof was not accepted for issuance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// The status words of RFC 8555 §7.1.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthorizationStatus {
    /// No challenge is valid yet.
    Pending,
    /// Control is proven, or need not be.
    Valid,
    /// A challenge failed for good.
    Invalid,
    /// The owner gave it up.
    Deactivated,
    /// Its time is over.
    Expired,
    /// Its proof was not accepted for issuance.
    Revoked,
}

/// A client's response that cannot be taken (RFC 8555 §7.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseRefused {
    /// The authorization is invalid, deactivated or expired.
    #[error("the authorization is no longer pending; create a new order")]
    AuthorizationFinal,
    /// The authorization has no challenge of this kind.
    #[error("this challenge is not offered; respond to one that the authorization lists")]
    NotOffered,
}

/// What a client's response to a challenge leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// The challenge is now processing: a validation has to be started, with the commit of this.
    Started(Box<Authorization>),
    /// Nothing changes: it is being worked on, or proven already.
    Unchanged,
}

impl AuthorizationStatus {
    /// The status word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Deactivated => "deactivated",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Authorization {
    /// The status at this time.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> AuthorizationStatus {
        let any =
            |wanted: fn(&ChallengeState) -> bool| self.challenges.iter().any(|challenge| wanted(&challenge.state));
        if self.revoked_at.is_some() {
            AuthorizationStatus::Revoked
        } else if self.deactivated_at.is_some() {
            AuthorizationStatus::Deactivated
        } else if any(|state| matches!(state, ChallengeState::Invalid { .. })) {
            AuthorizationStatus::Invalid
        } else if self.expires <= now {
            AuthorizationStatus::Expired
        } else if any(|state| matches!(state, ChallengeState::Valid { .. } | ChallengeState::Waived { .. })) {
            AuthorizationStatus::Valid
        } else {
            AuthorizationStatus::Pending
        }
    }

    /// The challenge of this kind, if it is on offer.
    #[must_use]
    pub fn challenge(&self, kind: ChallengeKind) -> Option<&Challenge> {
        self.challenges.iter().find(|challenge| challenge.kind == kind)
    }

    /// Takes the client's word that a challenge can be validated now (RFC 8555 §7.5.1).
    ///
    /// A repeated response changes nothing. While one challenge is being validated a response to
    /// another one changes nothing either: the first decides.
    ///
    /// # Errors
    /// [`ResponseRefused`] if the authorization has come to its end, or does not offer the challenge.
    pub fn respond(
        &self,
        kind: ChallengeKind,
        key_authorization: KeyAuthorization,
        now: Timestamp,
    ) -> Result<Response, ResponseRefused> {
        match self.status(now) {
            AuthorizationStatus::Valid => return Ok(Response::Unchanged),
            AuthorizationStatus::Invalid
            | AuthorizationStatus::Deactivated
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Revoked => return Err(ResponseRefused::AuthorizationFinal),
            AuthorizationStatus::Pending => {}
        }
        if self.challenge(kind).is_none() {
            return Err(ResponseRefused::NotOffered);
        }
        let in_flight = |challenge: &Challenge| matches!(challenge.state, ChallengeState::Processing { .. });
        if self.challenges.iter().any(in_flight) {
            return Ok(Response::Unchanged);
        }
        let processing = ChallengeState::Processing { key_authorization, since: now };
        Ok(Response::Started(Box::new(self.with_state(kind, processing))))
    }

    /// Records that control was proven. The proof is good until the authorization expires, which is
    /// when its order does: whoever proved control in time can finalize in time.
    ///
    /// Nothing changes unless the challenge was being validated when the proof was seen and the
    /// authorization was still pending: no proof leads out of a final status.
    #[must_use]
    pub fn record_valid(&self, kind: ChallengeKind, evidence: Evidence) -> Self {
        if !self.awaits(kind, evidence.at) {
            return self.clone();
        }
        self.with_state(kind, ChallengeState::Valid { evidence })
    }

    /// Records that the proof failed for good, which ends the authorization (RFC 8555 §7.1.6).
    ///
    /// Nothing changes unless the challenge is being validated and the authorization is pending.
    #[must_use]
    pub fn record_invalid(&self, kind: ChallengeKind, problem: Problem, now: Timestamp) -> Self {
        if !self.awaits(kind, now) {
            return self.clone();
        }
        self.with_state(kind, ChallengeState::Invalid { at: now, problem })
    }

    /// Gives the authorization up (RFC 8555 §7.5.2); `None` unless it is pending or valid.
    #[must_use]
    pub fn deactivate(&self, now: Timestamp) -> Option<Self> {
        match self.status(now) {
            AuthorizationStatus::Pending | AuthorizationStatus::Valid => {
                Some(Self { deactivated_at: Some(now), ..self.clone() })
            }
            AuthorizationStatus::Invalid
            | AuthorizationStatus::Deactivated
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Revoked => None,
        }
    }

    /// Takes a proof back, so that no order rests on it any more; `None` unless it is valid.
    #[must_use]
    pub fn revoke(&self, now: Timestamp) -> Option<Self> {
        (self.status(now) == AuthorizationStatus::Valid).then(|| Self { revoked_at: Some(now), ..self.clone() })
    }

    /// Whether its owner gave it up or it was taken back: what is issued by it must not be.
    #[must_use]
    pub const fn is_withdrawn(&self) -> bool {
        self.deactivated_at.is_some() || self.revoked_at.is_some()
    }

    /// How and with what evidence control was proven, if it was.
    #[must_use]
    pub fn proof(&self) -> Option<(ChallengeKind, &Evidence)> {
        self.challenges.iter().find_map(|challenge| match &challenge.state {
            ChallengeState::Valid { evidence } => Some((challenge.kind, evidence)),
            ChallengeState::Pending
            | ChallengeState::Processing { .. }
            | ChallengeState::Waived { .. }
            | ChallengeState::Invalid { .. } => None,
        })
    }

    /// By what waiver control need not be proven, and since when, if so. That is no [proof](Self::proof): nothing else may
    /// rest on it.
    #[must_use]
    pub fn waived(&self) -> Option<(Timestamp, &Waived)> {
        self.challenges.iter().find_map(|challenge| match &challenge.state {
            ChallengeState::Waived { at, waived } => Some((*at, waived)),
            ChallengeState::Pending
            | ChallengeState::Processing { .. }
            | ChallengeState::Valid { .. }
            | ChallengeState::Invalid { .. } => None,
        })
    }

    /// Why the proof failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Problem> {
        self.challenges.iter().find_map(|challenge| match &challenge.state {
            ChallengeState::Invalid { problem, .. } => Some(problem),
            ChallengeState::Pending
            | ChallengeState::Processing { .. }
            | ChallengeState::Valid { .. }
            | ChallengeState::Waived { .. } => None,
        })
    }

    /// Whether the outcome of validating this challenge decides the authorization.
    fn awaits(&self, kind: ChallengeKind, now: Timestamp) -> bool {
        let processing = |challenge: &Challenge| matches!(challenge.state, ChallengeState::Processing { .. });
        self.status(now) == AuthorizationStatus::Pending && self.challenge(kind).is_some_and(processing)
    }

    fn with_state(&self, kind: ChallengeKind, state: ChallengeState) -> Self {
        let mut next = self.clone();
        if let Some(challenge) = next.challenges.iter_mut().find(|challenge| challenge.kind == kind) {
            challenge.state = state;
        }
        next
    }
}
