//! What cases expect of answers, and where they get times and random octets from.

use std::{
    fmt::Debug,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use acme::{base64url, certificate::PresentedCertificate, problem::ProblemKind, time::Timestamp};
use rand::RngCore as _;
use tokio::time::Instant;

use crate::{Certificate, CmError, Outcome, RequestState};

/// How long something may take that the CM does in its own time, on a busy machine.
const EVENTUALLY: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// So many do the same at once.
pub(super) const RACERS: usize = 8;

/// Expects a refusal that a client is told, of this kind.
pub(super) fn refused(outcome: Result<impl Debug, CmError>, expected: ProblemKind) {
    match outcome {
        Err(CmError::Refused(problem) | CmError::BindingRefused(problem)) => {
            assert_eq!(problem.kind, expected, "{}", problem.detail);
            assert!(!problem.detail.is_empty() && !problem.detail.contains(['"', '\n']), "{}", problem.detail);
        }
        other => panic!("a refusal of kind {expected:?} expected: {other:?}"),
    }
}

/// Expects an alarm: nothing that a client could do anything about.
pub(super) fn internal(outcome: Result<impl Debug, CmError>) {
    assert!(matches!(outcome, Err(CmError::Internal { .. })), "an internal error expected: {outcome:?}");
}

/// Expects that nobody knows what became of a call.
pub(super) fn lost(outcome: Result<impl Debug, CmError>) {
    let is_lost = matches!(outcome, Err(CmError::Unavailable { outcome: Outcome::Unknown, .. }));
    assert!(is_lost, "an answer that was lost expected: {outcome:?}");
}

/// Expects a certificate.
pub(super) fn issued(outcome: Result<RequestState, CmError>) -> Certificate {
    match outcome {
        Ok(RequestState::Issued { certificate, .. }) => *certificate,
        other => panic!("a certificate expected: {other:?}"),
    }
}

/// Asks again as long as the CM is unavailable.
pub(super) async fn settled<T: Debug>(mut ask: impl AsyncFnMut() -> Result<T, CmError>) -> Result<T, CmError> {
    eventually(async || match ask().await {
        Err(CmError::Unavailable { .. }) => None,
        other => Some(other),
    })
    .await
}

/// Does all of this at once, and tells what became of each.
pub(super) async fn at_once<T: 'static>(acts: impl IntoIterator<Item = impl Future<Output = T> + 'static>) -> Vec<T> {
    let at_work = async {
        let mut racers = tokio::task::JoinSet::new();
        for act in acts {
            racers.spawn_local(act);
        }
        racers.join_all().await
    };
    tokio::task::LocalSet::new().run_until(at_work).await
}

/// Looks until there is something.
pub(super) async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let (until, mut pace) = (Instant::now() + EVENTUALLY, tokio::time::interval(LOOK_EVERY));
    loop {
        let _tick = pace.tick().await;
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "not within {} s", EVENTUALLY.as_secs());
    }
}

/// This machine's clock.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    Timestamp::from_unix_secs(i64::try_from(since.as_secs()).expect("it is before the end of time"))
}

/// Sixteen octets that are used once.
pub(super) fn fresh() -> [u8; 16] {
    let mut octets = [0; 16];
    rand::rng().fill_bytes(&mut octets);
    octets
}

/// A name that no other case asks for.
pub(super) fn fresh_name(below: &str) -> String {
    let label: String = fresh().iter().take(6).map(|octet| format!("{octet:02x}")).collect();
    format!("n{label}.{below}")
}

/// The id that a certificate must have (RFC 9773 §4.1).
pub(super) fn certificate_id(leaf: &PresentedCertificate) -> String {
    format!("{}.{}", base64url::encode(&leaf.authority_key_id), base64url::encode(serial_octets(&leaf.serial)))
}

/// A serial number's octets as DER has them.
fn serial_octets(hex: &str) -> Vec<u8> {
    let even = if hex.len().is_multiple_of(2) { hex.to_owned() } else { format!("0{hex}") };
    let mut octets = data_encoding::HEXLOWER.decode(even.as_bytes()).expect("a serial number");
    if octets.first().is_some_and(|first| *first >= 0x80) {
        octets.insert(0, 0);
    }
    octets
}
