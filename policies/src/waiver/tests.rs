//! Waivers: a name, an hour and what a client shows, against every rule.

use std::time::Duration;

use acme::registration::IdentifierRule;
use proptest::prelude::*;

use super::*;
use crate::samples::{identifier, name, suffix};

const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn key(seed: u8) -> KeyDigest {
    KeyDigest::of_spki(&[seed])
}

/// For the printers, from their network.
fn printers() -> Waiver {
    Waiver {
        id: "wav_1".parse().unwrap(),
        identifiers: vec![IdentifierRule::Suffix { name: name("printers.example.com"), wildcards: false }],
        evidence: WaiverEvidence { addresses: vec!["192.0.2.0/24".parse().unwrap()], client_certificates: Vec::new() },
        not_after: NOW.plus(DAY),
        reason: String::from("printers cannot open port 80"),
        proposed_by: String::from("urn:cm:officer:anna"),
        decided_by: String::from("urn:cm:approver:bert"),
    }
}

fn with_keys(addresses: &[&str], keys: &[u8]) -> Waiver {
    let evidence = WaiverEvidence {
        addresses: addresses.iter().map(|block| block.parse().unwrap()).collect(),
        client_certificates: keys.iter().map(|seed| key(*seed)).collect(),
    };
    Waiver { evidence, ..printers() }
}

fn from(address: &str) -> Shown {
    Shown { address: address.parse().unwrap(), client_certificate: None }
}

/// Why the one waiver does not count for a printer; `None` if it does.
fn missed(waiver: &Waiver, shown: &Shown, now: Timestamp) -> Option<Why> {
    match judge(&identifier("p7.printers.example.com"), std::slice::from_ref(waiver), shown, now) {
        Verdict::Waived(found) => {
            assert_eq!(found, waiver);
            None
        }
        Verdict::Required { missed } => Some(missed.first().expect("it is about the name").why),
    }
}

#[test]
fn a_name_is_matched_as_in_the_list_of_allowed_identifiers() {
    let by = |rule: IdentifierRule, text: &str| {
        let waivers = [Waiver { identifiers: vec![rule], ..printers() }];
        let verdict = judge(&identifier(text), &waivers, &from("192.0.2.44"), NOW);
        if verdict != Verdict::Waived(&waivers[0]) {
            assert_eq!(verdict, Verdict::Required { missed: Vec::new() }, "{text}: of other names nothing is said");
            return false;
        }
        true
    };
    let no_wildcards = || IdentifierRule::Suffix { name: name("printers.example.com"), wildcards: false };
    assert!(by(no_wildcards(), "p7.printers.example.com") && by(no_wildcards(), "printers.example.com"));
    for other in [
        "evilprinters.example.com",
        "example.com",
        "*.printers.example.com",
        "192.0.2.44",
        "printers.example.com.evil.test",
    ] {
        assert!(!by(no_wildcards(), other), "{other}");
    }
    assert!(by(suffix("printers.example.com"), "*.printers.example.com"));
    assert!(
        by(IdentifierRule::Exact(name("a.test")), "a.test") && !by(IdentifierRule::Exact(name("a.test")), "*.a.test")
    );
    assert!(
        by(IdentifierRule::Wildcard(name("a.test")), "*.a.test")
            && !by(IdentifierRule::Wildcard(name("a.test")), "a.test")
    );
    let block = || IdentifierRule::Network { address: "192.0.2.0".parse().unwrap(), prefix_bits: 24 };
    assert!(by(block(), "192.0.2.7") && !by(block(), "192.0.3.7") && !by(block(), "a.test"));
}

#[test]
fn a_waiver_counts_before_its_end_and_not_at_it() {
    let second = Duration::from_secs(1);
    let waiver = printers();
    for (at, why) in [
        (NOW, None),
        (waiver.not_after.minus(second), None),
        (waiver.not_after, Some(Why::Ended)),
        (waiver.not_after.plus(second), Some(Why::Ended)),
    ] {
        assert_eq!(missed(&waiver, &from("192.0.2.44"), at), why, "{at}");
    }
}

#[test]
fn of_each_kind_of_evidence_that_is_asked_for_one_entry_must_match() {
    let shown = |address: &str, seed: Option<u8>| Shown { client_certificate: seed.map(key), ..from(address) };
    let (inside, outside) = ("192.0.2.44", "198.51.100.1");
    type Row<'a> = (&'a [&'a str], &'a [u8], Shown, Option<Why>);
    let table: [Row<'_>; 14] = [
        (&["192.0.2.0/24"], &[], shown(inside, None), None),
        (&["192.0.2.0/24"], &[], shown("::ffff:192.0.2.44", None), None),
        (&["192.0.2.0/24"], &[], shown(inside, Some(9)), None),
        (&["192.0.2.0/24"], &[], shown(outside, None), Some(Why::OtherAddress)),
        (&["192.0.2.0/24"], &[], shown("::192.0.2.44", None), Some(Why::OtherAddress)),
        (&["10.0.0.0/8", "192.0.2.0/24"], &[], shown(inside, None), None),
        (&["2001:db8::/32"], &[], shown("2001:db8::7", None), None),
        (&[], &[1, 2], shown(outside, Some(2)), None),
        (&[], &[1, 2], shown(inside, None), Some(Why::NoCertificate)),
        (&[], &[1, 2], shown(inside, Some(3)), Some(Why::OtherCertificate)),
        (&["192.0.2.0/24"], &[1], shown(inside, Some(1)), None),
        (&["192.0.2.0/24"], &[1], shown(outside, Some(1)), Some(Why::OtherAddress)),
        (&["192.0.2.0/24"], &[1], shown(inside, None), Some(Why::NoCertificate)),
        (&[], &[], shown(inside, Some(1)), Some(Why::NoEvidence)),
    ];
    for (addresses, keys, shown, why) in table {
        assert_eq!(missed(&with_keys(addresses, keys), &shown, NOW), why, "{addresses:?} {keys:?} {shown:?}");
    }
}

#[test]
fn of_several_waivers_that_count_the_one_that_ends_last_is_used() {
    let ending =
        |id: &str, days: u32| Waiver { id: id.parse().unwrap(), not_after: NOW.plus(DAY * days), ..printers() };
    let waivers = [ending("wav_1", 2), ending("wav_2", 9), ending("wav_3", 9), ending("wav_4", 1)];
    let verdict = judge(&identifier("p7.printers.example.com"), &waivers, &from("192.0.2.44"), NOW);
    assert_eq!(verdict, Verdict::Waived(&waivers[1]));
    let late = judge(&identifier("p7.printers.example.com"), &waivers, &from("192.0.2.44"), NOW.plus(DAY * 9));
    let Verdict::Required { missed } = late else { panic!("{late:?}") };
    assert_eq!(missed.len(), 4, "each is named with its reason");
}

#[test]
fn a_registration_without_waivers_waives_nothing() {
    let verdict = judge(&identifier("p7.printers.example.com"), &[], &from("192.0.2.44"), NOW);
    assert_eq!(verdict, Verdict::Required { missed: Vec::new() });
}

#[test]
fn what_is_kept_names_the_waiver_the_people_and_the_evidence() {
    let shown = Shown { client_certificate: Some(key(1)), ..from("::ffff:192.0.2.44") };
    let kept = waived(&printers(), &shown);
    assert_eq!((kept.waiver.as_str(), kept.address), ("wav_1", "192.0.2.44".parse().unwrap()));
    assert_eq!((kept.proposed_by.as_str(), kept.decided_by.as_str()), ("urn:cm:officer:anna", "urn:cm:approver:bert"));
    assert_eq!((kept.reason.as_str(), kept.client_certificate), ("printers cannot open port 80", Some(key(1))));
}

#[test]
fn what_was_waived_needs_the_same_waiver_and_its_evidence_again() {
    let name = identifier("p7.printers.example.com");
    let shown = from("192.0.2.44");
    let earlier = waived(&printers(), &shown);
    let again = |waivers: &[Waiver], shown: &Shown, now: Timestamp| {
        still_counts(&name, &earlier, waivers, shown, now).map_err(|(told, why)| {
            assert_eq!(told.kind, ProblemKind::Unauthorized);
            let (_, rule) = told.detail.split_once("(rule ").unwrap();
            (rule.split(')').next().unwrap().to_owned(), why)
        })
    };
    let refused = |rule: &str, why: Option<Why>| Err((rule.to_owned(), why));
    let other_names = Waiver { identifiers: vec![IdentifierRule::Exact(crate::samples::name("a.test"))], ..printers() };
    let other_id = Waiver { id: "wav_2".parse().unwrap(), ..printers() };
    assert_eq!(again(&[printers()], &shown, NOW), Ok(()));
    assert_eq!(again(&[], &shown, NOW), refused("waiver.not-in-force", None));
    assert_eq!(again(&[other_id], &shown, NOW), refused("waiver.not-in-force", None));
    assert_eq!(again(&[other_names], &shown, NOW), refused("waiver.not-in-force", None));
    assert_eq!(again(&[printers()], &shown, NOW.plus(DAY)), refused("waiver.not-in-force", Some(Why::Ended)));
    assert_eq!(again(&[printers()], &from("192.0.3.1"), NOW), refused("waiver.evidence", Some(Why::OtherAddress)));
    assert_eq!(again(&[with_keys(&[], &[1])], &shown, NOW), refused("waiver.evidence", Some(Why::NoCertificate)));
}

#[test]
fn clients_are_told_nothing_of_addresses_and_people() {
    let earlier = waived(&printers(), &from("192.0.2.44"));
    let (told, _) =
        still_counts(&identifier("p7.printers.example.com"), &earlier, &[printers()], &from("198.51.100.1"), NOW)
            .unwrap_err();
    for secret in ["192.0.2", "198.51", "anna", "bert", "wav_1", "port 80"] {
        assert!(!told.detail.contains(secret), "{}", told.detail);
    }
}

/// Names of which about half are about the rule.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,5}".prop_map(|label| format!("{label}.printers.example.com")),
        "[a-z]{1,5}".prop_map(|label| format!("{label}printers.example.com")),
        "[a-z]{1,5}".prop_map(|label| format!("*.{label}.printers.example.com")),
        "[a-z]{1,5}\\.(com|test)",
    ]
}

proptest! {
    #[test]
    fn nothing_is_waived_outside_rules_evidence_and_time(
        text in names(),
        host in 0..=3_u8,
        third in prop_oneof![Just(2_u8), any::<u8>()],
        mapped in any::<bool>(),
        (asks_address, asked_keys) in (any::<bool>(), prop::collection::vec(0..3_u8, 0..3)),
        held in prop::option::of(0..4_u8),
        seconds in -10..10_i64,
    ) {
        let wanted: &[&str] = if asks_address { &["192.0.2.0/30"] } else { &[] };
        let waiver = with_keys(wanted, &asked_keys);
        let inner = std::net::Ipv4Addr::new(192, 0, third, host.wrapping_mul(2));
        let address = if mapped { inner.to_ipv6_mapped().into() } else { IpAddr::from(inner) };
        let shown = Shown { address, client_certificate: held.map(key) };
        let end = waiver.not_after;
        let now = if seconds < 0 { end.minus(Duration::from_secs(seconds.unsigned_abs())) } else { end.plus(Duration::from_secs(seconds.unsigned_abs())) };

        let about = text.ends_with(".printers.example.com") && !text.starts_with('*');
        let at = !asks_address || (third == 2 && host < 2);
        let holds = asked_keys.is_empty() || held.is_some_and(|held| asked_keys.contains(&held));
        let asks = asks_address || !asked_keys.is_empty();
        let expected = about && at && holds && asks && seconds < 0;
        let waivers = [waiver];
        let name = identifier(&text);
        let verdict = judge(&name, &waivers, &shown, now);
        prop_assert_eq!(matches!(verdict, Verdict::Waived(_)), expected, "{} {:?} {:?}", text, shown, verdict);
        let again = still_counts(&name, &waived(&waivers[0], &shown), &waivers, &shown, now);
        prop_assert_eq!(again.is_ok(), expected, "both say the same");
    }
}
