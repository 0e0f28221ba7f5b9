//! CAA between order and certificate (RFC 8659, RFC 8657): what forbids, who is told, and that what changes between
//! proof and issuance is seen.

use serde_json::{Value, json};
use tests::{
    client::{Client, Order},
    csr::Csr,
    key::Key,
    world::World,
};

use crate::world;

/// What the sandbox's issuer goes by.
const US: &str = "ca.sandbox.test";

/// Gives a domain these records: flags, tag, value.
fn records(client: &Client, domain: &str, records: &[(u8, &str, &str)]) {
    let policies: Vec<_> =
        records.iter().map(|(flags, tag, value)| json!({"flags": flags, "tag": tag, "value": value})).collect();
    client.site().control("/add-caa", &json!({"host": format!("{domain}."), "policies": policies}));
}

/// Responds to the first challenge that can be proven, without waiting for what comes of it.
fn respond(client: &Client, order: &Order) -> String {
    let url = order.object["authorizations"][0].as_str().unwrap().to_owned();
    let authorization = client.read(&url).expect(200).json();
    let kind = if authorization["wildcard"] == true { "dns-01" } else { "http-01" };
    let offered = client.provide(&authorization, kind);
    let _ = client.post(offered["url"].as_str().unwrap(), &json!({})).expect(200);
    offered["url"].as_str().unwrap().to_owned()
}

/// The error of an order for this name whose control is proven, but whose records forbid.
#[track_caller]
fn assert_forbidden(client: &Client, name: &str, words: &str) {
    let order = client.order(&[name]);
    let challenge = respond(client, &order);
    let found = client.wait_at(&challenge, "invalid");
    assert_eq!(found["error"]["type"], "urn:ietf:params:acme:error:caa", "{found}");
    assert_eq!(found["error"]["status"], 403, "{found}");
    assert!(found["error"]["detail"].as_str().unwrap().contains(words), "{found}");
    let order = client.reread(&order).object;
    assert_eq!((&order["status"], &order["error"]["type"]), (&json!("invalid"), &found["error"]["type"]), "{order}");
}

fn assert_permitted(client: &Client, name: &str) {
    let order = client.order(&[name]);
    let _ = respond(client, &order);
    let _ = client.wait(&order, "ready");
}

#[test]
fn every_way_to_forbid_ends_the_order_with_its_reason() {
    let client = world().account();
    let table = [
        ("nobody", (0, "issue", ";".to_owned()), "no issue property names this certificate authority"),
        ("other", (0, "issue", "ca.other.test".to_owned()), "add one for ca.sandbox.test"),
        ("critical", (128, "tbs", "unknown".to_owned()), "a critical property has the unknown tag 'tbs'"),
        ("account", (0, "issue", format!("{US}; accounturi=https://localhost/acct/1")), "another accounturi"),
        ("method", (0, "issue", format!("{US}; validationmethods=dns-01")), "does not list http-01"),
        ("malformed", (0, "issue", format!("{US} {US}")), "malformed"),
    ];
    for (label, (flags, tag, value), words) in table {
        let domain = format!("{label}.caa.test");
        records(&client, &domain, &[(flags, tag, &value)]);
        assert_forbidden(&client, &format!("www.{domain}"), words);
    }
}

#[test]
fn a_record_that_names_us_the_account_and_the_method_permits() {
    let client = world().account();
    let value = format!("CA.Sandbox.TEST; accounturi={}; validationmethods=dns-01,http-01", client.account_url());
    records(&client, "ours.caa.test", &[(0, "issue", "ca.other.test"), (0, "issue", &value), (0, "tbs", "x")]);
    assert_permitted(&client, "www.ours.caa.test");
    assert_forbidden(&world().account(), "www.ours.caa.test", "another accounturi");
    let asked = client.site().control("/dns-request-history", &json!({"host": "ours.caa.test."}));
    let asked = asked.as_array().unwrap().iter().any(|question| question["record_type"] == "CAA");
    assert!(asked, "the parent was asked");
}

#[test]
fn wildcards_go_by_issuewild() {
    let client = world().account();
    records(&client, "wild.caa.test", &[(0, "issue", US), (0, "issuewild", ";")]);
    assert_forbidden(&client, "*.wild.caa.test", "no issuewild property names this certificate authority");
    assert_permitted(&client, "wild.caa.test");
}

#[test]
fn a_parent_that_cannot_be_asked_forbids() {
    let client = world().account();
    let outcome = json!({"host": "failing.caa.test.", "type": "CAA", "outcome": "servfail"});
    client.site().control("/set-outcome", &outcome);
    assert_forbidden(&client, "www.failing.caa.test", "looking up CAA at failing.caa.test");
}

#[test]
fn addresses_have_no_caa() {
    let client = world().account();
    let identifiers = json!({"identifiers": [{"type": "ip", "value": "127.0.0.1"}]});
    let response = client.post(&client.url("new-order"), &identifiers).expect(201);
    let order = Order { url: response.location(), object: response.json() };
    let _ = respond(&client, &order);
    let _ = client.wait(&order, "ready");
}

/// A client with an account at another endpoint.
fn account_at(world: &World, endpoint: &str) -> Client {
    let mut client = world.client(endpoint);
    let _ = client.register(&json!({"termsOfServiceAgreed": true})).expect(201);
    client
}

#[test]
fn where_it_is_advice_only_nothing_is_refused() {
    let client = account_at(world(), "advisory");
    records(&client, "advice.caa.test", &[(0, "issue", ";")]);
    let issued = client.issue(&["www.advice.caa.test"]);
    assert_eq!(tests::client::dns_names(&issued.leaf), ["www.advice.caa.test"]);
}

#[test]
fn a_profile_that_requires_evidence_gets_it_and_wins_over_the_endpoint() {
    let client = account_at(world(), "strict");
    records(&client, "strict.caa.test", &[(0, "issue", US), (0, "issuewild", US)]);
    // The CM issues by this profile with evidence only: by issue, by issuewild, and without any record.
    let _ = client.issue(&["strict.caa.test", "*.strict.caa.test", "www.without.test"]);
    records(&client, "nobody.strict.test", &[(0, "issue", ";")]);
    assert_forbidden(&client, "nobody.strict.test", "no issue property names this certificate authority");
}

#[test]
fn where_a_profile_may_not_mind_the_records_are_held_against_the_order_only() {
    let client = account_at(world(), "mixed");
    let names = ["made-up.caa.test"];
    records(&client, "made-up.caa.test", &[(0, "issue", ";")]);
    let refused = finalized(&client, &client.ready_order(&names), &names, "invalid");
    assert_eq!(refused["error"]["type"], "urn:ietf:params:acme:error:caa", "{refused}");
    // The CM issues with evidence only. The proof came without; it is looked for before the request goes.
    client.site().control("/clear-caa", &json!({"host": "made-up.caa.test."}));
    let _ = finalized(&client, &client.ready_order(&names), &names, "valid");
}

/// What finalize and what follows it make of an order that is ready.
fn finalized(client: &Client, ready: &Order, names: &[&str], status: &str) -> Value {
    let _ = client.finalize(ready, &Csr::for_names(names).text(&Key::p256())).expect(200);
    tests::wait_for(&format!("order {status}"), std::time::Duration::from_secs(120), || {
        let order = client.reread(ready).object;
        (order["status"] == status).then_some(order)
    })
}

#[test]
fn what_changed_since_the_proof_is_seen_before_issuance() {
    let world = World::start_with(&[("validation", "caa_age_max_secs = 0")]);
    let client = world.account();
    let names = ["a.late.test", "b.late.test", "c.other.test"];
    let ready = client.ready_order(&names);
    records(&client, "late.test", &[(0, "issue", ";")]);
    let order = finalized(&client, &ready, &names, "invalid");
    assert_eq!(order["error"]["type"], "urn:ietf:params:acme:error:caa", "{order}");
    assert_eq!(order["error"]["status"], 403, "{order}");
    let named: Vec<_> =
        order["error"]["subproblems"].as_array().unwrap().iter().map(|one| &one["identifier"]["value"]).collect();
    assert_eq!(named, ["a.late.test", "b.late.test"], "{order}");
    assert_eq!(world.certificates_of(&ready.url), 0, "the CM was never asked");

    let client = account_at(&world, "strict");
    let ready = client.ready_order(&["again.test"]);
    let _ = finalized(&client, &ready, &["again.test"], "valid");
    let asked = client.site().control("/dns-request-history", &json!({"host": "again.test."}));
    let looks = asked.as_array().unwrap().iter().filter(|question| question["record_type"] == "CAA").count();
    assert_eq!(looks, 2, "once with the proof and once before issuance: {asked}");
}
