//! Transcripts: what happened to an order or an authorization, entry after entry, written in the
//! commit of whatever happened.
//!
//! An entry is never changed. It may be forgotten from its own time on, and not before the order or
//! authorization that it tells of is; one of an order that never came about has its own time only.
//! Entries are evidence for people: nothing is decided by them.

use acme::{ids::Reference, time::Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::error;

use crate::{
    Commit, ReadError, SCAN_MAX, Store,
    backend::Unavailable,
    keys,
    records::{Kept, KeptUntil},
};

/// Largest entry, in octets of JSON; what is larger is cut.
pub const ENTRY_OCTETS_MAX: usize = 4096;
/// Stands in the place of what was cut.
pub const CUT: &str = "[cut]";
/// Longest text and longest list, tried one after the other until an entry is small enough. No id is
/// longer than the shortest text, and no address.
const SHORTER: [(usize, usize); 6] = [(1024, 100), (512, 24), (256, 12), (128, 8), (64, 6), (64, 2)];

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptEntry {
    /// When it happened.
    pub at: Timestamp,
    /// Its place among the entries of all transcripts: by time, then in the order in which a process
    /// committed them.
    pub place: TranscriptPlace,
    /// What happened. The text [`CUT`] stands where a text was cut, and the member `cut` says that
    /// something was.
    pub body: Value,
}

/// The place of an entry among all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TranscriptPlace(String);

/// An entry that a commit adds.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) subject: Reference,
    pub(crate) record: TranscriptRecord,
    pub(crate) keep_until: Timestamp,
}

/// How an entry lies in the store.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TranscriptRecord {
    pub(crate) at: Timestamp,
    body: Value,
}

impl Store {
    /// The first entries about an order or authorization, oldest first; at most `limit`. One that
    /// cannot be read is logged and passed over.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn transcript(&self, subject: &Reference, limit: usize) -> Result<Vec<TranscriptEntry>, ReadError> {
        let mut found = Vec::new();
        for entry in self.backend.scan(&keys::told_of(subject), limit.min(SCAN_MAX)).await? {
            let Some((_, position)) = keys::read_told(&entry.key) else { continue };
            match self.backend.decode::<Kept<TranscriptRecord>>(&entry.key, &entry.held.value) {
                Ok(Kept { value: TranscriptRecord { at, body }, .. }) => {
                    found.push(TranscriptEntry { at, place: TranscriptPlace(position.to_owned()), body });
                }
                Err(why) => error!(%why, "an entry of a transcript cannot be read"),
            }
        }
        Ok(found)
    }

    /// Until when at least there is an order or authorization of this id; `None` if there is none.
    pub(crate) async fn subject_kept_until(
        &self,
        subject: &Reference,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Unavailable> {
        for key in [keys::order_of(subject), keys::authorization_of(subject)] {
            if let Some(held) = self.backend.read(&key).await? {
                // One that cannot be read is there all the same.
                return Ok(Some(
                    self.backend.decode::<KeptUntil>(&key, &held.value).map_or(now, |record| record.keep_until),
                ));
            }
        }
        Ok(None)
    }
}

impl Commit {
    /// Adds an entry to the transcript of an order or authorization, which need not exist. It may be
    /// forgotten from `keep_until` on, but not before what it tells of. What makes it larger than
    /// [`ENTRY_OCTETS_MAX`] is cut.
    pub fn tell(&mut self, subject: &Reference, at: Timestamp, body: Value, keep_until: Timestamp) {
        let record = TranscriptRecord { at, body: cut(body) };
        self.told.push(Told { subject: subject.clone(), record, keep_until });
    }
}

/// The entry, as much of it as there is room for.
fn cut(body: Value) -> Value {
    if octets(&body) <= ENTRY_OCTETS_MAX {
        return body;
    }
    for (characters, items) in SHORTER {
        let mut shorter = shorten(&body, characters, items);
        if let Value::Object(members) = &mut shorter {
            members.insert(String::from("cut"), Value::Bool(true));
        }
        if octets(&shorter) <= ENTRY_OCTETS_MAX {
            return shorter;
        }
    }
    Value::String(String::from(CUT))
}

fn octets(value: &Value) -> usize {
    value.to_string().len()
}

/// Of long texts the beginning, of long lists beginning and end.
fn shorten(value: &Value, characters: usize, items: usize) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(text) => {
            if text.chars().nth(characters).is_none() {
                return value.clone();
            }
            let kept: String = text.chars().take(characters.saturating_sub(CUT.len())).collect();
            Value::String(kept + CUT)
        }
        Value::Array(list) => {
            let skipped = list.len().saturating_sub(items);
            let first = items.div_ceil(2);
            let kept = list.iter().enumerate().filter(|(at, _)| *at < first || *at >= first.saturating_add(skipped));
            Value::Array(kept.map(|(_, item)| shorten(item, characters, items)).collect())
        }
        Value::Object(members) => {
            let kept = members.iter().map(|(name, member)| (name.clone(), shorten(member, characters, items)));
            Value::Object(kept.collect())
        }
    }
}

#[cfg(test)]
mod tests;
