//! Bulkheads: shares of the CM's in-flight limit, so that an issuance storm cannot delay
//! revocations (CM contract section 6).

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

/// Most calls that wait for a free place, over all lanes.
const WAITING_MAX: usize = 1000;

/// Whose share a call uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Certificate requests.
    Issuance,
    /// Revocations.
    Revocation,
    /// Long polls of the event feed, one a realm.
    Events,
    /// Everything else.
    Rest,
}

/// The shares.
#[derive(Debug)]
pub(super) struct Lanes {
    issuance: Semaphore,
    revocation: Semaphore,
    events: Semaphore,
    rest: Semaphore,
    waiting: AtomicUsize,
}

/// No place became free in time, or too many wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Default for Lanes {
    fn default() -> Self {
        Self {
            issuance: Semaphore::new(24),
            revocation: Semaphore::new(4),
            events: Semaphore::new(64),
            rest: Semaphore::new(4),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Lanes {
    /// Waits for a place, in turn, until `deadline`.
    pub(super) async fn enter(&self, lane: Lane, deadline: Instant) -> Result<SemaphorePermit<'_>, Full> {
        let places = match lane {
            Lane::Issuance => &self.issuance,
            Lane::Revocation => &self.revocation,
            Lane::Events => &self.events,
            Lane::Rest => &self.rest,
        };
        if let Ok(permit) = places.try_acquire() {
            return Ok(permit);
        }
        let _waiting = Waiting::begin(&self.waiting)?;
        match timeout_at(deadline, places.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }
}

/// Counts itself as long as it lives, also when its call is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Result<Self, Full> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX { Err(Full) } else { Ok(waiting) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_issuance_leaves_room_for_revocations() {
        let lanes = Lanes::default();
        let soon = Instant::now() + Duration::from_secs(1);
        let mut places = Vec::new();
        for _ in 0..24 {
            places.push(lanes.enter(Lane::Issuance, soon).await.unwrap());
        }
        assert!(lanes.enter(Lane::Issuance, soon).await.is_err());
        assert!(lanes.enter(Lane::Revocation, soon).await.is_ok());
        places.pop();
        assert!(lanes.enter(Lane::Issuance, soon).await.is_ok());
        assert_eq!(lanes.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let lanes = Lanes::default();
        let _all = lanes.rest.acquire_many(4).await.unwrap();
        let queue: Vec<_> = (0..WAITING_MAX).map(|_| Waiting::begin(&lanes.waiting).unwrap()).collect();
        let far = Instant::now() + Duration::from_secs(3600);
        assert!(matches!(lanes.enter(Lane::Rest, far).await, Err(Full)));
        assert_eq!(queue.len(), WAITING_MAX);
    }
}
