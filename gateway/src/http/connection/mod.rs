//! The time a peer may take: one connection between its first octet and its last.
//!
//! actix-http knows a deadline for the head of the first request and none for bodies, for later
//! heads and for responses that nobody reads. So the stream under it keeps the time itself. At any
//! moment a connection is in one phase (`pace.rs`), and every phase but one ends by the clock; that one is
//! our own work on a request, during which the body, if there is one, has a deadline too.
//! And it hands nothing on that the library could not read (`intake.rs`, `head.rs`).

mod body;
pub(crate) mod head;
mod intake;
mod pace;
mod peers;

use std::{
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

pub(crate) use body::{BodyError, TimedBody, read_body};
use intake::Intake;
pub(crate) use intake::{REFUSED_TARGET, RefusedHead};
pub(crate) use pace::{Afterwards, LINGER, Pace, PaceLimits};
pub(crate) use peers::{Peers, Seat, peer_of};

/// How much is read from a peer at once, in octets.
const READ_OCTETS: usize = 8 * 1024;

/// A stream that ends when its peer is too slow.
///
/// A peer that is late with a request sees the connection close in an orderly way; one that does
/// not take what was written, or does not let the connection close, gets it cut off
/// ([`io::ErrorKind::TimedOut`]).
#[derive(Debug)]
pub(crate) struct Paced<S> {
    stream: S,
    intake: Intake,
    pace: Rc<Pace>,
    timer: Pin<Box<Sleep>>,
    /// Given back when the connection is gone.
    _seat: Option<Seat>,
}

impl<S> Paced<S> {
    /// Starts the clock of a connection whose handshake is done.
    pub(crate) fn new(stream: S, seat: Option<Seat>, limits: PaceLimits) -> Self {
        Self {
            stream,
            intake: Intake::new(),
            pace: Rc::new(Pace::new(limits)),
            timer: Box::pin(sleep_until(Instant::now())),
            _seat: seat,
        }
    }

    /// The clock, for whoever knows where requests begin and end.
    pub(crate) fn pace(&self) -> Rc<Pace> {
        Rc::clone(&self.pace)
    }

    /// What is timed.
    pub(crate) const fn stream(&self) -> &S {
        &self.stream
    }

    /// Acts on deadlines that have passed and sees to it that the task wakes up for the next one.
    fn keep_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while let Some(deadline) = self.pace.next_deadline() {
            if self.timer.deadline() != deadline {
                self.timer.as_mut().reset(deadline);
            }
            if self.timer.as_mut().poll(context).is_pending() {
                break;
            }
            self.pace.deadline_passed(deadline)?;
        }
        Ok(())
    }

    /// Notes whether the peer takes what it is sent.
    fn note_written(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        self.pace.written(&outcome);
        if outcome.is_pending() {
            self.keep_time(context)?;
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.keep_time(context)?;
        // What is closing or broke off is at its end: nothing more is handed on.
        while !this.pace.is_closing() && !this.intake.hand_on(buffer) && !this.intake.has_ended() {
            let mut octets = [0; READ_OCTETS];
            let mut came = ReadBuf::new(&mut octets);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut came))?;
            if came.filled().is_empty() {
                break;
            }
            this.pace.octets_came();
            if let Some(refused) = this.intake.take(came.filled()) {
                this.pace.refuse(refused);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.keep_time(context)?;
        let outcome = Pin::new(&mut this.stream).poll_write(context, octets);
        if outcome.is_pending() {
            let _pending = this.note_written(context, Poll::Pending)?;
        }
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.keep_time(context)?;
        let outcome = Pin::new(&mut this.stream).poll_flush(context);
        this.note_written(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.pace.close();
        this.keep_time(context)?;
        let outcome = Pin::new(&mut this.stream).poll_shutdown(context);
        this.note_written(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::{advance, timeout},
    };

    use super::*;

    fn paced() -> (Paced<DuplexStream>, Rc<Pace>, DuplexStream) {
        let (near, far) = duplex(64);
        let paced = Paced::new(near, None, PaceLimits::FOR_TESTS);
        let pace = paced.pace();
        (paced, pace, far)
    }

    /// How long something takes by the paused clock.
    async fn time_of<T>(what: impl Future<Output = T>) -> (Duration, T) {
        let start = Instant::now();
        let value = timeout(Duration::from_secs(3600), what).await.unwrap();
        (start.elapsed(), value)
    }

    fn secs(duration: Duration) -> u64 {
        duration.as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_has_the_time_of_a_head() {
        let (mut paced, _, _far) = paced();
        let (took, read) = time_of(paced.read(&mut [0; 8])).await;
        assert_eq!((secs(took), read.unwrap()), (10, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn octets_of_a_head_buy_no_more_time() {
        let (mut paced, _, mut far) = paced();
        let drip = async {
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            for octet in b"GET /a HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
                ticks.tick().await;
                far.write_all(&[*octet]).await.unwrap();
            }
        };
        let mut octets = [0; 8];
        let (took, read) = time_of(async {
            tokio::select! { read = paced.read(&mut octets) => read, () = drip => Ok(1) }
        })
        .await;
        assert_eq!((secs(took), read.unwrap()), (10, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_work_on_a_request_has_no_deadline_here() {
        let (mut paced, pace, mut far) = paced();
        pace.request_began();
        advance(Duration::from_secs(600)).await;
        paced.write_all(b"answer").await.unwrap();
        paced.flush().await.unwrap();
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_head_has_its_own_deadline() {
        let (mut paced, pace, mut far) = paced();
        pace.request_began();
        pace.request_ended();
        advance(Duration::from_secs(50)).await;
        far.write_all(b"G").await.unwrap();
        let (took, read) = time_of(paced.read(&mut [0; 8])).await;
        assert_eq!((secs(took), read.unwrap()), (10, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_after_its_idle_time() {
        let (mut paced, pace, _far) = paced();
        pace.request_began();
        pace.request_ended();
        let (took, read) = time_of(paced.read(&mut [0; 8])).await;
        assert_eq!((secs(took), read.unwrap()), (60, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_an_unwanted_body_is_dropped_for_a_while() {
        let (mut paced, pace, mut far) = paced();
        far.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n").await.unwrap();
        assert_eq!(paced.read(&mut [0; 99]).await.unwrap(), 47);
        pace.request_began();
        pace.body_began();
        assert_eq!(pace.request_ended(), Afterwards::Close);
        far.write_all(b"rest").await.unwrap();
        assert_eq!(paced.read(&mut [0; 8]).await.unwrap(), 4);
        let (took, read) = time_of(paced.read(&mut [0; 8])).await;
        assert_eq!((took, read.unwrap()), (LINGER, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_or_drips_is_cut_off() {
        for drips in [false, true] {
            let (mut paced, pace, mut far) = paced();
            pace.request_began();
            let reader = async {
                let mut ticks = tokio::time::interval(Duration::from_secs(5));
                loop {
                    ticks.tick().await;
                    if drips {
                        far.read_exact(&mut [0; 1]).await.unwrap();
                    }
                }
            };
            let writer = async {
                paced.write_all(&[7; 4096]).await?;
                paced.flush().await
            };
            let (took, ended) = time_of(async {
                tokio::select! { ended = writer => ended, () = reader => Ok(()) }
            })
            .await;
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut, "drips: {drips}");
            assert_eq!(secs(took), 20, "drips: {drips}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_catches_up_keeps_its_connection() {
        let (mut paced, pace, mut far) = paced();
        pace.request_began();
        for _ in 0..5 {
            let writer = async {
                paced.write_all(&[7; 100]).await.unwrap();
                paced.flush().await.unwrap();
            };
            let reader = async {
                advance(Duration::from_secs(15)).await;
                far.read_exact(&mut [0; 100]).await.unwrap();
            };
            tokio::join!(writer, reader);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_leads_back_from_closing() {
        let (mut paced, pace, mut far) = paced();
        paced.shutdown().await.unwrap();
        far.write_all(b"more").await.unwrap();
        pace.request_began();
        pace.request_ended();
        assert_eq!(paced.read(&mut [0; 8]).await.unwrap(), 0);
        advance(Duration::from_secs(21)).await;
        assert_eq!(paced.flush().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
