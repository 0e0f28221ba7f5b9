//! What is set is found, and limits hold.

use hickory_proto::rr::rdata::A;

use super::*;
use crate::dns::owner::RECORDS_PER_TYPE_MAX;

fn zone() -> Zone {
    Zone::new(&DEFAULT_SUFFIXES).unwrap()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn a(text: &str) -> RData {
    RData::A(A(text.parse().unwrap()))
}

#[test]
fn a_name_under_a_suffix_is_loopback_until_set_and_again_when_cleared() {
    let zone = zone();
    let find = || zone.find(&name("Www.Example.Test."), RecordType::A);
    assert_eq!(find(), Found::Records(vec![a("127.0.0.1")]));
    zone.add_a("www.example.test", &["192.0.2.7".parse().unwrap()]).unwrap();
    assert_eq!(find(), Found::Records(vec![a("192.0.2.7")]));
    zone.clear_a("WWW.example.test.").unwrap();
    assert_eq!(find(), Found::Records(vec![a("127.0.0.1")]));
}

#[test]
fn an_empty_address_list_means_no_address() {
    let zone = zone();
    zone.add_a("www.example.test", &[]).unwrap();
    assert_eq!(zone.find(&name("www.example.test."), RecordType::A), Found::Records(vec![]));
}

#[test]
fn a_sequence_moves_on_and_its_last_answer_stays() {
    let zone = zone();
    let steps = ["203.0.113.1", "127.0.0.1"];
    let answers = steps.map(|step| vec![step.parse().unwrap()]).to_vec();
    zone.set_a_sequence("rebind.test", answers).unwrap();
    let find = || zone.find(&name("rebind.test."), RecordType::A);
    assert_eq!(find(), Found::Records(vec![a("203.0.113.1")]));
    assert_eq!(find(), Found::Records(vec![a("127.0.0.1")]));
    assert_eq!(find(), Found::Records(vec![a("127.0.0.1")]));
}

#[test]
fn names_outside_exist_only_when_set_or_above_a_set_name() {
    let zone = zone();
    let find = |text: &str| zone.find(&name(text), RecordType::A);
    assert_eq!(find("host.example.net."), Found::NoSuchName);
    zone.add_txt("a.host.example.net", b"x").unwrap();
    assert_eq!(find("host.example.net."), Found::Records(vec![]));
    assert_eq!(find("a.host.example.net."), Found::Records(vec![]));
    assert_eq!(find("b.host.example.net."), Found::NoSuchName);
    zone.clear_txt("a.host.example.net").unwrap();
    assert_eq!(find("host.example.net."), Found::NoSuchName);
}

#[test]
fn an_outcome_for_a_type_wins_over_the_outcome_for_all() {
    let zone = zone();
    let host = "x.example.test";
    zone.set_outcome(host, None, Outcome::Refused).unwrap();
    zone.set_outcome(host, Some(RecordType::CAA), Outcome::ServFail).unwrap();
    let outcome = |kind| zone.outcome(&name("X.example.test."), kind);
    assert_eq!(outcome(RecordType::CAA), Some(Outcome::ServFail));
    assert_eq!(outcome(RecordType::TXT), Some(Outcome::Refused));
    zone.clear_outcomes(host).unwrap();
    assert_eq!(outcome(RecordType::CAA), None);
}

#[test]
fn limits_and_bad_names_are_refused_with_a_sentence() {
    let zone = zone();
    for _ in 0..RECORDS_PER_TYPE_MAX {
        zone.add_txt("x.test", b"v").unwrap();
    }
    let full = zone.add_txt("x.test", b"v").unwrap_err().to_string();
    assert!(full.contains("at most 256 records"), "{full}");
    let bad = zone.add_txt("a..b", b"v").unwrap_err().to_string();
    assert!(bad.contains("is no domain name"), "{bad}");
    let long = zone.add_txt_strings("x.test", vec![vec![b'x'; 256]]);
    assert!(long.unwrap_err().to_string().contains("255"));
}

#[test]
fn the_query_log_forgets_the_oldest() {
    let zone = zone();
    for number in 0..=QUERIES_KEPT_MAX {
        zone.record_query(LoggedQuery { name: format!("n{number}.Test."), record_type: "A".into(), transport: "udp" });
    }
    assert_eq!(zone.queries(None).unwrap().len(), QUERIES_KEPT_MAX);
    assert!(zone.queries(Some("n0.test")).unwrap().is_empty());
    assert_eq!(zone.queries(Some("N1.test")).unwrap().len(), 1);
}
