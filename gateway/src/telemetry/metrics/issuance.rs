//! What became of requests for certificates, by endpoint, profile and rule; and how long each step took.

use std::time::Duration;

use acme::{
    certificate::Check,
    ids::{EndpointName, ProfileName},
    problem::Problem,
};
use prometheus::{Histogram, HistogramTimer, HistogramVec, IntCounterVec, Result};

use super::registrar::Registrar;

/// What became of a request for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending<'a> {
    /// There is a certificate, and it passed every check.
    Issued,
    /// newOrder, newAuthz or finalize was refused.
    Refused(&'a Problem),
    /// The order ended without a certificate after finalize.
    Failed(&'a Problem),
    /// The CM returned something else than what was asked for.
    Withheld(Option<Check>),
}

/// A step on the way to a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A request for an order is judged and written down, or refused.
    NewOrder,
    /// One look at a proof, CAA records not included.
    Validation,
    /// One look at the CAA records of a name.
    Caa,
    /// The CM is asked for a certificate and answers.
    Submission,
    /// From an accepted finalize to the certificate, in whole seconds: all that a client waits for.
    Issuance,
    /// The CM is told what became of its certificate.
    Delivery,
}

/// The numbers.
pub(crate) struct IssuanceMetrics {
    endings: IntCounterVec,
    steps: HistogramVec,
}

impl Ending<'_> {
    /// Outcome and rule, from closed sets: the rules of `policies`, the error types of ACME, the checks of certificates.
    fn labels(self) -> (&'static str, &'static str) {
        let rule = |problem: &Problem| problem.rule.unwrap_or_else(|| problem.kind.name_and_status().0);
        match self {
            Self::Issued => ("issued", ""),
            Self::Refused(problem) => ("refused", rule(problem)),
            Self::Failed(problem) => ("failed", rule(problem)),
            Self::Withheld(check) => ("withheld", check.map_or("", Check::name)),
        }
    }
}

impl Step {
    const ALL: [Self; 6] =
        [Self::NewOrder, Self::Validation, Self::Caa, Self::Submission, Self::Issuance, Self::Delivery];

    const fn name(self) -> &'static str {
        match self {
            Self::NewOrder => "new-order",
            Self::Validation => "validation",
            Self::Caa => "caa",
            Self::Submission => "submission",
            Self::Issuance => "issuance",
            Self::Delivery => "delivery",
        }
    }
}

impl IssuanceMetrics {
    pub(super) fn new(registrar: &Registrar) -> Result<Self> {
        let endings = registrar.counters(
            "issuance_total",
            "Requests for certificates by what became of them (issued, refused, failed, withheld) and by the rule, error type or check that stood in the way.",
            &["endpoint", "profile", "outcome", "rule"],
        )?;
        let steps = registrar.seconds_by(
            "step_seconds",
            "Time that a step on the way to a certificate takes: new-order, validation, caa, submission, issuance (from finalize to the certificate, whole seconds), delivery.",
            &["step"],
        )?;
        // There from the start, so that none of them looks like a gap.
        Step::ALL.iter().for_each(|step| drop(steps.with_label_values(&[step.name()])));
        Ok(Self { endings, steps })
    }

    /// A request for a certificate has come to this. `profile` is one that the CM offers; `None` if none was chosen.
    pub(crate) fn ended(&self, endpoint: &EndpointName, profile: Option<&ProfileName>, ending: Ending<'_>) {
        let (outcome, rule) = ending.labels();
        let profile = profile.map_or("", ProfileName::as_str);
        self.endings.with_label_values(&[endpoint.as_str(), profile, outcome, rule]).inc();
    }

    /// A step took so long.
    pub(crate) fn took(&self, step: Step, time: Duration) {
        self.step(step).observe(time.as_secs_f64());
    }

    /// A step begins; it ends when this is dropped.
    pub(crate) fn begin(&self, step: Step) -> HistogramTimer {
        self.step(step).start_timer()
    }

    fn step(&self, step: Step) -> Histogram {
        self.steps.with_label_values(&[step.name()])
    }
}
