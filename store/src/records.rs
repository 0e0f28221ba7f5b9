//! How a record lies in the store.
//!
//! | octets | |
//! |---|---|
//! | 1 | the format version, 2 |
//! | 4 | the CRC-32 of everything else and of the key, big endian |
//! | the rest | the record in JSON as `seal.rs` seals it: a nonce, the encrypted text, a tag |
//!
//! The first five octets stay where they are in every version. The tag alone would tell that a record is not as it
//! was written; the CRC tells a damaged disk from a wrong key, and tells an older release that it should not
//! try. Version 1 had the JSON in clear after the five octets: it is read, and never written. A record
//! that cannot be read spoils the order it belongs to and nothing else.

use acme::{ids::OrderId, time::Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    backend::{Key, Unavailable},
    seal::{RecordSeal, SealFailure},
};

/// The version that is written.
const VERSION: u8 = 2;
/// The version of releases that wrote records in clear; it is read as well.
const IN_CLEAR: u8 = 1;

/// Why something cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The store cannot be used now; nothing is known about the record.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The record is there but not as it was written.
    #[error("the record {key} is damaged: {why}")]
    Damaged {
        /// Where it is.
        key: String,
        /// What is wrong with it, for the log.
        why: String,
    },
    /// The record was written by another release of the gateway.
    #[error(
        "the record {key} has format version {version}, this release reads versions {IN_CLEAR} and {VERSION}; use the release that wrote it, or a newer one"
    )]
    UnknownVersion {
        /// Where it is.
        key: String,
        /// Its format version.
        version: u8,
    },
}

/// A record that may be forgotten one day.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept<Value> {
    /// From this time on.
    pub(crate) keep_until: Timestamp,
    pub(crate) value: Value,
}

/// The one thing of a kept record that sweeping needs.
#[derive(Debug, Deserialize)]
pub(crate) struct KeptUntil {
    pub(crate) keep_until: Timestamp,
}

/// Which order replaces a certificate.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Replacement {
    pub(crate) order: OrderId,
}

/// What waits to be handed on to the audit log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AuditRecord {
    pub(crate) at: Timestamp,
    pub(crate) body: serde_json::Value,
}

/// Lies in a store to tell whether it was sealed with our key; there is nothing in it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SealCheck {}

/// Keys of records that may be forgotten.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeepList {
    pub(crate) keys: Vec<String>,
}

/// Why a record cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is not as it was written.
    Damaged(String),
    /// It is as it was written, but not by a store with our key.
    OtherKey,
    /// Another release wrote it.
    UnknownVersion(u8),
}

impl Unreadable {
    /// What the caller of the store is told. What no key of ours opens is as good as damaged.
    pub(crate) fn at(self, key: &Key) -> ReadError {
        let key = key.to_string();
        match self {
            Self::Damaged(why) => ReadError::Damaged { key, why },
            Self::OtherKey => ReadError::Damaged { key, why: String::from("it was sealed with another key") },
            Self::UnknownVersion(version) => ReadError::UnknownVersion { key, version },
        }
    }
}

/// Seals a record that will lie under this key.
pub(crate) fn encode(seal: &RecordSeal, key: &Key, json: &[u8]) -> Result<Vec<u8>, SealFailure> {
    Ok(frame(key, VERSION, &seal.seal(key, json)?))
}

/// Reads the record that lies under this key.
pub(crate) fn decode<Record: DeserializeOwned>(
    seal: &RecordSeal,
    key: &Key,
    octets: &[u8],
) -> Result<Record, Unreadable> {
    let damaged = |why: &str| Unreadable::Damaged(why.to_owned());
    let (&version, rest) = octets.split_first().ok_or_else(|| damaged("it is empty"))?;
    let (crc, rest) = rest.split_first_chunk().ok_or_else(|| damaged("it is too short"))?;
    if u32::from_be_bytes(*crc) != checksum(key, version, rest) {
        return Err(damaged("its checksum is wrong"));
    }
    let json = match version {
        VERSION => &seal.open(key, rest).ok_or(Unreadable::OtherKey)?,
        IN_CLEAR => rest,
        unknown => return Err(Unreadable::UnknownVersion(unknown)),
    };
    serde_json::from_slice(json).map_err(|why| Unreadable::Damaged(why.to_string()))
}

/// The octets that every version begins with, and what follows them.
pub(crate) fn frame(key: &Key, version: u8, rest: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(rest.len().saturating_add(5));
    octets.push(version);
    octets.extend(checksum(key, version, rest).to_be_bytes());
    octets.extend(rest);
    octets
}

fn checksum(key: &Key, version: u8, rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_str().as_bytes());
    hasher.update(&[0, version]);
    hasher.update(rest);
    hasher.finalize()
}

#[cfg(test)]
mod tests;
