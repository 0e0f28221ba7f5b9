//! How fast calls follow each other: evenly, no more in a second than the CM advertises, and fewer
//! for a while after it has said that they are too many (CM contract sections 3 and 8).
//!
//! Revocations have a share of their own, so that they never wait behind issuance, and so has the event
//! feed, which is asked again after each answer: what many certificates bring on must not use up the
//! rate. The clock is an argument; who waits is the lanes' business.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Calls a second if the CM advertises nothing (section 3, Limits).
const PER_SECOND_DEFAULT: u32 = 50;
/// The part of all calls that is for revocations, as of the places: four of 32. As much is for the event feed.
const PART_OF_EACH: u32 = 8;
/// What the rate is multiplied by when the CM says that it is too high.
const LOWERED: f64 = 0.5;
/// What it is multiplied by each minute, until it is what the CM advertises again.
const GROWTH: f64 = 1.1;
const GROWS_EVERY: Duration = Duration::from_secs(60);
/// How long the CM has to see the lower rate before its word counts again.
const LOWERED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Whose calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// Revocations.
    Revocations,
    /// Questions for events.
    Events,
    /// All others.
    Others,
}

/// The rate, and when the next call of each share may be made.
#[derive(Debug)]
pub(crate) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    advertised: u32,
    /// The rate and the moment that it was lowered to it.
    lowered: Option<(f64, Instant)>,
    next_revocation: Option<Instant>,
    next_events: Option<Instant>,
    next_other: Option<Instant>,
}

/// The turn would come too late; this long it is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLate(pub(crate) Duration);

impl Default for Pace {
    fn default() -> Self {
        let advertised = PER_SECOND_DEFAULT;
        let (next_revocation, next_events, next_other) = (None, None, None);
        Self(Mutex::new(State { advertised, lowered: None, next_revocation, next_events, next_other }))
    }
}

impl Pace {
    /// When the next call of this share may be made. The turn is taken, unless it comes after `deadline`.
    pub(crate) fn turn(&self, share: Share, now: Instant, deadline: Instant) -> Result<Instant, TooLate> {
        let mut state = self.state();
        let interval = interval(share, state.per_second(now));
        let next = match share {
            Share::Revocations => &mut state.next_revocation,
            Share::Events => &mut state.next_events,
            Share::Others => &mut state.next_other,
        };
        let turn = next.map_or(now, |next| next.max(now));
        if turn > deadline {
            return Err(TooLate(turn.saturating_duration_since(now)));
        }
        *next = Some(turn + interval);
        Ok(turn)
    }

    /// Whole calls a second that are made at most now.
    pub(crate) fn per_second(&self, now: Instant) -> u32 {
        self.state().per_second(now)
    }

    /// The CM advertises this rate.
    pub(crate) fn advertised(&self, per_second: u32) {
        self.state().advertised = per_second.max(1);
    }

    /// The CM says that we are too fast. Of calls that began before the lower rate can be seen one counts.
    pub(crate) fn lower(&self, began: Instant, now: Instant) {
        let mut state = self.state();
        if state.lowered.is_some_and(|(_, lowered_at)| began <= lowered_at + LOWERED_AGAIN_AFTER) {
            return;
        }
        let per_second = (state.rate(now) * LOWERED).max(1.0);
        state.lowered = Some((per_second, now));
        tracing::warn!(per_second, "the CM says that we ask too often; calls are made at half the rate");
    }

    /// A panic elsewhere leaves a rate behind, not a broken promise.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn rate(&self, now: Instant) -> f64 {
        let advertised = f64::from(self.advertised);
        let Some((lowered, at)) = self.lowered else { return advertised };
        let minutes = now.saturating_duration_since(at).as_secs() / GROWS_EVERY.as_secs();
        (lowered * GROWTH.powi(i32::try_from(minutes).unwrap_or(i32::MAX))).min(advertised)
    }

    /// Whole calls a second.
    fn per_second(&self, now: Instant) -> u32 {
        self.rate(now) as u32
    }
}

/// The time between two calls of a share. All together make no more than `per_second` in any second.
fn interval(share: Share, per_second: u32) -> Duration {
    const SHARES: u32 = 3;
    if per_second < SHARES {
        return Duration::from_secs(1) * SHARES / per_second.max(1);
    }
    let each = (per_second / PART_OF_EACH).max(1);
    let calls = match share {
        Share::Revocations | Share::Events => each,
        Share::Others => per_second - 2 * each,
    };
    // Rounded up, lest one call too many fits in.
    Duration::from_secs(1) / calls + Duration::from_nanos(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Turns of a share for calls that are all made now.
    fn turns(pace: &Pace, share: Share, now: Instant, calls: usize) -> Vec<Instant> {
        (0..calls).map(|_| pace.turn(share, now, now + SECOND * 86_400).unwrap()).collect()
    }

    fn most_in_a_second(mut turns: Vec<Instant>) -> usize {
        turns.sort_unstable();
        let within = |first: usize| turns[first..].partition_point(|turn| *turn < turns[first] + SECOND);
        (0..turns.len()).map(within).max().unwrap()
    }

    #[test]
    fn no_second_brings_more_calls_than_the_cm_advertises() {
        let now = Instant::now();
        for per_second in [1, 2, 3, 7, 8, 9, 50, 64, 999, 1000] {
            let pace = Pace::default();
            pace.advertised(per_second);
            let mut all = turns(&pace, Share::Others, now, 3000);
            all.extend(turns(&pace, Share::Revocations, now, 3000));
            all.extend(turns(&pace, Share::Events, now, 3000));
            // At one a second the shares take turns only on average.
            let expected = usize::try_from(per_second.max(3)).unwrap();
            assert_eq!(most_in_a_second(all), expected, "{per_second}");
        }
    }

    #[test]
    fn what_was_not_used_is_not_made_up_for() {
        let (pace, now) = (Pace::default(), Instant::now());
        turns(&pace, Share::Others, now, 1);
        let after_an_outage = turns(&pace, Share::Others, now + SECOND * 600, 500);
        assert!(most_in_a_second(after_an_outage) <= 50);
    }

    #[test]
    fn revocations_and_events_do_not_wait_behind_others() {
        let (pace, now) = (Pace::default(), Instant::now());
        turns(&pace, Share::Others, now, 1000);
        for share in [Share::Revocations, Share::Events] {
            assert_eq!(pace.turn(share, now, now), Ok(now));
            assert!(pace.turn(share, now, now + SECOND).unwrap() < now + SECOND);
        }
    }

    #[test]
    fn a_turn_that_comes_too_late_is_not_taken() {
        let (pace, now) = (Pace::default(), Instant::now());
        pace.advertised(1);
        assert_eq!(pace.turn(Share::Others, now, now), Ok(now));
        for _ in 0..10 {
            assert_eq!(pace.turn(Share::Others, now, now + SECOND), Err(TooLate(SECOND * 3)));
        }
        assert_eq!(pace.turn(Share::Others, now, now + SECOND * 3), Ok(now + SECOND * 3));
    }

    #[test]
    fn the_rate_is_halved_once_for_all_that_was_under_way_and_grows_by_a_tenth_a_minute() {
        let (pace, start) = (Pace::default(), Instant::now());
        let at = |secs: u64| start + Duration::from_secs(secs);
        let per_second = |now| pace.state().per_second(now);
        assert_eq!(per_second(at(0)), PER_SECOND_DEFAULT);
        (0..24).for_each(|_| pace.lower(at(0), at(1)));
        let rates: Vec<u32> = [1, 60, 61, 121, 420, 481, 3600].map(|secs| per_second(at(secs))).into();
        assert_eq!(rates, [25, 25, 27, 30, 44, 50, 50]);
        pace.lower(at(6), at(6));
        assert_eq!(per_second(at(6)), 25, "the lower rate is not seen yet");
        pace.lower(at(7), at(7));
        assert_eq!(per_second(at(7)), 12);
        (2..20).for_each(|call| pace.lower(at(10 * call), at(10 * call)));
        assert_eq!(per_second(at(200)), 1, "it does not stop");
    }

    #[test]
    fn a_lower_rate_that_is_advertised_holds_at_once() {
        let (pace, now) = (Pace::default(), Instant::now());
        pace.advertised(10);
        assert_eq!(pace.state().per_second(now), 10);
        pace.lower(now, now);
        pace.advertised(4);
        assert_eq!(pace.state().per_second(now), 4);
        pace.advertised(0);
        assert_eq!(pace.state().per_second(now), 1);
    }
}
