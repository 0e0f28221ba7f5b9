//! The circuit breaker: a CM that does not answer is not asked again at once (CM contract
//! section 6). It only counts; the client makes the probes.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row that open it.
const FAILURES_IN_A_ROW: u32 = 5;
/// How many calls are remembered; open if half of them failed.
const REMEMBERED: usize = 20;
/// Time between two probes while it is open.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Whether the CM has been answering.
#[derive(Debug, Default)]
pub(super) struct Circuit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    recent: VecDeque<bool>,
    failures_in_a_row: u32,
    probe_at: Option<Instant>,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// It may.
    Pass,
    /// It may if a probe succeeds, which this caller has to make.
    ProbeFirst,
    /// Not before this much time has passed.
    Wait(Duration),
}

impl Circuit {
    /// Whether a call may be made now. [`Permit::ProbeFirst`] goes to one caller every 5 s.
    pub(super) fn permit(&self, now: Instant) -> Permit {
        let mut state = self.state();
        match state.probe_at {
            None => Permit::Pass,
            Some(probe_at) if probe_at <= now => {
                state.probe_at = Some(now + PROBE_EVERY);
                Permit::ProbeFirst
            }
            Some(probe_at) => Permit::Wait(probe_at.saturating_duration_since(now)),
        }
    }

    /// Counts how a call went. While the circuit is open only probes count.
    pub(super) fn record(&self, answered: bool, now: Instant) {
        let mut state = self.state();
        if state.probe_at.is_some() {
            return;
        }
        state.recent.push_back(answered);
        if state.recent.len() > REMEMBERED {
            state.recent.pop_front();
        }
        state.failures_in_a_row = if answered { 0 } else { state.failures_in_a_row.saturating_add(1) };
        let failures = state.recent.iter().filter(|answered| !**answered).count();
        let half_failed = state.recent.len() == REMEMBERED && failures * 2 >= REMEMBERED;
        if state.failures_in_a_row >= FAILURES_IN_A_ROW || half_failed {
            tracing::error!("the CM does not answer; calls now fail at once");
            *state = State { probe_at: Some(now + PROBE_EVERY), ..State::default() };
        }
    }

    /// Closes the circuit: a probe was answered.
    pub(super) fn close(&self) {
        let mut state = self.state();
        if state.probe_at.is_some() {
            tracing::info!("the CM answers again");
            *state = State::default();
        }
    }

    /// A panic elsewhere leaves counters behind, not a broken promise.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(results: impl IntoIterator<Item = bool>) -> bool {
        let (circuit, now) = (Circuit::default(), Instant::now());
        results.into_iter().for_each(|answered| circuit.record(answered, now));
        circuit.permit(now) != Permit::Pass
    }

    #[test]
    fn it_opens_after_five_failures_in_a_row() {
        assert!(opened([false; 5]));
        assert!(!opened([false; 4]));
        assert!(!opened([false, false, false, false, true, false, false, false, false]));
    }

    #[test]
    fn it_opens_when_half_of_the_last_twenty_failed() {
        assert!(opened((0..20).map(|call| call % 2 == 0)));
        assert!(!opened((0..19).map(|call| call % 2 == 0)), "too few to tell");
        assert!(!opened((0..200).map(|call| call % 5 != 0)));
    }

    #[test]
    fn one_caller_probes_every_five_seconds_until_a_probe_is_answered() {
        let (circuit, start) = (Circuit::default(), Instant::now());
        (0..5).for_each(|_| circuit.record(false, start));
        assert_eq!(circuit.permit(start), Permit::Wait(PROBE_EVERY));
        circuit.record(true, start);
        let later = start + PROBE_EVERY;
        assert_eq!(circuit.permit(later), Permit::ProbeFirst);
        assert_eq!(circuit.permit(later), Permit::Wait(PROBE_EVERY));
        circuit.close();
        assert_eq!(circuit.permit(later), Permit::Pass);
        circuit.record(false, later);
        assert_eq!(circuit.permit(later), Permit::Pass, "it starts counting anew");
    }
}
