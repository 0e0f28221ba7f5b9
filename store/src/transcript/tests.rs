//! Transcripts as they are told, read and forgotten.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    backend::Memory,
    samples::{NOW, after, authorization, order, order_id, seal},
};

fn store() -> Store {
    Store::new(Arc::new(Memory::new()), seal(7))
}

fn subject(text: &str) -> Reference {
    Reference::from(&order_id(text))
}

async fn tell(store: &Store, about: &str, at: u64, what: &str, keep: u64) {
    let mut commit = Commit::new();
    commit.tell(&subject(about), after(at), json!({"what": what}), after(keep));
    store.commit(commit).await.unwrap();
}

async fn told(store: &Store, about: &str) -> Vec<String> {
    let entries = store.transcript(&subject(about), 9).await.unwrap();
    entries.iter().map(|entry| entry.body["what"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_transcript_is_read_in_the_order_in_which_it_was_told_and_is_nobody_elses() {
    let store = store();
    tell(&store, "o1", 5, "later", 60).await;
    tell(&store, "o1", 1, "sooner", 60).await;
    tell(&store, "o1-2", 0, "of another", 60).await;
    let mut commit = Commit::new();
    for what in ["first", "second", "third"] {
        commit.tell(&subject("o1"), after(7), json!({"what": what}), after(60));
    }
    store.commit(commit).await.unwrap();
    assert_eq!(told(&store, "o1").await, ["sooner", "later", "first", "second", "third"]);
    assert_eq!(told(&store, "o2").await, [""; 0]);
    assert_eq!(store.transcript(&subject("o1"), 2).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_told_and_what_it_tells_of_are_written_together_or_not_at_all() {
    let store = store();
    let make = || {
        let mut commit = Commit::new();
        commit.create_order(order("o1", NOW), after(60));
        commit.tell(&subject("o1"), NOW, json!({"what": "created"}), after(60));
        commit
    };
    store.commit(make()).await.unwrap();
    assert!(store.commit(make()).await.is_err());
    assert_eq!(told(&store, "o1").await, ["created"]);
}

#[tokio::test]
async fn a_transcript_outlives_its_own_time_as_long_as_its_order_is_there() {
    let store = store();
    let mut commit = Commit::new();
    commit.create_order(order("o1", NOW), after(60));
    commit.tell(&subject("o1"), NOW, json!({"what": "created"}), after(60));
    store.commit(commit).await.unwrap();
    tell(&store, "o1", 1, "soon over", 10).await;
    tell(&store, "refused", 1, "no order", 10).await;
    let was = store.order(&order_id("o1")).await.unwrap().unwrap();
    let mut commit = Commit::new();
    commit.update_order(&was, was.value.clone(), after(90_000));
    store.commit(commit).await.unwrap();

    assert_eq!(store.sweep(after(9), 9).await.unwrap(), 0);
    assert_eq!(store.sweep(after(89_999), 9).await.unwrap(), 1, "the one without an order");
    assert_eq!(told(&store, "refused").await, [""; 0]);
    assert_eq!(told(&store, "o1").await, ["created", "soon over"]);
    // Looked at with the order, and again an hour later.
    let mut forgotten = 0;
    for at in [90_000, 93_600] {
        forgotten += store.sweep(after(at), 9).await.unwrap();
    }
    assert_eq!(forgotten, 3, "the order and what was told of it");
    assert_eq!(told(&store, "o1").await, [""; 0]);
    assert_eq!(store.sweep(after(1_000_000), 9).await.unwrap(), 0, "nothing is left");
}

#[tokio::test]
async fn the_transcript_of_an_authorization_goes_with_it_too() {
    let store = store();
    let made = authorization("a1");
    let subject = Reference::from(&made.id);
    let mut commit = Commit::new();
    commit.create_authorization(made, after(9000));
    commit.tell(&subject, NOW, json!({"what": "answered"}), after(10));
    store.commit(commit).await.unwrap();
    assert_eq!(store.sweep(after(8999), 9).await.unwrap(), 0);
    assert_eq!(store.transcript(&subject, 9).await.unwrap().len(), 1);
    let swept = store.sweep(after(9000), 9).await.unwrap() + store.sweep(after(9000 + 3600), 9).await.unwrap();
    assert_eq!(swept, 2);
    assert!(store.transcript(&subject, 9).await.unwrap().is_empty());
}

#[test]
fn what_fits_stays_as_it_is_and_what_does_not_is_cut_with_a_mark() {
    let small = json!({"step": "x", "seen": ["a", "b"]});
    assert_eq!(cut(small.clone()), small);
    let long = cut(json!({"step": "x", "text": "y".repeat(5000), "seen": (0..500).collect::<Vec<_>>()}));
    assert_eq!((&long["step"], &long["cut"]), (&json!("x"), &json!(true)));
    assert!(long["text"].as_str().unwrap().ends_with(CUT));
    let seen = long["seen"].as_array().unwrap();
    assert_eq!((seen.first(), seen.last()), (Some(&json!(0)), Some(&json!(499))), "beginning and end");
    let hopeless: serde_json::Map<String, Value> = (0..5000).map(|name| (name.to_string(), json!(name))).collect();
    assert_eq!(cut(Value::Object(hopeless)), json!(CUT));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,2000}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 200, 40, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..40).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,9}", inner, 0..9)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_entry_is_larger_than_the_largest_and_ids_are_never_cut(evidence in any_json(), id in "[a-z0-9]{64}") {
        let entry = cut(json!({"id": id, "evidence": evidence}));
        prop_assert!(octets(&entry) <= ENTRY_OCTETS_MAX);
        prop_assert!(entry == json!(CUT) || entry["id"] == json!(id));
    }
}
