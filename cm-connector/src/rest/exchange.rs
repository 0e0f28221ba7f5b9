//! One HTTP exchange with whoever is at the CM's address, and whether what came back is the CM's own
//! (CM contract sections 3, 5 and 6).
//!
//! Answers are bounded, redirects are faults, and whatever is not the CM's own answer counts as none
//! at all.

use std::time::Duration;

use reqwest::{
    StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{
    call::{Answer, Call},
    failure::{Failure, Silence},
    wire::{Broken, problem::ProblemIn},
};
use crate::{
    Outcome,
    observation::word,
    transport::{http::chain_of, tls},
};

/// Largest answer, in octets.
const ANSWER_OCTETS_MAX: usize = 1024 * 1024;
/// How much of a stranger's answer goes to the log, in octets.
const LOGGED_OCTETS_MAX: usize = 200;
/// Longest `Retry-After` that is believed.
const RETRY_AFTER_SECS_MAX: u64 = 86_400;

/// An answer before it is judged.
pub(super) struct Raw {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Sends once and reads what comes back, whoever it is from.
pub(super) async fn exchange(
    http: &reqwest::Client,
    base_url: &str,
    call: &Call,
    trace_id: u128,
    ends: Instant,
) -> Result<Raw, Failure> {
    let started = Instant::now();
    let mut url = format!("{base_url}{}", call.path);
    if let Some((name, value)) = &call.query {
        url = format!("{url}?{name}={value}");
    }
    let mut request = http
        .request(call.method.clone(), url)
        .header(ACCEPT, "application/json, application/problem+json")
        .header("traceparent", traceparent(trace_id, rand::random()));
    for (name, value) in &call.headers {
        request = request.header(*name, value);
    }
    if let Some((content_type, octets)) = &call.body {
        request = request.header(CONTENT_TYPE, *content_type).body(octets.clone());
    }
    let trace = format!("{trace_id:032x}");
    let head_by = (started + call.deadline.first_byte).min(ends);
    let response = match timeout_at(head_by, request.send()).await {
        Ok(Ok(response)) => response,
        // The path says it better, and without the idempotency key of a look-up.
        Ok(Err(error)) => return Err(transport_failure(&error.without_url(), call, &trace)),
        Err(_) => {
            tracing::warn!(method = %call.method, path = call.path, trace, "the CM did not answer in time");
            return Err(Failure::lost(Silence::TimedOut));
        }
    };
    let (status, headers) = (response.status(), response.headers().clone());
    let body = timeout_at((started + call.deadline.whole).min(ends), bounded_body(response)).await;
    tracing::debug!(
        method = %call.method,
        path = call.path,
        status = status.as_u16(),
        millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        trace,
        cm_request_id = %text_header(&headers, "cm-request-id"),
        "called the CM"
    );
    match body {
        Ok(Ok(body)) => Ok(Raw { status, headers, body }),
        Ok(Err(failure)) => Err(failure),
        Err(_) => {
            tracing::warn!(method = %call.method, path = call.path, trace, "the CM's answer did not end in time");
            Err(Failure::lost(Silence::TimedOut))
        }
    }
}

impl Raw {
    pub(super) fn judge(self, path: &str) -> Result<Answer, Failure> {
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

    pub(super) fn is(&self, media_type: &str) -> bool {
        let value = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
    }

    /// A page of a proxy, a redirect, nothing: whoever said this, it was not the CM, and does not say when it is back.
    pub(super) fn no_answer(&self, path: &str) -> Failure {
        let (start, _) = self.body.split_at(self.body.len().min(LOGGED_OCTETS_MAX));
        tracing::warn!(
            path,
            status = self.status.as_u16(),
            content_type = %text_header(&self.headers, "content-type"),
            body = %acme::problem::shown(&String::from_utf8_lossy(start)),
            "this is no answer of the CM"
        );
        Failure::Unanswered {
            silence: Silence::NotTheCm { status: self.status.as_u16() },
            outcome: Outcome::Unknown,
            retry_after: None,
        }
    }

    /// The CM's name of the request.
    pub(super) fn request_id(&self) -> Option<String> {
        let text = self.headers.get("cm-request-id")?.to_str().ok()?;
        Some(word(text))
    }
}

fn transport_failure(error: &reqwest::Error, call: &Call, trace: &str) -> Failure {
    if tls::is_refused_certificate(error) {
        tracing::error!(error = chain_of(error), "a certificate was refused in the TLS handshake with the CM");
        return Failure::Certificate { earlier: Outcome::NotSent };
    }
    if error.is_builder() {
        return Failure::Unfit(chain_of(error));
    }
    tracing::warn!(method = %call.method, path = call.path, trace, error = chain_of(error), "the CM cannot be reached");
    if error.is_connect() {
        return Failure::not_asked(Silence::NoConnection, None);
    }
    Failure::lost(Silence::ConnectionLost)
}

async fn bounded_body(mut response: reqwest::Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_OCTETS_MAX => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Failure::Broken(Broken(String::from("it is larger than 1 MiB")))),
            Ok(None) => return Ok(body),
            Err(error) => {
                tracing::warn!(error = chain_of(&error.without_url()), "the CM's answer broke off");
                return Err(Failure::lost(Silence::ConnectionLost));
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
    word(text)
}

/// Where the CM's records of this request belong (W3C Trace Context): we keep one, so it is sampled.
fn traceparent(trace_id: u128, parent_id: u64) -> String {
    // Zero is no parent id.
    format!("00-{trace_id:032x}-{:016x}-01", parent_id.max(1))
}
