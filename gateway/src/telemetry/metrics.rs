//! Numbers for Prometheus. Label sets are closed: nothing that a client sends becomes a label.

use acme::{
    challenge::ChallengeKind,
    ids::{EndpointName, ProfileName, RealmName},
    problem::ProblemKind,
    time::Timestamp,
};
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// All numbers.
pub(crate) struct Metrics {
    registry: Registry,
    requests: HistogramVec,
    problems: IntCounterVec,
    validations: IntCounterVec,
    limited: IntCounterVec,
    uncounted: IntCounterVec,
    reloads: IntCounterVec,
    identity_expires: IntGaugeVec,
    profiles_stopped: IntGaugeVec,
    event_feed_answered: IntGaugeVec,
    pub(crate) orders_created: IntCounter,
    pub(crate) orders_failed: IntCounter,
    pub(crate) identifiers_waived: IntCounter,
    pub(crate) certificates_issued: IntCounter,
    pub(crate) certificates_withheld: IntCounter,
    pub(crate) certificates_revoked: IntCounter,
    pub(crate) revocations_failed: IntCounter,
    pub(crate) panics: IntCounter,
    pub(crate) connections_refused: IntCounter,
    pub(crate) handshakes_refused: IntCounter,
    pub(crate) store_quarantined: IntGauge,
    pub(crate) cm_clock_ahead: IntGauge,
    pub(crate) cm_answered: IntGauge,
    pub(crate) processing_oldest: IntGauge,
    pub(crate) revocation_oldest: IntGauge,
    pub(crate) job_seconds: Histogram,
}

/// The numbers of one limit.
pub(crate) struct LimitMetrics {
    pub(crate) refused: IntCounter,
    pub(crate) uncounted: IntCounter,
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some(String::from("acme_gateway")), None)?;
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let latency =
            HistogramOpts::new("request_seconds", "Time to answer ACME requests, by resource and status class.");
        let requests = HistogramVec::new(latency, &["resource", "status"])?;
        registry.register(Box::new(requests.clone()))?;
        let identity_expires = IntGaugeVec::new(
            Opts::new(
                "identity_expires_timestamp_seconds",
                "When a certificate of this gateway expires, in seconds since 1970: server, server_rsa, cm.",
            ),
            &["identity"],
        )?;
        registry.register(Box::new(identity_expires.clone()))?;
        let profiles_stopped = IntGaugeVec::new(
            Opts::new(
                "profiles_stopped",
                "1 for each profile that is stopped because of a bad certificate. Any is an alarm.",
            ),
            &["endpoint", "profile"],
        )?;
        registry.register(Box::new(profiles_stopped.clone()))?;
        let event_feed_answered = IntGaugeVec::new(
            Opts::new(
                "event_feed_answered_timestamp_seconds",
                "When the CM's event feed last answered, in seconds since 1970, by realm; at most half a minute ago while it works.",
            ),
            &["realm"],
        )?;
        registry.register(Box::new(event_feed_answered.clone()))?;
        let store_quarantined = IntGauge::new(
            "store_quarantined",
            "1 if the store was damaged at start, or sealed with another key, and moved aside.",
        )?;
        registry.register(Box::new(store_quarantined.clone()))?;
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let cm_clock_ahead = gauge(
            "cm_clock_ahead_seconds",
            "How far the CM's clock is ahead of this host's, below zero if it is behind; looked at every minute.",
        )?;
        let cm_answered = gauge(
            "cm_answered_timestamp_seconds",
            "When the CM last answered the look that is taken every minute, in seconds since 1970.",
        )?;
        let processing_oldest = gauge(
            "processing_oldest_seconds",
            "Age of the oldest order in processing that waits for no person; more than 600 is an alarm.",
        )?;
        let revocation_oldest = gauge(
            "revocation_oldest_seconds",
            "For how long this process has known the oldest revocation without confirmation; more than 300 is an alarm.",
        )?;
        let job_seconds =
            Histogram::with_opts(HistogramOpts::new("job_seconds", "Time that one attempt of a job takes."))?;
        registry.register(Box::new(job_seconds.clone()))?;
        Ok(Self {
            requests,
            problems: counters("problems_total", "Problem documents sent, by error type.", &["type"])?,
            validations: counters(
                "validations_total",
                "Validations that ended, by challenge and outcome.",
                &["challenge", "outcome"],
            )?,
            limited: counters("rate_limited_total", "Requests that met a limit, by the limit.", &["limit"])?,
            uncounted: counters(
                "rate_limit_uncounted_total",
                "Requests let through uncounted because a limit had no space for another key.",
                &["limit"],
            )?,
            reloads: counters(
                "reloads_total",
                "What was read again while running, by what it is (settings, server, cm, issuer_roots) and outcome (loaded, refused).",
                &["of", "outcome"],
            )?,
            identity_expires,
            profiles_stopped,
            event_feed_answered,
            cm_clock_ahead,
            cm_answered,
            processing_oldest,
            revocation_oldest,
            orders_created: counter("orders_created_total", "Orders created.")?,
            identifiers_waived: counter(
                "identifiers_waived_total",
                "Identifiers of new orders of which control need not be proven, by an officer's waiver.",
            )?,
            orders_failed: counter("orders_failed_total", "Orders that ended without a certificate after finalize.")?,
            certificates_issued: counter("certificates_issued_total", "Certificates that passed every check.")?,
            certificates_withheld: counter(
                "certificates_withheld_total",
                "Certificates from the CM that failed a check. Any is an alarm.",
            )?,
            certificates_revoked: counter("certificates_revoked_total", "Revocations confirmed by the CM.")?,
            revocations_failed: counter(
                "revocations_failed_total",
                "Revocations that were accepted and ended without being made. Any is an alarm.",
            )?,
            panics: counter("panics_total", "Panics in requests and jobs. Any is a defect.")?,
            connections_refused: counter(
                "connections_refused_total",
                "Connections closed at once because their address had too many.",
            )?,
            handshakes_refused: counter(
                "handshakes_refused_total",
                "Connections closed before their TLS handshake because there were too many in that second.",
            )?,
            store_quarantined,
            job_seconds,
            registry,
        })
    }

    /// An ACME request was answered.
    pub(crate) fn answered(&self, resource: &str, status: u16, seconds: f64) {
        let class = match status {
            ..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        self.requests.with_label_values(&[resource, class]).observe(seconds);
    }

    /// A problem document was sent.
    pub(crate) fn problem(&self, kind: ProblemKind) {
        self.problems.with_label_values(&[kind.name_and_status().0]).inc();
    }

    /// A validation has ended.
    pub(crate) fn validated(&self, kind: ChallengeKind, outcome: Result<(), ProblemKind>) {
        let outcome = outcome.map_or_else(|problem| problem.name_and_status().0, |()| "valid");
        self.validations.with_label_values(&[kind.as_str(), outcome]).inc();
    }

    /// Something was read again, and came into use or not.
    pub(crate) fn reloaded(&self, of: &'static str, is_in_use: bool) {
        let outcome = if is_in_use { "loaded" } else { "refused" };
        self.reloads.with_label_values(&[of, outcome]).inc();
    }

    /// A certificate of this gateway is in use and expires at this time.
    pub(crate) fn identity_expires(&self, identity: &'static str, at: Timestamp) {
        self.identity_expires.with_label_values(&[identity]).set(at.unix_secs());
    }

    /// A certificate of this gateway is no longer in use, and no other took its place.
    pub(crate) fn identity_gone(&self, identity: &'static str) {
        // It may never have been in use.
        let _absent = self.identity_expires.remove_label_values(&[identity]);
    }

    /// The event feed of a realm has answered.
    pub(crate) fn event_feed_answered(&self, realm: &RealmName, at: Timestamp) {
        self.event_feed_answered.with_label_values(&[realm.as_str()]).set(at.unix_secs());
    }

    /// A profile is stopped, or all of an endpoint.
    pub(crate) fn profile_stopped(&self, endpoint: &EndpointName, profile: Option<&ProfileName>) {
        let profile = profile.map_or("*", ProfileName::as_str);
        self.profiles_stopped.with_label_values(&[endpoint.as_str(), profile]).set(1);
    }

    /// No profile is stopped, as far as is known.
    pub(crate) fn forget_stopped_profiles(&self) {
        self.profiles_stopped.reset();
    }

    /// The numbers of the limit with this name.
    pub(crate) fn limit(&self, name: &'static str) -> LimitMetrics {
        let of = |counters: &IntCounterVec| counters.with_label_values(&[name]);
        LimitMetrics { refused: of(&self.limited), uncounted: of(&self.uncounted) }
    }

    /// All numbers in Prometheus' text format.
    pub(crate) fn text(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("# cannot write metrics: {error}\n"),
        }
    }
}
