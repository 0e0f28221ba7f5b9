//! What was learnt lately, up to a fixed number of things: the one learnt longest ago goes first.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A bounded memory.
pub(crate) struct Recent<Key, Value> {
    most: usize,
    held: Mutex<Held<Key, Value>>,
}

struct Held<Key, Value> {
    values: HashMap<Key, Value>,
    order: VecDeque<Key>,
}

impl<Key: Clone + Eq + Hash, Value: Clone> Recent<Key, Value> {
    /// Remembers at most so many things.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, held: Mutex::new(Held { values: HashMap::new(), order: VecDeque::new() }) }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Value> {
        self.lock().values.get(key).cloned()
    }

    pub(crate) fn keep(&self, key: Key, value: Value) {
        let mut held = self.lock();
        if held.values.insert(key.clone(), value).is_none() {
            held.order.push_back(key);
        }
        while held.order.len() > self.most {
            if let Some(oldest) = held.order.pop_front() {
                held.values.remove(&oldest);
            }
        }
    }

    pub(crate) fn forget(&self, key: &Key) {
        let mut held = self.lock();
        if held.values.remove(key).is_some() {
            held.order.retain(|kept| kept != key);
        }
    }

    pub(crate) fn forget_all(&self) {
        let mut held = self.lock();
        held.values.clear();
        held.order.clear();
    }

    /// A panic elsewhere leaves a memory behind that is incomplete at worst.
    fn lock(&self) -> MutexGuard<'_, Held<Key, Value>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_so_many_things_are_remembered() {
        let recent = Recent::new(2);
        for (key, value) in [(1, "a"), (2, "b"), (2, "c"), (3, "d")] {
            recent.keep(key, value);
        }
        assert_eq!([1, 2, 3].map(|key| recent.get(&key)), [None, Some("c"), Some("d")]);
        recent.forget(&2);
        recent.keep(4, "e");
        assert_eq!([2, 3, 4].map(|key| recent.get(&key)), [None, Some("d"), Some("e")]);
        recent.forget_all();
        recent.keep(5, "f");
        assert_eq!([3, 4, 5].map(|key| recent.get(&key)), [None, None, Some("f")]);
    }
}
