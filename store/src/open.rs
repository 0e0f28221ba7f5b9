//! Opening the store of a node.
//!
//! A store that was sealed with another key holds nothing that anybody could use: its jobs could not be done, and
//! what leads to them could not be forgotten either. So it is moved aside like a damaged one, whole: who finds the
//! key again can put both back. What releases that wrote in clear have left is taken over.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::{error, warn};

use crate::{
    Commit, CommitError, ReadError, SCAN_MAX, Store,
    backend::{self, Condition, Key, KeyRange, OpenError, Options, Unavailable},
    keys,
    records::{Kept, SealCheck},
    seal::RecordSeal,
};

/// Most names that one commit hides; each is two keys and an entry of the keep index.
const NAMES_PER_COMMIT: usize = 40;

/// A store that has been opened, and what happened meanwhile.
pub struct Opened {
    /// Ready for use.
    pub store: Store,
    /// What was moved aside, if that was necessary. The orders in it are lost, so somebody should be told.
    pub aside: Option<Aside>,
}

/// A database that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aside {
    /// It was damaged; it was moved there.
    Damaged(PathBuf),
    /// It was sealed with another key; it was moved there.
    OtherKey(PathBuf),
}

/// Opens the store in this folder, which is made if need be. Blocks for as long as reading the whole database takes.
///
/// # Errors
/// [`OpenError`], with everything left as it was.
pub async fn open(folder: &Path, options: &Options, seal: RecordSeal) -> Result<Opened, OpenError> {
    let seal = Arc::new(seal);
    let opened = backend::open(folder, options)?;
    let mut aside = opened.quarantined.map(Aside::Damaged);
    let mut store = Store::under(Arc::new(opened.backend), Arc::clone(&seal));
    if store.is_of_another_key().await {
        // The last one that holds the backend closes it.
        drop(store);
        aside = Some(Aside::OtherKey(backend::put_aside(folder)?));
        store = Store::under(Arc::new(backend::open(folder, options)?.backend), seal);
    }
    if let Err(why) = store.take_over().await {
        warn!(%why, "what an older release has left in the store is not taken over; that is tried again at the next start");
    }
    Ok(Opened { store, aside })
}

impl Store {
    /// Whether another key has sealed what is in here. A check that is missing or damaged tells nothing: each record
    /// then speaks for itself.
    async fn is_of_another_key(&self) -> bool {
        let key = keys::seal_check();
        match self.backend.read(&key).await {
            Ok(Some(held)) => self.backend.is_of_another_key(&key, &held.value),
            Ok(None) | Err(Unavailable(_)) => false,
        }
    }

    /// Makes the store one of ours: its names are hidden, and the check for the next start is there.
    async fn take_over(&self) -> Result<(), CommitError> {
        for range in [keys::failures_range(), keys::proven_range()] {
            self.hide_names(range).await?;
        }
        let key = keys::seal_check();
        let held = self.backend.read(&key).await?;
        if held.as_ref().is_some_and(|held| self.backend.decode::<SealCheck>(&key, &held.value).is_ok()) {
            return Ok(());
        }
        let mut commit = Commit::new();
        commit.expect(key.clone(), held.map_or(Condition::Absent, |held| Condition::Is(held.version)));
        commit.put(key, &SealCheck {});
        self.commit(commit).await
    }

    /// Moves what lies under a name in clear to where it is looked for.
    async fn hide_names(&self, mut range: KeyRange) -> Result<(), CommitError> {
        loop {
            let entries = self.backend.scan(&range, SCAN_MAX).await?;
            for entries in entries.chunks(NAMES_PER_COMMIT) {
                let mut commit = Commit::new();
                for entry in entries {
                    if let Some(named) = keys::with_name(&entry.key) {
                        self.move_named(&entry.key, &entry.held.value, named, &mut commit).await?;
                    }
                }
                if !commit.is_empty() {
                    self.commit(commit).await?;
                }
            }
            match entries.last() {
                Some(last) if entries.len() == SCAN_MAX => range.from = keys::successor(&last.key),
                Some(_) | None => return Ok(()),
            }
        }
    }

    async fn move_named(&self, key: &Key, octets: &[u8], named: Key, commit: &mut Commit) -> Result<(), Unavailable> {
        if let Some(authorization) = keys::read_proven(key) {
            // An entry of the index that leads nowhere would never be forgotten.
            if self.backend.read(&keys::authorization(&authorization)).await?.is_some() {
                commit.put_index(named);
            }
            commit.delete(key.clone());
            return Ok(());
        }
        match self.backend.decode::<Kept<serde_json::Value>>(key, octets) {
            Ok(Kept { keep_until, value }) => {
                commit.put_kept(named, &value, keep_until, None);
                commit.delete(key.clone());
            }
            Err(ReadError::Unavailable(why)) => return Err(why),
            Err(why @ (ReadError::Damaged { .. } | ReadError::UnknownVersion { .. })) => {
                error!(%why, "a run of failures cannot be read");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
