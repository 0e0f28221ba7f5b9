//! newAuthz (RFC 8555 §7.4.1), which an endpoint offers if its settings say so.

use serde_json::{Value, json};
use tests::{client::Client, response::Response, snapshot::assert_snapshot};

use crate::world;

fn account() -> Client {
    let mut client = world().client("ahead");
    let _ = client.register(&json!({})).expect(201);
    client
}

fn ask(client: &Client, identifier: &Value) -> Response {
    client.post(&client.url("new-authz"), &json!({"identifier": identifier}))
}

fn dns(name: &str) -> Value {
    json!({"type": "dns", "value": name})
}

#[test]
fn the_directory_names_newauthz_only_where_it_is_offered() {
    let client = account();
    let directory = client.site().get(&client.url("directory")).expect(200);
    assert_eq!(directory.member("newAuthz"), client.url("new-authz"));
    let elsewhere = world().account();
    let directory = elsewhere.site().get(&elsewhere.url("directory")).expect(200).json();
    assert_eq!(directory.get("newAuthz"), None);
    let _ = ask(&elsewhere, &dns("ahead.example.test")).assert_refused(404, "malformed");
}

#[test]
fn an_order_rests_on_what_was_proven_ahead_of_it() {
    let client = account();
    let created = ask(&client, &dns("Ahead.example.test")).expect(201);
    assert_snapshot("pre_authorization_created", &created.to_snapshot());
    let authorization = created.json();
    assert_eq!(client.read(&created.location()).expect(200).json(), authorization);
    let pending = client.order(&["ahead.example.test"]);
    assert_eq!(pending.object["status"], "pending", "a pending authorization is not shared");
    let challenge = client.provide(&authorization, "http-01");
    let _ = client.post(challenge["url"].as_str().unwrap(), &json!({})).expect(200);
    let _ = client.wait_at(&created.location(), "valid");
    let order = client.order(&["ahead.example.test"]);
    assert_eq!(order.object["status"], "ready");
    assert_eq!(order.object["authorizations"], json!([created.location()]));
    let again = ask(&client, &dns("ahead.example.test")).expect(201);
    assert_eq!((again.location(), again.member("status")), (created.location(), String::from("valid")));
}

#[test]
fn addresses_can_be_proven_ahead_of_orders() {
    let client = account();
    let authorization = ask(&client, &json!({"type": "ip", "value": "127.0.0.1"})).expect(201).json();
    assert_eq!(authorization["identifier"], json!({"type": "ip", "value": "127.0.0.1"}));
}

#[test]
fn what_cannot_be_proven_ahead_of_orders_is_refused() {
    let client = account();
    for name in ["*.ahead.example.test", "a..b", ""] {
        let _ = ask(&client, &dns(name)).assert_refused(400, "malformed");
    }
    let _ =
        ask(&client, &json!({"type": "email", "value": "a@example.test"})).assert_refused(400, "unsupportedIdentifier");
    for payload in [json!({}), json!({"identifier": "a.test"}), json!({"identifier": [dns("a.test")]})] {
        let _ = client.post(&client.url("new-authz"), &payload).assert_refused(400, "malformed");
    }
    let _ = client.read(&client.url("new-authz")).assert_refused(400, "malformed");
}
