//! What readers see: the database as of the last barrier.
//!
//! Between the write of a group and the barrier after it, the database shows data that a power cut
//! would take back. So the old values of the keys in flight are held here, and every read asks
//! here first. One lock covers the database and what is in flight; a read holds it for as long as
//! sled takes, microseconds from its cache, and never across an await.

use std::{
    collections::BTreeMap,
    iter,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{
    Entry, Key, KeyRange, Unavailable, Version, Versioned,
    group::Group,
    sled::{Database, Failure},
};

/// The database and what is in flight.
pub(crate) struct View(RwLock<State>);

struct State {
    /// Or why there is none.
    database: Result<Database, String>,
    /// What readers see instead of the database.
    in_flight: BTreeMap<Key, Option<Versioned>>,
}

impl View {
    pub(crate) const fn new(database: Database) -> Self {
        Self(RwLock::new(State { database: Ok(database), in_flight: BTreeMap::new() }))
    }

    /// What a key held at the last barrier.
    pub(crate) fn read(&self, key: &Key) -> Result<Option<Versioned>, Unavailable> {
        let state = self.state();
        let database = state.database()?;
        match state.in_flight.get(key) {
            Some(before) => Ok(before.clone()),
            None => database.read(key).map_err(unreadable),
        }
    }

    /// What was in a range at the last barrier.
    pub(crate) fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, Unavailable> {
        if range.from >= range.below {
            return Ok(Vec::new());
        }
        let state = self.state();
        let mut held_back = state.in_flight.range(&range.from..&range.below).peekable();
        let mut stored = state.database()?.scan(range).peekable();
        let merged = iter::from_fn(|| {
            loop {
                let next_stored = match stored.peek() {
                    Some(Ok(entry)) => Some(&entry.key),
                    Some(Err(_)) => return stored.next(),
                    None => None,
                };
                let held_back_first = match (held_back.peek(), next_stored) {
                    (Some((key, _)), Some(next)) => *key <= next,
                    (Some(_), None) => true,
                    (None, Some(_) | None) => false,
                };
                if !held_back_first {
                    return stored.next();
                }
                let (key, before) = held_back.next()?;
                if next_stored == Some(key) {
                    stored.next();
                }
                if let Some(held) = before {
                    return Some(Ok(Entry { key: key.clone(), held: held.clone() }));
                }
            }
        });
        merged.take(limit).collect::<Result<_, _>>().map_err(unreadable)
    }

    /// The version of a key in the database, in flight or not.
    pub(crate) fn stored_version(&self, key: &Key) -> Result<Option<Version>, Failure> {
        self.with_database(|database| database.version(key))
    }

    /// Keeps showing what the keys of a group hold now, whatever is written to them.
    pub(crate) fn hold_back(&self, group: &Group) -> Result<(), Failure> {
        let before = self.with_database(|database| {
            group.writes().keys().map(|key| Ok((key.clone(), database.read(key)?))).collect()
        })?;
        self.state_mut().in_flight = before;
        Ok(())
    }

    /// Shows what has been written; to be called once it is durable.
    pub(crate) fn show_written(&self) {
        self.state_mut().in_flight.clear();
    }

    /// Takes the database away; every read says `why` from now on.
    pub(crate) fn close(&self, why: &str) -> Option<Database> {
        let mut state = self.state_mut();
        state.in_flight.clear();
        std::mem::replace(&mut state.database, Err(why.to_owned())).ok()
    }

    /// Shows this database.
    pub(crate) fn open(&self, database: Database) {
        let mut state = self.state_mut();
        state.in_flight.clear();
        state.database = Ok(database);
    }

    /// Whether there is a database.
    pub(crate) fn is_open(&self) -> bool {
        self.state().database.is_ok()
    }

    /// Does something with the database; readers go on meanwhile.
    pub(crate) fn with_database<T>(&self, work: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T, Failure> {
        match &self.state().database {
            Ok(database) => work(database),
            Err(why) => Err(Failure::Broken(why.clone())),
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn database(&self) -> Result<&Database, Unavailable> {
        self.database.as_ref().map_err(|why| Unavailable(why.clone()))
    }
}

fn unreadable(failure: Failure) -> Unavailable {
    match failure {
        Failure::Full => Unavailable("the disk is full".into()),
        Failure::Broken(why) => Unavailable(why),
    }
}
