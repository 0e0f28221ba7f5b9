//! Several batches that go to disk together.
//!
//! One barrier costs the same for one batch as for fifty, so those that wait are staged one after
//! the other and written at once. Each sees what the ones before it in the group have done. Pure:
//! what is stored is asked of the caller.

use std::collections::BTreeMap;

use super::{Batch, Change, Key, Version, Versioned};

/// What is written by all batches of a group: the last state of each key, `None` if it is gone.
#[derive(Debug)]
pub(crate) struct Group {
    writes: BTreeMap<Key, Option<Versioned>>,
    sequence: u64,
}

impl Group {
    /// An empty group that follows this sequence number.
    pub(crate) const fn after(sequence: u64) -> Self {
        Self { writes: BTreeMap::new(), sequence }
    }

    /// Stages a batch under the next sequence number; `false`, and nothing staged, if one of its
    /// conditions does not hold. `stored` tells the version of a key before the group.
    pub(crate) fn add<Error>(
        &mut self,
        batch: Batch,
        stored: impl Fn(&Key) -> Result<Option<Version>, Error>,
    ) -> Result<bool, Error> {
        for (key, condition) in &batch.conditions {
            let current = match self.writes.get(key) {
                Some(staged) => staged.as_ref().map(|held| held.version),
                None => stored(key)?,
            };
            if !condition.holds(current) {
                return Ok(false);
            }
        }
        if batch.changes.is_empty() {
            return Ok(true);
        }
        self.sequence = self.sequence.saturating_add(1);
        let version = Version(self.sequence);
        for (key, change) in batch.changes {
            let held = match change {
                Change::Put(value) => Some(Versioned { value, version }),
                Change::Delete => None,
            };
            self.writes.insert(key, held);
        }
        Ok(true)
    }

    /// The number of the last batch that was staged.
    pub(crate) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The state of each key after the group.
    pub(crate) const fn writes(&self) -> &BTreeMap<Key, Option<Versioned>> {
        &self.writes
    }

    /// The state of each key after the group.
    pub(crate) fn into_writes(self) -> BTreeMap<Key, Option<Versioned>> {
        self.writes
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::backend::Condition;

    fn batch(condition: Condition, change: Change) -> Batch {
        let key = Key::new("a".into());
        Batch { conditions: vec![(key.clone(), condition)], changes: [(key, change)].into() }
    }

    fn nothing_stored(_: &Key) -> Result<Option<Version>, Infallible> {
        Ok(None)
    }

    #[test]
    fn a_batch_sees_what_the_ones_before_it_have_staged() {
        let mut group = Group::after(7);
        let create = batch(Condition::Absent, Change::Put(vec![1]));
        assert_eq!(group.add(create.clone(), nothing_stored), Ok(true));
        assert_eq!(group.add(create.clone(), nothing_stored), Ok(false));
        assert_eq!(group.add(batch(Condition::Is(Version(8)), Change::Delete), nothing_stored), Ok(true));
        assert_eq!(group.add(create, nothing_stored), Ok(true));
        let held = Some(Versioned { value: vec![1], version: Version(10) });
        assert_eq!(group.into_writes(), [(Key::new("a".into()), held)].into());
    }

    #[test]
    fn a_batch_that_conflicts_uses_up_no_number() {
        let mut group = Group::after(7);
        assert_eq!(group.add(batch(Condition::Is(Version(1)), Change::Delete), nothing_stored), Ok(false));
        assert_eq!(group.sequence(), 7);
        assert!(group.writes().is_empty());
    }
}
