//! The JSON of RFC 8555, one file a resource: request payloads as they are read, objects as they
//! are written.
//!
//! Wire types carry what the protocol says and nothing else: URLs are strings made by whoever
//! knows the external URL. Unknown members of requests are ignored (RFC 8555 §7.3), members of
//! the wrong JSON type are refused, duplicate members too.

pub mod account;
pub mod authorization;
pub mod directory;
pub mod order;
pub mod problem;
pub mod renewal_info;
pub mod revocation;

use serde::de::DeserializeOwned;

/// A payload that is not the JSON object this resource takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payload is not what this resource takes: {0}")]
pub struct PayloadError(String);

/// Reads a request payload.
///
/// # Errors
/// [`PayloadError`] naming the member that is missing, doubled or of the wrong type.
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, PayloadError> {
    if payload.first().is_none_or(|first| *first != b'{') && !starts_with_space(payload) {
        return Err(PayloadError(String::from("a JSON object is expected")));
    }
    serde_json::from_slice(payload).map_err(|error| PayloadError(error.to_string()))
}

fn starts_with_space(payload: &[u8]) -> bool {
    payload.trim_ascii_start().first() == Some(&b'{')
}

/// Reads an optional string member in which some clients send the empty string for "not given".
pub(crate) fn empty_is_absent<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = serde::Deserialize::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()))
}
