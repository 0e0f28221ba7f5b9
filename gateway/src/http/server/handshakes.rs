//! How many TLS handshakes are answered in a second. Each costs a signature and a key agreement, which is what a flood
//! of new connections would have this host do and nothing else.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::IntCounter;
use tokio::time::{Instant, sleep_until};

/// How long a handshake waits for its turn. A crowd that comes at once is spread over this time; a flood is not kept.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Gives turns to handshakes, evenly spread. All clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Handshakes {
    interval: Duration,
    next: Arc<Mutex<Instant>>,
    refused: Option<IntCounter>,
}

impl Handshakes {
    /// So many in a second; those that are refused are counted.
    pub(crate) fn new(per_second_max: u32, refused: Option<IntCounter>) -> Self {
        let interval = Duration::from_secs(1) / per_second_max.max(1);
        Self { interval, next: Arc::new(Mutex::new(Instant::now())), refused }
    }

    /// Waits for the turn of a handshake whose first message has come; false if the line is too long.
    pub(super) async fn turn(&self) -> bool {
        let Some(turn) = self.reserve(Instant::now()) else {
            self.refused.iter().for_each(IntCounter::inc);
            return false;
        };
        sleep_until(turn).await;
        true
    }

    /// When the turn is. A time that nobody takes is not saved up, so that no second has more.
    fn reserve(&self, now: Instant) -> Option<Instant> {
        // One value, written at once: a panic cannot leave it half changed.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = now.max(*next);
        if turn.saturating_duration_since(now) > WAIT_MAX {
            return None;
        }
        *next = turn + self.interval;
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn turns_are_spread_evenly_and_a_line_of_a_second_is_the_longest() {
        let handshakes = Handshakes::new(4, None);
        let start = Instant::now();
        let after = |turn: Option<Instant>| turn.map(|turn| (turn - start).as_millis());
        let at = |millis| start + Duration::from_millis(millis);
        handshakes.reserve(at(0)).unwrap();
        let line: Vec<_> = (0..6).map(|_| after(handshakes.reserve(at(0)))).collect();
        assert_eq!(line, [Some(250), Some(500), Some(750), Some(1000), None, None]);
        assert_eq!(after(handshakes.reserve(at(250))), Some(1250), "who was refused took no turn");
        assert_eq!(after(handshakes.reserve(at(9000))), Some(9000), "nobody waits");
        assert_eq!(after(handshakes.reserve(at(9001))), Some(9250), "what nobody took is not saved up");
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_its_number(
            per_second in 1_u32..50,
            pauses in proptest::collection::vec(0_u64..100, 1..300),
        ) {
            let handshakes = Handshakes::new(per_second, None);
            let mut now = Instant::now();
            let mut turns = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                if let Some(turn) = handshakes.reserve(now) {
                    prop_assert!(turn >= now && turn - now <= WAIT_MAX);
                    turns.push(turn);
                }
            }
            // A little less than a second, because the interval is rounded down.
            let second = Duration::from_secs(1) - Duration::from_micros(1);
            for (index, turn) in turns.iter().enumerate() {
                let within = turns.iter().skip(index).take_while(|other| **other - *turn < second).count();
                prop_assert!(within <= usize::try_from(per_second).unwrap());
            }
        }
    }
}
