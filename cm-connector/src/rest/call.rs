//! A call to the CM and what the CM answers it (CM contract section 3).

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{failure::Failure, template, wire};
use crate::transport::{deadline::Deadline, lane::Lane};

/// Largest request body, in octets (section 3, Limits).
pub(super) const BODY_OCTETS_MAX: usize = 256 * 1024;

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

    /// How it is told to whoever listens.
    pub(super) fn operation(&self) -> String {
        template::of(&self.method, &self.path, self.query.as_ref().map(|(name, _)| *name))
    }
}

/// Takes a JSON answer apart.
pub(super) fn decode<T: serde::de::DeserializeOwned>(json: Value) -> Result<T, Failure> {
    wire::read(json).map_err(Failure::Broken)
}
