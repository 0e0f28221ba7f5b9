//! How many requests are being worked on: over a limit they are refused at once, so that those that
//! were taken are done in time (RFC 8555 §6.6 for the answer, 503 with `Retry-After`).
//!
//! What is counted are requests whose body has arrived: slow senders hold a connection and nothing
//! else. GET and HEAD cost nothing and are not counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use acme::problem::{Problem, ProblemKind};

use super::HttpError;
use crate::ra::Refusal;

/// When a client that was refused should come again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The requests in hand, over all threads.
#[derive(Debug, Clone)]
pub(super) struct Load {
    in_hand: Arc<AtomicUsize>,
    max: usize,
}

/// One request in hand, until this is dropped.
#[derive(Debug)]
pub(super) struct InHand(Arc<AtomicUsize>);

impl Load {
    pub(super) fn new(max: usize) -> Self {
        Self { in_hand: Arc::default(), max }
    }

    /// Takes one more request in hand.
    pub(super) fn take(&self) -> Result<InHand, HttpError> {
        let taken = InHand(Arc::clone(&self.in_hand));
        if self.in_hand.fetch_add(1, Ordering::Relaxed) < self.max {
            return Ok(taken);
        }
        let problem =
            Problem::new(ProblemKind::Unavailable, "the server has too many requests in hand; try again later");
        Err(Refusal { problem, retry_after: Some(RETRY_AFTER), terms_of_service: None, transcript: None }.into())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_requests_are_in_hand_at_a_time() {
        let load = Load::new(2);
        let (first, second) = (load.take().unwrap(), load.take().unwrap());
        assert!(load.take().is_err() && load.clone().take().is_err());
        drop(first);
        let third = load.take().unwrap();
        assert!(load.take().is_err());
        drop((second, third));
        assert_eq!(load.in_hand.load(Ordering::Relaxed), 0);
    }
}
