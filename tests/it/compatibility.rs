//! Compatibility switches: what an endpoint with all of them does otherwise than the strict ones (RFC 8555 §7.1.4,
//! §7.3.6, §7.5.1, §8.3). That each is off by default, the tests of the strict endpoints show.

use std::process::Command;

use serde_json::{Value, json};
use tests::{
    binaries,
    client::{Client, challenge, dns_names},
    csr::Csr,
    key::Key,
};

use crate::world;

/// An account at the endpoint with all switches.
fn lenient() -> Client {
    let mut client = world().client("lenient");
    let _ = client.register(&json!({})).expect(201);
    client
}

/// A challenge of this name's order that has failed for its content.
fn failed(client: &Client, name: &str) -> Value {
    let order = client.order(&[name]);
    let authorization = client.read(order.object["authorizations"][0].as_str().unwrap()).expect(200).json();
    let offered = challenge(&authorization, "http-01");
    let provided = client.provide(&authorization, "http-01");
    let path = format!("/.well-known/acme-challenge/{}", provided["token"].as_str().unwrap());
    let wrong = json!({"kind": "content", "content": "something else"});
    let _ = client.site().control("/set-http01-behaviour", &json!({"path": path, "behaviour": wrong}));
    let url = offered["url"].as_str().unwrap();
    let _ = client.post(url, &json!({})).expect(200);
    client.wait_at(url, "invalid")
}

#[test]
fn check_config_names_the_switches_of_an_endpoint_and_of_no_other() {
    let site = world().site();
    let output = Command::new(binaries::gateway())
        .args(["check-config", "--config"])
        .arg(site.settings_file())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let deviating: Vec<_> = said.lines().filter(|line| line.contains("deviates from the RFCs")).collect();
    let [line] = deviating.as_slice() else { panic!("one endpoint deviates: {said}") };
    for switch in ["repeat-failed-challenges", "inactive-account-403", "unauthorized-for-wrong-content", "trailing-dot"]
    {
        assert!(line.contains(switch), "{line}");
    }
}

#[test]
fn a_failed_challenge_that_is_posted_again_is_answered_as_it_is() {
    let client = lenient();
    let found = failed(&client, "again.lenient.test");
    let url = found["url"].as_str().unwrap();
    for _ in 0..2 {
        let response = client.post(url, &json!({})).expect(200);
        assert_eq!(response.json(), found, "nothing is done");
        assert!(response.link("up").is_some(), "{response:?}");
    }
    assert_eq!(client.read(url).expect(200).json(), found);
    let _ = client.post(url, &json!([])).assert_refused(400, "malformed");
}

#[test]
fn a_challenge_of_an_authorization_that_was_given_up_is_answered_and_not_validated() {
    let client = lenient();
    let order = client.order(&["given-up.lenient.test"]);
    let url = order.object["authorizations"][0].as_str().unwrap();
    let authorization = client.read(url).expect(200).json();
    let offered = client.provide(&authorization, "http-01");
    let _ = client.post(url, &json!({"status": "deactivated"})).expect(200);
    let _ = client.post(offered["url"].as_str().unwrap(), &json!({})).expect(200);
    assert_eq!(client.read(url).member("status"), "deactivated");
    assert_eq!(client.reread(&order).object["status"], "invalid");
}

#[test]
fn the_wrong_content_is_called_unauthorized() {
    let client = lenient();
    let found = failed(&client, "content.lenient.test");
    assert_eq!(found["error"]["type"], "urn:ietf:params:acme:error:unauthorized", "{found}");
    assert_eq!(found["error"]["status"], 403, "{found}");
}

#[test]
fn another_failure_keeps_its_name() {
    let client = lenient();
    let _ = client.site().control("/set-outcome", &json!({"host": "gone.lenient.test.", "outcome": "nxdomain"}));
    let order = client.order(&["gone.lenient.test"]);
    let authorization = client.read(order.object["authorizations"][0].as_str().unwrap()).expect(200).json();
    let offered = challenge(&authorization, "http-01");
    let url = offered["url"].as_str().unwrap();
    let _ = client.post(url, &json!({})).expect(200);
    assert_eq!(client.wait_at(url, "invalid")["error"]["type"], "urn:ietf:params:acme:error:dns");
}

#[test]
fn a_deactivated_account_is_refused_with_403() {
    let mut client = lenient();
    let _ = client.post(&client.account_url(), &json!({"status": "deactivated"})).expect(200);
    let _ = client.read(&client.account_url()).assert_refused(403, "unauthorized");
    let _ = client.new_order(&["inactive.lenient.test"]).assert_refused(403, "unauthorized");
    let _ = client.register(&json!({})).assert_refused(403, "unauthorized");
}

#[test]
fn one_dot_at_the_end_of_a_name_is_dropped() {
    let client = lenient();
    let order = client.order(&["dot.lenient.test.", "dot.lenient.test", "*.lenient.test."]);
    let values: Vec<_> =
        order.object["identifiers"].as_array().unwrap().iter().map(|one| one["value"].clone()).collect();
    assert_eq!(values, [json!("dot.lenient.test"), json!("*.lenient.test")]);
    for name in ["dot.lenient.test..", ".", "..", "a..test."] {
        let _ = client.new_order(&[name]).assert_refused(400, "malformed");
    }
    let address = json!({"identifiers": [{"type": "ip", "value": "127.0.0.1."}]});
    let _ = client.post(&client.url("new-order"), &address).assert_refused(400, "malformed");

    let order = client.ready_order(&["whole.lenient.test."]);
    let key = Key::p256();
    let _ = client.finalize(&order, &Csr::for_names(&["whole.lenient.test"]).text(&key)).expect(200);
    let issued = client.download(&client.wait(&order, "valid"), key);
    assert_eq!(dns_names(&issued.leaf), ["whole.lenient.test"]);
}
