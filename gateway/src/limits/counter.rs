//! What is spent of one limit, for each who spends: in memory, sharded, bounded.
//!
//! A bucket that is full again is forgotten when the space is needed, and no other ever is: nobody
//! gets rid of what he has spent by crowding it out with other keys. If there is no space left, new
//! keys are let through uncounted, which is told in the metrics; those that are counted stay so.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use policies::rate_limit::{Decision, FullAt, RateLimit};
use tokio::time::Instant;

use super::Exceeded;
use crate::telemetry::metrics::LimitMetrics;

/// Locks, so that threads seldom meet; a power of two.
const SHARDS: usize = 16;
/// Keys of one shard: 131,072 of one limit, about 10 MB at the most.
const SHARD_KEYS_MAX: usize = 8192;
/// Between two searches of a shard for what can be forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What a limit counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject {
    /// The setting, without its table.
    pub(super) setting: &'static str,
    /// In words, after `too many`.
    pub(super) what: &'static str,
}

/// The counters of one limit.
pub(crate) struct Counter {
    subject: Subject,
    /// `None`: switched off.
    limit: Option<RateLimit>,
    metrics: LimitMetrics,
    /// The moment from which times are counted.
    began: Instant,
    hashers: [RandomState; 2],
    shards: Vec<Mutex<Shard>>,
    shard_keys_max: usize,
}

#[derive(Default)]
struct Shard {
    spent: HashMap<u128, FullAt>,
    /// Searching before this finds next to nothing.
    sweep_at: Duration,
}

/// Something spent. It is given back when this is dropped, unless it is kept.
#[must_use]
pub(crate) struct Spent<'a>(Option<(&'a Counter, u128)>);

impl Spent<'_> {
    /// For what is not limited.
    pub(super) const fn nothing() -> Self {
        Self(None)
    }

    /// What it was spent for has come about.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Spent<'_> {
    fn drop(&mut self) {
        if let Some((counter, key)) = self.0.take() {
            counter.give_back(key);
        }
    }
}

impl Counter {
    pub(super) fn new(subject: Subject, limit: Option<RateLimit>, metrics: LimitMetrics) -> Self {
        Self {
            subject,
            limit,
            metrics,
            began: Instant::now(),
            hashers: [RandomState::new(), RandomState::new()],
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            shard_keys_max: SHARD_KEYS_MAX,
        }
    }

    /// Whether this is what it counts against.
    pub(super) fn has(&self, limit: Option<RateLimit>) -> bool {
        self.limit == limit
    }

    /// Spends one.
    pub(super) fn spend(&self, key: impl Hash) -> Result<Spent<'_>, Exceeded> {
        let Some(limit) = self.limit else { return Ok(Spent::nothing()) };
        let (key, now) = (self.digest(key), self.began.elapsed());
        let Some(mut shard) = self.shard(key) else { return Ok(Spent::nothing()) };
        match limit.decide(shard.spent.get(&key).copied(), now) {
            Decision::Allowed(full_at) => {
                let is_counted = self.remember(&mut shard, key, full_at, now);
                Ok(Spent(is_counted.then_some((self, key))))
            }
            Decision::Refused(retry_after) => Err(self.exceeded(limit, retry_after)),
        }
    }

    /// Whether one could be spent.
    pub(super) fn require_left(&self, key: impl Hash) -> Result<(), Exceeded> {
        let Some(limit) = self.limit else { return Ok(()) };
        let (key, now) = (self.digest(key), self.began.elapsed());
        let Some(shard) = self.shard(key) else { return Ok(()) };
        match limit.decide(shard.spent.get(&key).copied(), now) {
            Decision::Allowed(_) => Ok(()),
            Decision::Refused(retry_after) => Err(self.exceeded(limit, retry_after)),
        }
    }

    /// Counts one that has happened, whatever is left.
    pub(super) fn count(&self, key: impl Hash) {
        let Some(limit) = self.limit else { return };
        let (key, now) = (self.digest(key), self.began.elapsed());
        if let Some(mut shard) = self.shard(key) {
            let full_at = limit.spend(shard.spent.get(&key).copied(), now);
            self.remember(&mut shard, key, full_at, now);
        }
    }

    fn give_back(&self, key: u128) {
        let (Some(limit), Some(mut shard)) = (self.limit, self.shard(key)) else { return };
        let Some(spent) = shard.spent.get(&key).copied() else { return };
        match limit.give_back(spent, self.began.elapsed()) {
            Some(full_at) => drop(shard.spent.insert(key, full_at)),
            None => drop(shard.spent.remove(&key)),
        }
    }

    /// `false` if there is no space for another key.
    fn remember(&self, shard: &mut Shard, key: u128, full_at: FullAt, now: Duration) -> bool {
        let is_full = |shard: &Shard| shard.spent.len() >= self.shard_keys_max && !shard.spent.contains_key(&key);
        if is_full(shard) && shard.sweep_at <= now {
            shard.spent.retain(|_, full_at| !full_at.is_over(now));
            shard.sweep_at = now.saturating_add(SWEEP_EVERY);
        }
        if is_full(shard) {
            self.metrics.uncounted.inc();
            return false;
        }
        shard.spent.insert(key, full_at);
        true
    }

    fn exceeded(&self, size: RateLimit, retry_after: Duration) -> Exceeded {
        self.metrics.refused.inc();
        let Subject { setting, what } = self.subject;
        Exceeded { setting, what: Cow::from(what), size, retry_after }
    }

    /// Keys come from strangers and may be long. 128 bits under secret keys do not meet by accident,
    /// nor on purpose.
    fn digest(&self, key: impl Hash) -> u128 {
        let [high, low] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(&key)));
        high << 64 | low
    }

    /// There always is one.
    fn shard(&self, key: u128) -> Option<MutexGuard<'_, Shard>> {
        let index = usize::try_from(key & (SHARDS as u128 - 1)).unwrap_or_default();
        // A panic cannot leave a shard half changed.
        self.shards.get(index).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tokio::time::advance;

    use super::*;
    use crate::telemetry::metrics::Metrics;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn counter(burst: u32, period: Duration, shard_keys_max: usize) -> Counter {
        let subject = Subject { setting: "new_orders_per_account", what: "things" };
        let limit = RateLimit::new(NonZeroU32::new(burst).unwrap(), period);
        let metrics = Metrics::new().unwrap().limit("new_orders_per_account");
        Counter { shard_keys_max, ..Counter::new(subject, Some(limit), metrics) }
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_has_a_bucket_of_its_own() {
        let counter = counter(2, secs(20), 9);
        for _ in 0..2 {
            counter.spend("a").unwrap().keep();
        }
        let refused = counter.spend("a").err().unwrap();
        assert_eq!(refused.retry_after, secs(10));
        counter.spend("b").unwrap().keep();
        advance(secs(10)).await;
        counter.spend("a").unwrap().keep();
        assert!(counter.spend("a").is_err());
        assert_eq!(counter.metrics.refused.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_kept_is_given_back_and_a_look_spends_nothing() {
        let counter = counter(1, secs(20), 9);
        for _ in 0..3 {
            drop(counter.spend("a").unwrap());
            counter.require_left("a").unwrap();
        }
        assert!(counter.shard(counter.digest("a")).unwrap().spent.is_empty(), "a full bucket is not remembered");
        counter.spend("a").unwrap().keep();
        assert!(counter.require_left("a").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_other_keys_frees_nobody_and_locks_nobody_out() {
        let counter = counter(1, secs(100), 4);
        counter.spend("spent").unwrap().keep();
        for stranger in 0..10_000 {
            counter.spend(("stranger", stranger)).unwrap().keep();
        }
        assert!(counter.spend("spent").is_err(), "it was crowded out");
        assert!(counter.metrics.uncounted.get() > 9000);
        let held: usize = (0..SHARDS).map(|shard| counter.shard(shard as u128).unwrap().spent.len()).sum();
        assert_eq!(held, 4 * SHARDS);
        advance(secs(101)).await;
        counter.spend(("stranger", 20_000)).unwrap().keep();
        let uncounted = counter.metrics.uncounted.get();
        assert!(counter.spend(("stranger", 20_000)).is_err(), "full buckets make room");
        assert_eq!(counter.metrics.uncounted.get(), uncounted);
    }

    #[tokio::test]
    async fn of_many_at_once_no_more_pass_than_may() {
        let counter = counter(100, secs(3600), 9);
        let passed = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        if let Ok(spent) = counter.spend("a") {
                            spent.keep();
                            passed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 100);
    }
}
