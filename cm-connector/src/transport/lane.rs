//! Bulkheads: shares of the CM's in-flight limit, so that an issuance storm cannot delay
//! revocations (CM contract section 6). Whoever has a place waits for the turn of its call as well,
//! so at most as many turns are taken ahead as there are places.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    circuit::Circuit,
    pace::{Pace, Share, TooLate},
};
use crate::Condition;

/// Most calls under way, by whose share they are.
const ISSUANCE_MAX: usize = 24;
const REVOCATION_MAX: usize = 4;
const EVENTS_MAX: usize = 64;
const REST_MAX: usize = 4;
/// Most calls that wait for a free place, over all lanes.
const WAITING_MAX: usize = 1000;
/// How long a full queue takes about, at the rate that the contract has CMs take at least.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(20);

/// Whose share a call uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
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
pub(crate) struct Lanes {
    issuance: Semaphore,
    revocation: Semaphore,
    events: Semaphore,
    rest: Semaphore,
    waiting: AtomicUsize,
    pub(crate) pace: Pace,
}

/// No place became free in time, or too many wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    /// When there may be one again.
    pub(crate) retry_after: Duration,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            issuance: Semaphore::new(ISSUANCE_MAX),
            revocation: Semaphore::new(REVOCATION_MAX),
            events: Semaphore::new(EVENTS_MAX),
            rest: Semaphore::new(REST_MAX),
            waiting: AtomicUsize::new(0),
            pace: Pace::default(),
        }
    }
}

impl Lanes {
    /// Those to a CM that takes so many calls a second.
    pub(crate) fn paced(per_second: u32) -> Self {
        let lanes = Self::default();
        lanes.pace.advertised(per_second);
        lanes
    }

    /// Waits until a call may be made, in turn and not after `deadline`. It holds its place as long as
    /// it keeps the permit.
    pub(crate) async fn enter(&self, lane: Lane, deadline: Instant) -> Result<SemaphorePermit<'_>, Full> {
        let place = self.place(lane, deadline).await?;
        let share = match lane {
            Lane::Revocation => Share::Revocations,
            Lane::Events => Share::Events,
            Lane::Issuance | Lane::Rest => Share::Others,
        };
        let now = Instant::now();
        let turn = self.pace.turn(share, now, deadline).map_err(|TooLate(retry_after)| Full { retry_after })?;
        if turn > now {
            sleep_until(turn).await;
        }
        Ok(place)
    }

    /// How they are now, and the circuit that they lead to.
    pub(crate) fn condition(&self, circuit: &Circuit) -> Condition {
        let taken = |places: &Semaphore, most: usize| most.saturating_sub(places.available_permits());
        let calls_under_way = vec![
            ("issuance", taken(&self.issuance, ISSUANCE_MAX)),
            ("revocation", taken(&self.revocation, REVOCATION_MAX)),
            ("events", taken(&self.events, EVENTS_MAX)),
            ("rest", taken(&self.rest, REST_MAX)),
        ];
        Condition {
            is_circuit_open: circuit.is_open(),
            calls_waiting: self.waiting.load(Ordering::Relaxed),
            calls_under_way,
            calls_per_second_max: self.pace.per_second(Instant::now()),
        }
    }

    async fn place(&self, lane: Lane, deadline: Instant) -> Result<SemaphorePermit<'_>, Full> {
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
            Ok(Err(_)) | Err(_) => Err(Full { retry_after: FULL_RETRY_AFTER }),
        }
    }
}

/// Counts itself as long as it lives, also when its call is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Result<Self, Full> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            return Err(Full { retry_after: FULL_RETRY_AFTER });
        }
        Ok(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

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
        let condition = lanes.condition(&Circuit::default());
        assert_eq!((condition.calls_waiting, condition.calls_per_second_max), (0, 50));
        let under_way = [("issuance", 23), ("revocation", 0), ("events", 0), ("rest", 0)];
        assert_eq!(condition.calls_under_way, under_way);
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let lanes = Lanes::default();
        let _all = lanes.rest.acquire_many(4).await.unwrap();
        let queue: Vec<_> = (0..WAITING_MAX).map(|_| Waiting::begin(&lanes.waiting).unwrap()).collect();
        let far = Instant::now() + Duration::from_secs(3600);
        assert!(matches!(lanes.enter(Lane::Rest, far).await, Err(Full { retry_after: FULL_RETRY_AFTER })));
        assert_eq!(queue.len(), WAITING_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_outage_no_second_brings_more_calls_than_the_cm_advertises() {
        const BACKLOG: usize = 900;
        const PER_SECOND: usize = 50;
        let lanes = Arc::new(Lanes::default());
        let start = Instant::now();
        let (mut calls, mut revocations) = (JoinSet::new(), JoinSet::new());
        let call = |lane| {
            let lanes = Arc::clone(&lanes);
            async move {
                let _place = lanes.enter(lane, start + Duration::from_secs(30)).await?;
                let made = start.elapsed();
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, Full>(made)
            }
        };
        for number in 0..BACKLOG {
            calls.spawn(call(if number % 10 == 0 { Lane::Rest } else { Lane::Issuance }));
        }
        (0..6).for_each(|_| drop(revocations.spawn(call(Lane::Revocation))));
        (0..100).for_each(|_| drop(calls.spawn(call(Lane::Events))));
        let revoked: Vec<Duration> = revocations.join_all().await.into_iter().map(Result::unwrap).collect();
        assert!(revoked.iter().all(|made| *made < Duration::from_secs(1)), "{revoked:?}");
        let mut made: Vec<Duration> = calls.join_all().await.into_iter().map(Result::unwrap).collect();
        made.extend(revoked);
        let within = |from: Duration| {
            let second = from..from + Duration::from_secs(1);
            made.iter().filter(|made| second.contains(*made)).count()
        };
        assert_eq!(made.iter().map(|from| within(*from)).max(), Some(PER_SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_whose_turn_comes_after_its_deadline_is_not_made() {
        let lanes = Lanes::default();
        lanes.pace.advertised(1);
        let soon = Instant::now() + Duration::from_secs(1);
        assert!(lanes.enter(Lane::Issuance, soon).await.is_ok());
        let late = lanes.enter(Lane::Rest, soon).await;
        assert!(matches!(late, Err(Full { retry_after }) if retry_after > Duration::from_secs(1)));
        assert!(lanes.enter(Lane::Events, soon).await.is_ok(), "long polls wait for none but each other");
    }
}
