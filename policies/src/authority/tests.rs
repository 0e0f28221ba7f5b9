//! One change after the other of what an officer can change, and what it makes of an order that was good before.

use std::{sync::Arc, time::Duration};

use acme::{
    ids::{EndpointName, OrderId, ProfileName},
    order::Progress,
    registration::{AllowedIdentifiers, IdentifierRule, Parent, RegistrationStatus},
};

use super::*;
use crate::samples::{identifier, identifiers, name, profile, registration, suffix};

const NOW: Timestamp = Timestamp::from_unix_secs(1_795_342_200);
const DAY: Duration = Duration::from_secs(86_400);

fn order() -> Order {
    Order {
        id: OrderId::parse("o1").unwrap(),
        endpoint: EndpointName::parse("tls").unwrap(),
        account: registration().id,
        identifiers: identifiers(&["www.example.com", "192.0.2.7"]),
        authorizations: Vec::new(),
        reused: Vec::new(),
        profile: profile().name,
        replaces: None,
        not_before: None,
        not_after: Some(NOW.plus(DAY * 60)),
        created: NOW,
        expires: NOW.plus(DAY),
        progress: Progress::Open,
    }
}

fn listed(rules: Vec<IdentifierRule>) -> AllowedIdentifiers {
    AllowedIdentifiers::Listed { rules, exclude: Vec::new() }
}

/// The first rule that is named by the refusal.
fn rule_of<T>(judged: Result<T, Problem>) -> String {
    let Err(problem) = judged else { return String::from("none") };
    let told = problem.subproblems.first().map_or(&problem.detail, |first| &first.detail);
    let (_, rest) = told.split_once("(rule ").expect("every refusal names its rule");
    rest.split_once(')').unwrap().0.to_owned()
}

#[test]
fn each_change_of_an_officer_refuses_an_order_that_was_good_and_names_its_rule() {
    let with = |status| Registration { status, ..registration() };
    let only = |names: &[&str]| names.iter().map(|name| ProfileName::parse(name).unwrap()).collect::<Vec<_>>();
    let excluding = AllowedIdentifiers::Any { exclude: vec![IdentifierRule::Exact(name("www.example.com"))] };
    let parent = |allowed_profiles| Some(Parent { id: registration().id, allowed_profiles });
    // The rules by which the order is refused, and a proof of its first name.
    let table = [
        (registration(), "none", "none"),
        (with(RegistrationStatus::Suspended), "registration.suspended", "registration.suspended"),
        (with(RegistrationStatus::Revoked), "registration.revoked", "registration.revoked"),
        (with(RegistrationStatus::Deactivated), "registration.deactivated", "registration.deactivated"),
        (
            Registration { allowed_identifiers: listed(vec![suffix("example.org")]), ..registration() },
            "identifier.not-listed",
            "identifier.not-listed",
        ),
        (
            Registration { allowed_identifiers: excluding.clone(), ..registration() },
            "identifier.excluded",
            "identifier.excluded",
        ),
        (
            Registration { realm: Some(Arc::new(excluding)), ..registration() },
            "identifier.not-in-realm",
            "identifier.not-in-realm",
        ),
        (
            Registration { allowed_profiles: only(&["other"]), ..registration() },
            "profile.not-allowed",
            "profile.not-allowed",
        ),
        (
            Registration { parent: parent(only(&["other"])), ..registration() },
            "profile.not-allowed",
            "profile.not-allowed",
        ),
        (Registration { parent: parent(Vec::new()), ..registration() }, "none", "none"),
        // Which validity will be asked for is not known when a name is proven.
        (Registration { validity_max: Some(DAY * 30), ..registration() }, "registration.validity-too-long", "none"),
    ];
    for (registration, ordered, proven) in table {
        let profiles = [profile()];
        assert_eq!(rule_of(may_have(&order(), &registration, &profiles, 100, NOW)), ordered, "{registration:?}");
        let www = identifier("www.example.com");
        assert_eq!(rule_of(may_prove(&www, &registration, Some(&profiles))), proven, "{registration:?}");
    }
}

#[test]
fn a_profile_that_is_retired_certifies_nothing_and_one_that_changed_is_judged_as_it_is() {
    assert_eq!(rule_of(may_have(&order(), &registration(), &[], 100, NOW)), "profile.unknown");
    let www = identifier("www.example.com");
    assert_eq!(rule_of(may_prove(&www, &registration(), Some(&[]))), "profile.not-allowed");
    assert_eq!(may_prove(&www, &registration(), None), Ok(()), "nobody knows what is on offer");
    let no_dns = [Profile { dns: false, ..profile() }];
    assert_eq!(rule_of(may_have(&order(), &registration(), &no_dns, 100, NOW)), "profile.no-dns");
    assert_eq!(rule_of(may_prove(&www, &registration(), Some(&no_dns))), "profile.no-dns");
    let shorter = [Profile { validity_max: Some(DAY), ..profile() }];
    assert_eq!(rule_of(may_have(&order(), &registration(), &shorter, 100, NOW)), "profile.validity-too-long");
    assert_eq!(rule_of(may_have(&order(), &registration(), &[profile()], 1, NOW)), "order.too-many-identifiers");
}

#[test]
fn a_wildcard_below_a_top_level_label_must_be_in_one_of_the_lists() {
    let wildcard = identifier("*.lan");
    let any = || AllowedIdentifiers::Any { exclude: Vec::new() };
    let of_lan = || listed(vec![IdentifierRule::Wildcard(name("lan"))]);
    let verdict = |realm: Option<AllowedIdentifiers>, own| {
        let registration = Registration { realm: realm.map(Arc::new), allowed_identifiers: own, ..registration() };
        rule_of(may_prove(&wildcard, &registration, Some(&[profile()])))
    };
    assert_eq!(verdict(None, any()), "identifier.top-level-wildcard");
    assert_eq!(verdict(Some(any()), any()), "identifier.top-level-wildcard");
    assert_eq!(verdict(Some(any()), of_lan()), "none");
    assert_eq!(verdict(Some(of_lan()), any()), "none");
    assert_eq!(verdict(Some(of_lan()), of_lan()), "none");
    assert_eq!(verdict(Some(listed(vec![suffix("example.com")])), any()), "identifier.not-in-realm");
    assert_eq!(verdict(Some(of_lan()), listed(vec![suffix("example.com")])), "identifier.not-listed");
}
