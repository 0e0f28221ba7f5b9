//! HTTP with the CM: one attempt, the attempts of one call, and what their failures mean
//! (CM contract sections 3, 5 and 6).
//!
//! It knows nothing of registrations and certificates. Answers are bounded, redirects are faults,
//! and whatever is not the CM's own answer counts as none at all.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use reqwest::{
    Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    SetupError,
    circuit::{Circuit, Permit},
    deadline::{self, Deadline},
    lane::{Lane, Lanes},
    refusal::{self, Code, Subject},
    tls,
    wire::{
        self, Broken,
        problem::ProblemIn,
        service::{HealthIn, WhoAmIIn},
    },
};
use crate::{CmError, Outcome};

/// Largest answer, in octets.
const ANSWER_OCTETS_MAX: usize = 1024 * 1024;
/// Largest request body, in octets (section 3, Limits).
pub(super) const BODY_OCTETS_MAX: usize = 256 * 1024;
/// How much of a stranger's answer goes to the log, in octets.
const LOGGED_OCTETS_MAX: usize = 200;
/// Longest `Retry-After` that is believed.
const RETRY_AFTER_SECS_MAX: u64 = 86_400;
/// How long callers are sent away while the circuit is open and its probe fails.
const PROBE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// One call: what is sent, by whose share, and within what time.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<(&'static str, String)>,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Content type and octets.
    pub(super) body: Option<(&'static str, Vec<u8>)>,
    pub(super) lane: Lane,
    pub(super) deadline: Deadline,
}

/// A 2xx answer of the CM.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// `null` if there is no body.
    pub(super) json: Value,
    pub(super) retry_after: Option<Duration>,
}

/// Why there is no such answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The CM said no; `earlier` is what attempts before this one may have done.
    Problem { problem: Box<ProblemIn>, retry_after: Option<Duration>, earlier: Outcome },
    /// There was no answer of the CM.
    Unanswered { outcome: Outcome, retry_after: Option<Duration> },
    /// One side does not accept the other's certificate, so nothing was sent this time.
    Certificate { earlier: Outcome },
    /// The answer breaks the contract.
    Broken(Broken),
    /// What should be sent is not fit to be sent.
    Unfit(String),
}

/// An answer before it is judged.
struct Raw {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// The HTTP client with its circuit and its lanes.
#[derive(Debug)]
pub(super) struct Client {
    base_url: String,
    http: RwLock<reqwest::Client>,
    circuit: Circuit,
    lanes: Lanes,
}

impl Call {
    /// A question, which can always be repeated.
    pub(super) const fn read(lane: Lane, path: String, query: Option<(&'static str, String)>) -> Self {
        Self { method: Method::GET, path, query, headers: Vec::new(), body: None, lane, deadline: Deadline::READ }
    }

    /// A write; how often it is tried, `deadline` says.
    pub(super) const fn post(
        lane: Lane,
        path: String,
        body: Option<(&'static str, Vec<u8>)>,
        deadline: Deadline,
    ) -> Self {
        Self { method: Method::POST, path, query: None, headers: Vec::new(), body, lane, deadline }
    }
}

impl Failure {
    /// What the caller of the trait has to do.
    pub(super) fn into_error(self, subject: Subject) -> CmError {
        match self {
            Self::Problem { problem, retry_after, earlier } => {
                let mut error = refusal::judge(*problem, subject, retry_after);
                if let CmError::Unavailable { outcome, .. } | CmError::Internal { outcome, .. } = &mut error {
                    *outcome = outcome.and(earlier);
                }
                error
            }
            Self::Unanswered { outcome, retry_after } => CmError::Unavailable { retry_after, outcome },
            Self::Certificate { earlier } => {
                CmError::Unavailable { retry_after: Some(refusal::STRANGER_RETRY_AFTER), outcome: earlier }
            }
            Self::Broken(broken) => CmError::Internal { outcome: Outcome::Unknown, detail: broken.to_string() },
            Self::Unfit(detail) => CmError::Internal { outcome: Outcome::NotSent, detail },
        }
    }

    /// True if it is a problem with this code.
    pub(super) fn is(&self, code: Code) -> bool {
        match self {
            Self::Problem { problem, .. } => Code::parse(&problem.code) == Some(code),
            Self::Unanswered { .. } | Self::Certificate { .. } | Self::Broken(_) | Self::Unfit(_) => false,
        }
    }

    /// Whether the same call may go better later (section 6, Retry).
    fn may_pass(&self) -> bool {
        match self {
            Self::Unanswered { .. } => true,
            Self::Problem { problem, .. } => match problem.status {
                408 | 425 | 429 | 502 | 503 | 504 => true,
                500 => problem.retryable.unwrap_or(true),
                _ => self.is(Code::RequestInProgress),
            },
            Self::Certificate { .. } | Self::Broken(_) | Self::Unfit(_) => false,
        }
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem { retry_after, .. } | Self::Unanswered { retry_after, .. } => *retry_after,
            Self::Certificate { .. } | Self::Broken(_) | Self::Unfit(_) => None,
        }
    }

    /// False if nobody but the CM itself could have said this.
    fn is_silence(&self) -> bool {
        match self {
            Self::Unanswered { .. } | Self::Certificate { .. } => true,
            Self::Problem { .. } => self.is(Code::Overloaded),
            Self::Broken(_) | Self::Unfit(_) => false,
        }
    }

    /// An earlier attempt may have had its effect even if this one had none.
    pub(super) fn after(mut self, before: Outcome) -> Self {
        match &mut self {
            Self::Unanswered { outcome: known, .. }
            | Self::Problem { earlier: known, .. }
            | Self::Certificate { earlier: known } => *known = known.and(before),
            Self::Broken(_) | Self::Unfit(_) => {}
        }
        self
    }
}

impl Client {
    pub(super) fn new(base_url: String, tls: rustls::ClientConfig) -> Result<Self, SetupError> {
        Ok(Self {
            base_url,
            http: RwLock::new(http_client(tls)?),
            circuit: Circuit::default(),
            lanes: Lanes::default(),
        })
    }

    /// Makes a call, and repeats it within its time if that can help.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer, Failure> {
        if call.body.as_ref().is_some_and(|(_, octets)| octets.len() > BODY_OCTETS_MAX) {
            return Err(Failure::Unfit(format!("the body for {} is larger than the CM takes", call.path)));
        }
        let ends = Instant::now() + call.deadline.total;
        let mut earlier = Outcome::NotSent;
        let mut failed = 0;
        loop {
            self.pass_circuit(ends).await.map_err(|failure| failure.after(earlier))?;
            let failure = match self.attempt(call, ends).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure.after(earlier),
            };
            failed += 1;
            let wait = deadline::wait(failed, failure.retry_after(), rand::random());
            let over = failed >= call.deadline.attempts || Instant::now() + wait >= ends;
            if over || !failure.may_pass() {
                return Err(failure);
            }
            if !matches!(failure, Failure::Unanswered { outcome: Outcome::NotSent, .. }) {
                earlier = Outcome::Unknown;
            }
            sleep(wait).await;
        }
    }

    /// Asks whether the CM is ready, circuit or not. The CM's answer closes the circuit.
    pub(super) async fn probe(&self, ends: Instant) -> Result<bool, Failure> {
        let call = Call::read(Lane::Rest, String::from("/health/ready"), None);
        let raw = self.exchange(&self.http(), &call, ends).await?;
        let health = raw.is("application/json").then(|| serde_json::from_slice::<HealthIn>(&raw.body).ok()).flatten();
        let ready = raw.status == StatusCode::OK && health.is_some();
        let alive = raw.status == StatusCode::SERVICE_UNAVAILABLE && health.is_some_and(|it| it.serves_something());
        if ready || alive {
            self.circuit.close();
            return Ok(ready);
        }
        Err(raw.no_answer(&call.path))
    }

    /// Changes to new credentials, if the CM accepts them and we accept what it takes us for.
    pub(super) async fn change_credentials(
        &self,
        tls: rustls::ClientConfig,
        accept: impl FnOnce(WhoAmIIn) -> Result<(), CmError>,
    ) -> Result<(), SetupError> {
        let fresh = http_client(tls)?;
        let call = Call::read(Lane::Rest, String::from("/whoami"), None);
        let raw = self.exchange(&fresh, &call, Instant::now() + call.deadline.whole).await;
        raw.and_then(|raw| decode(raw.judge(&call.path)?.json))
            .map_err(|failure| failure.into_error(Subject::Configuration))
            .and_then(accept)
            .map_err(|error| SetupError::SelfCheck(error.to_string()))?;
        *self.http.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn http(&self) -> reqwest::Client {
        self.http.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn pass_circuit(&self, ends: Instant) -> Result<(), Failure> {
        let wait = match self.circuit.permit(Instant::now()) {
            Permit::Pass => return Ok(()),
            Permit::Wait(wait) => wait,
            Permit::ProbeFirst => match self.probe(ends).await {
                Ok(_) => return Ok(()),
                Err(_) => PROBE_RETRY_AFTER,
            },
        };
        Err(Failure::Unanswered { outcome: Outcome::NotSent, retry_after: Some(wait) })
    }

    async fn attempt(&self, call: &Call, ends: Instant) -> Result<Answer, Failure> {
        let Ok(_place) = self.lanes.enter(call.lane, ends).await else {
            tracing::warn!(path = call.path, "too many calls to the CM are under way");
            return Err(Failure::Unanswered { outcome: Outcome::NotSent, retry_after: None });
        };
        let raw = self.exchange(&self.http(), call, ends).await;
        let answer = raw.and_then(|raw| raw.judge(&call.path));
        // A feed that breaks says nothing about whether the CM issues.
        if call.lane == Lane::Events {
            return answer;
        }
        self.circuit.record(!answer.as_ref().is_err_and(Failure::is_silence), Instant::now());
        answer
    }

    /// Sends once and reads what comes back, whoever it is from.
    async fn exchange(&self, http: &reqwest::Client, call: &Call, ends: Instant) -> Result<Raw, Failure> {
        let started = Instant::now();
        let mut url = format!("{}{}", self.base_url, call.path);
        if let Some((name, value)) = &call.query {
            url = format!("{url}?{name}={value}");
        }
        let mut request =
            http.request(call.method.clone(), url).header(ACCEPT, "application/json, application/problem+json");
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some((content_type, octets)) = &call.body {
            request = request.header(CONTENT_TYPE, *content_type).body(octets.clone());
        }
        let silence = Failure::Unanswered { outcome: Outcome::Unknown, retry_after: None };
        let head_by = (started + call.deadline.first_byte).min(ends);
        let response = match timeout_at(head_by, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(transport_failure(&error, call)),
            Err(_) => {
                tracing::warn!(method = %call.method, path = call.path, "the CM did not answer in time");
                return Err(silence);
            }
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let body = timeout_at((started + call.deadline.whole).min(ends), bounded_body(response)).await;
        tracing::debug!(
            method = %call.method,
            path = call.path,
            status = status.as_u16(),
            millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            cm_request_id = %text_header(&headers, "cm-request-id"),
            "called the CM"
        );
        match body {
            Ok(Ok(body)) => Ok(Raw { status, headers, body }),
            Ok(Err(failure)) => Err(failure),
            Err(_) => {
                tracing::warn!(method = %call.method, path = call.path, "the CM's answer did not end in time");
                Err(silence)
            }
        }
    }
}

impl Raw {
    fn judge(self, path: &str) -> Result<Answer, Failure> {
        let retry_after = retry_after(&self.headers);
        if self.status == StatusCode::NO_CONTENT {
            return Ok(Answer { status: self.status, json: Value::Null, retry_after });
        }
        if self.status.is_success() && self.is("application/json") {
            // Cut short or not JSON at all, it cannot be the CM's.
            return match serde_json::from_slice(&self.body) {
                Ok(json) => Ok(Answer { status: self.status, json, retry_after }),
                Err(_) => Err(self.no_answer(path)),
            };
        }
        let error = self.status.is_client_error() || self.status.is_server_error();
        if error
            && self.is("application/problem+json")
            && let Ok(mut problem) = serde_json::from_slice::<ProblemIn>(&self.body)
        {
            problem.status = self.status.as_u16();
            return Err(Failure::Problem { problem: Box::new(problem), retry_after, earlier: Outcome::NotSent });
        }
        Err(self.no_answer(path))
    }

    fn is(&self, media_type: &str) -> bool {
        let value = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
    }

    /// A page of a proxy, a redirect, nothing: whoever said this, it was not the CM.
    fn no_answer(&self, path: &str) -> Failure {
        let (start, _) = self.body.split_at(self.body.len().min(LOGGED_OCTETS_MAX));
        tracing::warn!(
            path,
            status = self.status.as_u16(),
            content_type = %text_header(&self.headers, "content-type"),
            body = %acme::problem::shown(&String::from_utf8_lossy(start)),
            "this is no answer of the CM"
        );
        Failure::Unanswered { outcome: Outcome::Unknown, retry_after: retry_after(&self.headers) }
    }
}

/// Settings of section 6 that hold for every connection. TCP and TLS set-up share one limit, as
/// the library has but one for both.
fn http_client(tls: rustls::ClientConfig) -> Result<reqwest::Client, SetupError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .user_agent(concat!("acme-gateway/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(5))
        .pool_idle_timeout(Duration::from_secs(50))
        .pool_max_idle_per_host(32)
        .http2_keep_alive_interval(Duration::from_secs(15))
        .http2_keep_alive_timeout(Duration::from_secs(5))
        .http2_max_header_list_size(64 * 1024)
        .tcp_keepalive(Duration::from_secs(15))
        .tcp_keepalive_interval(Duration::from_secs(5))
        .tcp_keepalive_retries(3)
        .tcp_user_timeout(Duration::from_secs(20))
        .build()
        .map_err(|error| SetupError::Client(chain_of(&error)))
}

fn transport_failure(error: &reqwest::Error, call: &Call) -> Failure {
    if tls::is_refused_certificate(error) {
        tracing::error!(error = chain_of(error), "a certificate was refused in the TLS handshake with the CM");
        return Failure::Certificate { earlier: Outcome::NotSent };
    }
    if error.is_builder() {
        return Failure::Unfit(chain_of(error));
    }
    tracing::warn!(method = %call.method, path = call.path, error = chain_of(error), "the CM cannot be reached");
    let outcome = if error.is_connect() { Outcome::NotSent } else { Outcome::Unknown };
    Failure::Unanswered { outcome, retry_after: None }
}

async fn bounded_body(mut response: reqwest::Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_OCTETS_MAX => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Failure::Broken(Broken(String::from("it is larger than 1 MiB")))),
            Ok(None) => return Ok(body),
            Err(error) => {
                tracing::warn!(error = chain_of(&error), "the CM's answer broke off");
                return Err(Failure::Unanswered { outcome: Outcome::Unknown, retry_after: None });
            }
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(retry_after_secs(seconds))
}

/// Bounded, so that no sum with it overflows.
pub(super) fn retry_after_secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(RETRY_AFTER_SECS_MAX))
}

fn text_header(headers: &HeaderMap, name: &str) -> String {
    let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    acme::problem::shown(text).chars().take(64).collect()
}

fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Takes a JSON answer apart.
pub(super) fn decode<T: serde::de::DeserializeOwned>(json: Value) -> Result<T, Failure> {
    wire::read(json).map_err(Failure::Broken)
}
