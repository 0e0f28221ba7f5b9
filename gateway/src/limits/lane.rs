//! The narrow way to the CM for those whose address has asked too often for what does not exist: a
//! few questions at a time, so that one broken or hostile host slows its neighbours behind the same
//! address down, and does not shut them out.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Questions to the CM at a time in one lane.
const PLACES: usize = 2;
/// How many may be in one lane, those who wait included: each of them is a request in hand.
const INSIDE_MAX: usize = 64;
/// How long one waits for a place.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// When to come again if the lane is full: it moves fast.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A lane for each key. There is an entry only for keys that somebody waits at, so the table is no
/// larger than the list of requests in hand.
pub(super) struct Lanes<K>(Mutex<HashMap<K, Lane>>);

#[derive(Clone)]
struct Lane {
    places: Arc<Semaphore>,
    inside: usize,
}

/// The right to ask; it is given back when this is dropped.
pub(super) struct Place<K: Eq + Hash> {
    permit: Option<OwnedSemaphorePermit>,
    lanes: Arc<Lanes<K>>,
    key: K,
}

impl<K> Default for Lanes<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Copy + Eq + Hash> Lanes<K> {
    /// Waits for a place; `None` if the lane is full, or does not move.
    pub(super) async fn enter(self: &Arc<Self>, key: K) -> Option<Place<K>> {
        let (mut place, places) = self.queue(key)?;
        place.permit = Some(timeout(WAIT_MAX, places.acquire_owned()).await.ok()?.ok()?);
        Some(place)
    }

    fn queue(self: &Arc<Self>, key: K) -> Option<(Place<K>, Arc<Semaphore>)> {
        let mut lanes = self.lock();
        let fresh = || Lane { places: Arc::new(Semaphore::new(PLACES)), inside: 0 };
        let lane = lanes.entry(key).or_insert_with(fresh);
        if lane.inside >= INSIDE_MAX {
            return None;
        }
        lane.inside = lane.inside.saturating_add(1);
        Some((Place { permit: None, lanes: Arc::clone(self), key }, Arc::clone(&lane.places)))
    }
}

impl<K: Eq + Hash> Lanes<K> {
    /// A panic cannot leave a lane half changed.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut lanes = self.lanes.lock();
        match lanes.get_mut(&self.key) {
            Some(lane) if lane.inside > 1 => lane.inside = lane.inside.saturating_sub(1),
            Some(_) | None => drop(lanes.remove(&self.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lane_lets_two_ask_at_a_time_and_others_wait_for_so_long() {
        let lanes = Arc::new(Lanes::default());
        let (first, _second) = (lanes.enter(1).await.unwrap(), lanes.enter(1).await.unwrap());
        let began = Instant::now();
        assert!(lanes.enter(1).await.is_none());
        assert_eq!(began.elapsed(), WAIT_MAX);
        assert!(lanes.enter(2).await.is_some(), "another lane");
        drop(first);
        assert!(lanes.enter(1).await.is_some());
        assert_eq!(began.elapsed(), WAIT_MAX, "nobody else waited");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_fit_into_a_lane_is_told_at_once_and_nothing_is_left_of_those_who_gave_up() {
        let lanes = Arc::new(Lanes::default());
        let enter = || {
            let lanes = Arc::clone(&lanes);
            tokio::spawn(async move { lanes.enter(1).await })
        };
        let places = [lanes.enter(1).await, lanes.enter(1).await];
        let waiting: Vec<_> = (places.len()..INSIDE_MAX).map(|_| enter()).collect();
        while lanes.lock().get(&1).unwrap().inside < INSIDE_MAX {
            tokio::task::yield_now().await;
        }
        let began = Instant::now();
        assert!(lanes.enter(1).await.is_none());
        assert_eq!(began.elapsed(), Duration::ZERO);
        for waiter in waiting {
            waiter.abort();
            assert!(waiter.await.is_err_and(|error| error.is_cancelled()));
        }
        drop(places);
        assert!(lanes.lock().is_empty());
    }
}
