//! How a record lies in the store.
//!
//! One octet of format version, the CRC-32 of everything else and of the key (4 octets, big
//! endian), then JSON. These five octets stay where they are in every version. The CRC covers the
//! key, so a record that turns up under another one is damaged as well. One that cannot be read
//! spoils the order it belongs to and nothing else.

use acme::{ids::OrderId, time::Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::backend::{Key, Unavailable};

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

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
        "the record {key} has format version {version}, this release reads version {VERSION}; use the release that wrote it, or a newer one"
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

/// Whose certificate a serial belongs to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SerialClaim {
    pub(crate) order: OrderId,
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

/// Keys of records that may be forgotten.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeepList {
    pub(crate) keys: Vec<String>,
}

/// Writes a record that will lie under this key.
pub(crate) fn encode(key: &Key, record: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_vec(record)?;
    let mut octets = Vec::with_capacity(json.len().saturating_add(5));
    octets.push(VERSION);
    octets.extend(checksum(key, VERSION, &json).to_be_bytes());
    octets.extend(json);
    Ok(octets)
}

/// Reads the record that lies under this key.
pub(crate) fn decode<Record: DeserializeOwned>(key: &Key, octets: &[u8]) -> Result<Record, ReadError> {
    let damaged = |why: String| ReadError::Damaged { key: key.to_string(), why };
    let (&version, rest) = octets.split_first().ok_or_else(|| damaged("it is empty".into()))?;
    let (crc, json) = rest.split_first_chunk().ok_or_else(|| damaged("it is too short".into()))?;
    if u32::from_be_bytes(*crc) != checksum(key, version, json) {
        return Err(damaged("its checksum is wrong".into()));
    }
    if version != VERSION {
        return Err(ReadError::UnknownVersion { key: key.to_string(), version });
    }
    serde_json::from_slice(json).map_err(|why| damaged(why.to_string()))
}

fn checksum(key: &Key, version: u8, json: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_str().as_bytes());
    hasher.update(&[0, version]);
    hasher.update(json);
    hasher.finalize()
}

#[cfg(test)]
mod tests;
