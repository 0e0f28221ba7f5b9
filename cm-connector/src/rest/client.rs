//! The calls to the CM: their attempts, their turn, and what their failures do to the circuit
//! (CM contract sections 3, 5 and 6).
//!
//! It knows nothing of registrations and certificates.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use reqwest::StatusCode;
use tokio::time::{Instant, sleep};

use super::{
    call::{Answer, BODY_OCTETS_MAX, Call, decode},
    exchange::{Raw, exchange},
    failure::{Failure, Silence},
    refusal::Subject,
    wire::service::{HealthIn, WhoAmIIn},
};
use crate::{
    CallOutcome, CmError, Condition, Listener, Outcome,
    observation::{self, Attempt, Hearing},
    transport::{
        SetupError,
        circuit::{Circuit, Permit, Sign},
        deadline, http,
        lane::{Full, Lane, Lanes},
    },
};

/// How long a connection may take to be there, TLS included.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long callers are sent away while the circuit is open and its probe fails.
const PROBE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The HTTP client with its circuit and its lanes.
#[derive(Debug)]
pub(super) struct Client {
    base_url: String,
    http: RwLock<reqwest::Client>,
    circuit: Circuit,
    lanes: Lanes,
    hearing: Hearing,
}

impl Client {
    pub(super) fn new(base_url: String, tls: rustls::ClientConfig) -> Result<Self, SetupError> {
        Ok(Self {
            base_url,
            http: RwLock::new(http::client(tls, CONNECT_MAX)?),
            circuit: Circuit::default(),
            lanes: Lanes::default(),
            hearing: Hearing::default(),
        })
    }

    /// Makes a call, and repeats it within its time if that can help.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer, Failure> {
        if call.body.as_ref().is_some_and(|(_, octets)| octets.len() > BODY_OCTETS_MAX) {
            return Err(Failure::Unfit(format!("the body for {} is larger than the CM takes", call.path)));
        }
        let ends = Instant::now() + call.deadline.total;
        let trace_id = observation::trace_id();
        let mut earlier = Outcome::NotSent;
        let mut failed = 0;
        loop {
            let told = Attempt::begin(call.operation(), failed + 1, trace_id).heard_by(&self.hearing);
            if let Err(failure) = self.pass_circuit(ends).await {
                told.end(failure.told(None));
                return Err(failure.after(earlier));
            }
            let failure = match self.attempt(call, told, trace_id, ends).await {
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
        let trace_id = observation::trace_id();
        let told = Attempt::begin(call.operation(), 1, trace_id).heard_by(&self.hearing);
        let raw = exchange(&self.http(), &self.base_url, &call, trace_id, ends).await;
        told.end(match &raw {
            Ok(raw) => CallOutcome::Answered { status: raw.status.as_u16(), request_id: raw.request_id() },
            Err(failure) => failure.told(None),
        });
        let raw = raw?;
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
        let fresh = http::client(tls, CONNECT_MAX)?;
        let call = Call::read(Lane::Rest, String::from("/whoami"), None);
        let ends = Instant::now() + call.deadline.whole;
        let raw = exchange(&fresh, &self.base_url, &call, observation::trace_id(), ends).await;
        raw.and_then(|raw| decode(raw.judge(&call.path)?.json))
            .map_err(|failure| failure.into_error(Subject::Configuration))
            .and_then(accept)
            .map_err(|error| SetupError::SelfCheck(error.to_string()))?;
        *self.http.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The CM takes so many calls a second.
    pub(super) fn pace(&self, per_second: u32) {
        self.lanes.pace.advertised(per_second);
    }

    /// Tells this one of each attempt from now on.
    pub(super) fn listen(&self, listener: Listener) {
        self.hearing.begin(listener);
    }

    /// How circuit and lanes are now.
    pub(super) fn condition(&self) -> Condition {
        self.lanes.condition(&self.circuit)
    }

    /// Returns when the circuit has closed.
    pub(super) async fn reconnected(&self) {
        self.circuit.closed().await;
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
        Err(Failure::not_asked(Silence::CircuitOpen, Some(wait)))
    }

    async fn attempt(&self, call: &Call, told: Attempt, trace_id: u128, ends: Instant) -> Result<Answer, Failure> {
        // Anything may have happened while it waited for its turn.
        let turn_by = ends.checked_sub(call.deadline.left_min()).unwrap_or(ends);
        let _place = match self.lanes.enter(call.lane, turn_by).await {
            Ok(place) => place,
            Err(Full { retry_after }) => {
                tracing::warn!(path = call.path, "too many calls to the CM are under way");
                told.end(CallOutcome::QueueFull);
                return Err(Failure::not_asked(Silence::QueueFull, Some(retry_after)));
            }
        };
        let began = Instant::now();
        if let Some(wait) = self.circuit.open_for(began) {
            told.end(CallOutcome::CircuitOpen);
            return Err(Failure::not_asked(Silence::CircuitOpen, Some(wait)));
        }
        let raw = exchange(&self.http(), &self.base_url, call, trace_id, ends).await;
        let request_id = raw.as_ref().ok().and_then(Raw::request_id);
        let answer = raw.and_then(|raw| raw.judge(&call.path));
        told.end(match &answer {
            Ok(answer) => CallOutcome::Answered { status: answer.status.as_u16(), request_id },
            Err(failure) => failure.told(request_id),
        });
        // A feed that breaks says nothing about whether the CM issues.
        if call.lane == Lane::Events {
            return answer;
        }
        let sign = answer.as_ref().map_or_else(|failure| failure.sign(began), |_| Sign::Answered);
        self.circuit.record(sign, Instant::now());
        if answer.as_ref().is_err_and(Failure::is_too_fast) {
            self.lanes.pace.lower(began, Instant::now());
        }
        answer
    }
}
