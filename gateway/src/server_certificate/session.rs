//! Signed requests of our account, one after the other (RFC 8555 §6): nonces, `badNonce`, problems, polling.

use std::time::Duration;

use http::{HeaderName, Method, StatusCode, header};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    loopback::{Loopback, Response},
    signing::{AccountKey, Signer},
};

const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");
/// Requests that are repeated with another nonce.
const NONCES_MAX: usize = 3;
/// Between two looks at something that is under way, unless the server says otherwise.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// How long one try looks at the same thing.
const POLL_MAX: Duration = Duration::from_secs(120);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObtainError {
    /// The server said no, or the answer cannot be used.
    #[error("{reason}")]
    Refused {
        /// The last part of the problem's type.
        kind: String,
        reason: String,
    },
    /// Something did not work, and may the next time.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// An answer that is no problem document.
pub(crate) struct Answer {
    pub(crate) object: Value,
    pub(crate) text: String,
    pub(crate) location: Option<String>,
    retry_after: Option<Duration>,
}

/// One conversation.
pub(crate) struct Session<'a> {
    http: Loopback,
    key: &'a AccountKey,
    new_nonce: String,
    account: Option<String>,
    nonce: Option<String>,
}

impl<'a> Session<'a> {
    /// With the server that `http` leads to, whose newNonce has this URL.
    pub(crate) fn new(http: Loopback, key: &'a AccountKey, new_nonce: String) -> Self {
        Self { http, key, new_nonce, account: None, nonce: None }
    }

    /// From now on requests are those of this account.
    pub(crate) fn log_in(&mut self, account: String) {
        self.account = Some(account);
    }

    /// Reads by POST-as-GET.
    pub(crate) async fn read(&mut self, url: &str) -> Result<Answer, ObtainError> {
        self.send(url, "").await
    }

    pub(crate) async fn post(&mut self, url: &str, payload: &Value) -> Result<Answer, ObtainError> {
        self.send(url, &payload.to_string()).await
    }

    /// Reads until the status is none of these, or until it has taken too long: then the last answer.
    pub(crate) async fn poll(&mut self, url: &str, under_way: &[&str]) -> Result<Answer, ObtainError> {
        let end = Instant::now() + POLL_MAX;
        loop {
            let answer = self.read(url).await?;
            let pause = answer.retry_after.unwrap_or(POLL_EVERY).max(POLL_EVERY);
            if !under_way.contains(&answer.member("status")) || Instant::now() + pause > end {
                return Ok(answer);
            }
            sleep(pause).await;
        }
    }

    async fn send(&mut self, url: &str, payload: &str) -> Result<Answer, ObtainError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let nonce = self.nonce().await?;
            let signer = self.account.as_deref().map_or(Signer::Key, Signer::Account);
            let body = self.key.sign(signer, url, &nonce, payload)?;
            let response = self.http.send(Method::POST, url, body).await?;
            self.nonce = header_text(&response, &REPLAY_NONCE);
            match Answer::of(response) {
                Err(ObtainError::Refused { kind, .. }) if kind == "badNonce" && tried < NONCES_MAX => {}
                outcome => return outcome,
            }
        }
    }

    async fn nonce(&mut self) -> anyhow::Result<String> {
        if let Some(nonce) = self.nonce.take() {
            return Ok(nonce);
        }
        let response = self.http.send(Method::HEAD, &self.new_nonce, String::new()).await?;
        header_text(&response, &REPLAY_NONCE)
            .ok_or_else(|| anyhow::anyhow!("newNonce was answered {} without a nonce", response.status))
    }
}

impl Answer {
    fn of(response: Response) -> Result<Self, ObtainError> {
        let text = String::from_utf8_lossy(&response.body).into_owned();
        // A chain is no JSON.
        let object: Value = serde_json::from_str(&text).unwrap_or_default();
        if response.status >= StatusCode::BAD_REQUEST {
            return Err(refusal(&object, response.status));
        }
        Ok(Self {
            location: header_text(&response, &header::LOCATION),
            retry_after: header_text(&response, &header::RETRY_AFTER)
                .and_then(|text| text.parse().ok())
                .map(Duration::from_secs),
            object,
            text,
        })
    }

    /// A member of the object, if it is a text.
    pub(crate) fn member(&self, name: &str) -> &str {
        self.object.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The members of an array of texts.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let values = self.object.get(name).and_then(Value::as_array);
        values.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

/// A problem document as a reason; what is on the side of the server may pass soon. A limit that was met does
/// not, so it counts as a refusal.
fn refusal(problem: &Value, status: StatusCode) -> ObtainError {
    let member = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = member("type").rsplit(':').next().unwrap_or_default().to_owned();
    let reason = format!("{} ({kind}, {status})", member("detail"));
    if status.is_server_error() {
        ObtainError::Failed(anyhow::Error::msg(reason))
    } else {
        ObtainError::Refused { kind, reason }
    }
}

/// The error of an object that has ended badly.
pub(crate) fn error_of(object: &Value) -> Option<ObtainError> {
    object.get("error").filter(|error| error.is_object()).map(|error| refusal(error, StatusCode::FORBIDDEN))
}

fn header_text(response: &Response, name: &HeaderName) -> Option<String> {
    response.headers.get(name)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_person_must_mend_is_told_apart_from_what_passes() {
        let problem = json!({"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "no"});
        let ObtainError::Refused { kind, reason } = refusal(&problem, StatusCode::FORBIDDEN) else {
            panic!("a refusal is expected")
        };
        assert_eq!((kind.as_str(), reason.as_str()), ("rejectedIdentifier", "no (rejectedIdentifier, 403 Forbidden)"));
        assert!(matches!(refusal(&problem, StatusCode::SERVICE_UNAVAILABLE), ObtainError::Failed(_)));
        assert!(matches!(refusal(&problem, StatusCode::TOO_MANY_REQUESTS), ObtainError::Refused { .. }));
        assert!(error_of(&json!({"status": "invalid", "error": problem})).is_some());
        assert!(error_of(&json!({"status": "valid"})).is_none());
    }
}
