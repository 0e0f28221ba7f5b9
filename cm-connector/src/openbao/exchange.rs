//! One HTTP exchange with one node of OpenBao, and whether what came back is its answer. Answers are bounded,
//! redirects are not followed, deadlines are ours.

use std::time::Duration;

use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{
    consistency::{Consistency, IF_BEHIND},
    failure::{Failure, Instead},
};
use crate::transport::{http::chain_of, tls};

/// Largest answer, in octets: a page of the list of certificates.
const ANSWER_OCTETS_MAX: usize = 2 * 1024 * 1024;
/// For TCP and TLS together.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(3);

/// What is sent.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    /// With query, from `/v1/` on.
    pub(super) path: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) body: Option<&'a Value>,
}

/// What came back, whatever it says.
pub(super) struct Raw {
    pub(super) status: u16,
    pub(super) json: Value,
    errors: Vec<String>,
    retry_after: Option<u64>,
    is_json: bool,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

impl Raw {
    #[cfg(test)]
    pub(super) fn of(status: u16, json: Value) -> Self {
        let errors = serde_json::from_value::<Errors>(json.clone()).map(|answer| answer.errors).unwrap_or_default();
        Self { status, json, errors, retry_after: None, is_json: true }
    }

    /// The answer, if it is one.
    pub(super) fn judge(self) -> Result<Value, Failure> {
        match self.status {
            204 => Ok(Value::Null),
            200..=299 if self.is_json => Ok(self.json),
            200..=299 => Err(Failure::not_active(self.status, crate::Outcome::Unknown)),
            // A proxy's page says nothing about OpenBao, whatever its status.
            400..=499 if !self.is_json => Err(Failure::not_active(self.status, crate::Outcome::Unknown)),
            status => Err(Failure::of(status, &self.errors, self.retry_after)),
        }
    }
}

/// Sends once and reads what comes back, until `by`.
pub(super) async fn exchange(
    http: &reqwest::Client,
    base_url: &str,
    question: &Question<'_>,
    consistency: &Consistency,
    by: Instant,
) -> Result<Raw, Failure> {
    let mut request = http.request(question.method.clone(), format!("{base_url}{}", question.path));
    if let Some(token) = question.token {
        let mut token =
            HeaderValue::from_str(token).map_err(|_| Failure::Broken(String::from("a token is no header")))?;
        token.set_sensitive(true);
        request = request.header("x-vault-token", token);
    }
    let asked = consistency.asked();
    if let Some((name, value)) = asked.header() {
        request = request.header(name, value).header(IF_BEHIND.0, IF_BEHIND.1);
    }
    if let Some(body) = question.body {
        request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
    }
    let response = match timeout_at(by, request.send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(transport_failure(&error.without_url())),
        Err(_) => return Err(Failure::lost(Instead::TimedOut)),
    };
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    consistency.learn(&headers, &asked, question.method != Method::GET);
    match timeout_at(by, bounded_body(response)).await {
        Ok(body) => Ok(raw(status, &headers, &body?)),
        Err(_) => Err(Failure::lost(Instead::TimedOut)),
    }
}

fn raw(status: u16, headers: &HeaderMap, body: &[u8]) -> Raw {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let json = serde_json::from_slice::<Value>(body).ok();
    let errors = serde_json::from_slice::<Errors>(body).map(|answer| answer.errors).unwrap_or_default();
    Raw {
        status,
        // A quota's answer has no body at all.
        is_json: json.is_some() || status == 429,
        json: json.unwrap_or_default(),
        errors,
        retry_after: text(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()),
    }
}

fn transport_failure(error: &reqwest::Error) -> Failure {
    if tls::is_refused_certificate(error) {
        tracing::error!(error = chain_of(error), "a certificate was refused in the TLS handshake with OpenBao");
        return Failure::Stranger;
    }
    if error.is_builder() {
        return Failure::Broken(chain_of(error));
    }
    tracing::warn!(error = chain_of(error), "OpenBao cannot be reached");
    let no_connection = error.is_connect();
    if no_connection { Failure::not_asked(Instead::NoConnection, None) } else { Failure::lost(Instead::ConnectionLost) }
}

async fn bounded_body(mut response: reqwest::Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_OCTETS_MAX => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Failure::Broken(String::from("OpenBao's answer is larger than 2 MiB"))),
            Ok(None) => return Ok(body),
            Err(error) => {
                tracing::warn!(error = chain_of(&error.without_url()), "OpenBao's answer broke off");
                return Err(Failure::lost(Instead::ConnectionLost));
            }
        }
    }
}
