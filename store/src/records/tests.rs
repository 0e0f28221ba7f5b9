//! Stored records there and back, and what became of records that were written long ago.

use acme::{authorization::Authorization, failure_run::FailureRun, order::Order};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Job, samples::seal};

fn key() -> Key {
    Key::new("order/o1".into())
}

fn record() -> Vec<u8> {
    encode(&seal(7), &key(), br#"{"order":"o1"}"#).unwrap()
}

fn read(key: &Key, octets: &[u8]) -> Result<Replacement, Unreadable> {
    decode(&seal(7), key, octets)
}

fn is_damaged(octets: &[u8]) -> bool {
    matches!(read(&key(), octets), Err(Unreadable::Damaged(_)))
}

#[test]
fn a_record_comes_back_and_does_not_show() {
    assert_eq!(read(&key(), &record()).unwrap().order.as_str(), "o1");
    assert!(!record().windows(5).any(|octets| octets == b"order"));
}

#[test]
fn a_record_of_a_release_that_wrote_in_clear_is_read() {
    let octets = frame(&key(), 1, br#"{"order":"o1"}"#);
    assert_eq!(octets[..5], [1, 214, 59, 153, 65]);
    assert_eq!(read(&key(), &octets).unwrap().order.as_str(), "o1");
}

#[test]
fn a_record_moved_to_another_key_is_damaged() {
    let other = Key::new("order/o2".into());
    assert!(matches!(read(&other, &record()), Err(Unreadable::Damaged(_))));
    // Also if whoever moved it knows how to compute a checksum.
    assert_eq!(read(&other, &frame(&other, 2, &record()[5..])).unwrap_err(), Unreadable::OtherKey);
}

#[test]
fn a_record_sealed_with_another_key_counts_as_damaged_and_says_so() {
    let unreadable = decode::<Replacement>(&seal(8), &key(), &record()).unwrap_err();
    assert_eq!(unreadable, Unreadable::OtherKey);
    let told = unreadable.at(&key());
    assert!(matches!(&told, ReadError::Damaged { key, .. } if key == "order/o1"));
    assert!(told.to_string().contains("another key"), "{told}");
}

#[test]
fn a_record_of_another_version_is_refused_by_version_and_key() {
    let read = read(&key(), &frame(&key(), 3, b"whatever it holds")).unwrap_err();
    assert_eq!(read, Unreadable::UnknownVersion(3));
    let told = read.at(&key());
    assert_eq!(told, ReadError::UnknownVersion { key: "order/o1".into(), version: 3 });
    assert!(told.to_string().contains("order/o1") && told.to_string().contains("format version 3"));
}

/// A release that knows only version 1 computes the checksum first and looks at the version then.
#[test]
fn a_release_that_wrote_in_clear_can_tell_that_a_newer_one_wrote_a_record() {
    let record = record();
    assert_eq!(record[0], 2);
    assert_eq!(record[1..5], checksum(&key(), 2, &record[5..]).to_be_bytes());
}

#[test]
fn a_record_cut_short_is_damaged() {
    let record = record();
    for length in 0..record.len() {
        assert!(is_damaged(&record[..length]), "{length}");
    }
}

proptest! {
    #[test]
    fn a_record_with_any_bit_flipped_is_damaged(bit in 0..record().len() * 8) {
        let mut octets = record();
        octets[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(is_damaged(&octets));
    }

    #[test]
    fn a_bit_that_the_checksum_does_not_tell_of_the_tag_does(bit in 0..(record().len() - 5) * 8) {
        let mut octets = record().split_off(5);
        octets[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(read(&key(), &frame(&key(), 2, &octets)).unwrap_err(), Unreadable::OtherKey);
    }

    #[test]
    fn any_octets_are_read_without_a_panic(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = read(&key(), &octets);
        let _ = read(&key(), &frame(&key(), 2, &octets));
    }
}

/// What versions 1 and 2 look like inside. If this fails, the stored format has changed: it needs a new version.
#[test]
fn records_are_read_and_written_as_ever() {
    let order = json!({
        "id": "o1", "endpoint": "open", "account": "reg_1",
        "identifiers": [{"type": "dns", "value": "a.test"}, {"type": "dns", "value": "*.b.test"}],
        "authorizations": ["a1", "a2"], "profile": "tls-server", "not_before": null,
        "not_after": "2026-12-22T10:00:00Z", "created": "2026-11-22T10:00:00Z", "expires": "2026-11-23T10:00:00Z",
        "progress": {"failed": {"problem": {"kind": "caa", "detail": "no"}}},
    });
    let order_open = json!({
        "id": "o1", "endpoint": "open", "account": "reg_1", "identifiers": [], "authorizations": [], "profile": "p",
        "not_before": null, "not_after": null, "created": "2026-11-22T10:00:00Z", "expires": "2026-11-23T10:00:00Z",
        "progress": "open",
    });
    let order_issued = json!({
        "id": "o1", "endpoint": "open", "account": "reg_1", "identifiers": [], "authorizations": [], "profile": "p",
        "not_before": null, "not_after": null, "created": "2026-11-22T10:00:00Z", "expires": "2026-11-23T10:00:00Z",
        "progress": {"issued": {"csr": vec![7; 32], "certificate": "AA.BB"}},
    });
    let order_finalizing = json!({
        "id": "o1", "endpoint": "open", "account": "reg_1", "identifiers": [], "authorizations": [], "profile": "p",
        "not_before": null, "not_after": null, "created": "2026-11-22T10:00:00Z", "expires": "2026-11-23T10:00:00Z",
        "progress": {"finalizing": {"csr": vec![7; 32], "since": "2026-11-22T10:00:01Z"}},
    });
    for json in [order, order_open, order_issued, order_finalizing] {
        same_both_ways::<Order>(&json);
    }
    let states = [
        json!("pending"),
        json!({"processing": {"key_authorization": "t.k", "since": "2026-11-22T10:00:00Z"}}),
        json!({"valid": {"evidence":
            {"perspective": "local", "source": "", "target": "192.0.2.1:80", "at": "2026-11-22T10:00:00Z"}}}),
        json!({"invalid": {"at": "2026-11-22T10:00:00Z",
            "problem": {"kind": "connection", "detail": "no"}}}),
        json!({"waived": {"at": "2026-11-22T10:00:00Z", "waived": {
            "waiver": "wav_1", "proposed_by": "anna", "decided_by": "bert", "reason": "no port 80", "address": "192.0.2.44",
            "client_certificate": "0a".repeat(32)}}}),
    ];
    for (kind, state) in ["http-01", "dns-01", "http-01", "dns-01", "http-01"].into_iter().zip(states) {
        same_both_ways::<Authorization>(&json!({
            "id": "a1", "endpoint": "open", "account": "reg_1", "identifier": {"type": "ip", "value": "192.0.2.1"},
            "challenges": [{"kind": kind, "token": "t", "state": state}], "expires": "2026-11-23T10:00:00Z",
            "deactivated_at": null,
        }));
    }
    same_both_ways::<FailureRun>(&json!({
        "endpoint": "open", "account": "reg_1", "identifier": {"type": "dns", "value": "*.a.test"}, "failures": 100,
        "first": "2026-11-22T10:00:00Z", "last": "2026-11-30T10:00:00Z", "problem": {"kind": "dns", "detail": "no"},
        "paused_at": "2026-11-30T10:00:00Z",
    }));
    same_both_ways::<Job>(&json!({
        "id": "j1", "due_at": "2026-11-22T10:00:00Z", "attempt": 2,
        "work": {"validate": {"authorization": "a1", "kind": "dns-01"}},
    }));
    same_both_ways::<Job>(&json!({
        "id": "j1", "due_at": "2026-11-22T10:00:00Z", "attempt": 0,
        "work": {"confirm-delivery": {"realm": "r1", "request": "req_1"}},
    }));
    for submission in [
        json!("not-sent"),
        json!({"may-have-been-sent": {"since": "2026-11-22T10:00:00Z"}}),
        json!({"accepted": {"request": "req_1", "since": "2026-11-22T10:00:00Z"}}),
    ] {
        same_both_ways::<Job>(&json!({
            "id": "j1", "due_at": "2026-11-22T10:00:00Z", "attempt": 0,
            "work": {"issue": {"order": "o1", "realm": "r1", "idempotency_key": "k1", "csr": "MAA", "request": "AP-_",
                "submission": submission}},
        }));
    }
}

fn same_both_ways<Record: Serialize + DeserializeOwned>(json: &serde_json::Value) {
    let record: Record = serde_json::from_value(json.clone()).unwrap_or_else(|why| panic!("{why}: {json}"));
    assert_eq!(serde_json::to_value(&record).unwrap(), *json);
}
