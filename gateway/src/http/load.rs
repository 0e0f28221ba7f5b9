//! How many requests are being worked on: over a limit they are refused at once, so that those that
//! were taken are done in time (RFC 8555 §6.6 for the answer, 503 with `Retry-After`).
//!
//! What is counted are requests whose body has arrived: slow senders hold a connection and nothing
//! else. GET and HEAD cost nothing and are not counted, except those of a transcript, which nobody signs and
//! which have the store read a thousand records: these have a few places of their own.

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

/// Transcripts that are being read at a time. People read them, one by one.
const TRANSCRIPTS_MAX: usize = 2;

/// The requests in hand, over all threads.
#[derive(Debug, Clone)]
pub(super) struct Load {
    in_hand: Arc<AtomicUsize>,
    max: usize,
    transcripts: Arc<AtomicUsize>,
}

/// One request in hand, until this is dropped.
#[derive(Debug)]
pub(super) struct InHand(Arc<AtomicUsize>);

impl Load {
    pub(super) fn new(max: usize) -> Self {
        Self { in_hand: Arc::default(), max, transcripts: Arc::default() }
    }

    /// Takes one more request in hand.
    pub(super) fn take(&self) -> Result<InHand, HttpError> {
        place(&self.in_hand, self.max, "the server has too many requests in hand; try again later")
    }

    /// Takes one more transcript in hand.
    pub(super) fn take_transcript(&self) -> Result<InHand, HttpError> {
        place(&self.transcripts, TRANSCRIPTS_MAX, "too many transcripts are being read at the moment; try again later")
    }
}

fn place(taken: &Arc<AtomicUsize>, max: usize, detail: &'static str) -> Result<InHand, HttpError> {
    let in_hand = InHand(Arc::clone(taken));
    if taken.fetch_add(1, Ordering::Relaxed) < max {
        return Ok(in_hand);
    }
    let problem = Problem::new(ProblemKind::Unavailable, detail);
    Err(Refusal { problem, retry_after: Some(RETRY_AFTER), terms_of_service: None, transcript: None }.into())
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

    #[test]
    fn transcripts_have_places_of_their_own() {
        let load = Load::new(1);
        let transcripts: Vec<_> = (0..TRANSCRIPTS_MAX).map(|_| load.take_transcript().unwrap()).collect();
        assert!(load.take_transcript().is_err());
        let signed = load.take().unwrap();
        drop(transcripts);
        assert!(load.take().is_err() && load.take_transcript().is_ok());
        drop(signed);
    }
}
