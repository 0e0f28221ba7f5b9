//! What was asked of the CM for one piece of work: each attempt of each call, what came of it, and
//! how long it took.
//!
//! Adapters tell; [`observed`] listens, by a task-local, so that no operation of the trait has to
//! carry an ear. Nothing secret is in it: a call is named by its method and the template of its
//! path, and what the CM says is kept as its code and its request id. A question that several
//! share is told to the one who asks it.

use std::{
    cell::RefCell,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Most calls that are kept word for word; those after them are counted.
const CALLS_MAX: usize = 32;
/// Longest code and request id that are kept, in characters.
const WORD_CHARACTERS_MAX: usize = 64;

/// One attempt at asking the CM for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Method and template of the path, such as `GET /realms/{realm}/certificate-requests?orderRef=`.
    pub operation: String,
    /// From 1; the attempts of one call have the same operation and follow each other.
    pub attempt: u32,
    /// The trace id that went with it, in hex (W3C Trace Context): one for all that [`observed`] hears.
    pub trace_id: String,
    /// What came of it.
    pub outcome: CallOutcome,
    /// From its start, waiting for a free place included, to its end.
    pub elapsed_millis: u64,
}

/// What came of an attempt. It says what was heard, not what the answer was worth: a certificate
/// in it is judged by whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallOutcome {
    /// The CM answered.
    Answered {
        /// The HTTP status, a 2xx.
        status: u16,
        /// The CM's name of the request, if it gave one.
        request_id: Option<String>,
    },
    /// The CM said no, or not now (CM contract section 5).
    Problem {
        /// The HTTP status.
        status: u16,
        /// Why, as the contract words it.
        code: String,
        /// The CM's name of the request, if it gave one.
        request_id: Option<String>,
    },
    /// Whoever answered was not the CM: a page of a proxy, a redirect, half an answer.
    NotTheCm {
        /// The HTTP status.
        status: u16,
    },
    /// The answer is larger than any of the contract.
    TooLarge,
    /// There was no connection, so nothing was sent.
    NoConnection,
    /// One side does not accept the other's certificate, so nothing was sent.
    CertificateRefused,
    /// The connection broke after something was sent.
    ConnectionLost,
    /// The CM did not answer in time.
    TimedOut,
    /// Nothing was sent: the CM did not answer others, and is left alone for a moment.
    CircuitOpen,
    /// Nothing was sent: too many calls wait, or no place became free in time.
    QueueFull,
    /// What should have been sent is not fit to be sent.
    Unfit,
    /// Whoever asked stopped waiting.
    GivenUp,
    /// Not one attempt, but how many there were after those that were kept.
    More {
        /// How many.
        attempts: u32,
    },
}

/// Who is told of each attempt of an adapter. Called where the attempt ends, so it must not wait for anything.
pub type Listener = Arc<dyn Fn(&Call) + Send + Sync>;

/// An adapter's place for a [`Listener`], empty at first.
#[derive(Default)]
pub(crate) struct Hearing(OnceLock<Listener>);

impl Hearing {
    /// The first one stays.
    pub(crate) fn begin(&self, listener: Listener) {
        let _there_is_one = self.0.set(listener);
    }
}

impl fmt::Debug for Hearing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.get().is_some() { "Hearing(somebody)" } else { "Hearing(nobody)" })
    }
}

tokio::task_local! {
    static EAR: RefCell<Ear>;
}

/// Who listens.
struct Ear {
    trace_id: u128,
    calls: Vec<Call>,
    more: u32,
}

/// Does the work, and tells what was asked of the CM meanwhile: at most 32 calls in their order,
/// then one [`CallOutcome::More`]. Of two that listen the inner one hears. What the work leaves to
/// other tasks is not heard.
pub async fn observed<T>(work: impl Future<Output = T>) -> (T, Vec<Call>) {
    let ear = Ear { trace_id: fresh_trace_id(), calls: Vec::new(), more: 0 };
    let heard = async {
        let output = work.await;
        (output, EAR.with(|ear| ear.borrow_mut().take()))
    };
    EAR.scope(RefCell::new(ear), heard).await
}

/// The trace id for what is asked now: that of the one who listens, or a fresh one.
pub(crate) fn trace_id() -> u128 {
    EAR.try_with(|ear| ear.borrow().trace_id).unwrap_or_else(|_| fresh_trace_id())
}

/// An attempt under way. If it is dropped before it ends, its caller went away. In a box, for many futures carry one.
pub(crate) struct Attempt(Box<UnderWay>);

struct UnderWay {
    operation: String,
    attempt: u32,
    trace_id: u128,
    started: Instant,
    listener: Option<Listener>,
    ended: bool,
}

impl Attempt {
    pub(crate) fn begin(operation: String, attempt: u32, trace_id: u128) -> Self {
        let started = Instant::now();
        Self(Box::new(UnderWay { operation, attempt, trace_id, started, listener: None, ended: false }))
    }

    /// The same, told to the adapter's listener as well.
    pub(crate) fn heard_by(mut self, hearing: &Hearing) -> Self {
        self.0.listener = hearing.0.get().cloned();
        self
    }

    pub(crate) fn end(mut self, outcome: CallOutcome) {
        self.0.ended = true;
        self.0.tell(outcome);
    }
}

impl UnderWay {
    fn tell(&mut self, outcome: CallOutcome) {
        let call = Call {
            operation: std::mem::take(&mut self.operation),
            attempt: self.attempt,
            trace_id: format!("{:032x}", self.trace_id),
            outcome,
            elapsed_millis: millis(self.started.elapsed()),
        };
        if let Some(listener) = &self.listener {
            listener(&call);
        }
        // Most of the time nobody listens.
        let _nobody = EAR.try_with(|ear| ear.borrow_mut().hear(call));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.0.ended {
            self.0.tell(CallOutcome::GivenUp);
        }
    }
}

impl Ear {
    fn hear(&mut self, call: Call) {
        if self.calls.len() < CALLS_MAX {
            self.calls.push(call);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    fn take(&mut self) -> Vec<Call> {
        let mut calls = std::mem::take(&mut self.calls);
        if self.more > 0 {
            calls.push(Call {
                operation: String::from("more"),
                attempt: 0,
                trace_id: format!("{:032x}", self.trace_id),
                outcome: CallOutcome::More { attempts: self.more },
                elapsed_millis: 0,
            });
        }
        calls
    }
}

/// A code or a request id of the CM: one line, bounded.
pub(crate) fn word(text: &str) -> String {
    acme::problem::shown(text).chars().take(WORD_CHARACTERS_MAX).collect()
}

fn fresh_trace_id() -> u128 {
    // Zero is no trace id.
    rand::random::<u128>().max(1)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(outcome: CallOutcome) {
        Attempt::begin(String::from("GET /info"), 1, trace_id()).end(outcome);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_is_told_in_its_order_under_one_trace() {
        let ((), calls) = observed(async {
            let attempt = Attempt::begin(String::from("GET /info"), 1, trace_id());
            tokio::time::advance(Duration::from_millis(40)).await;
            attempt.end(CallOutcome::TimedOut);
            ask(CallOutcome::Answered { status: 200, request_id: None });
        })
        .await;
        assert_eq!(calls.iter().map(|call| call.elapsed_millis).collect::<Vec<_>>(), [40, 0]);
        assert_eq!(calls[0].outcome, CallOutcome::TimedOut);
        assert_eq!(calls[0].trace_id, calls[1].trace_id);
        assert_eq!(calls[0].trace_id.len(), 32);
        let json = serde_json::to_string(&calls).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Call>>(&json).unwrap(), calls);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_whose_caller_goes_away_was_given_up() {
        let (late, calls) = observed(async {
            let asked = async {
                let _attempt = Attempt::begin(String::from("GET /info"), 2, trace_id());
                std::future::pending::<()>().await;
            };
            tokio::time::timeout(Duration::from_secs(1), asked).await
        })
        .await;
        assert!(late.is_err());
        assert_eq!(calls.len(), 1);
        assert_eq!((calls[0].attempt, &calls[0].outcome), (2, &CallOutcome::GivenUp));
    }

    #[tokio::test]
    async fn thirty_two_calls_are_kept_and_the_rest_is_counted() {
        let ((), calls) = observed(async { (0..40).for_each(|_| ask(CallOutcome::QueueFull)) }).await;
        assert_eq!(calls.len(), CALLS_MAX + 1);
        assert_eq!(calls[CALLS_MAX].outcome, CallOutcome::More { attempts: 8 });
    }

    #[tokio::test]
    async fn the_inner_of_two_listeners_hears_and_nobody_is_needed() {
        ask(CallOutcome::CircuitOpen);
        let ((_, inner), outer) = observed(async { observed(async { ask(CallOutcome::CircuitOpen) }).await }).await;
        assert_eq!((inner.len(), outer.len()), (1, 0));
    }

    #[test]
    fn the_words_of_the_cm_are_bounded_and_of_one_line() {
        assert_eq!(word(&"x".repeat(1000)).len(), WORD_CHARACTERS_MAX);
        assert!(!word("a\nb").contains('\n'));
    }
}
