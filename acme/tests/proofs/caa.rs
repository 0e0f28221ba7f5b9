//! CAA records against what they permit: the tables of RFC 8659 and RFC 8657, and random records.

use std::time::Duration;

use acme::{
    caa::{CaaEvidence, CaaResult, Forbidden, Issuance, IssueValue, Parameter, Property, Tag, judge},
    challenge::ChallengeKind,
    time::Timestamp,
};
use proptest::prelude::*;

const US: &str = "ca.example.net";
const ACCOUNT: &str = "https://acme.example.com/acme/tls/acct/reg_1";

fn property(flags: u8, tag: &str, value: &str) -> Property {
    Property { flags, tag: tag.to_owned(), value: value.as_bytes().to_vec() }
}

fn judged_as(records: &[(u8, &str, &str)], identities: &[&str], is_wildcard: bool) -> Result<Tag, Forbidden> {
    let records: Vec<_> = records.iter().map(|(flags, tag, value)| property(*flags, tag, value)).collect();
    let identities: Vec<_> = identities.iter().map(|name| (*name).to_owned()).collect();
    let issuance =
        Issuance { identities: &identities, account_url: ACCOUNT, method: Some(ChallengeKind::Dns01), is_wildcard };
    judge(&records, &issuance)
}

fn judged(records: &[(u8, &str, &str)], is_wildcard: bool) -> Result<Tag, Forbidden> {
    judged_as(records, &[US, "ca2.example.net"], is_wildcard)
}

/// The variant, for tables.
fn why(judged: Result<Tag, Forbidden>) -> &'static str {
    match judged {
        Ok(Tag::Issue) => "by issue",
        Ok(Tag::IssueWild) => "by issuewild",
        Err(Forbidden::UnknownCritical(_)) => "critical",
        Err(Forbidden::OtherIssuer(..)) => "other issuer",
        Err(Forbidden::Malformed(_)) => "malformed",
        Err(Forbidden::OtherAccount(_)) => "other account",
        Err(Forbidden::OtherMethod(..)) => "other method",
    }
}

#[test]
fn names_are_governed_by_issue_and_wildcards_by_issuewild_where_there_is_one() {
    type Records = &'static [(u8, &'static str, &'static str)];
    let table: [(Records, &str, &str); 14] = [
        (&[], "by issue", "by issue"),
        (&[(0, "iodef", "mailto:a@b.test")], "by issue", "by issue"),
        (&[(0, "issuemail", ";"), (0, "contactphone", "1")], "by issue", "by issue"),
        (&[(0, "issue", US)], "by issue", "by issue"),
        (&[(0, "ISSUE", "CA.Example.NET")], "by issue", "by issue"),
        (&[(0, "issue", "ca2.example.net")], "by issue", "by issue"),
        (&[(0, "issue", ";")], "other issuer", "other issuer"),
        (&[(0, "issue", "")], "other issuer", "other issuer"),
        (&[(0, "issue", "other.test")], "other issuer", "other issuer"),
        (&[(0, "issue", "sub.ca.example.net")], "other issuer", "other issuer"),
        (&[(0, "issue", "other.test"), (0, "issue", US)], "by issue", "by issue"),
        (&[(0, "issue", US), (0, "issuewild", ";")], "by issue", "other issuer"),
        (&[(0, "issue", ";"), (0, "issuewild", US)], "other issuer", "by issuewild"),
        (&[(0, "issuewild", "other.test")], "by issue", "other issuer"),
    ];
    for (records, name, wildcard) in table {
        assert_eq!(why(judged(records, false)), name, "{records:?}");
        assert_eq!(why(judged(records, true)), wildcard, "wildcard, {records:?}");
    }
}

#[test]
fn an_unknown_tag_forbids_if_it_is_critical_and_says_nothing_otherwise() {
    for flags in [128, 129, 1, 255] {
        assert_eq!(why(judged(&[(0, "issue", US), (flags, "tbs", "x")], false)), "critical", "{flags}");
    }
    for flags in [0, 2, 64, 126] {
        assert_eq!(why(judged(&[(0, "issue", US), (flags, "tbs", "x")], false)), "by issue", "{flags}");
    }
    assert_eq!(
        why(judged(&[(128, "issue", US), (128, "iodef", "x")], false)),
        "by issue",
        "known ones may be critical"
    );
    assert_eq!(why(judged(&[(128, "", "")], false)), "critical");
}

#[test]
fn a_proof_that_is_waived_is_in_no_list_of_methods() {
    let identities = [US.to_owned()];
    let waived = Issuance { identities: &identities, account_url: ACCOUNT, method: None, is_wildcard: false };
    let by = |value: &str| judge(&[property(0, "issue", value)], &waived);
    assert_eq!(why(by(US)), "by issue");
    for methods in ["http-01", "waived", "ca-waived", "http-01,dns-01,waived", ""] {
        let refused = by(&format!("{US}; validationmethods={methods}")).unwrap_err();
        assert_eq!(refused, Forbidden::OtherMethod(Tag::Issue, "waived"), "{methods}");
    }
}

#[test]
fn accounts_and_methods_that_a_property_names_are_binding() {
    let table = [
        (format!("{US}; accounturi={ACCOUNT}"), "by issue"),
        (format!("{US}; ACCOUNTURI={ACCOUNT}"), "by issue"),
        (format!("{US}; accounturi={ACCOUNT}/"), "other account"),
        (format!("{US}; accounturi={}", ACCOUNT.to_uppercase()), "other account"),
        (format!("{US}; accounturi="), "other account"),
        (format!("{US}; accounturi={ACCOUNT}; accounturi={ACCOUNT}"), "other account"),
        (format!("{US}; validationmethods=dns-01"), "by issue"),
        (format!("{US}; validationmethods=http-01,dns-01"), "by issue"),
        (format!("{US}; validationmethods=http-01"), "other method"),
        (format!("{US}; validationmethods=DNS-01"), "other method"),
        (format!("{US}; validationmethods="), "other method"),
        (format!("{US}; validationmethods=dns-01,"), "other method"),
        (format!("{US}; validationmethods=dns-01,a_b"), "other method"),
        (format!("{US}; validationmethods=dns-01; validationmethods=dns-01"), "other method"),
        (format!("{US}; accounturi={ACCOUNT}; validationmethods=dns-01"), "by issue"),
        (format!("{US}; accounturi={ACCOUNT}; validationmethods=ca-own"), "other method"),
        (format!("{US}; unknown=x"), "by issue"),
        (format!("{US}; unknown"), "malformed"),
        (format!("{US} x"), "malformed"),
        (format!("{US}."), "malformed"),
    ];
    for (value, expected) in table {
        assert_eq!(why(judged(&[(0, "issue", &value)], false)), expected, "{value}");
        let and_other = [(0, "issue", "other.test"), (0, "issue", value.as_str())];
        let expected = if expected == "malformed" { "other issuer" } else { expected };
        assert_eq!(why(judged(&and_other, false)), expected, "{value} beside another issuer");
    }
}

#[test]
fn an_issuer_without_a_name_is_named_by_nobody_and_its_operator_is_told() {
    let refused = judged_as(&[(0, "issue", "other.test")], &[], false).unwrap_err();
    assert!(refused.to_string().contains("its operator can give it one"), "{refused}");
    assert!(judged_as(&[(0, "issue", ";")], &[], false).is_err(), "an empty name is not a name");
    assert!(judged_as(&[], &[], false).is_ok());
    let refused = judged(&[(0, "issue", ";")], false).unwrap_err();
    assert!(refused.to_string().contains("add one for ca.example.net or ca2.example.net"), "{refused}");
}

#[test]
fn a_look_counts_for_its_time_and_for_the_names_it_was_made_for() {
    let at = Timestamp::from_unix_secs(1_800_000_000);
    let names = [US.to_owned()];
    let look = CaaEvidence { result: CaaResult::NoRecords, checked_at: at, identities: names.to_vec() };
    let hour = Duration::from_secs(3600);
    assert!(look.is_fresh(&names, hour, at.plus(hour - Duration::from_secs(1))));
    assert!(!look.is_fresh(&names, hour, at.plus(hour)));
    assert!(!look.is_fresh(&["other.test".to_owned()], hour, at));
}

fn any_property() -> impl Strategy<Value = Property> {
    let tag = prop_oneof![
        Just("issue".to_owned()),
        Just("issuewild".to_owned()),
        Just("iodef".to_owned()),
        "[a-zA-Z0-9]{0,8}",
    ];
    let value = prop_oneof![
        Just(US.to_owned()),
        Just(format!("{US}; accounturi={ACCOUNT}")),
        Just(";".to_owned()),
        "[a-z.;= ,-]{0,20}",
    ];
    (prop_oneof![Just(0), Just(128), any::<u8>()], tag, value.prop_map(String::into_bytes))
        .prop_map(|(flags, tag, value)| Property { flags, tag, value })
}

proptest! {
    #[test]
    fn whatever_octets_come_a_value_is_read_or_not(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(value) = IssueValue::parse(&octets) {
            for (tag, found) in &value.parameters {
                prop_assert!(!tag.is_empty() && !found.contains([' ', ';']));
                prop_assert_ne!(value.parameter(tag), Parameter::Absent);
            }
        }
        let property = Property { flags: 0, tag: String::from("issue"), value: octets };
        prop_assert!(property.text().len() <= 253);
    }

    /// What forbids, forbids in any order and whatever stands beside it: nothing but a property that
    /// permits, and none that is critical and unknown, makes a set of records permit.
    #[test]
    fn the_order_of_records_does_not_matter(mut records in prop::collection::vec(any_property(), 0..6), is_wildcard: bool) {
        let identities = [US.to_owned()];
        let issuance =
            Issuance { identities: &identities, account_url: ACCOUNT, method: Some(ChallengeKind::Http01), is_wildcard };
        let one_way = judge(&records, &issuance).is_ok();
        records.reverse();
        prop_assert_eq!(judge(&records, &issuance).is_ok(), one_way);
    }

    /// A record more can only widen if it names us, and can only narrow otherwise.
    #[test]
    fn a_property_for_somebody_else_never_opens_what_was_closed(
        records in prop::collection::vec(any_property(), 0..6),
        is_wildcard: bool,
    ) {
        let identities = [US.to_owned()];
        let issuance =
            Issuance { identities: &identities, account_url: ACCOUNT, method: Some(ChallengeKind::Http01), is_wildcard };
        let before = judge(&records, &issuance).is_ok();
        let mut more = records;
        more.push(property(0, "issue", "other.test"));
        prop_assert!(before || judge(&more, &issuance).is_err());
    }
}
