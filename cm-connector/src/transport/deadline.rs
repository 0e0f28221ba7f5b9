//! How long each kind of call may take, how often it is tried, and how long to wait in between
//! (CM contract section 6). Pure: the clock and the dice are the client's.

use std::time::Duration;

/// First ceiling of the wait between two attempts; doubles with each.
const WAIT_FIRST: Duration = Duration::from_millis(200);
/// Last ceiling: somebody is waiting for the answer.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// What a `Retry-After` is raised to: real servers send 0.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(250);

/// The time limits of one kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline {
    /// From the start of an attempt, a new connection included, to the head of the answer.
    pub(crate) first_byte: Duration,
    /// From the start of an attempt to the end of the answer.
    pub(crate) whole: Duration,
    /// All attempts and the waits between them.
    pub(crate) total: Duration,
    /// How often it is tried.
    pub(crate) attempts: u32,
}

impl Deadline {
    /// Reading, which can always be repeated.
    pub(crate) const READ: Self = Self::of(5, 10, 10, 4);
    /// Bind, create, status, contacts, delivery: idempotent by content or by key.
    pub(crate) const WRITE: Self = Self::of(10, 15, 20, 3);
    /// A write that is not known to be idempotent.
    pub(crate) const WRITE_ONCE: Self = Self::of(10, 15, 15, 1);
    /// Asking for a certificate: recovery is the caller's, who can look first.
    pub(crate) const SUBMIT: Self = Self::of(28, 30, 30, 1);
    /// Revoking, under its key.
    pub(crate) const REVOKE: Self = Self::of(15, 20, 20, 4);

    /// The event feed, which may keep a question for 25 s. Whoever follows it asks again.
    pub(crate) const EVENTS: Self = Self::of(30, 35, 35, 1);

    /// The least time that an attempt must have left when its turn comes. With less it would most likely be cut off,
    /// and leave behind a question that nobody waits for.
    pub(crate) fn left_min(&self) -> Duration {
        self.first_byte.min(self.total) / 10
    }

    const fn of(first_byte_secs: u64, whole_secs: u64, total_secs: u64, attempts: u32) -> Self {
        Self {
            first_byte: Duration::from_secs(first_byte_secs),
            whole: Duration::from_secs(whole_secs),
            total: Duration::from_secs(total_secs),
            attempts,
        }
    }
}

/// How long to wait after the `failed`-th attempt (from 1): full jitter, `dice` in 0..1, with the
/// CM's `Retry-After` as a floor.
pub(crate) fn wait(failed: u32, retry_after: Option<Duration>, dice: f64) -> Duration {
    let doublings = failed.saturating_sub(1).min(16);
    let ceiling = WAIT_FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(WAIT_MAX);
    let jittered = ceiling.mul_f64(dice.clamp(0.0, 1.0));
    let floor = retry_after.map_or(Duration::ZERO, |floor| floor.max(RETRY_AFTER_MIN));
    jittered.max(floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_drawn_below_a_ceiling_that_doubles_up_to_five_seconds() {
        let ceilings: Vec<u128> = (1..=8).map(|failed| wait(failed, None, 1.0).as_millis()).collect();
        assert_eq!(ceilings, [200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        assert_eq!(wait(u32::MAX, None, 1.0), WAIT_MAX);
        assert_eq!(wait(3, None, 0.0), Duration::ZERO);
        assert_eq!(wait(1, None, 0.5), Duration::from_millis(100));
    }

    #[test]
    fn an_attempt_needs_a_tenth_of_the_time_that_the_head_of_its_answer_may_take() {
        let deadlines = [Deadline::READ, Deadline::WRITE, Deadline::SUBMIT, Deadline::REVOKE];
        assert_eq!(deadlines.map(|deadline| deadline.left_min().as_millis()), [500, 1000, 2800, 1500]);
        let short = Deadline { total: Duration::from_millis(200), ..Deadline::READ };
        assert_eq!(short.left_min(), Duration::from_millis(20));
    }

    #[test]
    fn the_cms_retry_after_is_a_floor_of_at_least_a_quarter_second() {
        assert_eq!(wait(1, Some(Duration::ZERO), 0.0), RETRY_AFTER_MIN);
        assert_eq!(wait(1, Some(Duration::from_secs(7)), 1.0), Duration::from_secs(7));
        assert_eq!(wait(6, Some(Duration::from_secs(1)), 1.0), WAIT_MAX);
    }
}
