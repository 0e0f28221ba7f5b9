//! Registrations that an officer made: what they allow is what clients get, and a refusal names its rule.

use serde_json::{Value, json};
use tests::{
    client::{Client, Order},
    csr::Csr,
    key::Key,
    snapshot::assert_snapshot,
};

use crate::world;

fn listed(rules: Value, exclude: Value) -> Value {
    json!({"mode": "listed", "rules": rules, "exclude": exclude})
}

fn suffix(value: &str) -> Value {
    json!({"type": "dns", "match": "suffix", "value": value})
}

#[test]
fn an_allowed_name_is_certified() {
    let (client, _) = world().registered_account(&listed(json!([suffix("allowed.test")]), json!([])));
    let issued = client.issue(&["www.allowed.test", "allowed.test"]);
    assert_eq!(world().certificates_of(&issued.order_url), 1);
}

#[test]
fn a_name_outside_the_list_is_refused_and_the_rule_named() {
    let (client, _) = world().registered_account(&listed(json!([suffix("allowed.test")]), json!([])));
    assert_snapshot("registration_not_listed", &client.new_order(&["www.other.test"]).to_snapshot());
}

#[test]
fn a_name_that_only_ends_like_an_allowed_one_is_refused() {
    let (client, _) = world().registered_account(&listed(json!([suffix("allowed.test")]), json!([])));
    for name in ["evilallowed.test", "allowed.test.evil.test", "xallowed.test", "*.evilallowed.test"] {
        let _ = client.new_order(&[name]).assert_refused(403, "rejectedIdentifier");
    }
    let _ = client.order(&["a.b.allowed.test"]);
    let _ = client.order(&["*.allowed.test"]);
}

#[test]
fn one_refused_name_refuses_the_order_and_is_named() {
    let (client, _) = world().registered_account(&listed(json!([suffix("allowed.test")]), json!([])));
    let response = client.new_order(&["good.allowed.test", "bad.test", "worse.test"]);
    let _ = response.assert_refused(403, "rejectedIdentifier");
    let problem = response.json();
    let named: Vec<_> =
        problem["subproblems"].as_array().unwrap().iter().map(|one| &one["identifier"]["value"]).collect();
    assert_eq!(named, ["bad.test", "worse.test"]);
}

#[test]
fn exclusions_wildcards_and_addresses_are_told_apart() {
    let rules = json!([
        {"type": "dns", "match": "suffix", "value": "plain.test", "wildcards": false},
        {"type": "dns", "match": "exact", "value": "only.exact.test"},
        {"type": "dns", "match": "wildcard", "value": "*.dev.test"},
        {"type": "ip", "match": "cidr", "value": "127.0.0.0/29"},
    ]);
    let (client, _) = world().registered_account(&listed(rules, json!([suffix("vpn.plain.test")])));
    for name in ["a.plain.test", "plain.test", "only.exact.test", "*.dev.test"] {
        let _ = client.order(&[name]);
    }
    for name in ["*.plain.test", "a.only.exact.test", "dev.test", "a.dev.test", "vpn.plain.test", "a.vpn.plain.test"] {
        let detail = client.new_order(&[name]).assert_refused(403, "rejectedIdentifier");
        assert!(detail.contains("identifier."), "the rule is named: {detail}");
    }
    let address =
        |value: &str| client.post(&client.url("new-order"), &json!({"identifiers": [{"type": "ip", "value": value}]}));
    let _ = address("127.0.0.7").expect(201);
    let _ = address("127.0.0.8").assert_refused(403, "rejectedIdentifier");
}

#[test]
fn a_suspended_registration_orders_nothing_and_still_revokes() {
    let (client, id) = world().registered_account(&json!({"mode": "any"}));
    let issued = client.issue(&["suspended.registration.test"]);
    world().officer().set_status(&id, "suspended");
    let detail = tests::wait_for("the gateway to hear of it", std::time::Duration::from_secs(120), || {
        let response = client.new_order(&["suspended.registration.test"]);
        (response.status != 201).then(|| response.assert_refused(403, "unauthorized"))
    });
    assert!(detail.contains("suspended"), "{detail}");
    let _ = client.read(&client.account_url()).expect(200);
    let _ = client.revoke(&issued.leaf, Value::Null).expect(200);
}

#[test]
fn a_suspended_account_reads_everything_and_changes_nothing() {
    let (mut client, id) = world().registered_account(&json!({"mode": "any"}));
    let name = "reads.registration.test";
    let issued = client.issue(&[name]);
    let order = client.ready_order(&["ready.registration.test"]);
    let url = client.account_url();
    world().officer().set_status(&id, "suspended");
    let soon = std::time::Duration::from_secs(120);
    tests::wait_for("the gateway to hear of it", soon, || (client.new_order(&[name]).status == 403).then_some(()));
    for read in [&url, &format!("{url}/orders"), &order.url, &issued.url, &issued.order_url] {
        let _ = client.read(read).expect(200);
    }
    let found = client.register(&json!({"onlyReturnExisting": true})).expect(200);
    assert_eq!((found.location(), found.json()["status"].as_str()), (url.clone(), Some("valid")));
    let _ = client.post(&url, &json!({"contact": ["mailto:new@example.org"]})).assert_refused(403, "unauthorized");
    let _ = client.post(&url, &json!({"status": "deactivated"})).assert_refused(403, "unauthorized");
    let csr = Csr::for_names(&["ready.registration.test"]).text(&Key::p256());
    let detail = client.finalize(&order, &csr).assert_refused(403, "unauthorized");
    assert!(detail.contains("suspended"), "{detail}");
    world().officer().set_status(&id, "active");
    tests::wait_for("the gateway to hear of it", soon, || (client.new_order(&[name]).status == 201).then_some(()));
    let _ = client.post(&url, &json!({"status": "deactivated"})).expect(200);
}

#[test]
fn a_revoked_registration_signs_nothing_any_more() {
    let (mut client, id) = world().registered_account(&json!({"mode": "any"}));
    let issued = client.issue(&["revoked.registration.test"]);
    let url = client.account_url();
    world().officer().set_status(&id, "revoked");
    tests::wait_for("the gateway to hear of it", std::time::Duration::from_secs(120), || {
        let response = client.read(&url);
        (response.status != 200).then(|| response.assert_refused(401, "unauthorized"))
    });
    for read in [format!("{url}/orders"), issued.url.clone(), issued.order_url.clone()] {
        let _ = client.read(&read).assert_refused(401, "unauthorized");
    }
    let _ = client.new_order(&["revoked.registration.test"]).assert_refused(401, "unauthorized");
    let _ = client.post(&url, &json!({"status": "deactivated"})).assert_refused(401, "unauthorized");
    let _ = client.post(&client.url("key-change"), &json!({})).assert_refused(401, "unauthorized");
    let _ = client.revoke(&issued.leaf, Value::Null).assert_refused(401, "unauthorized");
    let _ = client.register(&json!({"onlyReturnExisting": true})).assert_refused(401, "unauthorized");
    let by_key = client.self_signed(
        &client.url("revoke-cert"),
        &tests::client::revocation(&issued.leaf, Value::Null),
        &issued.key,
    );
    let _ = client.send(&client.url("revoke-cert"), &by_key.sign()).expect(200);
}

#[test]
fn what_waits_for_approval_is_cancelled_when_its_account_is_deactivated() {
    let (client, order) = waiting_for_approval("deactivated.registration.test");
    assert_eq!(world().officer().request_status(&order.url), "pending-approval");
    let _ = client.post(&client.account_url(), &json!({"status": "deactivated"})).expect(200);
    tests::wait_for("the cancellation", std::time::Duration::from_secs(120), || {
        (world().officer().request_status(&order.url) == "cancelled").then_some(())
    });
    assert_eq!(world().certificates_of(&order.url), 0);
}

#[test]
fn the_sample_registration_of_the_sandbox_allows_what_it_says() {
    let facts = world().facts();
    let secret = tests::from_base64url(facts["eab"]["hmac_key"].as_str().unwrap());
    let mut client = world().client("registered");
    let binding = client.binding(facts["eab"]["kid"].as_str().unwrap(), &secret);
    let _ = client.register(&json!({"externalAccountBinding": binding})).expect(201);
    for allowed in tests::client::strings(&facts["eab"]["allowed"]) {
        let _ = client.order(&[&format!("www.{allowed}")]);
        let _ = client.new_order(&[&format!("evil{allowed}")]).assert_refused(403, "rejectedIdentifier");
    }
}

#[test]
fn a_registration_suspended_after_the_proof_gets_no_certificate_until_it_is_resumed() {
    let (client, id) = world().registered_account(&json!({"mode": "any"}));
    let name = "resumed.registration.test";
    let order = client.ready_order(&[name]);
    world().officer().set_status(&id, "suspended");
    let soon = std::time::Duration::from_secs(120);
    tests::wait_for("the gateway to hear of it", soon, || (client.new_order(&[name]).status == 403).then_some(()));
    let csr = Csr::for_names(&[name]).text(&Key::p256());
    let _ = client.finalize(&order, &csr).assert_refused(403, "unauthorized");
    world().officer().set_status(&id, "active");
    tests::wait_for("the gateway to hear of it", soon, || (client.new_order(&[name]).status == 201).then_some(()));
    let _ = client.finalize(&order, &csr).expect(200);
    let _ = client.wait(&order, "valid");
}

/// A finalized order that a person has to decide.
pub(crate) fn waiting_for_approval(name: &str) -> (Client, Order) {
    let members = json!({"allowedProfiles": ["tls-server", "tls-server-approval"]});
    let (client, _) = world().registered_account_with(&members);
    let payload = json!({"identifiers": [{"type": "dns", "value": name}], "profile": "tls-server-approval"});
    let response = client.post(&client.url("new-order"), &payload).expect(201);
    let order = client.prove(&Order { url: response.location(), object: response.json() });
    let response = client.finalize(&order, &Csr::for_names(&[name]).text(&Key::p256())).expect(200);
    assert_eq!(response.member("status"), "processing");
    let seconds: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{response:?}");
    (client, order)
}

#[test]
fn an_order_that_needs_approval_is_processing_until_a_person_approves_it() {
    let (client, order) = waiting_for_approval("approved.registration.test");
    assert_eq!(client.reread(&order).object["status"], "processing");
    world().officer().decide(&order.url, "approve");
    let _ = client.wait(&order, "valid");
    assert_eq!(world().certificates_of(&order.url), 1);
}

#[test]
fn an_order_that_a_person_rejects_is_invalid_and_says_why() {
    let (client, order) = waiting_for_approval("disapproved.registration.test");
    world().officer().decide(&order.url, "reject");
    let order = client.wait(&order, "invalid");
    assert_eq!(order.object["error"]["type"], "urn:ietf:params:acme:error:unauthorized");
    assert!(order.object["error"]["detail"].as_str().unwrap().contains("the test says so"), "{order:?}");
}

#[test]
fn a_profile_that_the_registration_may_not_use_is_refused() {
    let (client, _) = world().registered_account(&json!({"mode": "any"}));
    let payload = json!({
        "identifiers": [{"type": "dns", "value": "profile.registration.test"}],
        "profile": "tls-server-approval",
    });
    let _ = client.post(&client.url("new-order"), &payload).assert_refused(400, "invalidProfile");
}
