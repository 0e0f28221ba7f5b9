//! Which names are allowed: the contract's table, and what holds of all lists.

use proptest::prelude::*;

use super::*;
use crate::samples::{identifier, identifiers, name, profile, registration, suffix};

fn rule_of(verdict: Verdict) -> Result<String, Rule> {
    match verdict {
        Verdict::Allowed { rule } => Ok(rule),
        Verdict::Refused(refusal) => Err(refusal.rule),
    }
}

fn listed(rules: &[IdentifierRule], exclude: &[IdentifierRule]) -> AllowedIdentifiers {
    AllowedIdentifiers::Listed { rules: rules.to_vec(), exclude: exclude.to_vec() }
}

fn block(text: &str) -> IdentifierRule {
    let (address, prefix_bits) = text.split_once('/').unwrap();
    IdentifierRule::Network { address: address.parse().unwrap(), prefix_bits: prefix_bits.parse().unwrap() }
}

#[test]
fn entries_cover_what_the_contract_says() {
    let table = [
        (suffix("example.com"), "example.com", true),
        (suffix("example.com"), "a.b.example.com", true),
        (suffix("example.com"), "*.example.com", true),
        (suffix("example.com"), "*.a.example.com", true),
        (suffix("example.com"), "badexample.com", false),
        (suffix("example.com"), "*.badexample.com", false),
        (suffix("example.com"), "example.com.evil.test", false),
        (suffix("example.com"), "com", false),
        (suffix("example.com"), "*.com", false),
        (suffix("example.com"), "192.0.2.7", false),
        (IdentifierRule::Suffix { name: name("a.test"), wildcards: false }, "b.a.test", true),
        (IdentifierRule::Suffix { name: name("a.test"), wildcards: false }, "*.a.test", false),
        (IdentifierRule::Exact(name("www.a.test")), "www.a.test", true),
        (IdentifierRule::Exact(name("www.a.test")), "x.www.a.test", false),
        (IdentifierRule::Exact(name("www.a.test")), "*.www.a.test", false),
        (IdentifierRule::Exact(name("www.a.test")), "*.a.test", false),
        (IdentifierRule::Wildcard(name("dev.a.test")), "*.dev.a.test", true),
        (IdentifierRule::Wildcard(name("dev.a.test")), "x.dev.a.test", false),
        (IdentifierRule::Wildcard(name("dev.a.test")), "dev.a.test", false),
        (IdentifierRule::Wildcard(name("dev.a.test")), "*.x.dev.a.test", false),
        (IdentifierRule::Address("192.0.2.7".parse().unwrap()), "192.0.2.7", true),
        (IdentifierRule::Address("192.0.2.7".parse().unwrap()), "192.0.2.8", false),
        (IdentifierRule::Address("::ffff:192.0.2.7".parse().unwrap()), "192.0.2.7", true),
        (block("192.0.2.0/24"), "192.0.2.255", true),
        (block("192.0.2.9/24"), "192.0.2.1", true),
        (block("192.0.2.0/24"), "192.0.3.0", false),
        (block("0.0.0.0/0"), "2001:db8::1", false),
        (block("::/0"), "192.0.2.1", false),
        (block("2001:db8::/32"), "2001:db8:ffff::1", true),
        (block("2001:db8::/32"), "2001:db9::1", false),
        (block("::ffff:192.0.2.0/120"), "192.0.2.77", true),
        (block("::ffff:192.0.2.0/120"), "192.0.3.77", false),
        (block("192.0.2.7/77"), "192.0.2.7", true),
        (block("192.0.2.7/77"), "192.0.2.8", false),
    ];
    for (entry, text, covered) in table {
        assert_eq!(covers(&entry, &identifier(text)), covered, "{} and {text}", describe(&entry));
    }
}

#[test]
fn ipv4_inside_ipv6_is_judged_as_ipv4() {
    let mapped = Identifier::Ip("::ffff:192.0.2.7".parse().unwrap());
    assert!(covers(&block("192.0.2.0/24"), &mapped));
    assert!(covers(&IdentifierRule::Address("192.0.2.7".parse().unwrap()), &mapped));
    assert!(!covers(&block("::/0"), &mapped));
}

#[test]
fn a_verdict_names_the_entry_or_the_rule() {
    let list = &registration().allowed_identifiers;
    assert_eq!(rule_of(allowed(&identifier("www.example.com"), list)), Ok("suffix example.com".into()));
    assert_eq!(rule_of(allowed(&identifier("www.example.org"), list)), Ok("exact www.example.org".into()));
    assert_eq!(rule_of(allowed(&identifier("192.0.2.7"), list)), Ok("network 192.0.2.0/24".into()));
    assert_eq!(rule_of(allowed(&identifier("example.org"), list)), Err(Rule::IdentifierNotListed));
    for text in ["vpn.example.com", "a.vpn.example.com", "*.vpn.example.com"] {
        assert_eq!(rule_of(allowed(&identifier(text), list)), Err(Rule::IdentifierExcluded), "{text}");
    }
}

#[test]
fn an_exclusion_below_a_wildcard_does_not_refuse_the_wildcard() {
    let list = listed(&[suffix("example.com")], &[suffix("vpn.example.com")]);
    assert_eq!(rule_of(allowed(&identifier("*.example.com"), &list)), Ok("suffix example.com".into()));
}

#[test]
fn an_empty_list_allows_nothing() {
    assert_eq!(rule_of(allowed(&identifier("a.test"), &listed(&[], &[]))), Err(Rule::IdentifierNotListed));
}

#[test]
fn any_allows_all_but_exclusions_and_wildcards_of_the_top_level() {
    let any = AllowedIdentifiers::Any { exclude: vec![suffix("example.com"), block("10.0.0.0/8")] };
    for text in ["a.test", "*.a.test", "printer-7", "192.0.2.1"] {
        assert_eq!(rule_of(allowed(&identifier(text), &any)), Ok("any".into()), "{text}");
    }
    assert_eq!(rule_of(allowed(&identifier("a.example.com"), &any)), Err(Rule::IdentifierExcluded));
    assert_eq!(rule_of(allowed(&identifier("10.1.2.3"), &any)), Err(Rule::IdentifierExcluded));
    assert_eq!(rule_of(allowed(&identifier("*.com"), &any)), Err(Rule::IdentifierTopLevelWildcard));
    assert_eq!(rule_of(allowed(&identifier("*.lan"), &listed(&[suffix("lan")], &[]))), Ok("suffix lan".into()));
}

#[test]
fn an_order_is_refused_with_a_subproblem_for_each_refused_identifier() {
    let names = identifiers(&["www.example.com", "evil.test", "vpn.example.com"]);
    let problem = check_order(&names, &registration(), &profile(), 100).unwrap_err();
    assert_eq!(problem.kind, ProblemKind::RejectedIdentifier);
    assert_eq!(problem.detail, "2 of 3 identifiers were refused; see subproblems");
    let found: Vec<_> =
        problem.subproblems.iter().map(|sub| (sub.identifier.1.as_str(), sub.detail.as_ref())).collect();
    assert_eq!(
        found,
        [
            (
                "evil.test",
                "not covered by the list of allowed identifiers of this registration (rule \
                 identifier.not-listed); ask the registration authority to add it"
            ),
            (
                "vpn.example.com",
                "excluded from what this registration may ask for, by the entry suffix vpn.example.com (rule \
                 identifier.excluded); ask for another name, or ask the registration authority"
            ),
        ]
    );
}

#[test]
fn an_order_within_the_list_and_the_profile_is_taken() {
    let names = identifiers(&["example.com", "*.example.com", "www.example.org", "192.0.2.7"]);
    assert_eq!(check_order(&names, &registration(), &profile(), 4), Ok(()));
}

#[test]
fn a_profile_refuses_types_and_wildcards_it_does_not_issue_for() {
    let refusal = |profile: &Profile, text: &str| {
        let problem = check_order(&identifiers(&[text]), &registration(), profile, 100).unwrap_err();
        (problem.kind, problem.detail)
    };
    let bare = Profile { dns: false, ip: false, wildcards: false, ..profile() };
    let (kind, detail) = refusal(&bare, "192.0.2.7");
    assert_eq!(kind, ProblemKind::UnsupportedIdentifier);
    assert!(detail.contains("(rule profile.no-ip)"), "{detail}");
    let (kind, detail) = refusal(&bare, "a.example.com");
    assert_eq!(kind, ProblemKind::UnsupportedIdentifier);
    assert!(detail.contains("(rule profile.no-dns)"), "{detail}");
    let (kind, detail) = refusal(&Profile { wildcards: false, ..profile() }, "*.evil.test");
    assert_eq!(kind, ProblemKind::RejectedIdentifier);
    assert!(detail.contains("(rule profile.no-wildcards)") && detail.contains("(rule identifier.not-listed)"));
}

#[test]
fn names_of_onion_services_are_refused_whatever_the_list_says() {
    let anything =
        Registration { allowed_identifiers: AllowedIdentifiers::Any { exclude: Vec::new() }, ..registration() };
    for (text, is_taken) in [("a.onion", false), ("*.a.onion", false), ("onion", false), ("a.onion.test", true)] {
        let checked = check_order(&identifiers(&[text]), &anything, &profile(), 100);
        let refused = checked.err().map(|problem| (problem.kind, problem.detail.contains("(rule identifier.onion)")));
        assert_eq!(refused, (!is_taken).then_some((ProblemKind::RejectedIdentifier, true)), "{text}");
    }
}

#[test]
fn an_order_with_too_many_or_no_identifiers_is_malformed() {
    let names = identifiers(&["a.example.com", "b.example.com", "c.example.com"]);
    let refusal = |names: &[Identifier], profile: &Profile, most| {
        let problem = check_order(names, &registration(), profile, most).unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Malformed);
        problem.detail
    };
    let detail = refusal(&names, &profile(), 2);
    assert_eq!(
        detail,
        "the order has 3 identifiers and 2 is the most taken here (rule order.too-many-identifiers); split the order"
    );
    let detail = refusal(&names, &Profile { identifiers_max: 2, ..profile() }, 100);
    assert!(detail.contains("(rule profile.too-many-identifiers)"), "{detail}");
    assert!(refusal(&[], &profile(), 100).contains("(rule order.empty)"));
}

/// Few labels, so that names and entries often meet.
fn any_name() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("ab")], 1..4).prop_map(|labels| labels.join("."))
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0_u32..8).prop_map(|low| IpAddr::V4((0xc000_0200 | low).into())),
        (0_u128..8).prop_map(|low| IpAddr::V6((0x2001_0db8_u128 << 96 | low).into())),
        (0_u32..8).prop_map(|low| IpAddr::V6(std::net::Ipv4Addr::from(0xc000_0200 | low).to_ipv6_mapped())),
    ]
}

fn any_identifier() -> impl Strategy<Value = Identifier> {
    prop_oneof![
        any_name().prop_map(|text| Identifier::Dns(name(&text))),
        any_name().prop_map(|text| Identifier::Wildcard(name(&text))),
        any_address().prop_map(Identifier::Ip),
    ]
}

fn any_entry() -> impl Strategy<Value = IdentifierRule> {
    prop_oneof![
        (any_name(), any::<bool>())
            .prop_map(|(text, wildcards)| IdentifierRule::Suffix { name: name(&text), wildcards }),
        any_name().prop_map(|text| IdentifierRule::Exact(name(&text))),
        any_name().prop_map(|text| IdentifierRule::Wildcard(name(&text))),
        any_address().prop_map(IdentifierRule::Address),
        (any_address(), 0_u8..=140).prop_map(|(address, prefix_bits)| IdentifierRule::Network { address, prefix_bits }),
    ]
}

fn any_entries() -> impl Strategy<Value = Vec<IdentifierRule>> {
    proptest::collection::vec(any_entry(), 0..4)
}

fn is_allowed(identifier: &Identifier, rules: &[IdentifierRule], exclude: &[IdentifierRule]) -> bool {
    rule_of(allowed(identifier, &listed(rules, exclude))).is_ok()
}

proptest! {
    #[test]
    fn a_name_with_an_evil_prefix_is_never_allowed(text in any_name(), prefix in "[g-z][a-z0-9]{0,19}") {
        let evil = name(&format!("{prefix}{text}"));
        let list = listed(&[suffix(&text), IdentifierRule::Exact(name(&text)), IdentifierRule::Wildcard(name(&text))], &[]);
        prop_assert!(rule_of(allowed(&Identifier::Dns(evil.clone()), &list)).is_err());
        prop_assert!(rule_of(allowed(&Identifier::Wildcard(evil), &list)).is_err());
    }

    #[test]
    fn a_suffix_covers_names_as_the_contract_writes_it(top in any_name(), text in any_name()) {
        let written = text == top || text.ends_with(&format!(".{top}"));
        prop_assert_eq!(covers(&suffix(&top), &Identifier::Dns(name(&text))), written);
    }

    #[test]
    fn another_exclusion_never_allows_more(
        identifier in any_identifier(), rules in any_entries(), exclude in any_entries(), another in any_entry(),
    ) {
        let before = is_allowed(&identifier, &rules, &exclude);
        let after = is_allowed(&identifier, &rules, &[exclude.clone(), vec![another]].concat());
        prop_assert!(before || !after);
    }

    #[test]
    fn another_entry_never_allows_less(
        identifier in any_identifier(), rules in any_entries(), exclude in any_entries(), another in any_entry(),
    ) {
        let before = is_allowed(&identifier, &rules, &exclude);
        let after = is_allowed(&identifier, &[rules.clone(), vec![another]].concat(), &exclude);
        prop_assert!(after || !before);
    }

    #[test]
    fn what_the_listed_entries_allow_is_allowed_where_all_is(identifier in any_identifier(), exclude in any_entries()) {
        let any = rule_of(allowed(&identifier, &AllowedIdentifiers::Any { exclude: exclude.clone() }));
        let excluded = exclude.iter().any(|entry| covers(entry, &identifier));
        prop_assert_eq!(any.is_err(), excluded || is_top_level_wildcard(&identifier));
    }

    #[test]
    fn the_spelling_of_a_name_does_not_change_the_verdict(text in any_name(), entries in any_entries(), wild in any::<bool>()) {
        let spelled = if wild { format!("*.{text}") } else { text };
        let folded = Identifier::parse_dns(&spelled.to_ascii_uppercase()).unwrap();
        prop_assert_eq!(&folded, &Identifier::parse_dns(&spelled).unwrap());
        prop_assert_eq!(&Identifier::parse_dns(&folded.to_string()).unwrap(), &folded);
        let list = listed(&entries, &[]);
        prop_assert_eq!(allowed(&folded, &list), allowed(&identifier(&spelled), &list));
    }
}
