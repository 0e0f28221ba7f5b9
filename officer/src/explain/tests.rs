//! What is explained is what is decided: tables, and a property over random lists and names.

use std::sync::Arc;

use acme::ids::ProfileName;
use cm_connector::rest::door;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn list(rules: Value, exclude: Value) -> Value {
    json!({"mode": "listed", "rules": rules, "exclude": exclude})
}

fn suffix(name: &str) -> Value {
    json!({"type": "dns", "match": "suffix", "value": name})
}

fn registration(status: &str, list: Value) -> Registration {
    let json = json!({"id": "reg_1", "version": 1, "realm": "tls", "status": status, "allowedIdentifiers": list});
    door::registration(&"tls".parse().unwrap(), json).unwrap().0
}

fn profiles() -> Vec<Profile> {
    let profile = |name: &str, default: bool, wildcards: bool| {
        let json = json!({"name": name, "status": "active", "default": default, "issuer": "issuing-1",
            "identifierTypes": ["dns"], "wildcards": wildcards, "validity": {}, "approval": {"mode": "auto"}});
        door::profile(json).unwrap().unwrap()
    };
    vec![profile("tls", true, true), profile("plain", false, false)]
}

fn facts(list: Value) -> Facts {
    Facts { registration: registration("active", list), parent: None, realm: None, profiles: Some(profiles()) }
}

fn asked(name: &str, facts: &Facts) -> Explanation {
    let names = vec![Identifier::parse_ip(name).or_else(|_| Identifier::parse_dns(name)).unwrap()];
    explain(&Question { names, profile: None, csr: None }, facts)
}

fn refusing(explanation: &Explanation) -> Vec<(Layer, String)> {
    let refusals = explanation.rules.iter().filter(|step| step.outcome == Outcome::Refuses);
    refusals.map(|step| (step.layer, step.rule.clone().unwrap_or_default())).collect()
}

#[test]
fn a_name_inside_the_list_is_allowed_and_the_entry_named() {
    let allowed = asked("www.a.test", &facts(list(json!([suffix("b.test"), suffix("a.test")]), json!([]))));
    assert_eq!((allowed.decision, allowed.reason), (Decision::Allow, None));
    let covering: Vec<_> = allowed.rules.iter().filter(|step| step.outcome == Outcome::Covers).collect();
    assert_eq!(covering.len(), 1);
    assert_eq!(covering[0].entry.as_deref(), Some("suffix a.test"));
    assert_eq!(allowed.rules.iter().filter(|step| step.outcome == Outcome::Passes).count(), 1);
}

#[test]
fn every_refusal_names_its_rule() {
    let table = [
        ("evila.test", "identifier.not-listed"),
        ("vpn.a.test", "identifier.excluded"),
        ("x.vpn.a.test", "identifier.excluded"),
        ("other.test", "identifier.not-listed"),
    ];
    let facts = facts(list(json!([suffix("a.test")]), json!([suffix("vpn.a.test")])));
    for (name, rule) in table {
        let refused = asked(name, &facts);
        assert_eq!(refusing(&refused), [(Layer::Registration, rule.to_owned())], "{name}");
        assert!(refused.reason.unwrap().contains(rule), "{name}");
    }
}

#[test]
fn realm_parent_and_registration_must_all_allow() {
    let mut facts = facts(list(json!([suffix("test")]), json!([])));
    facts.realm = Some(door::allowed_identifiers(list(json!([suffix("a.test")]), json!([]))));
    facts.parent = Some(registration("pending", list(json!([suffix("b.a.test")]), json!([]))));
    assert_eq!(asked("x.b.a.test", &facts).decision, Decision::Allow);
    assert_eq!(refusing(&asked("x.a.test", &facts)).first().unwrap().0, Layer::Parent);
    assert_eq!(refusing(&asked("x.test", &facts)).len(), 2);
}

#[test]
fn the_status_of_registration_and_parent_counts() {
    let everything = json!({"mode": "any"});
    let table = [
        ("active", "pending", None),
        ("pending", "pending", None),
        ("suspended", "pending", Some("registration.suspended")),
        ("revoked", "pending", Some("registration.revoked")),
        ("active", "suspended", Some("registration.suspended")),
        ("active", "revoked", Some("registration.suspended")),
    ];
    for (own, parent, rule) in table {
        let mut facts = facts(everything.clone());
        facts.registration = registration(own, everything.clone());
        facts.parent = Some(registration(parent, everything.clone()));
        let refusals = refusing(&asked("a.test", &facts));
        let expected: Vec<_> = rule.iter().map(|rule| (Layer::Status, (*rule).to_owned())).collect();
        assert_eq!(refusals, expected, "{own} under {parent}");
    }
}

#[test]
fn the_profile_has_its_say() {
    let facts = facts(json!({"mode": "any"}));
    assert_eq!(refusing(&asked("192.0.2.7", &facts)), [(Layer::Profile, "profile.no-ip".to_owned())]);
    let names = vec![Identifier::parse_dns("*.a.test").unwrap()];
    let with = |profile: &str| Question {
        names: names.clone(),
        profile: Some(ProfileName::parse(profile).unwrap()),
        csr: None,
    };
    assert_eq!(refusing(&explain(&with("plain"), &facts)), [(Layer::Profile, "profile.not-allowed".to_owned())]);
    assert_eq!(refusing(&explain(&with("none"), &facts)), [(Layer::Profile, "profile.unknown".to_owned())]);
    let mut may = facts.clone();
    may.registration.allowed_profiles = vec![ProfileName::parse("plain").unwrap()];
    assert_eq!(refusing(&explain(&with("plain"), &may)), [(Layer::Profile, "profile.no-wildcards".to_owned())]);
}

#[test]
fn a_wildcard_below_a_top_level_label_needs_a_list_that_names_it() {
    let mut unlisted = facts(json!({"mode": "any"}));
    unlisted.realm = Some(AllowedIdentifiers::Any { exclude: Vec::new() });
    assert_eq!(
        refusing(&asked("*.test", &unlisted)),
        [(Layer::Registration, "identifier.top-level-wildcard".to_owned())]
    );
    let mut listed = facts(list(json!([{"type": "dns", "match": "wildcard", "value": "*.test"}]), json!([])));
    listed.realm = unlisted.realm;
    listed.parent = Some(registration("pending", json!({"mode": "any"})));
    assert_eq!(asked("*.test", &listed).decision, Decision::Allow);
}

#[test]
fn what_was_not_looked_at_is_said() {
    let facts = Facts { profiles: None, ..facts(json!({"mode": "any"})) };
    let layers = asked("a.test", &facts).rules.into_iter().filter(|step| step.outcome == Outcome::NotLookedAt);
    assert_eq!(layers.map(|step| step.layer).collect::<Vec<_>>(), [Layer::Realm, Layer::Profile]);
}

fn rule() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec!["a.test", "b.a.test", "evila.test", "x.b.a.test", "xn--bcher-kva.test"]);
    let addresses = prop::sample::select(vec!["192.0.2.0/24", "::ffff:192.0.2.0/120", "2001:db8::/32", "0.0.0.0/0"]);
    prop_oneof![
        (names.clone(), any::<bool>()).prop_map(
            |(name, wildcards)| json!({"type": "dns", "match": "suffix", "value": name, "wildcards": wildcards})
        ),
        names.clone().prop_map(|name| json!({"type": "dns", "match": "exact", "value": name})),
        names.prop_map(|name| json!({"type": "dns", "match": "wildcard", "value": format!("*.{name}")})),
        addresses.prop_map(|block| json!({"type": "ip", "match": "cidr", "value": block})),
    ]
}

fn any_list() -> impl Strategy<Value = Value> {
    let rules = || prop::collection::vec(rule(), 0..4);
    prop_oneof![
        rules().prop_map(|exclude| json!({"mode": "any", "exclude": exclude})),
        (rules(), rules()).prop_map(|(rules, exclude)| json!({"mode": "listed", "rules": rules, "exclude": exclude})),
    ]
}

fn some_profiles() -> impl Strategy<Value = Vec<ProfileName>> {
    let name = |text: &&str| ProfileName::parse(text).unwrap();
    prop::sample::subsequence(vec!["tls", "plain", "gone"], 0..=3)
        .prop_map(move |names| names.iter().map(name).collect())
}

fn any_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a.test",
        "*.a.test",
        "b.a.test",
        "*.b.a.test",
        "evila.test",
        "evilb.a.test",
        "A.B.A.TEST",
        "*.test",
        "test",
        "xn--bcher-kva.test",
        "www.xn--bcher-kva.test",
        "192.0.2.7",
        "10.0.0.1",
        "2001:db8::7",
        "hidden.onion",
    ])
}

proptest! {
    /// What the gateway asks at newOrder, asked here in its own words about the same registration.
    #[test]
    fn explained_is_what_the_gateway_decides(
        own in any_list(),
        own_profiles in some_profiles(),
        of_parent in prop::option::of((any_list(), some_profiles())),
        realm in any_list(),
        status in prop::sample::select(vec!["active", "suspended", "deactivated", "revoked"]),
        status_of_parent in prop::sample::select(vec!["pending", "active", "suspended", "revoked"]),
        name in any_name(),
    ) {
        let own = Registration { allowed_profiles: own_profiles, ..registration(status, own) };
        let parent = of_parent.map(|(list, allowed_profiles)| {
            Registration { allowed_profiles, ..registration(status_of_parent, list) }
        });
        let realm = door::allowed_identifiers(realm);
        let profiles = profiles();
        let identifier = Identifier::parse_ip(name).or_else(|_| Identifier::parse_dns(name)).unwrap();
        let effective = match &parent {
            Some(parent) => door::under(own.clone(), Some(parent.clone())),
            None => own.clone(),
        };
        let effective = Registration { realm: Some(Arc::new(realm.clone())), ..effective };
        let decided = may_order(effective.status)
            .and_then(|()| choose(None, None, &effective, &profiles))
            .and_then(|profile| check_order(std::slice::from_ref(&identifier), &effective, profile, 100));
        let facts = Facts { registration: own, parent, realm: Some(realm), profiles: Some(profiles.clone()) };
        let explained = asked(name, &facts);
        let expected = if decided.is_ok() { Decision::Allow } else { Decision::Refuse };
        prop_assert_eq!(explained.decision, expected, "{:?} {:?}", explained.rules, decided);
    }
}
