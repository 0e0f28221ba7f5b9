//! Pausing: an account that has failed to prove control of an identifier for a long time, and not
//! once succeeded, orders no more for it until a person has looked.
//!
//! A great part of what public servers are asked for comes from clients that nobody looks after
//! and that will never succeed. They are not refused for ever: whoever mends the cause lifts the
//! pause with one click, and it ends by itself after a while.

use std::time::Duration;

use acme::{failure_run::FailureRun, problem::ProblemKind, time::Timestamp};

/// When a run of failures becomes a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PausePolicy {
    /// At least so many failures in a row,
    pub failures: u32,
    /// over at least this time.
    pub over: Duration,
    /// A pause ends by itself after this time.
    pub lasts: Duration,
}

/// Whether a failed validation says something about the client. Our own troubles do not.
#[must_use]
pub const fn is_of_the_client(failure: ProblemKind) -> bool {
    !matches!(failure, ProblemKind::ServerInternal | ProblemKind::Unavailable)
}

impl PausePolicy {
    /// The run with one more failure in it. `earlier` is the run so far, if there is one; `failed`
    /// is a run of just the new failure. A run that nothing was added to for too long is over.
    #[must_use]
    pub fn after_failure(&self, earlier: Option<&FailureRun>, failed: FailureRun) -> FailureRun {
        let now = failed.last;
        let Some(earlier) = earlier.filter(|run| now < self.forget_at(run)) else { return failed };
        let failures = earlier.failures.saturating_add(failed.failures);
        let due = failures >= self.failures && now.since(earlier.first) >= self.over;
        let paused_at = earlier.paused_at.or(due.then_some(now));
        FailureRun { failures, first: earlier.first, paused_at, ..failed }
    }

    /// Whether orders are refused because of this run. A policy that has become milder lifts what
    /// it would not pause any more.
    #[must_use]
    pub fn is_paused(&self, run: &FailureRun, now: Timestamp) -> bool {
        run.paused_at.is_some() && run.failures >= self.failures && now < self.forget_at(run)
    }

    /// From when on the run counts for nothing: when its pause is over, or when it was not continued
    /// for as long as a run must last to become a pause, but no less than a day.
    #[must_use]
    pub fn forget_at(&self, run: &FailureRun) -> Timestamp {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        match run.paused_at {
            Some(paused_at) => paused_at.plus(self.lasts),
            None => run.last.plus(self.over.max(DAY)),
        }
    }
}

#[cfg(test)]
mod tests {
    use acme::{
        identifier::Identifier,
        ids::{EndpointName, RegistrationId},
        problem::Problem,
    };
    use proptest::prelude::*;

    use super::*;

    const DAY_SECS: u64 = 86_400;
    const POLICY: PausePolicy = PausePolicy {
        failures: 100,
        over: Duration::from_secs(7 * DAY_SECS),
        lasts: Duration::from_secs(90 * DAY_SECS),
    };

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_unix_secs(1_800_000_000).plus(Duration::from_secs(secs))
    }

    fn failure(now: Timestamp) -> FailureRun {
        FailureRun {
            endpoint: EndpointName::parse("open").unwrap(),
            account: RegistrationId::parse("reg_1").unwrap(),
            identifier: Identifier::parse_dns("a.test").unwrap(),
            failures: 1,
            first: now,
            last: now,
            problem: Problem::new(ProblemKind::Connection, "no"),
            paused_at: None,
        }
    }

    /// The run after failures at these seconds.
    fn run(policy: &PausePolicy, seconds: impl IntoIterator<Item = u64>) -> FailureRun {
        let add = |run: Option<FailureRun>, secs| Some(policy.after_failure(run.as_ref(), failure(at(secs))));
        seconds.into_iter().fold(None, add).unwrap()
    }

    #[test]
    fn who_fails_often_and_for_long_is_paused() {
        // Every two hours: a hundred failures in eight days.
        let hours = |count: u64| (0..count).map(|turn| turn * 7200);
        assert_eq!(run(&POLICY, hours(99)).paused_at, None);
        let paused = run(&POLICY, hours(100));
        assert_eq!((paused.failures, paused.first, paused.paused_at), (100, at(0), Some(at(99 * 7200))));
        assert!(POLICY.is_paused(&paused, at(99 * 7200)));
    }

    #[test]
    fn who_fails_often_in_a_short_time_is_not_paused() {
        let hasty = run(&POLICY, (0..5000).map(|turn| turn * 60));
        assert_eq!((hasty.failures, hasty.paused_at), (5000, None));
        let later = POLICY.after_failure(Some(&hasty), failure(at(7 * DAY_SECS)));
        assert_eq!(later.paused_at, Some(at(7 * DAY_SECS)), "the week is over, and it goes on");
    }

    #[test]
    fn who_fails_for_long_but_seldom_is_not_paused() {
        assert_eq!(run(&POLICY, (0..99).map(|turn| turn * DAY_SECS)).paused_at, None);
    }

    #[test]
    fn a_long_silence_ends_a_run() {
        let before = run(&POLICY, (0..99).map(|turn| turn * 7200));
        let after = POLICY.after_failure(Some(&before), failure(before.last.plus(POLICY.over)));
        assert_eq!((after.failures, after.paused_at), (1, None));
    }

    #[test]
    fn a_pause_ends_by_itself() {
        let paused = run(&POLICY, (0..100).map(|turn| turn * 7200));
        let since = paused.paused_at.unwrap();
        assert!(POLICY.is_paused(&paused, since.plus(POLICY.lasts - Duration::from_secs(1))));
        assert!(!POLICY.is_paused(&paused, since.plus(POLICY.lasts)));
        let again = POLICY.after_failure(Some(&paused), failure(since.plus(POLICY.lasts)));
        assert_eq!((again.failures, again.paused_at), (1, None));
    }

    #[test]
    fn a_milder_policy_lifts_pauses() {
        let paused = run(&POLICY, (0..100).map(|turn| turn * 7200));
        let milder = PausePolicy { failures: 101, ..POLICY };
        assert!(POLICY.is_paused(&paused, paused.last) && !milder.is_paused(&paused, paused.last));
    }

    proptest! {
        #[test]
        fn a_pause_has_enough_failures_over_enough_time(
            gaps in proptest::collection::vec(0_u64..DAY_SECS, 1..300),
            failures in 1_u32..50,
            over_secs in 0..20 * DAY_SECS,
        ) {
            let policy = PausePolicy { failures, over: Duration::from_secs(over_secs), ..POLICY };
            let (mut now, mut earlier): (u64, Option<FailureRun>) = (0, None);
            for gap in gaps {
                now += gap;
                let next = policy.after_failure(earlier.as_ref(), failure(at(now)));
                if let Some(paused_at) = next.paused_at {
                    prop_assert!(next.failures >= failures && paused_at.since(next.first) >= policy.over);
                } else if earlier.is_some() {
                    prop_assert!(next.failures < failures || at(now).since(next.first) < policy.over);
                }
                prop_assert!(next.first <= next.last && next.last == at(now));
                earlier = Some(next);
            }
        }
    }
}
