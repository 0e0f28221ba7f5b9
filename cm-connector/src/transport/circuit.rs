//! The circuit breaker: a CM that does not answer is not asked again at once (CM contract
//! section 6). It only counts; the client makes the probes.
//!
//! All calls share one HTTP/2 connection. If it is lost, all that was under way on it fails at once,
//! which says no more than one failure does: the next call makes a new connection.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// Failures in a row that open it.
const FAILURES_IN_A_ROW: u32 = 5;
/// How many calls are remembered; open if half of them failed.
const REMEMBERED: usize = 20;
/// Time between two probes while it is open.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Whether the CM has been answering.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    state: Mutex<State>,
    closed: Notify,
}

#[derive(Debug, Default)]
struct State {
    recent: VecDeque<bool>,
    failures_in_a_row: u32,
    /// When a lost connection was counted last.
    lost_at: Option<Instant>,
    probe_at: Option<Instant>,
}

/// What a call says about the CM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It answered, whatever it said.
    Answered,
    /// It did not.
    Silent,
    /// The connection was lost, with all that was under way on it.
    Lost {
        /// When this call began.
        began: Instant,
    },
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permit {
    /// It may.
    Pass,
    /// It may if a probe succeeds, which this caller has to make.
    ProbeFirst,
    /// Not before this much time has passed.
    Wait(Duration),
}

impl Circuit {
    /// Whether a call may be made now. [`Permit::ProbeFirst`] goes to one caller every 5 s.
    pub(crate) fn permit(&self, now: Instant) -> Permit {
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

    /// How long it stays open at least, if it is; for a call that was permitted before and has waited since.
    /// It does not have to probe.
    pub(crate) fn open_for(&self, now: Instant) -> Option<Duration> {
        let probe_at = self.state().probe_at?;
        Some(probe_at.saturating_duration_since(now))
    }

    /// Whether calls fail at once, unless a probe succeeds.
    pub(crate) fn is_open(&self) -> bool {
        self.state().probe_at.is_some()
    }

    /// Counts what a call said. While the circuit is open only probes count. Of calls that were under
    /// way at the same time one lost connection counts.
    pub(crate) fn record(&self, sign: Sign, now: Instant) {
        let mut state = self.state();
        if state.probe_at.is_some() {
            return;
        }
        if let Sign::Lost { began } = sign {
            if state.lost_at.is_some_and(|lost_at| began <= lost_at) {
                return;
            }
            state.lost_at = Some(now);
        }
        let answered = sign == Sign::Answered;
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
    pub(crate) fn close(&self) {
        let mut state = self.state();
        if state.probe_at.is_some() {
            tracing::info!("the CM answers again");
            *state = State::default();
            self.closed.notify_one();
        }
    }

    /// Returns when it has closed, also if that was before this was called. Of several who wait one is
    /// told.
    pub(crate) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// A panic elsewhere leaves counters behind, not a broken promise.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: Sign = Sign::Silent;

    fn opened(signs: impl IntoIterator<Item = Sign>) -> bool {
        let (circuit, now) = (Circuit::default(), Instant::now());
        signs.into_iter().for_each(|sign| circuit.record(sign, now));
        circuit.permit(now) != Permit::Pass
    }

    fn answered(answered: bool) -> Sign {
        if answered { Sign::Answered } else { SILENT }
    }

    #[test]
    fn it_opens_after_five_failures_in_a_row() {
        assert!(opened([SILENT; 5]));
        assert!(!opened([SILENT; 4]));
        assert!(!opened([false, false, false, false, true, false, false, false, false].map(answered)));
    }

    #[test]
    fn it_opens_when_half_of_the_last_twenty_failed() {
        assert!(opened((0..20).map(|call| answered(call % 2 == 0))));
        assert!(!opened((0..19).map(|call| answered(call % 2 == 0))), "too few to tell");
        assert!(!opened((0..200).map(|call| answered(call % 5 != 0))));
    }

    #[test]
    fn what_one_connection_takes_with_it_counts_once() {
        let (circuit, start) = (Circuit::default(), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        for loss in 0..4 {
            for call in 0..24 {
                circuit.record(Sign::Lost { began: at(loss * 10) }, at(loss * 10 + 1 + call / 12));
            }
        }
        assert_eq!(circuit.permit(at(40)), Permit::Pass, "four connections");
        circuit.record(Sign::Lost { began: at(40) }, at(41));
        assert_ne!(circuit.permit(at(41)), Permit::Pass, "five");
    }

    #[test]
    fn connections_that_are_lost_one_after_the_other_open_it() {
        let (circuit, start) = (Circuit::default(), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        (0..5).for_each(|call| circuit.record(Sign::Lost { began: at(2 * call) }, at(2 * call + 1)));
        assert_ne!(circuit.permit(at(10)), Permit::Pass);
    }

    #[test]
    fn one_caller_probes_every_five_seconds_until_a_probe_is_answered() {
        let (circuit, start) = (Circuit::default(), Instant::now());
        (0..5).for_each(|_| circuit.record(SILENT, start));
        assert_eq!(circuit.permit(start), Permit::Wait(PROBE_EVERY));
        circuit.record(Sign::Answered, start);
        let later = start + PROBE_EVERY;
        assert_eq!(circuit.permit(later), Permit::ProbeFirst);
        assert_eq!(circuit.permit(later), Permit::Wait(PROBE_EVERY));
        circuit.close();
        assert_eq!(circuit.permit(later), Permit::Pass);
        circuit.record(SILENT, later);
        assert_eq!(circuit.permit(later), Permit::Pass, "it starts counting anew");
    }
}
