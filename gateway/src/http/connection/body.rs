//! Request bodies with a deadline and a longest length.

use std::{
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    dev::Payload,
    error::PayloadError,
    web::{Bytes, BytesMut},
};
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Sleep, sleep_until};

use super::Pace;

/// A request body that has to be complete by a deadline; past it, reading fails with
/// [`PayloadError::Io`] of kind [`io::ErrorKind::TimedOut`].
pub(crate) struct TimedBody {
    body: Payload,
    pace: Rc<Pace>,
    timer: Pin<Box<Sleep>>,
}

impl TimedBody {
    /// Starts the clock of a body; its connection is told when it is complete.
    pub(crate) fn new(body: Payload, pace: Rc<Pace>) -> Self {
        let deadline = pace.body_began();
        Self { body, pace, timer: Box::pin(sleep_until(deadline)) }
    }
}

impl Stream for TimedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The clock first: a body that drips always has something to give.
        if self.timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(PayloadError::Io(io::ErrorKind::TimedOut.into()))));
        }
        let outcome = Pin::new(&mut self.body).poll_next(context);
        if matches!(outcome, Poll::Ready(None)) {
            self.pace.body_ended();
        }
        outcome
    }
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// It has more octets than are accepted.
    #[error("the body is longer than accepted")]
    TooLarge,
    /// It was not complete in time.
    #[error("the body was not complete in time")]
    TooSlow,
    /// The connection or the encoding broke.
    #[error("the body broke off")]
    Broken,
}

/// Reads a whole request body of at most `octets_max` octets. Its deadline is set by the server.
///
/// # Errors
/// [`BodyError`]; the rest of the body is left unread, and the connection closes after the response.
pub(crate) async fn read_body(body: &mut Payload, octets_max: usize) -> Result<BytesMut, BodyError> {
    let mut octets = BytesMut::new();
    while let Some(part) = body.next().await {
        let part = part.map_err(|error| if is_late(&error) { BodyError::TooSlow } else { BodyError::Broken })?;
        if octets.len().saturating_add(part.len()) > octets_max {
            return Err(BodyError::TooLarge);
        }
        octets.extend_from_slice(&part);
    }
    Ok(octets)
}

fn is_late(error: &PayloadError) -> bool {
    matches!(error, PayloadError::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{
        super::{Afterwards, PaceLimits},
        *,
    };

    fn timed(body: impl Stream<Item = Result<Bytes, PayloadError>> + 'static) -> Payload {
        let pace = Rc::new(Pace::new(PaceLimits::FOR_TESTS));
        let timed = TimedBody::new(Payload::Stream { payload: Box::pin(body) }, pace);
        Payload::Stream { payload: Box::pin(timed) }
    }

    fn parts(parts: Vec<Result<Bytes, PayloadError>>) -> Payload {
        timed(futures_util::stream::iter(parts))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_or_drips_is_not_read_for_ever() {
        let start = Instant::now();
        let refused = read_body(&mut timed(futures_util::stream::pending()), 10).await.unwrap_err();
        assert_eq!((start.elapsed().as_secs(), refused), (30, BodyError::TooSlow));

        let start = Instant::now();
        let drip = futures_util::stream::unfold(tokio::time::interval(Duration::from_secs(1)), |mut ticks| async {
            ticks.tick().await;
            Some((Ok(Bytes::from_static(b"x")), ticks))
        });
        let refused = read_body(&mut timed(drip), 1000).await.unwrap_err();
        assert_eq!((start.elapsed().as_secs(), refused), (30, BodyError::TooSlow));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_a_longest_length() {
        let body = || parts(vec![Ok(Bytes::from_static(b"123")), Ok(Bytes::from_static(b"45"))]);
        assert_eq!(read_body(&mut body(), 5).await.unwrap(), b"12345".as_slice());
        assert_eq!(read_body(&mut body(), 4).await.unwrap_err(), BodyError::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_breaks_off_is_not_taken_for_a_whole_one() {
        let mut body = parts(vec![Ok(Bytes::from_static(b"12")), Err(PayloadError::Incomplete(None))]);
        assert_eq!(read_body(&mut body, 9).await.unwrap_err(), BodyError::Broken);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_body_that_was_read_to_its_end_lets_the_connection_live() {
        for (octets_max, afterwards) in [(5, Afterwards::KeepAlive), (4, Afterwards::Close)] {
            let pace = Rc::new(Pace::new(PaceLimits::FOR_TESTS));
            pace.request_began();
            let timed = TimedBody::new(Payload::from(Bytes::from_static(b"12345")), Rc::clone(&pace));
            let _read = read_body(&mut Payload::Stream { payload: Box::pin(timed) }, octets_max).await;
            assert_eq!(pace.request_ended(), afterwards, "{octets_max}");
        }
    }
}
