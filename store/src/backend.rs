//! What the store asks of a key-value database, and nothing more.
//!
//! Ordered keys, values with a version, and one operation that changes several of them or none.
//! Records, indexes and times are not known here. A backend is chosen when the process is put
//! together; one conformance suite runs against all of them.

mod ballast;
mod chunks;
mod folder;
mod group;
mod memory;
mod node;
mod sled;
mod view;
mod writer;

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;

use crate::watch::Watch;

pub use self::{
    folder::count_aside,
    memory::Memory,
    node::{OpenError, Opened, Options, Sled, open, put_aside},
};

/// Most keys that one batch changes, and most that it puts conditions on: an order of 100
/// identifiers with everything that belongs to it, and what etcd takes unless told otherwise.
pub const BATCH_KEYS_MAX: usize = 128;
/// Most octets of keys and values in one batch, before records are sealed; etcd refuses requests above 1.5 MiB.
pub const BATCH_OCTETS_MAX: usize = 1024 * 1024;
/// Longest key, in octets.
pub const KEY_OCTETS_MAX: usize = 512;

/// An ordered key-value database with compare-and-apply.
#[async_trait]
pub trait Backend: Send + Sync {
    /// The value of a key, as of the last batch that is known to be durable.
    ///
    /// # Errors
    /// [`Unavailable`] if the database cannot be read.
    async fn read(&self, key: &Key) -> Result<Option<Versioned>, Unavailable>;

    /// The first `limit` entries of a range, in the order of their keys' octets.
    ///
    /// # Errors
    /// [`Unavailable`] if the database cannot be read.
    async fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, Unavailable>;

    /// Checks all conditions and makes all changes, or none. Once it returns `Ok` the changes
    /// outlive a power cut.
    ///
    /// # Errors
    /// [`ApplyError`].
    async fn apply(&self, batch: Batch) -> Result<(), ApplyError>;

    /// Whether nothing new is taken now, because there is no space for it.
    fn is_full(&self) -> bool {
        false
    }

    /// Has this one told of each flush from now on; the first who asks stays. A backend without flushes tells nothing.
    fn watch(&self, watch: Arc<dyn Watch>) {
        drop(watch);
    }
}

/// A key: ASCII text, ordered by its octets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// Keys from `from` up to but not including `below`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that belongs to the range.
    pub from: Key,
    /// The first key after the range.
    pub below: Key,
}

/// Tells two states of a key apart. No key ever has the same version twice, not even after it was
/// deleted and made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The octets that were put.
    pub value: Vec<u8>,
    /// Changes with every put.
    pub version: Version,
}

/// One key of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// What it holds.
    pub held: Versioned,
}

/// What must be true of a key for a batch to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// There is no such key.
    Absent,
    /// It has this version.
    Is(Version),
}

/// What a batch does to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It holds these octets afterwards.
    Put(Vec<u8>),
    /// It does not exist afterwards, whether it did before or not.
    Delete,
}

/// Conditions and changes that belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// All of them must hold.
    pub conditions: Vec<(Key, Condition)>,
    /// One change a key.
    pub changes: BTreeMap<Key, Change>,
}

/// The database cannot be used now. The text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be used: {0}")]
pub struct Unavailable(pub String);

/// Why a batch was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A condition does not hold; nothing was changed.
    #[error("a condition does not hold")]
    Conflict,
    /// There is no space; nothing was changed.
    #[error("no space left")]
    Full,
    /// It failed; whether it was applied is unknown.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Key {
    /// Takes the text of a key.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Condition {
    /// Whether it holds for a key in this state.
    #[must_use]
    pub fn holds(self, current: Option<Version>) -> bool {
        match self {
            Self::Absent => current.is_none(),
            Self::Is(version) => current == Some(version),
        }
    }
}

impl Batch {
    /// Whether anything is written but deletions.
    #[must_use]
    pub fn puts(&self) -> bool {
        self.changes.values().any(|change| matches!(change, Change::Put(_)))
    }

    /// The octets of all keys and values that are put.
    #[must_use]
    pub fn octets(&self) -> usize {
        let octets = |(key, change): (&Key, &Change)| match change {
            Change::Put(value) => key.as_str().len().saturating_add(value.len()),
            Change::Delete => key.as_str().len(),
        };
        self.changes.iter().map(octets).sum()
    }
}
