//! What every backend must do, as one suite that runs against each of them.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use proptest::prelude::*;

use crate::{
    backend::{self, ApplyError, Backend, Batch, Change, Condition, Key, KeyRange, Memory, Options, Version},
    test_folder::TestFolder,
};

type Shared = Arc<dyn Backend>;

fn key(text: &str) -> Key {
    Key::new(text.to_owned())
}

fn range(from: &str, below: &str) -> KeyRange {
    KeyRange { from: key(from), below: key(below) }
}

fn put(text: &str, condition: Option<Condition>, value: &[u8]) -> Batch {
    let key = key(text);
    Batch {
        conditions: condition.map(|condition| (key.clone(), condition)).into_iter().collect(),
        changes: [(key, Change::Put(value.to_vec()))].into(),
    }
}

fn delete(text: &str, condition: Option<Condition>) -> Batch {
    let key = key(text);
    Batch {
        conditions: condition.map(|condition| (key.clone(), condition)).into_iter().collect(),
        changes: [(key, Change::Delete)].into(),
    }
}

async fn value(backend: &Shared, text: &str) -> Option<Vec<u8>> {
    backend.read(&key(text)).await.unwrap().map(|held| held.value)
}

async fn version(backend: &Shared, text: &str) -> Version {
    backend.read(&key(text)).await.unwrap().unwrap().version
}

async fn names(backend: &Shared, range: &KeyRange, limit: usize) -> Vec<String> {
    backend.scan(range, limit).await.unwrap().into_iter().map(|entry| entry.key.to_string()).collect()
}

async fn a_key_is_made_changed_and_deleted(backend: Shared) {
    assert_eq!(value(&backend, "a").await, None);
    backend.apply(put("a", Some(Condition::Absent), b"1")).await.unwrap();
    assert_eq!(value(&backend, "a").await, Some(b"1".to_vec()));
    let was = version(&backend, "a").await;
    backend.apply(put("a", Some(Condition::Is(was)), b"2")).await.unwrap();
    assert_eq!(value(&backend, "a").await, Some(b"2".to_vec()));
    backend.apply(delete("a", Some(Condition::Is(version(&backend, "a").await)))).await.unwrap();
    assert_eq!(value(&backend, "a").await, None);
}

async fn what_changed_since_it_was_read_is_a_conflict(backend: Shared) {
    backend.apply(put("a", None, b"1")).await.unwrap();
    let was = version(&backend, "a").await;
    backend.apply(put("a", None, b"2")).await.unwrap();
    for batch in [
        put("a", Some(Condition::Is(was)), b"3"),
        put("a", Some(Condition::Absent), b"3"),
        delete("a", Some(Condition::Is(was))),
        put("b", Some(Condition::Is(was)), b"3"),
    ] {
        assert_eq!(backend.apply(batch).await, Err(ApplyError::Conflict));
    }
    assert_eq!((value(&backend, "a").await, value(&backend, "b").await), (Some(b"2".to_vec()), None));
}

async fn a_batch_is_applied_whole_or_not_at_all(backend: Shared) {
    backend.apply(put("taken", None, b"1")).await.unwrap();
    let mut batch = Batch::default();
    for name in ["a", "b", "c"] {
        batch.changes.insert(key(name), Change::Put(b"x".to_vec()));
    }
    batch.changes.insert(key("taken"), Change::Delete);
    let mut refused = batch.clone();
    refused.conditions = vec![(key("a"), Condition::Absent), (key("taken"), Condition::Absent)];
    assert_eq!(backend.apply(refused).await, Err(ApplyError::Conflict));
    assert_eq!(names(&backend, &range("a", "z"), 9).await, ["taken"]);
    backend.apply(batch).await.unwrap();
    assert_eq!(names(&backend, &range("a", "z"), 9).await, ["a", "b", "c"]);
}

async fn a_condition_without_a_change_is_checked_too(backend: Shared) {
    backend.apply(put("a", None, b"1")).await.unwrap();
    let only = |condition| Batch { conditions: vec![(key("a"), condition)], ..Batch::default() };
    let was = version(&backend, "a").await;
    assert_eq!(backend.apply(only(Condition::Is(was))).await, Ok(()));
    assert_eq!(backend.apply(only(Condition::Absent)).await, Err(ApplyError::Conflict));
    assert_eq!(version(&backend, "a").await, was);
}

async fn no_version_comes_twice_even_after_a_deletion(backend: Shared) {
    let mut seen = Vec::new();
    for _ in 0..5 {
        backend.apply(put("a", Some(Condition::Absent), b"1")).await.unwrap();
        seen.push(version(&backend, "a").await);
        backend.apply(put("a", None, b"1")).await.unwrap();
        seen.push(version(&backend, "a").await);
        backend.apply(delete("a", None)).await.unwrap();
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

async fn deleting_what_is_not_there_is_no_error(backend: Shared) {
    assert_eq!(backend.apply(delete("a", None)).await, Ok(()));
    assert_eq!(backend.apply(Batch::default()).await, Ok(()));
}

async fn scans_are_in_order_within_their_range_and_limit(backend: Shared) {
    for name in ["b/2", "a/1", "b/1", "b0", "b/10", "c/1", "b"] {
        backend.apply(put(name, None, name.as_bytes())).await.unwrap();
    }
    assert_eq!(names(&backend, &range("b/", "b0"), 9).await, ["b/1", "b/10", "b/2"]);
    assert_eq!(names(&backend, &range("b/", "b0"), 2).await, ["b/1", "b/10"]);
    assert_eq!(names(&backend, &range("b/10", "c"), 9).await, ["b/10", "b/2", "b0"]);
    assert!(names(&backend, &range("d", "z"), 9).await.is_empty());
    assert!(names(&backend, &range("c", "a"), 9).await.is_empty());
    assert!(names(&backend, &range("a", "z"), 0).await.is_empty());
    let found = backend.scan(&range("b/1", "b/2"), 9).await.unwrap();
    assert!(found.iter().all(|entry| entry.held.value == entry.key.as_str().as_bytes()));
}

async fn values_of_any_length_come_back(backend: Shared) {
    for octets in [0, 1, 4095, 4096, 4097, 20_000, 262_144, 5000, 0] {
        let sent: Vec<u8> = (0..octets).map(|at: u32| at.to_le_bytes()[at as usize % 3]).collect();
        backend.apply(put("a", None, &sent)).await.unwrap();
        assert_eq!(value(&backend, "a").await, Some(sent), "{octets}");
    }
    assert_eq!(names(&backend, &range("", "z"), 9).await, ["a"]);
}

/// Reads, adds one and writes, again and again until it gets through: the sum tells of lost updates.
async fn no_update_of_64_concurrent_ones_is_lost(backend: Shared) {
    backend.apply(put("count", None, &0_u64.to_be_bytes())).await.unwrap();
    let tasks: Vec<_> = (0..64).map(|_| tokio::spawn(add_one(Arc::clone(&backend)))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(value(&backend, "count").await, Some(64_u64.to_be_bytes().to_vec()));
}

async fn add_one(backend: Shared) {
    loop {
        let held = backend.read(&key("count")).await.unwrap().unwrap();
        let count = u64::from_be_bytes(held.value.try_into().unwrap());
        let batch = put("count", Some(Condition::Is(held.version)), &(count + 1).to_be_bytes());
        match backend.apply(batch).await {
            Ok(()) => return,
            Err(ApplyError::Conflict) => tokio::task::yield_now().await,
            Err(error @ (ApplyError::Full | ApplyError::Unavailable(_))) => panic!("{error}"),
        }
    }
}

async fn one_of_64_who_make_the_same_key_at_once_wins(backend: Shared) {
    let make = |number: u8| {
        let backend = Arc::clone(&backend);
        tokio::spawn(async move { backend.apply(put("a", Some(Condition::Absent), &[number])).await.is_ok() })
    };
    let mut winners = Vec::new();
    for (number, task) in (0..64).map(|number| (number, make(number))).collect::<Vec<_>>() {
        if task.await.unwrap() {
            winners.push(number);
        }
    }
    assert_eq!(value(&backend, "a").await, Some(winners));
}

async fn batches_of_many_callers_are_all_applied(backend: Shared) {
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let backend = Arc::clone(&backend);
            tokio::spawn(async move { backend.apply(put(&format!("k{number:03}"), None, b"x")).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(names(&backend, &range("k", "l"), 999).await.len(), 200);
}

#[derive(Debug, Clone)]
struct Step {
    conditions: Vec<(u8, Expected)>,
    changes: BTreeMap<u8, Option<u16>>,
}

#[derive(Debug, Clone, Copy)]
enum Expected {
    Absent,
    AsItIs,
    Stale,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let expected = prop_oneof![Just(Expected::Absent), Just(Expected::AsItIs), Just(Expected::Stale)];
    let conditions = proptest::collection::vec((0_u8..8, expected), 0..3);
    let changes = proptest::collection::btree_map(0_u8..8, proptest::option::of(0_u16..9000), 0..5);
    let step = (conditions, changes).prop_map(|(conditions, changes)| Step { conditions, changes });
    proptest::collection::vec(step, 1..25)
}

/// Does the same to a backend and to a map, and compares after every step.
async fn behaves_like_a_map(backend: &Shared, steps: Vec<Step>) {
    let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for step in steps {
        let name = |number: u8| format!("key/{number}");
        let mut batch = Batch::default();
        let mut holds = true;
        for (number, expected) in step.conditions {
            let held = backend.read(&key(&name(number))).await.unwrap();
            let condition = match (expected, &held) {
                (Expected::Absent, _) | (Expected::AsItIs, None) => Condition::Absent,
                (Expected::AsItIs, Some(held)) => Condition::Is(held.version),
                (Expected::Stale, _) => Condition::Is(Version(u64::MAX)),
            };
            holds &= match expected {
                Expected::Absent => !model.contains_key(&name(number)),
                Expected::AsItIs => true,
                Expected::Stale => false,
            };
            batch.conditions.push((key(&name(number)), condition));
        }
        for (number, octets) in &step.changes {
            let change = octets.map_or(Change::Delete, |octets| Change::Put(vec![*number; octets.into()]));
            batch.changes.insert(key(&name(*number)), change);
        }
        assert_eq!(backend.apply(batch).await, if holds { Ok(()) } else { Err(ApplyError::Conflict) });
        if holds {
            for (number, octets) in step.changes {
                match octets {
                    Some(octets) => model.insert(name(number), vec![number; octets.into()]),
                    None => model.remove(&name(number)),
                };
            }
        }
        let found = backend.scan(&range("key/", "key0"), 99).await.unwrap();
        let found: BTreeMap<_, _> = found.into_iter().map(|entry| (entry.key.to_string(), entry.held.value)).collect();
        assert_eq!(found, model);
    }
}

fn run<Work: Future<Output = ()>>(work: Work) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(work);
}

fn on_memory<Work: Future<Output = ()>>(test: impl FnOnce(Shared) -> Work) {
    run(test(Arc::new(Memory::new())));
}

fn on_sled<Work: Future<Output = ()>>(test: impl FnOnce(Shared) -> Work) {
    let folder = TestFolder::new();
    let options = Options { ballast_octets: 4096, ..Options::default() };
    let opened = backend::open(folder.path(), &options).unwrap();
    assert_eq!(opened.quarantined, None);
    run(test(Arc::new(opened.backend)));
}

macro_rules! suite {
    ($($test:ident)*) => {
        mod memory {
            $(#[test] fn $test() { super::on_memory(super::$test); })*
        }
        mod sled {
            $(#[test] fn $test() { super::on_sled(super::$test); })*
        }
    };
}

suite! {
    a_key_is_made_changed_and_deleted
    what_changed_since_it_was_read_is_a_conflict
    a_batch_is_applied_whole_or_not_at_all
    a_condition_without_a_change_is_checked_too
    no_version_comes_twice_even_after_a_deletion
    deleting_what_is_not_there_is_no_error
    scans_are_in_order_within_their_range_and_limit
    values_of_any_length_come_back
    no_update_of_64_concurrent_ones_is_lost
    one_of_64_who_make_the_same_key_at_once_wins
    batches_of_many_callers_are_all_applied
}

proptest! {
    #[test]
    fn memory_behaves_like_a_map(steps in steps()) {
        on_memory(|backend| async move { behaves_like_a_map(&backend, steps).await });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sled_behaves_like_a_map(steps in steps()) {
        on_sled(|backend| async move { behaves_like_a_map(&backend, steps).await });
    }
}
