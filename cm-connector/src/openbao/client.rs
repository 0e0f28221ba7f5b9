//! The calls to OpenBao: their attempts, the nodes they go to, the token that goes with them, and what their
//! failures do to the circuit (CM contract section 6).
//!
//! It knows nothing of registrations and certificates.

use std::{
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    consistency::Consistency,
    exchange::{CONNECT_MAX, Question, Raw, exchange},
    failure::{Failure, Instead},
    health::Health,
    token::{Token, Tokens},
};
use crate::{
    CallOutcome, Condition, Listener, Outcome,
    observation::{self, Attempt, Hearing},
    transport::{
        SetupError,
        circuit::{Circuit, Permit, Sign},
        deadline, http,
        lane::{Full, Lane, Lanes},
    },
};

/// How long one attempt may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The same for a sign, which waits for its turn at a busy CA.
const SIGN_MAX: Duration = Duration::from_secs(28);
/// How late a sign may be sent: by the time that it was written down, others judge when it must have ended.
pub(super) const SIGN_SENT_WITHIN: Duration = Duration::from_secs(3);
/// Longest time of all attempts of a read and of a write.
const READ_TOTAL: Duration = Duration::from_secs(10);
const WRITE_TOTAL: Duration = Duration::from_secs(20);
/// Most attempts, all nodes together.
const ATTEMPTS_MAX: u32 = 8;
/// A record takes a millisecond, and one certificate some twenty calls.
const CALLS_PER_SECOND_MAX: u32 = 2000;
/// How long callers are sent away while the circuit is open and its probe fails.
const PROBE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// One call.
pub(super) struct Call {
    method: Method,
    path: String,
    body: Option<Value>,
    /// How it is told to whoever listens.
    operation: &'static str,
    lane: Lane,
    answer_max: Duration,
    total: Duration,
    /// How late its last attempt may begin, from the beginning of the call or from `since`.
    sent_within: Duration,
    since: Option<Instant>,
    /// Whether it may be sent again when nobody knows what came of it.
    repeatable: bool,
}

impl Call {
    /// A question, which can always be repeated.
    pub(super) fn read(operation: &'static str, path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
            operation,
            lane: Lane::Rest,
            answer_max: ANSWER_MAX,
            total: READ_TOTAL,
            sent_within: READ_TOTAL,
            since: None,
            repeatable: true,
        }
    }

    /// A write that does no harm when it is repeated: its check-and-set fails, or it says the same again.
    pub(super) fn write(operation: &'static str, path: String, body: Value) -> Self {
        let (total, sent_within) = (WRITE_TOTAL, WRITE_TOTAL);
        Self { method: Method::POST, body: Some(body), total, sent_within, ..Self::read(operation, path) }
    }

    /// A sign: each one that arrives issues another certificate. `since` is the moment before it was written down, so
    /// that an answer to that which took its time does not make the sign later than others count on.
    pub(super) fn sign(operation: &'static str, path: String, body: Value, since: Instant) -> Self {
        let write = Self::write(operation, path, body);
        let (total, sent_within) = (SIGN_MAX, SIGN_SENT_WITHIN);
        Self { answer_max: SIGN_MAX, total, sent_within, since: Some(since), repeatable: false, ..write }
    }

    /// By another share of what OpenBao is asked at a time.
    pub(super) fn by(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }
}

/// The nodes of a cluster, seen as one.
#[derive(Debug)]
pub(super) struct Client {
    base_urls: Vec<String>,
    /// The node that answered last.
    node: AtomicUsize,
    http: RwLock<reqwest::Client>,
    tokens: Tokens,
    consistency: Consistency,
    circuit: Circuit,
    lanes: Lanes,
    hearing: Hearing,
}

impl Client {
    pub(super) fn new(base_urls: Vec<String>, tls: rustls::ClientConfig, tokens: Tokens) -> Result<Self, SetupError> {
        Ok(Self {
            base_urls,
            node: AtomicUsize::new(0),
            http: RwLock::new(http::client(tls, CONNECT_MAX)?),
            tokens,
            consistency: Consistency::default(),
            circuit: Circuit::default(),
            lanes: Lanes::paced(CALLS_PER_SECOND_MAX),
            hearing: Hearing::default(),
        })
    }

    /// Makes a call, and repeats it within its time if that can help and do no harm.
    pub(super) async fn send(&self, call: &Call) -> Result<Value, Failure> {
        let began = Instant::now();
        let (ends, sent_by) = (began + call.total, call.since.unwrap_or(began) + call.sent_within);
        let trace_id = observation::trace_id();
        let (mut earlier, mut failed, mut logged_in_anew) = (Outcome::NotSent, 0_u32, false);
        loop {
            self.pass_circuit(ends).await.map_err(|failure| failure.after(earlier))?;
            let told = self.begin(call.operation, failed.saturating_add(1), trace_id);
            let failure = match self.attempt(call, told, (sent_by, ends)).await {
                Ok(answer) => return Ok(answer),
                Err((failure, Some(token))) if failure.is_denied() && !logged_in_anew => {
                    match self.is_dead(&token, ends).await {
                        Ok(true) => {
                            self.tokens.give_up(&token).await;
                            logged_in_anew = true;
                            continue;
                        }
                        Ok(false) => failure,
                        Err(unknown) => unknown,
                    }
                }
                Err((failure, _)) => failure,
            };
            failed = failed.saturating_add(1);
            if matches!(failure, Failure::Away { .. }) {
                self.go_on_to_next_node();
            }
            let outcome = failure.outcome();
            let wait = deadline::wait(failed, failure.retry_after(), rand::random());
            let may_repeat = failure.may_pass() && (call.repeatable || outcome == Outcome::NotSent);
            if !may_repeat || failed >= ATTEMPTS_MAX || Instant::now() + wait >= sent_by {
                return Err(failure.after(earlier));
            }
            earlier = earlier.and(outcome);
            sleep(wait).await;
        }
    }

    /// A read of something that may not be there.
    pub(super) async fn find(&self, call: &Call) -> Result<Option<Value>, Failure> {
        match self.send(call).await {
            Ok(answer) => Ok(Some(answer)),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// How the first node is that answers, circuit or not.
    pub(super) async fn health(&self) -> Result<Health, Failure> {
        let mut last = Failure::not_asked(Instead::NoConnection, None);
        for _ in &self.base_urls {
            let by = Instant::now() + ANSWER_MAX / 2;
            match self.ask_health(by).await {
                Ok(health) if health.works() => {
                    self.circuit.close();
                    return Ok(health);
                }
                // It is sealed, or was never initialised; another may work.
                Ok(_) => last = Failure::not_active(503, Outcome::NotSent),
                // A quota counts this question too, and that of all nodes.
                Err(busy @ Failure::Busy { .. }) => {
                    self.circuit.close();
                    return Err(busy);
                }
                Err(failure) => last = failure,
            }
            self.go_on_to_next_node();
        }
        Err(last)
    }

    /// Changes to new credentials, if OpenBao lets us log in with them.
    pub(super) async fn change_credentials(&self, tls: rustls::ClientConfig) -> Result<(), SetupError> {
        let fresh = http::client(tls, CONNECT_MAX)?;
        let tokens = &self.tokens;
        let by = Instant::now() + ANSWER_MAX;
        let refused = |failure: Failure| SetupError::SelfCheck(failure.into_error().to_string());
        tokens.check_login(|ask| self.ask_with(&fresh, ask, by)).await.map_err(refused)?;
        *self.http.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        // The old token can be renewed with the old certificate only.
        tokens.forget().await;
        Ok(())
    }

    /// Tells this one of each attempt from now on.
    pub(super) fn listen(&self, listener: Listener) {
        self.hearing.begin(listener);
    }

    /// How circuit and lanes are now.
    pub(super) fn condition(&self) -> Condition {
        self.lanes.condition(&self.circuit)
    }

    fn begin(&self, operation: &str, attempt: u32, trace_id: u128) -> Attempt {
        Attempt::begin(operation.to_owned(), attempt, trace_id).heard_by(&self.hearing)
    }

    /// Returns when the circuit has closed.
    pub(super) async fn reconnected(&self) {
        self.circuit.closed().await;
    }

    async fn ask_health(&self, by: Instant) -> Result<Health, Failure> {
        let told = self.begin("GET sys/health", 1, observation::trace_id());
        let question = Question { method: Method::GET, path: "/v1/sys/health", token: None, body: None };
        let raw = exchange(&self.http(), self.base_url(), &question, &self.consistency, by).await;
        told.end(outcome(&raw));
        Health::of(raw?)
    }

    async fn attempt(
        &self,
        call: &Call,
        told: Attempt,
        (sent_by, ends): (Instant, Instant),
    ) -> Result<Value, (Failure, Option<Token>)> {
        let _place = match self.lanes.enter(call.lane, sent_by).await {
            Ok(place) => place,
            Err(Full { retry_after }) => {
                told.end(CallOutcome::QueueFull);
                return Err((Failure::not_asked(Instead::QueueFull, Some(retry_after)), None));
            }
        };
        let began = Instant::now();
        let by = (began + call.answer_max).min(ends);
        let http = self.http();
        let token = match self.tokens.token(|ask| self.ask_with(&http, ask, by)).await {
            Ok(token) => token,
            Err(failure) => {
                told.end(failure.told());
                self.circuit.record(failure.sign(began), Instant::now());
                return Err((failure, None));
            }
        };
        // The token may have taken its time.
        if Instant::now() > sent_by {
            told.end(CallOutcome::QueueFull);
            return Err((Failure::not_asked(Instead::QueueFull, None), None));
        }
        let question = Question {
            method: call.method.clone(),
            path: &call.path,
            token: Some(token.expose_secret()),
            body: call.body.as_ref(),
        };
        let raw = exchange(&http, self.base_url(), &question, &self.consistency, by).await;
        let status = raw.as_ref().map(|raw| raw.status).unwrap_or_default();
        let answer = raw.and_then(Raw::judge);
        told.end(match &answer {
            Ok(_) => CallOutcome::Answered { status, request_id: None },
            Err(failure) => failure.told(),
        });
        let sign = answer.as_ref().map_or_else(|failure| failure.sign(began), |_| Sign::Answered);
        self.circuit.record(sign, Instant::now());
        answer.map_err(|failure| (failure, Some(token)))
    }

    /// What is asked for the sake of a token, of the node that the call goes to.
    async fn ask_with(&self, http: &reqwest::Client, ask: super::token::Ask, by: Instant) -> Result<Value, Failure> {
        let told = self.begin(ask.operation(), 1, observation::trace_id());
        let raw = exchange(http, self.base_url(), &ask.question(), &self.consistency, by).await;
        told.end(outcome(&raw));
        raw.and_then(Raw::judge)
    }

    /// A 403 means two things; the token itself tells which.
    async fn is_dead(&self, token: &Token, ends: Instant) -> Result<bool, Failure> {
        let told = self.begin("GET auth/token/lookup-self", 1, observation::trace_id());
        let path = "/v1/auth/token/lookup-self";
        let question = Question { method: Method::GET, path, token: Some(token.expose_secret()), body: None };
        let raw = exchange(&self.http(), self.base_url(), &question, &self.consistency, ends).await;
        told.end(outcome(&raw));
        match raw.and_then(Raw::judge) {
            Ok(_) => Ok(false),
            Err(failure) if failure.is_denied() => Ok(true),
            Err(failure) => Err(failure),
        }
    }

    async fn pass_circuit(&self, ends: Instant) -> Result<(), Failure> {
        let wait = match self.circuit.permit(Instant::now()) {
            Permit::Pass => return Ok(()),
            Permit::Wait(wait) => wait,
            Permit::ProbeFirst => match tokio::time::timeout_at(ends, self.health()).await {
                Ok(Ok(_) | Err(Failure::Busy { .. })) => return Ok(()),
                Ok(Err(_)) | Err(_) => PROBE_RETRY_AFTER,
            },
        };
        Err(Failure::not_asked(Instead::CircuitOpen, Some(wait)))
    }

    fn http(&self) -> reqwest::Client {
        self.http.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn base_url(&self) -> &str {
        let node = self.node.load(Ordering::Relaxed).checked_rem(self.base_urls.len()).unwrap_or(0);
        self.base_urls.get(node).map_or("", String::as_str)
    }

    fn go_on_to_next_node(&self) {
        let _before = self.node.fetch_add(1, Ordering::Relaxed);
    }
}

fn outcome(raw: &Result<Raw, Failure>) -> CallOutcome {
    match raw {
        Ok(raw) => CallOutcome::Answered { status: raw.status, request_id: None },
        Err(failure) => failure.told(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_sign_whose_intent_took_its_time_is_not_sent() {
        let roots = rustls::RootCertStore::empty();
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        // Nothing listens at the discard port.
        let nowhere = vec![String::from("https://127.0.0.1:9")];
        let client = Client::new(nowhere, tls, Tokens::new("cert", "gateway")).unwrap();
        let since = Instant::now() - SIGN_SENT_WITHIN;
        let sign = Call::sign("POST pki/sign/{role}", String::from("/v1/x"), json!({}), since);
        let late = client.send(&sign).await.unwrap_err();
        assert!(
            matches!(late, Failure::Away { instead: Instead::QueueFull, outcome: Outcome::NotSent, .. }),
            "{late:?}"
        );
    }
}
