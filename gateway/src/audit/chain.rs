//! The chain, looked at record by record: what is wrong with it first, and what of it is proven by whom.
//!
//! Pure. A record that was changed does not have its hash any more; one that was changed with its hash is not the
//! one that the next record names; and whoever writes all that follows anew cannot sign the next checkpoint. What
//! nothing in a file can show is that its end was cut away after the last checkpoint in it, so how far the file is
//! proven is told, and a checkpoint that was kept elsewhere is held against it.

use acme::time::Timestamp;
use serde_json::{Value, json};

use super::{
    checkpoint::{Checkpoint, PublicKey},
    record::{Digest, Head, Record},
};

/// The form of what is written.
const FORMAT: u64 = 1;

/// The event that begins every file: names the key that signs in it.
pub(crate) const SEGMENT: &str = "audit.segment";
/// The event with a checkpoint for all records before it.
pub(crate) const CHECKPOINT: &str = "audit.checkpoint";
/// A process began to write.
pub(crate) const STARTED: &str = "audit.started";
/// The same process goes on after the file was not as it had left it.
pub(crate) const REOPENED: &str = "audit.reopened";
/// Another key signs from here on; announced if the one before signs this record, and an alarm if not.
pub(crate) const KEY_CHANGED: &str = "audit.key-changed";
/// A process has ended in order.
pub(crate) const STOPPED: &str = "audit.stopped";

/// How the process before ended, in `audit.started`, if it did not in order.
pub(crate) const CRASHED: &str = "crashed";

/// The event that begins a file.
pub(crate) fn segment(key: &PublicKey) -> Value {
    json!({"event": SEGMENT, "format": FORMAT, "key": key.to_string()})
}

/// The event that tells of another key.
pub(crate) fn key_changed(old: &PublicKey, new: &PublicKey, announced: bool) -> Value {
    json!({"event": KEY_CHANGED, "oldKey": old.to_string(), "newKey": new.to_string(), "announced": announced})
}

/// The event with a checkpoint.
pub(crate) fn checkpoint(checkpoint: &Checkpoint) -> Value {
    json!({"event": CHECKPOINT, "checkpoint": checkpoint.to_string()})
}

/// What is wrong with a record, or with what should be in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("edited: {0}")]
    Edited(String),
    #[error("incomplete: the file ends in the middle of it")]
    Incomplete,
    #[error("missing: {count} records from here on are not there; the next one is {next}")]
    Missing { count: u64, next: u64 },
    #[error("empty: the file has no record; one that was being written at this moment has one now")]
    Empty,
    #[error("out of order: record {found} stands in its place")]
    OutOfOrder { found: u64 },
    #[error("replaced: the record after it names another one by its hash")]
    Replaced,
    #[error("forged: it begins a file, and {0}")]
    Beginning(&'static str),
    #[error("forged: it begins a file, and stands within one")]
    Within,
    #[error("forged: the checkpoint is not signed by the key of this file")]
    NotSigned,
    #[error("forged: the checkpoint is for another record than the one before it")]
    OtherRecord,
    #[error("forged: the key {0} is none of those that were given")]
    OtherKey(String),
    #[error(
        "another key: {old} signs all before it and has not announced {new}, which signs from here on; somebody else may have \
         written that, unless you know that the key was replaced: then give both, --key {old} --key {new}"
    )]
    Unannounced { old: PublicKey, new: PublicKey },
    #[error("told by the gateway: {0}")]
    Told(String),
    #[error("rewritten: a checkpoint from elsewhere has another hash for it")]
    Rewritten,
    #[error("cut away: the files end after record {last}, and a signed checkpoint vouches for records up to {vouched}")]
    Cut { last: u64, vouched: u64 },
}

/// A record that begins a file in which another key signs than in the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyChange {
    pub(crate) sequence: u64,
    pub(crate) old: PublicKey,
    pub(crate) new: PublicKey,
    /// The old key has signed that the new one follows; else both are keys that may sign.
    pub(crate) is_announced: bool,
}

/// What was seen of a chain that is fine so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) first: Option<(u64, Timestamp)>,
    pub(crate) last: Option<(Head, Timestamp)>,
    /// Records that tell of something that happened in the gateway.
    pub(crate) events: u64,
    pub(crate) records: u64,
    pub(crate) starts: u64,
    /// Starts after a process that did not end in order.
    pub(crate) crashes: u64,
    pub(crate) checkpoints: u64,
    /// The last record that a good checkpoint vouches for.
    pub(crate) proven: Option<(u64, Timestamp)>,
    /// Records here that checkpoints from elsewhere are for, which have their hash.
    pub(crate) met: Vec<u64>,
    /// What the gateway has told of the files before the first one here, which were not as they had been left.
    pub(crate) begins_after_damage: Option<String>,
    /// The process ended in order, and nothing but a checkpoint came after.
    pub(crate) is_stopped: bool,
    /// The keys that signed, in their order.
    pub(crate) keys: Vec<PublicKey>,
    /// Where one followed another.
    pub(crate) key_changes: Vec<KeyChange>,
    /// The key that the one that signs now has announced.
    pub(crate) announced: Option<PublicKey>,
}

/// Looks at one record after the other.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    pub(crate) seen: Seen,
    /// Keys that may sign; whatever the files name if there is none.
    trusted: Vec<PublicKey>,
    /// Checkpoints from elsewhere whose record has not come yet.
    kept: Vec<Checkpoint>,
    /// The next record begins a file.
    begins_file: bool,
    /// The key that a record announces that no checkpoint has signed yet.
    unsigned: Option<PublicKey>,
}

impl Chain {
    pub(crate) fn new(trusted: Vec<PublicKey>, kept: Vec<Checkpoint>) -> Self {
        Self { trusted, kept, ..Self::default() }
    }

    /// Another file begins.
    pub(crate) const fn begin_file(&mut self) {
        self.begins_file = true;
    }

    /// The record that has to come next; 0 if any may.
    pub(crate) fn expected(&self) -> u64 {
        self.seen.last.map_or(0, |(head, _)| head.sequence.saturating_add(1))
    }

    /// Takes the next line, without its line feed.
    ///
    /// # Errors
    /// The number of the record that is wrong, and what is wrong. Then there is no use in going on.
    pub(crate) fn take(&mut self, line: &[u8]) -> Result<Record, (u64, Wrong)> {
        let expected = self.expected();
        let record = Record::read(line).map_err(|why| (expected, Wrong::Edited(why.to_string())))?;
        self.judge_place(&record)?;
        self.judge_event(&record).map_err(|wrong| (record.sequence, wrong))?;
        let rewritten =
            self.kept.iter().any(|kept| kept.head.sequence == record.sequence && kept.head.hash != record.hash);
        if rewritten {
            return Err((record.sequence, Wrong::Rewritten));
        }
        let is_kept = self.kept.iter().any(|kept| kept.head.sequence == record.sequence);
        self.seen.met.extend(is_kept.then_some(record.sequence));
        self.count(&record);
        Ok(record)
    }

    /// No more records come.
    ///
    /// # Errors
    /// As [`Chain::take`].
    pub(crate) fn end(&self) -> Result<(), (u64, Wrong)> {
        let last = self.seen.last.map_or(0, |(head, _)| head.sequence);
        let vouched = self.kept.iter().map(|kept| kept.head.sequence).max().unwrap_or(0);
        if vouched > last { Err((last.saturating_add(1), Wrong::Cut { last, vouched })) } else { Ok(()) }
    }

    fn judge_place(&mut self, record: &Record) -> Result<(), (u64, Wrong)> {
        let begins_file = std::mem::take(&mut self.begins_file);
        let begins = record.name() == SEGMENT;
        let Some((last, _)) = self.seen.last else {
            // Whoever takes the first records of a file away cannot have another one begin it.
            return match (begins, record.sequence, record.previous == Digest::NONE) {
                (false, next, _) => Err((next.saturating_sub(1), Wrong::Missing { count: 1, next })),
                (true, 1, false) | (true, 0, _) => Err((record.sequence, Wrong::Beginning("it is not the first one"))),
                (true, ..) => Ok(()),
            };
        };
        let expected = last.sequence.saturating_add(1);
        if record.sequence > expected {
            let count = record.sequence.saturating_sub(expected);
            return Err((expected, Wrong::Missing { count, next: record.sequence }));
        }
        if record.sequence < expected {
            return Err((expected, Wrong::OutOfOrder { found: record.sequence }));
        }
        if record.previous != last.hash {
            return Err((last.sequence, Wrong::Replaced));
        }
        if begins_file && !begins {
            return Err((expected, Wrong::Beginning("it is not an audit.segment")));
        }
        // Else whoever writes the end anew could begin it with a key of his own.
        if begins && !begins_file {
            return Err((expected, Wrong::Within));
        }
        Ok(())
    }

    fn judge_event(&mut self, record: &Record) -> Result<(), Wrong> {
        match record.name() {
            SEGMENT => {
                let key = record.event.get("key").and_then(Value::as_str).and_then(|key| key.parse::<PublicKey>().ok());
                let key = key.ok_or(Wrong::Beginning("it names no key"))?;
                if record.event.get("format").and_then(Value::as_u64) != Some(FORMAT) {
                    return Err(Wrong::Beginning("it is of a format that this program does not know"));
                }
                self.judge_key(record.sequence, key)
            }
            KEY_CHANGED => {
                // One that follows the change tells of it and proves nothing.
                if record.event.get("announced").and_then(Value::as_bool) == Some(true) {
                    let new = record.event.get("newKey").and_then(Value::as_str).and_then(|key| key.parse().ok());
                    self.unsigned = new;
                }
                Ok(())
            }
            CHECKPOINT => {
                let text = record.event.get("checkpoint").and_then(Value::as_str);
                let checkpoint = text.and_then(|text| text.parse::<Checkpoint>().ok()).ok_or(Wrong::NotSigned)?;
                if !self.seen.keys.last().is_some_and(|key| checkpoint.is_signed_by(key)) {
                    return Err(Wrong::NotSigned);
                }
                let Some((last, _)) = self.seen.last else { return Err(Wrong::OtherRecord) };
                if checkpoint.head != last {
                    return Err(Wrong::OtherRecord);
                }
                self.seen.proven = Some((last.sequence, record.at));
                self.seen.checkpoints += 1;
                self.seen.announced = self.unsigned.take().or(self.seen.announced);
                Ok(())
            }
            STARTED | REOPENED => match record.event.get("damage").and_then(Value::as_str) {
                // Files that begin after the damage can be verified by themselves.
                Some(damage) if self.seen.records > 1 => Err(Wrong::Told(damage.to_owned())),
                damage => {
                    self.seen.begins_after_damage = self.seen.begins_after_damage.take().or(damage.map(str::to_owned));
                    Ok(())
                }
            },
            _ => Ok(()),
        }
    }

    /// Whether this key may sign from here on.
    fn judge_key(&mut self, sequence: u64, new: PublicKey) -> Result<(), Wrong> {
        let before = self.seen.keys.last().copied();
        if before == Some(new) {
            return Ok(());
        }
        // What was announced counts as given: a key that may sign has said so.
        let is_announced = self.seen.announced == Some(new);
        let is_given = self.trusted.contains(&new);
        match before {
            Some(old) if !is_announced && !is_given => return Err(Wrong::Unannounced { old, new }),
            Some(old) => self.seen.key_changes.push(KeyChange { sequence, old, new, is_announced }),
            None if !self.trusted.is_empty() && !is_given => return Err(Wrong::OtherKey(new.to_string())),
            None => {}
        }
        (self.seen.announced, self.unsigned) = (None, None);
        self.seen.keys.push(new);
        Ok(())
    }

    fn count(&mut self, record: &Record) {
        let seen = &mut self.seen;
        let name = record.name();
        seen.first.get_or_insert((record.sequence, record.at));
        seen.last = Some((record.head(), record.at));
        seen.records += 1;
        seen.events += u64::from(record.outbox.is_some());
        seen.is_stopped = name == STOPPED || seen.is_stopped && name == CHECKPOINT;
        seen.starts += u64::from(name == STARTED);
        let before = record.event.get("before").and_then(Value::as_str);
        seen.crashes += u64::from(name == STARTED && before == Some(CRASHED));
    }
}
