//! The way to the CM in numbers: calls by operation and what was heard, the circuit, the queues.

use cm_connector::{Call, CallOutcome, Condition};
use prometheus::{HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Result};

use super::{Bounded, registrar::Registrar};

/// Most operations that are told apart. Adapters have some thirty, and none of them has a name in it that is not in the
/// code; should one forget that, what comes after these is counted as `other`.
const OPERATIONS_MAX: usize = 64;

/// The numbers.
pub(crate) struct CmMetrics {
    calls: IntCounterVec,
    seconds: HistogramVec,
    operations: Bounded,
    circuit_open: IntGauge,
    waiting: IntGauge,
    under_way: IntGaugeVec,
    per_second_max: IntGauge,
}

impl CmMetrics {
    pub(super) fn new(registrar: &Registrar) -> Result<Self> {
        Ok(Self {
            calls: registrar.counters(
                "cm_calls_total",
                "Attempts at asking the Certificate Manager, by operation and what was heard: answered, refused, silence, or that nothing was sent.",
                &["operation", "outcome"],
            )?,
            seconds: registrar.seconds_by(
                "cm_call_seconds",
                "Time of one attempt at asking the Certificate Manager, waiting for a place included, by operation; the event feed waits on purpose.",
                &["operation"],
            )?,
            operations: Bounded::to(OPERATIONS_MAX),
            circuit_open: registrar.gauge(
                "cm_circuit_open",
                "1 while calls to the Certificate Manager fail at once because it did not answer others.",
            )?,
            waiting: registrar.gauge("cm_calls_waiting", "Calls to the Certificate Manager that wait for a place.")?,
            under_way: registrar.gauges(
                "cm_calls_under_way",
                "Calls to the Certificate Manager that have a place, by whose share: issuance (at most 24), revocation (4), events (64), rest (4).",
                &["share"],
            )?,
            per_second_max: registrar.gauge(
                "cm_calls_per_second_max",
                "Most calls in a second at present: what the Certificate Manager advertises, or less after it said that they are too many.",
            )?,
        })
    }

    /// An attempt has ended.
    pub(crate) fn called(&self, call: &Call) {
        let operation = self.operations.name(&call.operation);
        self.calls.with_label_values(&[operation.as_str(), outcome(&call.outcome)]).inc();
        let millis = u32::try_from(call.elapsed_millis).unwrap_or(u32::MAX);
        self.seconds.with_label_values(&[operation.as_str()]).observe(f64::from(millis) / 1000.0);
    }

    /// How it is now.
    pub(crate) fn show(&self, condition: &Condition) {
        self.circuit_open.set(condition.is_circuit_open.into());
        self.waiting.set(i64::try_from(condition.calls_waiting).unwrap_or(i64::MAX));
        for (share, calls) in &condition.calls_under_way {
            self.under_way.with_label_values(&[*share]).set(i64::try_from(*calls).unwrap_or(i64::MAX));
        }
        self.per_second_max.set(condition.calls_per_second_max.into());
    }
}

const fn outcome(outcome: &CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Answered { .. } => "answered",
        CallOutcome::Problem { status: 500.., .. } => "failed",
        CallOutcome::Problem { .. } => "refused",
        CallOutcome::NotTheCm { .. } => "not-the-cm",
        CallOutcome::TooLarge => "too-large",
        CallOutcome::NoConnection => "no-connection",
        CallOutcome::CertificateRefused => "certificate-refused",
        CallOutcome::ConnectionLost => "connection-lost",
        CallOutcome::TimedOut => "timed-out",
        CallOutcome::CircuitOpen => "circuit-open",
        CallOutcome::QueueFull => "queue-full",
        CallOutcome::Unfit => "unfit",
        CallOutcome::GivenUp => "given-up",
        CallOutcome::More { .. } => "more",
    }
}
