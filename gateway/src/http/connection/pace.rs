//! The clock of one connection: what it is waiting for, and when that has to have come.

use std::{
    cell::{Cell, RefCell},
    io,
    task::Poll,
    time::Duration,
};

use tokio::time::Instant;

use super::RefusedHead;

/// After the last answer of a connection, what the peer still sends is read and dropped for so long.
/// Closing at once could take the answer away from it (RFC 9112 §9.6).
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// How long a peer may take for each thing, and how much one connection may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PaceLimits {
    /// For the head of a request from its first octet on; for the first one from the start.
    pub(crate) head: Duration,
    /// For the whole body of a request from the end of its head on.
    pub(crate) body: Duration,
    /// For the first octet of another request.
    pub(crate) idle: Duration,
    /// For taking all that was written, from the moment the peer's buffers are full; and for
    /// closing.
    pub(crate) write: Duration,
    /// After this time no connection is left waiting for another request: the response after which
    /// its idle time could reach beyond it says `Connection: close`.
    pub(crate) lifetime: Duration,
    /// The last of so many requests is answered with `Connection: close`.
    pub(crate) requests_max: u32,
}

/// What a connection is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The rest of a head.
    Head { since: Instant },
    /// Our own answer to a request.
    Request,
    /// The first octet of another request.
    Idle { since: Instant },
    /// Its end, after the last answer. What still comes is taken and dropped.
    Lingering { since: Instant },
    /// Its end, now. The peer is not listened to any more.
    Closing { since: Instant },
}

/// The clock of one connection. It lives in one thread, as its connection does.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: PaceLimits,
    born: Instant,
    phase: Cell<Phase>,
    /// Since when something written has not been taken.
    blocked: Cell<Option<Instant>>,
    requests: Cell<u32>,
    /// Whether the request in hand has a body that was not read to its end.
    body_is_open: Cell<bool>,
    /// The head that was not handed on: the last one of this connection.
    refused: RefCell<Option<RefusedHead>>,
}

/// What comes after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// The connection waits for another request.
    KeepAlive,
    /// The response has to say `Connection: close`.
    Close,
}

impl Pace {
    /// Starts the clock: the first head is due.
    pub(super) fn new(limits: PaceLimits) -> Self {
        let born = Instant::now();
        Self {
            limits,
            born,
            phase: Cell::new(Phase::Head { since: born }),
            blocked: Cell::new(None),
            requests: Cell::new(0),
            body_is_open: Cell::new(false),
            refused: RefCell::new(None),
        }
    }

    /// A head was not handed on; a request with the target that stands for it follows.
    pub(super) fn refuse(&self, refused: RefusedHead) {
        self.refused.replace(Some(refused));
    }

    /// The head that was not handed on, once.
    pub(crate) fn refused(&self) -> Option<RefusedHead> {
        self.refused.take()
    }

    /// The head of a request is complete.
    pub(crate) fn request_began(&self) {
        self.requests.set(self.requests.get().saturating_add(1));
        self.body_is_open.set(false);
        self.enter(Phase::Request);
    }

    /// The request has a body. Returns the time by which it has to be complete.
    pub(super) fn body_began(&self) -> Instant {
        self.body_is_open.set(true);
        Instant::now() + self.limits.body
    }

    /// The body was read to its end.
    pub(super) fn body_ended(&self) {
        self.body_is_open.set(false);
    }

    /// The response to a request is ready to be written.
    pub(crate) fn request_ended(&self) -> Afterwards {
        let now = Instant::now();
        let too_old = now + self.limits.idle >= self.born + self.limits.lifetime;
        if too_old || self.requests.get() >= self.limits.requests_max || self.body_is_open.get() {
            self.enter(Phase::Lingering { since: now });
            Afterwards::Close
        } else {
            self.enter(Phase::Idle { since: now });
            Afterwards::KeepAlive
        }
    }

    /// The peer sent something.
    pub(super) fn octets_came(&self) {
        if let Phase::Idle { .. } = self.phase.get() {
            self.enter(Phase::Head { since: Instant::now() });
        }
    }

    /// Nothing leads back from the last answer, or a peer that sends one request after another
    /// without waiting could stay for ever.
    fn enter(&self, phase: Phase) {
        let allowed = match self.phase.get() {
            Phase::Head { .. } | Phase::Request | Phase::Idle { .. } => true,
            Phase::Lingering { .. } => matches!(phase, Phase::Closing { .. }),
            Phase::Closing { .. } => false,
        };
        if allowed {
            self.phase.set(phase);
        }
    }

    /// The peer gets no more of our attention: whatever it sends, the stream has ended.
    pub(super) fn close(&self) {
        self.enter(Phase::Closing { since: Instant::now() });
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.phase.get(), Phase::Closing { .. })
    }

    /// When something has to have happened by, if anything has to.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        [self.phase_ends(), self.blocking_ends()].into_iter().flatten().min()
    }

    /// Draws the consequence of a deadline that has passed: the connection closes in good order, or
    /// is cut off with [`io::ErrorKind::TimedOut`] if its peer does not take what it is sent.
    pub(super) fn deadline_passed(&self, deadline: Instant) -> io::Result<()> {
        if self.is_closing() || self.blocking_ends() == Some(deadline) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.close();
        Ok(())
    }

    fn phase_ends(&self) -> Option<Instant> {
        match self.phase.get() {
            Phase::Head { since } => Some(since + self.limits.head),
            Phase::Request => None,
            Phase::Idle { since } => Some(since + self.limits.idle),
            Phase::Lingering { since } => Some(since + LINGER),
            Phase::Closing { since } => Some(since + self.limits.write),
        }
    }

    fn blocking_ends(&self) -> Option<Instant> {
        self.blocked.get().map(|since| since + self.limits.write)
    }

    /// Notes whether the peer takes what it is sent. Only a flush shows that it took all of it, so
    /// octets that drip away buy no more time.
    pub(super) fn written(&self, outcome: &Poll<io::Result<()>>) {
        match outcome {
            Poll::Pending if self.blocked.get().is_none() => self.blocked.set(Some(Instant::now())),
            Poll::Pending => {}
            Poll::Ready(_) => self.blocked.set(None),
        }
    }
}

#[cfg(test)]
impl PaceLimits {
    /// Limits that differ from each other, so that tests see which one acted.
    pub(super) const FOR_TESTS: Self = Self {
        head: Duration::from_secs(10),
        body: Duration::from_secs(30),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(20),
        lifetime: Duration::from_secs(120),
        requests_max: 3,
    };
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// A clock that was started so long ago.
    async fn pace_of_age(seconds: u64) -> Pace {
        let pace = Pace::new(PaceLimits::FOR_TESTS);
        advance(Duration::from_secs(seconds)).await;
        pace
    }

    fn ask(pace: &Pace) -> Afterwards {
        pace.request_began();
        pace.request_ended()
    }

    fn secs_left(pace: &Pace) -> Option<u64> {
        pace.next_deadline().map(|deadline| (deadline - Instant::now()).as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn every_phase_has_its_own_limit() {
        let pace = pace_of_age(0).await;
        assert_eq!(secs_left(&pace), Some(10), "the first head");
        pace.request_began();
        assert_eq!(secs_left(&pace), None, "our own work");
        pace.request_ended();
        assert_eq!(secs_left(&pace), Some(60), "idle");
        pace.octets_came();
        assert_eq!(secs_left(&pace), Some(10), "another head");
        pace.written(&Poll::Pending);
        advance(Duration::from_secs(5)).await;
        pace.request_began();
        pace.written(&Poll::Pending);
        assert_eq!(secs_left(&pace), Some(15), "an answer that is not taken");
        pace.written(&Poll::Ready(Ok(())));
        assert_eq!(secs_left(&pace), None, "our own work again");
        pace.close();
        assert_eq!(secs_left(&pace), Some(20), "closing");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_of_so_many_answers_says_close() {
        let pace = pace_of_age(0).await;
        let answers = [ask(&pace), ask(&pace), ask(&pace)];
        assert_eq!(answers, [Afterwards::KeepAlive, Afterwards::KeepAlive, Afterwards::Close]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_says_close_if_idling_could_outlive_the_connection() {
        assert_eq!(ask(&pace_of_age(59).await), Afterwards::KeepAlive);
        assert_eq!(ask(&pace_of_age(60).await), Afterwards::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_body_that_was_read_to_its_end_lets_the_connection_live() {
        let pace = pace_of_age(0).await;
        pace.request_began();
        assert_eq!(pace.body_began() - Instant::now(), PaceLimits::FOR_TESTS.body);
        pace.body_ended();
        assert_eq!(pace.request_ended(), Afterwards::KeepAlive);
        pace.request_began();
        pace.body_began();
        assert_eq!(pace.request_ended(), Afterwards::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_leads_back_from_the_last_answer() {
        let pace = pace_of_age(100).await;
        assert_eq!(ask(&pace), Afterwards::Close);
        let end = Instant::now() + LINGER;
        pace.octets_came();
        assert_eq!(ask(&pace), Afterwards::Close);
        assert_eq!(pace.next_deadline(), Some(end));
        pace.deadline_passed(end).unwrap();
        assert!(pace.is_closing());
        pace.request_began();
        assert!(pace.is_closing());
        assert!(pace.deadline_passed(pace.next_deadline().unwrap()).is_err());
    }
}
