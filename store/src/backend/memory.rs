//! A backend that forgets: for tests of other parts, and the model that the others are held to.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{ApplyError, Backend, Batch, Entry, Key, KeyRange, Unavailable, Version, Versioned, group::Group};

/// Keys and values in a map.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Versioned>,
    sequence: u64,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backend for Memory {
    async fn read(&self, key: &Key) -> Result<Option<Versioned>, Unavailable> {
        Ok(self.state().entries.get(key).cloned())
    }

    async fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, Unavailable> {
        if range.from >= range.below {
            return Ok(Vec::new());
        }
        let state = self.state();
        let entries = state.entries.range(&range.from..&range.below).take(limit);
        Ok(entries.map(|(key, held)| Entry { key: key.clone(), held: held.clone() }).collect())
    }

    async fn apply(&self, batch: Batch) -> Result<(), ApplyError> {
        let mut state = self.state();
        let mut group = Group::after(state.sequence);
        let current =
            |key: &Key| -> Result<Option<Version>, Unavailable> { Ok(state.entries.get(key).map(|held| held.version)) };
        if !group.add(batch, current)? {
            return Err(ApplyError::Conflict);
        }
        state.sequence = group.sequence();
        for (key, held) in group.into_writes() {
            match held {
                Some(held) => state.entries.insert(key, held),
                None => state.entries.remove(&key),
            };
        }
        Ok(())
    }
}
