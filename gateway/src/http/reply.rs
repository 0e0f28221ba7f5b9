//! Answers that went well. What every answer carries (nonce, index link, no-store) is added in
//! `headers.rs`; here is what a single resource adds.

use std::time::Duration;

use acme::time::Timestamp;
use actix_web::{HttpResponse, HttpResponseBuilder, http::StatusCode, http::header};

use super::problem::with_json;

/// Builds one answer.
pub(crate) struct Reply(HttpResponseBuilder);

impl Reply {
    pub(crate) fn ok() -> Self {
        Self(HttpResponse::Ok())
    }

    pub(crate) fn created() -> Self {
        Self(HttpResponse::Created())
    }

    pub(crate) fn status(status: StatusCode) -> Self {
        Self(HttpResponse::build(status))
    }

    pub(crate) fn location(mut self, url: impl Into<String>) -> Self {
        self.0.insert_header((header::LOCATION, url.into()));
        self
    }

    /// One relation a header line, the name in double quotes: clients split no finer.
    pub(crate) fn link(mut self, relation: &str, url: &str) -> Self {
        self.0.append_header((header::LINK, format!("<{url}>;rel=\"{relation}\"")));
        self
    }

    /// Whole seconds, at least one.
    pub(crate) fn retry_after(mut self, wait: Option<Duration>) -> Self {
        if let Some(wait) = wait {
            self.0.insert_header((header::RETRY_AFTER, wait.as_secs().max(1).to_string()));
        }
        self
    }

    /// Anybody may keep the answer for so long, apart for browsers, which get headers of their own. Never
    /// one with a nonce: those are stripped of it.
    pub(crate) fn cacheable(mut self, max_age: Duration) -> Self {
        self.0.insert_header((header::CACHE_CONTROL, format!("public, max-age={}", max_age.as_secs())));
        self.0.insert_header((header::VARY, "Origin"));
        self
    }

    pub(crate) fn json(mut self, value: &impl serde::Serialize) -> HttpResponse {
        self.0.insert_header((header::CONTENT_TYPE, "application/json"));
        with_json(&mut self.0, value)
    }

    pub(crate) fn pem_chain(mut self, chain: String) -> HttpResponse {
        self.0.insert_header((header::CONTENT_TYPE, "application/pem-certificate-chain"));
        self.0.body(chain)
    }

    pub(crate) fn empty(mut self) -> HttpResponse {
        self.0.finish()
    }
}

/// How long a client should wait before it looks again at something that is being worked on: soon
/// at first, then ever later, never more than a minute.
pub(crate) fn poll_again(since: Timestamp, now: Timestamp) -> Duration {
    let waited = now.since(since);
    (waited / 4).clamp(Duration::from_secs(1), Duration::from_secs(60))
}
