//! How long a new order lasts, and which earlier proofs of control it may rest on (RFC 8555
//! §7.4.1; CM contract section 4.4, `validations`).
//!
//! What was proven long ago says little about now, so a proof can be reused for a bounded time,
//! and only if the CM will still take it when the order is finalized on its last day.

use std::time::Duration;

use acme::{
    authorization::{Authorization, AuthorizationStatus},
    challenge::ChallengeKind,
    profile::Profile,
    time::Timestamp,
};

/// What a new order asks of an earlier proof.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The kinds of challenges that are on offer.
    pub offered: &'a [ChallengeKind],
    /// What the order will be issued by.
    pub profile: &'a Profile,
    /// Oldest proof that is reused; zero for none.
    pub age_max: Duration,
    /// When the order ends if nothing shortens it.
    pub order_end: Timestamp,
    /// Our clock.
    pub now: Timestamp,
}

/// When a new order ends: a proof made for it is then still young enough for the CM. Who approves
/// requests has the time that the profile gives them (CM contract section 8).
#[must_use]
pub fn order_end(lifetime: Duration, profile: &Profile, now: Timestamp) -> Timestamp {
    let to_finalize = profile.proof_age_max.map_or(lifetime, |oldest| lifetime.min(oldest));
    now.plus(to_finalize.max(profile.approval_timeout.unwrap_or_default()))
}

/// Whether a new order may rest on this authorization. The order then ends with it at the latest.
///
/// Not if the proof is of a kind that is not offered or not accepted any more; if it is too old
/// now, by its age or by what it says itself, or will be for the CM when the order ends; or if it would leave the order less than half
/// of its time, or less than an approval may take.
#[must_use]
pub fn may_rest_on(authorization: &Authorization, terms: &Terms<'_>) -> bool {
    let Some((kind, evidence)) = authorization.proof() else { return false };
    let accepted = terms.offered.contains(&kind) && terms.profile.accepts(kind);
    let young = !terms.age_max.is_zero() && terms.now.since(evidence.at) <= terms.age_max;
    let reusable = evidence.reusable_until.is_none_or(|until| terms.now <= until);
    let end = authorization.expires.min(terms.order_end);
    let to_last = match terms.profile.approval_timeout {
        Some(timeout) => timeout,
        None => terms.order_end.since(terms.now) / 2,
    };
    let lasts = end >= terms.now.plus(to_last);
    let young_at_the_end = terms.profile.proof_age_max.is_none_or(|oldest| evidence.at.plus(oldest) >= end);
    authorization.status(terms.now) == AuthorizationStatus::Valid
        && accepted
        && young
        && reusable
        && lasts
        && young_at_the_end
}

#[cfg(test)]
mod tests {
    use acme::{
        challenge::{Challenge, ChallengeState, Evidence, Token},
        identifier::Identifier,
        ids::{AuthorizationId, EndpointName, RegistrationId},
        problem::{Problem, ProblemKind},
    };

    use super::*;
    use crate::samples::profile;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3600);
    const OFFERED: [ChallengeKind; 2] = [ChallengeKind::Http01, ChallengeKind::Dns01];

    /// Proven an hour ago, and good for six more days.
    fn proven() -> Authorization {
        let evidence = Evidence {
            perspective: String::from("local"),
            source: String::from("192.0.2.1"),
            target: String::from("192.0.2.2:80"),
            at: NOW.minus(HOUR),
            caa: None,
            reusable_until: None,
        };
        let challenge = Challenge::new(ChallengeKind::Http01, Token::from_random([1; 32]));
        Authorization {
            id: AuthorizationId::parse("a1").unwrap(),
            endpoint: EndpointName::parse("open").unwrap(),
            account: RegistrationId::parse("reg_1").unwrap(),
            identifier: Identifier::parse_dns("a.test").unwrap(),
            challenges: vec![Challenge { state: ChallengeState::Valid { evidence }, ..challenge }],
            expires: NOW.plus(HOUR * 24 * 6),
            deactivated_at: None,
            revoked_at: None,
        }
    }

    fn judged(authorization: &Authorization, change: impl FnOnce(&mut Profile, &mut Terms<'_>)) -> bool {
        let mut profile = profile();
        let unused = profile.clone();
        let mut terms = Terms {
            offered: &OFFERED,
            profile: &unused,
            age_max: HOUR * 8,
            order_end: NOW.plus(HOUR * 24 * 7),
            now: NOW,
        };
        change(&mut profile, &mut terms);
        may_rest_on(authorization, &Terms { profile: &profile, ..terms })
    }

    #[test]
    fn a_young_proof_that_lasts_is_reused() {
        assert!(judged(&proven(), |_, _| ()));
    }

    #[test]
    fn only_what_is_valid_now_is_reused() {
        let failed = ChallengeState::Invalid { at: NOW, problem: Problem::new(ProblemKind::Dns, "no") };
        let states = [ChallengeState::Pending, failed];
        for state in states {
            let mut authorization = proven();
            authorization.challenges[0].state = state;
            assert!(!judged(&authorization, |_, _| ()));
        }
        assert!(!judged(&proven().deactivate(NOW).unwrap(), |_, _| ()));
        assert!(!judged(&proven().revoke(NOW).unwrap(), |_, _| ()));
        assert!(!judged(&Authorization { expires: NOW, ..proven() }, |_, _| ()));
    }

    #[test]
    fn a_proof_is_reused_up_to_its_age_and_never_if_that_is_zero() {
        for (age_max, reused) in [(HOUR, true), (HOUR - Duration::from_secs(1), false), (Duration::ZERO, false)] {
            assert_eq!(judged(&proven(), |_, terms| terms.age_max = age_max), reused, "{age_max:?}");
        }
        let mut just_now = proven();
        if let ChallengeState::Valid { evidence } = &mut just_now.challenges[0].state {
            evidence.at = NOW;
        }
        assert!(!judged(&just_now, |_, terms| terms.age_max = Duration::ZERO));
    }

    #[test]
    fn a_proof_is_reused_no_longer_than_what_was_seen_says() {
        for (until, reused) in [(NOW, true), (NOW.minus(Duration::from_secs(1)), false)] {
            let mut short = proven();
            if let ChallengeState::Valid { evidence } = &mut short.challenges[0].state {
                evidence.reusable_until = Some(until);
            }
            assert_eq!(judged(&short, |_, _| ()), reused, "{until}");
        }
    }

    #[test]
    fn a_proof_of_a_kind_that_is_not_offered_or_not_accepted_is_not_reused() {
        assert!(!judged(&proven(), |_, terms| terms.offered = &[ChallengeKind::Dns01]));
        assert!(!judged(&proven(), |profile, _| profile.methods = Some(vec![ChallengeKind::Dns01])));
        assert!(judged(&proven(), |profile, _| profile.methods = None));
    }

    #[test]
    fn a_proof_that_the_cm_would_not_take_at_the_end_of_the_order_is_not_reused() {
        let at_the_end = HOUR * (24 * 6 + 1);
        assert!(judged(&proven(), |profile, _| profile.proof_age_max = Some(at_the_end)));
        assert!(!judged(&proven(), |profile, _| profile.proof_age_max = Some(at_the_end - HOUR)));
        assert!(judged(&proven(), |profile, _| profile.proof_age_max = None));
    }

    #[test]
    fn a_proof_that_leaves_too_little_time_is_not_reused() {
        let ends_in = |hours: u32| Authorization { expires: NOW.plus(HOUR * hours), ..proven() };
        assert!(judged(&ends_in(24 * 7 / 2), |_, _| ()));
        assert!(!judged(&ends_in(24 * 7 / 2 - 1), |_, _| ()));
        let approval = |days: u32| {
            move |profile: &mut Profile, _: &mut Terms<'_>| profile.approval_timeout = Some(HOUR * 24 * days)
        };
        assert!(judged(&proven(), approval(6)));
        assert!(!judged(&proven(), approval(7)));
    }

    #[test]
    fn an_order_lasts_as_long_as_its_proofs_are_taken_or_its_approval_may_take() {
        let week = HOUR * 24 * 7;
        let ends = |oldest: Option<Duration>, approval: Option<Duration>| {
            order_end(week, &Profile { proof_age_max: oldest, approval_timeout: approval, ..profile() }, NOW).since(NOW)
        };
        assert_eq!(ends(None, None), week);
        assert_eq!(ends(Some(week * 2), None), week);
        assert_eq!(ends(Some(HOUR), None), HOUR);
        assert_eq!(ends(Some(HOUR), Some(week * 2)), week * 2);
    }
}
