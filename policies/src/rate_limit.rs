//! Rate limits by the generic cell rate algorithm (GCRA): a bucket that holds so many requests and
//! refills evenly, kept as one point in time.
//!
//! That point, the theoretical arrival time, is when the bucket will be full again. A bucket that
//! is full already is worth nothing to remember, which is what makes counters small. Times are
//! durations since any fixed moment; whoever counts chooses it and a clock that only goes forward.

use std::{num::NonZeroU32, time::Duration};

/// A limit: `burst` at once, and `burst` in every period from then on, spread evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    burst: NonZeroU32,
    period: Duration,
}

/// What is spent of one bucket: when it will be full again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FullAt(Duration);

/// What a limit says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may pass; this is what is spent then.
    Allowed(FullAt),
    /// It may not. Asked again after this time, in whole seconds and at least one, it may, unless
    /// something else is spent meanwhile. Nothing is spent now.
    Refused(Duration),
}

impl FullAt {
    /// Whether the bucket is full by now: forgetting it changes nothing.
    #[must_use]
    pub fn is_over(self, now: Duration) -> bool {
        self.0 <= now
    }
}

impl RateLimit {
    /// A limit of `burst` for each period.
    #[must_use]
    pub const fn new(burst: NonZeroU32, period: Duration) -> Self {
        Self { burst, period }
    }

    /// How many may come at once.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst.get()
    }

    /// How long it takes to refill what all of them spent.
    #[must_use]
    pub const fn period(self) -> Duration {
        self.period
    }

    /// Whether one more may come. `None` is a full bucket.
    #[must_use]
    pub fn decide(self, spent: Option<FullAt>, now: Duration) -> Decision {
        let full_at = self.add(spent, now);
        match full_at.checked_sub(now.saturating_add(self.capacity())).filter(|wait| !wait.is_zero()) {
            None => Decision::Allowed(FullAt(full_at)),
            Some(wait) => Decision::Refused(whole_seconds(wait)),
        }
    }

    /// What is spent after something that could not be refused, such as a failure. The bucket is
    /// empty at the worst: nobody gets into debt.
    #[must_use]
    pub fn spend(self, spent: Option<FullAt>, now: Duration) -> FullAt {
        FullAt(self.add(spent, now).min(now.saturating_add(self.capacity())))
    }

    /// What is spent after one that was allowed and then did not happen; `None` for a full bucket.
    #[must_use]
    pub fn give_back(self, spent: FullAt, now: Duration) -> Option<FullAt> {
        Some(FullAt(spent.0.saturating_sub(self.interval()))).filter(|left| !left.is_over(now))
    }

    fn add(self, spent: Option<FullAt>, now: Duration) -> Duration {
        spent.map_or(now, |spent| spent.0.max(now)).saturating_add(self.interval())
    }

    /// The time in which one request is refilled, down to a nanosecond.
    fn interval(self) -> Duration {
        self.period / self.burst.get()
    }

    /// The time in which an empty bucket is refilled; the period but for rounding.
    fn capacity(self) -> Duration {
        self.interval().saturating_mul(self.burst.get())
    }
}

/// Rounded up: who waits so long does not come too early.
fn whole_seconds(wait: Duration) -> Duration {
    let more = u64::from(wait.subsec_nanos() > 0);
    Duration::from_secs(wait.as_secs().saturating_add(more).max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(burst: u32, period: Duration) -> RateLimit {
        RateLimit::new(NonZeroU32::new(burst).unwrap(), period)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// Lets as many pass as it can: how many, and the wait that the next one is told.
    fn drain(limit: RateLimit, mut spent: Option<FullAt>, now: Duration) -> (u32, Duration, Option<FullAt>) {
        let mut passed = 0;
        loop {
            match limit.decide(spent, now) {
                Decision::Allowed(next) => (passed, spent) = (passed + 1, Some(next)),
                Decision::Refused(wait) => return (passed, wait, spent),
            }
        }
    }

    #[test]
    fn a_burst_passes_at_once_and_then_one_after_each_interval() {
        let limit = limit(10, secs(100));
        let (passed, wait, spent) = drain(limit, None, secs(5));
        assert_eq!((passed, wait), (10, secs(10)));
        assert_eq!(limit.decide(spent, secs(14)), Decision::Refused(secs(1)));
        let (passed, wait, spent) = drain(limit, spent, secs(15));
        assert_eq!((passed, wait), (1, secs(10)));
        let (passed, wait, _) = drain(limit, spent, secs(1000));
        assert_eq!((passed, wait), (10, secs(10)), "no more is saved up than a burst");
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let limit = limit(3, secs(1));
        let (passed, wait, _) = drain(limit, None, Duration::ZERO);
        assert_eq!((passed, wait), (3, secs(1)));
    }

    #[test]
    fn what_did_not_happen_is_given_back() {
        let limit = limit(2, secs(20));
        let Decision::Allowed(one) = limit.decide(None, secs(0)) else { panic!("refused") };
        assert_eq!(limit.give_back(one, secs(0)), None);
        let Decision::Allowed(two) = limit.decide(Some(one), secs(0)) else { panic!("refused") };
        assert_eq!(limit.give_back(two, secs(0)), Some(one));
    }

    #[test]
    fn failures_empty_a_bucket_and_make_no_debt() {
        let limit = limit(2, secs(20));
        let spent = (0..50).fold(None, |spent, _| Some(limit.spend(spent, secs(0))));
        assert_eq!(limit.decide(spent, secs(0)), Decision::Refused(secs(10)));
        assert!(matches!(limit.decide(spent, secs(10)), Decision::Allowed(_)));
    }

    /// The same bucket by hand: tokens in units that divide evenly, refilled step by step.
    struct Naive {
        tokens: u128,
        at: u128,
    }

    impl Naive {
        /// One token is worth as many units as there are nanoseconds in an interval.
        fn take(&mut self, limit: RateLimit, now: u128) -> Result<(), u128> {
            let interval = limit.interval().as_nanos();
            let most = interval * u128::from(limit.burst());
            self.tokens = most.min(self.tokens + (now - self.at));
            self.at = now;
            match self.tokens.checked_sub(interval) {
                Some(rest) => {
                    self.tokens = rest;
                    Ok(())
                }
                None => Err(interval - self.tokens),
            }
        }
    }

    proptest! {
        #[test]
        fn it_decides_as_a_bucket_of_tokens_does(
            burst in 1_u32..20,
            period_millis in 1_u64..100_000,
            steps in proptest::collection::vec(0_u64..30_000, 1..200),
        ) {
            let limit = limit(burst, Duration::from_millis(period_millis));
            let mut naive = Naive { tokens: limit.capacity().as_nanos(), at: 0 };
            let (mut now, mut spent) = (Duration::ZERO, None);
            for step in steps {
                now += Duration::from_millis(step / 3);
                match (limit.decide(spent, now), naive.take(limit, now.as_nanos())) {
                    (Decision::Allowed(next), Ok(())) => spent = Some(next),
                    (Decision::Refused(wait), Err(missing)) => {
                        prop_assert_eq!(wait.as_secs(), u64::try_from(missing.div_ceil(1_000_000_000)).unwrap());
                        let allowed = matches!(limit.decide(spent, now + wait), Decision::Allowed(_));
                        prop_assert!(allowed, "who waits as told is let through");
                    }
                    (decision, naive) => prop_assert!(false, "{:?} but {:?}", decision, naive),
                }
                if spent.is_some_and(|spent: FullAt| spent.is_over(now)) {
                    prop_assert_eq!(limit.decide(spent, now), limit.decide(None, now), "a full bucket may be forgotten");
                }
            }
        }
    }
}
