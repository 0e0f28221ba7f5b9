//! One request as a handler sees it, and its answer.
//!
//! Handlers are plain functions of a [`Call`] that run on a blocking thread; they know neither
//! sockets nor futures. What they need of time and randomness beyond ids comes with the call.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::body::Bytes;
use http::{HeaderMap, HeaderName, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::identity::{Identity, Role};
use super::moment::Moment;
use super::operations::{Operation, Right};
use super::problem::{Code, Problem};
use crate::faults::Fault;

/// Media type of plain bodies.
pub(crate) const JSON: &str = "application/json";
/// Media type of chains (RFC 8555 section 9.1).
pub(crate) const PEM_CHAIN: &str = "application/pem-certificate-chain";

/// A request that has passed the door: authenticated, within its limits, body read.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// What is asked for.
    pub(crate) operation: Operation,
    /// Who asks.
    pub(crate) identity: Identity,
    /// From where.
    pub(crate) source: IpAddr,
    /// When it arrived, by the CM's clock.
    pub(crate) now: Moment,
    /// The id that log, answer and audit trail share.
    pub(crate) request_id: String,
    /// Parameters of the path.
    pub(crate) parameters: BTreeMap<String, String>,
    /// Parameters of the query, each at most once.
    pub(crate) query: BTreeMap<String, String>,
    /// Headers as they came.
    pub(crate) headers: HeaderMap,
    /// Body octets.
    pub(crate) body: Bytes,
    /// A fault for the handler itself (wrong certificate, pending, rejected).
    pub(crate) fault: Option<Fault>,
}

impl Call {
    /// A parameter of the path; the router guarantees it.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// A parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// Refuses query parameters that this operation does not know.
    pub(crate) fn only_query(&self, known: &[&str]) -> Result<(), Problem> {
        match self.query.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Problem::new(Code::Malformed, format!("the query parameter {name} is not known here"))),
            None => Ok(()),
        }
    }

    /// The body as JSON of this type; unknown and repeated members are refused by the type.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let expected =
            if self.operation == Operation::UpdateRegistration { "application/merge-patch+json" } else { JSON };
        let given = self
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(str::trim);
        if !given.is_some_and(|given| given.eq_ignore_ascii_case(expected)) {
            return Err(Problem::new(Code::Malformed, format!("the body must be {expected}")));
        }
        // A derived type takes a list of its members in their order as well, which no schema has.
        if self.body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::new(Code::Malformed, "the body must be a JSON object"));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Problem::new(Code::Malformed, error.to_string().replace('"', "'")))
    }

    /// SHA-256 of the body octets, for idempotency.
    pub(crate) fn body_digest(&self) -> Vec<u8> {
        Sha256::digest(&self.body).to_vec()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The Idempotency-Key where the contract needs one.
    pub(crate) fn idempotency_key(&self) -> Result<&str, Problem> {
        let key = self
            .header("idempotency-key")
            .ok_or_else(|| Problem::new(Code::IdempotencyKeyMissing, "this operation needs an Idempotency-Key"))?;
        let plain = (16..=64).contains(&key.len())
            && key.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'));
        if plain {
            Ok(key)
        } else {
            Err(Problem::new(Code::Malformed, "Idempotency-Key must be 16 to 64 characters of A-Z a-z 0-9 - _"))
        }
    }

    /// The version in `If-Match`, which a versioned write must send.
    pub(crate) fn if_match(&self) -> Result<i64, Problem> {
        let value = self
            .header("if-match")
            .ok_or_else(|| Problem::new(Code::PreconditionRequired, "this operation needs If-Match"))?;
        parse_etag(value).ok_or_else(|| Problem::new(Code::Malformed, "If-Match must be one quoted version"))
    }

    /// Refuses callers without this right.
    pub(crate) fn require(&self, right: Right) -> Result<(), Problem> {
        if right.is_held_by(self.identity.role) {
            Ok(())
        } else {
            Err(Problem::new(
                Code::Forbidden,
                format!("the role {} may not do this ({right:?})", self.identity.role.name()),
            ))
        }
    }

    /// Whether the caller is a gateway.
    pub(crate) fn is_gateway(&self) -> bool {
        self.identity.role == Role::Gateway
    }
}

/// The version in a strong entity tag such as `"3"`.
pub(crate) fn parse_etag(value: &str) -> Option<i64> {
    value.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// What an answer may wait for if the caller prefers to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// A certificate request that is being worked on.
    Request(String),
    /// Anything new in the event feed.
    Events,
}

/// An answer of a handler.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Headers besides the ones that every answer has.
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// Media type of the body; none means no body.
    pub(crate) media_type: Option<&'static str>,
    /// Body octets.
    pub(crate) body: Vec<u8>,
    /// What could still change this answer.
    pub(crate) pending: Option<Pending>,
}

impl Answer {
    /// A JSON answer.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), media_type: Some(JSON), body: body.to_string().into_bytes(), pending: None }
    }

    /// A page of items.
    pub(crate) fn page(items: Vec<Value>, next: Option<String>) -> Self {
        Self::json(200, &serde_json::json!({"items": items, "next": next}))
    }

    /// An answer without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), media_type: None, body: Vec::new(), pending: None }
    }

    /// A PEM chain.
    pub(crate) fn pem(chain: &str) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            media_type: Some(PEM_CHAIN),
            body: chain.as_bytes().to_vec(),
            pending: None,
        }
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds the entity tag of a version.
    pub(crate) fn with_version(self, version: i64) -> Self {
        self.with(header::ETAG, format!("\"{version}\""))
    }
}
