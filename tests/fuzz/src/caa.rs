//! CAA records (RFC 8659, RFC 8657): a line a property, its first octet the flags, then tag, blank, value.

use acme::{
    caa::{Issuance, Property, judge},
    challenge::ChallengeKind,
};

pub(crate) fn run(octets: &[u8]) {
    let records: Vec<Property> = octets.split(|octet| *octet == b'\n').filter_map(property).collect();
    let identities = [String::from("ca.test")];
    for is_wildcard in [false, true] {
        let issuance = Issuance {
            identities: &identities,
            account_url: "https://acme.test/acme/a/acct/reg_1",
            method: Some(ChallengeKind::Http01),
            is_wildcard,
        };
        let verdict = judge(&records, &issuance);
        let nobody = Property { flags: 0, tag: String::from("issuewild"), value: b";".to_vec() };
        let and_nobody: Vec<Property> = records.iter().cloned().chain([nobody]).collect();
        if is_wildcard && !records.iter().any(|record| record.tag.eq_ignore_ascii_case("issuewild")) {
            assert!(judge(&and_nobody, &issuance).is_err(), "issuewild ; permits nobody");
        } else {
            assert_eq!(judge(&and_nobody, &issuance).is_ok(), verdict.is_ok(), "it adds nothing");
        }
        let backwards: Vec<Property> = records.iter().rev().cloned().collect();
        assert_eq!(judge(&backwards, &issuance).is_ok(), verdict.is_ok(), "the order of records does not matter");
    }
}

fn property(line: &[u8]) -> Option<Property> {
    let (flags, rest) = line.split_first()?;
    let blank = rest.iter().position(|octet| *octet == b' ')?;
    let (tag, value) = rest.split_at(blank);
    let value = value.strip_prefix(b" ")?.to_vec();
    Some(Property { flags: *flags, tag: String::from_utf8(tag.to_vec()).ok()?, value })
}
