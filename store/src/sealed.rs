//! The backend with the seal before it: whoever reads and writes through it sees keys with names and records in
//! JSON, and the backend sees neither.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::{
    ReadError,
    backend::{ApplyError, Backend, Batch, Change, Entry, Key, KeyRange, Unavailable, Versioned},
    records,
    seal::{RecordSeal, SealFailure},
    watch::Watch,
};

/// A backend, and what seals the records in it.
#[derive(Clone)]
pub(crate) struct Sealed {
    backend: Arc<dyn Backend>,
    seal: Arc<RecordSeal>,
}

impl Sealed {
    pub(crate) fn new(backend: Arc<dyn Backend>, seal: Arc<RecordSeal>) -> Self {
        Self { backend, seal }
    }

    /// What lies under a key, as it was sealed.
    pub(crate) async fn read(&self, key: &Key) -> Result<Option<Versioned>, Unavailable> {
        self.backend.read(&self.seal.hide_name(key)).await
    }

    /// The first entries of a range, as they were sealed. Names in their keys are hidden.
    pub(crate) async fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, Unavailable> {
        let KeyRange { from, below } = range;
        let range = KeyRange { from: self.seal.hide_name(from), below: self.seal.hide_name(below) };
        self.backend.scan(&range, limit).await
    }

    /// Seals the records of a batch and applies it.
    pub(crate) async fn apply(&self, batch: Batch) -> Result<(), ApplyError> {
        let failed = |why: SealFailure| Unavailable(why.to_string());
        let conditions = batch.conditions.into_iter();
        let mut sealed = Batch {
            conditions: conditions.map(|(key, condition)| (self.seal.hide_name(&key), condition)).collect(),
            ..Batch::default()
        };
        for (key, change) in batch.changes {
            let key = self.seal.hide_name(&key);
            let change = match change {
                // An entry of an index: all of it is in its key.
                Change::Put(json) if json.is_empty() => Change::Put(json),
                Change::Put(json) => Change::Put(records::encode(&self.seal, &key, &json).map_err(failed)?),
                Change::Delete => Change::Delete,
            };
            sealed.changes.insert(key, change);
        }
        self.backend.apply(sealed).await
    }

    pub(crate) fn is_full(&self) -> bool {
        self.backend.is_full()
    }

    pub(crate) fn watch(&self, watch: Arc<dyn Watch>) {
        self.backend.watch(watch);
    }

    /// Reads the record that lies under this key.
    pub(crate) fn decode<Record: DeserializeOwned>(&self, key: &Key, octets: &[u8]) -> Result<Record, ReadError> {
        let key = self.seal.hide_name(key);
        records::decode(&self.seal, &key, octets).map_err(|why| why.at(&key))
    }

    /// Whether the record that lies under this key is whole but sealed with another key than ours.
    pub(crate) fn is_of_another_key(&self, key: &Key, octets: &[u8]) -> bool {
        let read = records::decode::<serde::de::IgnoredAny>(&self.seal, &self.seal.hide_name(key), octets);
        matches!(read, Err(records::Unreadable::OtherKey))
    }
}
