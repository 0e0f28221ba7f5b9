//! Which names a registration may ask for (CM contract section 4.3, Allowed identifiers) and a
//! profile issues for (section 4.2).
//!
//! Names come in normal form, which [`acme::identifier`] sees to; so comparing is all there is.
//! Effective policy (realm, parent, own) is the CM's to compute: what is judged here is its result.

use std::net::IpAddr;

use acme::{
    identifier::Identifier,
    problem::{Problem, ProblemKind, Subproblem},
    profile::Profile,
    registration::{AllowedIdentifiers, IdentifierRule, Registration},
};
use ipnet::IpNet;

use crate::rule::{Refusal, Rule};

/// What the list of allowed identifiers says about one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be asked for.
    Allowed {
        /// The entry that covers it, such as `suffix example.com`; `any` if every name is allowed.
        rule: String,
    },
    /// It may not.
    Refused(Refusal),
}

/// Judges one name: allowed if an entry covers it and no exclusion does.
///
/// A wildcard name needs an entry that covers wildcards; `Exact` never does, a suffix only with
/// `wildcards`. IPv4 inside IPv6 is judged as IPv4, in names and in entries; a block covers
/// addresses of its own family only.
///
/// Exclusions cover names by the very same table, and that has an edge worth knowing: excluding
/// the suffix `vpn.example.com` refuses that name, all below it and `*.vpn.example.com`, but
/// **not** `*.example.com`, although TLS clients take such a certificate for `vpn.example.com`
/// too. The CM decides by this table as well, and a gateway that read it otherwise would refuse
/// what an officer sees allowed. Whoever means to close that door excludes the wildcard as well,
/// or allows the suffix without wildcards.
///
/// Where every name is allowed, wildcards right below a top-level label (`*.com`, `*.lan`) are
/// refused all the same: they need an officer who lists them.
#[must_use]
pub fn allowed(identifier: &Identifier, allowed: &AllowedIdentifiers) -> Verdict {
    let (rules, exclude) = match allowed {
        AllowedIdentifiers::Any { exclude } => (None, exclude),
        AllowedIdentifiers::Listed { rules, exclude } => (Some(rules), exclude),
    };
    if let Some(entry) = exclude.iter().find(|entry| covers(entry, identifier)) {
        return Verdict::Refused(excluded(entry));
    }
    match rules.map(|rules| rules.iter().find(|entry| covers(entry, identifier))) {
        None if is_top_level_wildcard(identifier) => Verdict::Refused(top_level_wildcard()),
        None => Verdict::Allowed { rule: String::from("any") },
        Some(Some(entry)) => Verdict::Allowed { rule: describe(entry) },
        Some(None) => Verdict::Refused(not_listed()),
    }
}

/// Judges the identifiers of a new order, each once: their number, what the profile issues for,
/// and what the registration may ask for. `identifiers_max` is the endpoint's limit.
///
/// # Errors
/// One problem about all identifiers that are refused, with a subproblem for each
/// (RFC 8555 §6.7.1): `unsupportedIdentifier` if the profile does not issue for their type, else
/// `rejectedIdentifier`. `malformed` if there are none or too many.
pub fn check_order(
    identifiers: &[Identifier],
    registration: &Registration,
    profile: &Profile,
    identifiers_max: usize,
) -> Result<(), Problem> {
    check_number(identifiers.len(), profile, identifiers_max)
        .map_err(|refusal| refusal.into_problem(ProblemKind::Malformed))?;
    let refused: Vec<_> =
        identifiers.iter().filter_map(|identifier| subproblem(identifier, registration, profile)).collect();
    if refused.is_empty() { Ok(()) } else { Err(Problem::about_identifiers(refused, identifiers.len())) }
}

fn covers(entry: &IdentifierRule, identifier: &Identifier) -> bool {
    match (entry, identifier) {
        (IdentifierRule::Suffix { name: top, .. }, Identifier::Dns(name)) => name.is_same_or_under(top),
        (IdentifierRule::Suffix { name: top, wildcards }, Identifier::Wildcard(base)) => {
            *wildcards && base.is_same_or_under(top)
        }
        (IdentifierRule::Exact(only), Identifier::Dns(name)) => only == name,
        (IdentifierRule::Wildcard(only), Identifier::Wildcard(base)) => only == base,
        (IdentifierRule::Address(only), Identifier::Ip(address)) => only.to_canonical() == address.to_canonical(),
        (IdentifierRule::Network { address: block, prefix_bits }, Identifier::Ip(address)) => {
            network(*block, *prefix_bits).contains(&address.to_canonical())
        }
        (IdentifierRule::Suffix { .. }, Identifier::Ip(_))
        | (IdentifierRule::Exact(_), Identifier::Wildcard(_) | Identifier::Ip(_))
        | (IdentifierRule::Wildcard(_), Identifier::Dns(_) | Identifier::Ip(_))
        | (IdentifierRule::Address(_) | IdentifierRule::Network { .. }, Identifier::Dns(_) | Identifier::Wildcard(_)) => {
            false
        }
    }
}

/// The block of an entry. A block of IPv4 inside IPv6 is a block of IPv4; a prefix longer than
/// the family has means the one address, so that such an exclusion still excludes something.
fn network(address: IpAddr, prefix_bits: u8) -> IpNet {
    const MAPPED_BITS: u8 = 96; // of ::ffff:0:0/96, RFC 4291 section 2.5.5.2
    let (address, prefix_bits) = match (address, address.to_canonical(), prefix_bits.checked_sub(MAPPED_BITS)) {
        (IpAddr::V6(_), inner @ IpAddr::V4(_), Some(inner_bits)) => (inner, inner_bits),
        (as_written, _, _) => (as_written, prefix_bits),
    };
    IpNet::new(address, prefix_bits).unwrap_or_else(|_| IpNet::from(address))
}

fn is_top_level_wildcard(identifier: &Identifier) -> bool {
    matches!(identifier, Identifier::Wildcard(base) if !base.as_str().contains('.'))
}

fn describe(entry: &IdentifierRule) -> String {
    match entry {
        IdentifierRule::Suffix { name, wildcards: true } => format!("suffix {name}"),
        IdentifierRule::Suffix { name, wildcards: false } => format!("suffix {name} without wildcards"),
        IdentifierRule::Exact(name) => format!("exact {name}"),
        IdentifierRule::Wildcard(base) => format!("wildcard *.{base}"),
        IdentifierRule::Address(address) => format!("address {address}"),
        IdentifierRule::Network { address, prefix_bits } => format!("network {address}/{prefix_bits}"),
    }
}

fn excluded(entry: &IdentifierRule) -> Refusal {
    let what = format!("excluded from what this registration may ask for, by the entry {}", describe(entry));
    Refusal::new(Rule::IdentifierExcluded, what, "ask for another name, or ask the registration authority")
}

fn not_listed() -> Refusal {
    Refusal::new(
        Rule::IdentifierNotListed,
        "not covered by the list of allowed identifiers of this registration",
        "ask the registration authority to add it",
    )
}

fn top_level_wildcard() -> Refusal {
    Refusal::new(
        Rule::IdentifierTopLevelWildcard,
        "a wildcard right below a top-level label covers everybody's names",
        "ask for names below a domain, or ask the registration authority to list this one",
    )
}

fn check_number(found: usize, profile: &Profile, identifiers_max: usize) -> Result<(), Refusal> {
    let cure = "split the order";
    if found == 0 {
        return Err(Refusal::new(Rule::OrderEmpty, "the order has no identifiers", "name at least one"));
    }
    if found > identifiers_max {
        let what = format!("the order has {found} identifiers and {identifiers_max} is the most taken here");
        return Err(Refusal::new(Rule::OrderTooManyIdentifiers, what, cure));
    }
    if found > profile.identifiers_max {
        let (name, most) = (&profile.name, profile.identifiers_max);
        let what = format!("the order has {found} identifiers and {most} is the most the profile {name} takes");
        return Err(Refusal::new(Rule::ProfileTooManyIdentifiers, what, cure));
    }
    Ok(())
}

/// What the profile does not issue for this identifier, whoever asks.
fn refused_by_profile(identifier: &Identifier, profile: &Profile) -> Option<(ProblemKind, Refusal)> {
    let refusal = |kind, rule, things: &str| {
        let what = format!("the profile {} issues no certificates for {things}", profile.name);
        Some((kind, Refusal::new(rule, what, "ask for another profile or leave it out")))
    };
    match identifier {
        Identifier::Ip(_) if !profile.ip => {
            refusal(ProblemKind::UnsupportedIdentifier, Rule::ProfileNoIp, "IP addresses")
        }
        Identifier::Dns(_) | Identifier::Wildcard(_) if !profile.dns => {
            refusal(ProblemKind::UnsupportedIdentifier, Rule::ProfileNoDns, "DNS names")
        }
        Identifier::Wildcard(_) if !profile.wildcards => {
            refusal(ProblemKind::RejectedIdentifier, Rule::ProfileNoWildcards, "wildcard names")
        }
        Identifier::Dns(_) | Identifier::Wildcard(_) | Identifier::Ip(_) => None,
    }
}

/// One subproblem for one identifier, even if both profile and registration refuse it: whoever
/// reads it should not have to come twice.
fn subproblem(identifier: &Identifier, registration: &Registration, profile: &Profile) -> Option<Subproblem> {
    let by_registration = match allowed(identifier, &registration.allowed_identifiers) {
        Verdict::Allowed { .. } => None,
        Verdict::Refused(refusal) => Some(refusal),
    };
    let (kind, detail) = match (refused_by_profile(identifier, profile), by_registration) {
        (None, None) => return None,
        (Some((kind, refusal)), None) => (kind, refusal.detail),
        (None, Some(refusal)) => (ProblemKind::RejectedIdentifier, refusal.detail),
        (Some((kind, first)), Some(second)) => (kind, format!("{first}; and {second}")),
    };
    Some(Subproblem::new(kind, identifier, detail))
}

#[cfg(test)]
mod tests {
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
        proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("ab")], 1..4)
            .prop_map(|labels| labels.join("."))
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
            (any_address(), 0_u8..=140)
                .prop_map(|(address, prefix_bits)| IdentifierRule::Network { address, prefix_bits }),
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
}
