//! Numbers for Prometheus. Label sets are closed: nothing that a client sends becomes a label.
//!
//! `docs/METRICS.md` is the list for people; a test holds it against what is made here.

mod audit;
mod cm;
mod issuance;
mod process;
mod readiness;
mod registrar;
mod space;
mod store;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use ::store::{Store, Work};
use acme::{
    certificate::Validity,
    challenge::ChallengeKind,
    ids::{EndpointName, ProfileName, RealmName},
    problem::ProblemKind,
    time::Timestamp,
};
use cm_connector::CertificateManager;
use prometheus::{
    Encoder, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};

use self::{audit::AuditMetrics, cm::CmMetrics, issuance::IssuanceMetrics, registrar::Registrar, store::StoreMetrics};
pub(crate) use self::{
    issuance::{Ending, Step},
    readiness::Unready,
};
use crate::nonce::Rejected;

/// The outcome of a validation that found what it looked for.
const VALID: &str = "valid";
/// What is read again while running.
const RELOADED: [&str; 5] = ["settings", "server", "server_rsa", "cm", "issuer_roots"];
/// What jobs do.
const WORKS: [&str; 4] = ["validate", "issue", "deliver", "revoke"];

/// All numbers.
pub(crate) struct Metrics {
    registry: Registry,
    #[cfg(test)]
    described: Vec<registrar::Description>,
    requests: HistogramVec,
    problems: IntCounterVec,
    nonces_rejected: IntCounterVec,
    validations: IntCounterVec,
    limited: IntCounterVec,
    uncounted: IntCounterVec,
    reloads: IntCounterVec,
    identity_expires: IntGaugeVec,
    identity_lifetime: IntGaugeVec,
    profiles_stopped: IntGaugeVec,
    event_feed_answered: IntGaugeVec,
    unready: IntGaugeVec,
    jobs: IntGaugeVec,
    /// What became of requests for certificates, and how long their steps took.
    pub(crate) issuance: IssuanceMetrics,
    /// The audit files.
    pub(crate) audit: AuditMetrics,
    /// The way to the CM.
    pub(crate) cm: CmMetrics,
    /// The store; it is told by the store itself.
    pub(crate) store: Arc<StoreMetrics>,
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
    pub(crate) orders_unreadable: IntGauge,
    pub(crate) processing_oldest: IntGauge,
    pub(crate) revocation_oldest: IntGauge,
    pub(crate) job_seconds: Histogram,
}

/// The numbers of one limit.
pub(crate) struct LimitMetrics {
    pub(crate) refused: IntCounter,
    pub(crate) uncounted: IntCounter,
}

/// Names for a label, at most so many; those that come after them are `other`.
struct Bounded {
    most: usize,
    known: Mutex<BTreeSet<String>>,
}

impl Bounded {
    const fn to(most: usize) -> Self {
        Self { most, known: Mutex::new(BTreeSet::new()) }
    }

    fn name(&self, name: &str) -> String {
        // A panic elsewhere leaves a set of names behind, not a broken promise.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(name) {
            if known.len() >= self.most {
                return String::from("other");
            }
            known.insert(name.to_owned());
        }
        name.to_owned()
    }
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registrar = Registrar::new()?;
        let one = &registrar;
        let reloads = one.counters(
            "reloads_total",
            "What was read again while running, by what it is (settings, server, server_rsa, cm, issuer_roots) and outcome (loaded, refused).",
            &["of", "outcome"],
        )?;
        let nonces_rejected = one.counters(
            "nonces_rejected_total",
            "Nonces that were refused, by reason: unknown (not from this process), spent, expired, closed (this process is stopping).",
            &["reason"],
        )?;
        let build_info =
            one.gauges("build_info", "1, with what this program was built from.", &["version", "commit"])?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), commit(crate::cli::VERSION)]).set(1);
        let jobs = one.gauges(
            "jobs",
            "Jobs that are stored, by what they do: validate, issue, deliver, revoke; looked at every half minute, at most a hundred thousand.",
            &["work"],
        )?;
        let validations = one.counters(
            "validations_total",
            "Validations that ended, by challenge and outcome: valid, or the error type.",
            &["challenge", "outcome"],
        )?;
        // What alerts compare with the moment before is there from the start.
        for of in RELOADED {
            ["loaded", "refused"].iter().for_each(|outcome| drop(reloads.with_label_values(&[of, outcome])));
        }
        Rejected::ALL.iter().for_each(|reason| drop(nonces_rejected.with_label_values(&[reason.name()])));
        WORKS.iter().for_each(|work| drop(jobs.with_label_values(&[work])));
        for kind in ChallengeKind::ALL {
            drop(validations.with_label_values(&[kind.as_str(), VALID]));
        }
        Ok(Self {
            requests: one.seconds_by(
                "request_seconds",
                "Time to answer ACME requests, by resource and status class.",
                &["resource", "status"],
            )?,
            problems: one.counters("problems_total", "Problem documents sent, by error type.", &["type"])?,
            nonces_rejected,
            validations,
            limited: one.counters("rate_limited_total", "Requests that met a limit, by the limit; pausing are orders for what is paused.", &["limit"])?,
            uncounted: one.counters(
                "rate_limit_uncounted_total",
                "Requests let through uncounted because a limit had no space for another address or account.",
                &["limit"],
            )?,
            reloads,
            identity_expires: one.gauges(
                "identity_expires_timestamp_seconds",
                "When a certificate of this gateway expires, in seconds since 1970: server, server_rsa, cm.",
                &["identity"],
            )?,
            identity_lifetime: one.gauges(
                "identity_lifetime_seconds",
                "How long a certificate of this gateway lives from its first day to its last: what lives short is renewed late.",
                &["identity"],
            )?,
            profiles_stopped: one.gauges(
                "profiles_stopped",
                "1 for each profile that is stopped because of a bad certificate; * for all of an endpoint. Any is an alarm.",
                &["endpoint", "profile"],
            )?,
            event_feed_answered: one.gauges(
                "event_feed_answered_timestamp_seconds",
                "When the CM's event feed last answered, or was first asked if it never did, in seconds since 1970, by realm of the settings; at most half a minute ago while it works.",
                &["realm"],
            )?,
            unready: readiness::gauges(one)?,
            jobs,
            issuance: IssuanceMetrics::new(one)?,
            audit: AuditMetrics::new(one)?,
            cm: CmMetrics::new(one)?,
            store: Arc::new(StoreMetrics::new(one)?),
            orders_created: one.counter("orders_created_total", "Orders created.")?,
            orders_failed: one.counter("orders_failed_total", "Orders that ended without a certificate after finalize.")?,
            identifiers_waived: one.counter(
                "identifiers_waived_total",
                "Identifiers of new orders of which control need not be proven, by an officer's waiver; order.waived in the audit log says whose.",
            )?,
            certificates_issued: one.counter("certificates_issued_total", "Certificates that passed every check.")?,
            certificates_withheld: one.counter(
                "certificates_withheld_total",
                "Certificates from the CM that failed a check. Any is an alarm.",
            )?,
            certificates_revoked: one.counter("certificates_revoked_total", "Revocations confirmed by the CM.")?,
            revocations_failed: one.counter(
                "revocations_failed_total",
                "Revocations that were accepted and ended without being made, because the CM refused them for good, the certificate expired first, or the job cannot be read; revocation.failed in the audit log says which. Any is an alarm.",
            )?,
            panics: one.counter("panics_total", "Panics in requests and jobs. Any is a defect.")?,
            connections_refused: one.counter(
                "connections_refused_total",
                "Connections closed at once because their address had too many.",
            )?,
            handshakes_refused: one.counter(
                "handshakes_refused_total",
                "Connections closed before their TLS handshake because there were too many in that second.",
            )?,
            store_quarantined: one.gauge(
                "store_quarantined",
                "1 if the store was damaged at the start of this process, or sealed with another key, and moved aside; see store_set_aside for earlier ones.",
            )?,
            cm_clock_ahead: one.gauge(
                "cm_clock_ahead_seconds",
                "How far the CM's clock is ahead of this host's, below zero if it is behind; looked at every minute. While it is behind, what was just proven waits before it is sent.",
            )?,
            cm_answered: one.gauge(
                "cm_answered_timestamp_seconds",
                "When the CM last answered the look that is taken every minute, in seconds since 1970.",
            )?,
            orders_unreadable: one.gauge(
                "orders_unreadable",
                "Orders with an issuance under way whose record cannot be read, so that their age is not known.",
            )?,
            processing_oldest: one.gauge(
                "processing_oldest_seconds",
                "Age of the oldest order in processing that waits for no person; more than 600 is an alarm.",
            )?,
            revocation_oldest: one.gauge(
                "revocation_oldest_seconds",
                "For how long this process has known the oldest revocation without confirmation; more than 300 is an alarm.",
            )?,
            job_seconds: one.seconds("job_seconds", "Time that one attempt of a job takes.")?,
            #[cfg(test)]
            described: registrar.described(),
            registry: registrar.registry(),
        })
    }

    /// Has the store and the CM's adapter tell what they do.
    pub(crate) fn listen_to(self: &Arc<Self>, store: &Store, cm: &dyn CertificateManager) {
        store.watch(self.store.clone());
        let metrics = Arc::clone(self);
        cm.listen(Arc::new(move |call| metrics.cm.called(call)));
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
        let outcome = outcome.map_or_else(|problem| problem.name_and_status().0, |()| VALID);
        self.validations.with_label_values(&[kind.as_str(), outcome]).inc();
    }

    /// A nonce was refused.
    pub(crate) fn nonce_rejected(&self, reason: Rejected) {
        self.nonces_rejected.with_label_values(&[reason.name()]).inc();
    }

    /// So many jobs are stored, by [`work_name`].
    pub(crate) fn jobs(&self, counts: &BTreeMap<&'static str, i64>) {
        for work in WORKS {
            self.jobs.with_label_values(&[work]).set(counts.get(work).copied().unwrap_or_default());
        }
    }

    /// Something was read again, and came into use or not.
    pub(crate) fn reloaded(&self, of: &'static str, is_in_use: bool) {
        let outcome = if is_in_use { "loaded" } else { "refused" };
        self.reloads.with_label_values(&[of, outcome]).inc();
    }

    /// A certificate of this gateway is in use.
    pub(crate) fn identity_in_use(&self, identity: &'static str, validity: Validity) {
        let lifetime = validity.not_after.unix_secs().saturating_sub(validity.not_before.unix_secs());
        self.identity_expires.with_label_values(&[identity]).set(validity.not_after.unix_secs());
        self.identity_lifetime.with_label_values(&[identity]).set(lifetime);
    }

    /// A certificate of this gateway is no longer in use, and no other took its place.
    pub(crate) fn identity_gone(&self, identity: &'static str) {
        // It may never have been in use.
        let _absent = self.identity_expires.remove_label_values(&[identity]);
        let _absent = self.identity_lifetime.remove_label_values(&[identity]);
    }

    /// The event feed of a realm has answered, or is asked for the first time.
    pub(crate) fn event_feed_answered(&self, realm: &RealmName, at: Timestamp) {
        self.event_feed_answered.with_label_values(&[realm.as_str()]).set(at.unix_secs());
    }

    /// Whether this keeps the gateway from being ready.
    pub(crate) fn unready(&self, reason: Unready, is_lacking: bool) {
        self.unready.with_label_values(&[reason.name()]).set(is_lacking.into());
    }

    /// Nobody follows the event feed of this realm any more.
    pub(crate) fn event_feed_gone(&self, realm: &RealmName) {
        // It may never have been followed.
        let _absent = self.event_feed_answered.remove_label_values(&[realm.as_str()]);
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

    /// Problem documents sent so far, by error type.
    pub(crate) fn problems_by_type(&self) -> BTreeMap<String, u64> {
        registrar::by_label(&self.problems)
    }

    /// Requests that met a limit so far, by the limit.
    pub(crate) fn refusals_by_limit(&self) -> BTreeMap<String, u64> {
        registrar::by_label(&self.limited)
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
            Ok(()) => String::from_utf8_lossy(&text).into_owned() + &process::text(crate::clock::now()),
            Err(error) => format!("# cannot write metrics: {error}\n"),
        }
    }
}

/// What a job does, as a label; one of [`WORKS`].
pub(crate) const fn work_name(work: &Work) -> &'static str {
    match work {
        Work::Validate { .. } => "validate",
        Work::Issue { .. } => "issue",
        Work::ConfirmDelivery { .. } => "deliver",
        Work::Revoke(_) => "revoke",
    }
}

/// The commit in the stamp of a packaged program; `unknown` if it was built otherwise.
fn commit(build: &str) -> &str {
    let stamp = build.strip_prefix(env!("CARGO_PKG_VERSION")).unwrap_or(build);
    let commit = stamp.trim_matches(|character: char| !character.is_ascii_alphanumeric());
    if commit.is_empty() { "unknown" } else { commit }
}
