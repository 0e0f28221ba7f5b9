//! Authorizations (RFC 8555 §7.1.4, §7.5, §7.5.2).

use serde_json::json;
use tests::{client::Client, snapshot::assert_snapshot};

use crate::world;

fn pending(client: &Client, name: &str) -> (tests::client::Order, String) {
    let order = client.order(&[name]);
    let url = order.object["authorizations"][0].as_str().unwrap().to_owned();
    (order, url)
}

#[test]
fn a_pending_authorization_offers_challenges() {
    let client = world().account();
    let (_, url) = pending(&client, "pending.example.test");
    assert_snapshot("authorization_pending", &client.read(&url).to_snapshot());
}

#[test]
fn a_wildcard_is_proven_in_the_dns_only() {
    let client = world().account();
    let (_, url) = pending(&client, "*.wild.example.test");
    assert_snapshot("authorization_wildcard", &client.read(&url).to_snapshot());
}

#[test]
fn a_valid_authorization_shows_the_challenge_that_made_it_so() {
    let client = world().account();
    let order = client.ready_order(&["valid.example.test"]);
    let url = order.object["authorizations"][0].as_str().unwrap();
    assert_snapshot("authorization_valid", &client.read(url).to_snapshot());
}

#[test]
fn a_proof_is_good_for_as_long_as_its_order() {
    let client = world().account();
    let order = client.ready_order(&["as-long.example.test", "*.as-long.example.test"]);
    for url in tests::client::strings(&order.object["authorizations"]) {
        let authorization = client.read(&url).expect(200).json();
        assert_eq!(authorization["status"], "valid");
        assert!(authorization["expires"].is_string(), "{authorization}");
        assert_eq!(authorization["expires"], order.object["expires"], "{authorization}");
    }
}

#[test]
fn giving_up_an_authorization_ends_its_order() {
    let client = world().account();
    for prove in [false, true] {
        let (mut order, url) = pending(&client, "given-up.example.test");
        if prove {
            order = client.prove(&order);
        }
        let given_up = client.post(&url, &json!({"status": "deactivated"})).expect(200).json();
        assert_eq!(given_up["status"], "deactivated");
        assert!(given_up["challenges"].is_array(), "{given_up}");
        let order = client.reread(&order);
        assert_eq!(order.object["status"], "invalid");
        assert!(order.object["error"]["detail"].is_string(), "{order:?}");
        let _ = client.post(&url, &json!({"status": "deactivated"})).assert_refused(400, "malformed");
    }
}

#[test]
fn the_only_update_is_giving_up() {
    let client = world().account();
    let (_, url) = pending(&client, "update.example.test");
    for payload in [json!({}), json!({"status": "valid"}), json!({"status": 7}), json!({"identifier": {}})] {
        let _ = client.post(&url, &payload).assert_refused(400, "malformed");
    }
    assert_eq!(client.read(&url).json()["status"], "pending");
}

#[test]
fn an_authorization_of_another_account_is_neither_shown_nor_changed() {
    let (client, other) = (world().account(), world().account());
    let (_, url) = pending(&other, "theirs.example.test");
    let _ = client.read(&url).assert_refused(403, "unauthorized");
    let _ = client.post(&url, &json!({"status": "deactivated"})).assert_refused(403, "unauthorized");
    assert_eq!(other.read(&url).json()["status"], "pending");
}

#[test]
fn an_authorization_that_does_not_exist_is_not_found() {
    let client = world().account();
    let _ = client.read(&format!("{}/AAAAAAAAAAAAAAAAAAAAAA", client.url("authz"))).assert_refused(404, "malformed");
    let site = client.site();
    let (_, url) = pending(&client, "elsewhere.example.test");
    let elsewhere = url.replace("/open/", "/registered/");
    let _ = site.get(&elsewhere).assert_problem(405, "malformed");
}
