//! What must not matter: things that clients send, keep or lack without asking anything by it.

use std::fs;

use serde_json::{Value, json};
use tests::{
    client::{JOSE, chain},
    from_base64url,
    http::request,
    key::Key,
};

use crate::world;

#[test]
fn a_get_may_have_a_media_type_and_a_body() {
    let site = world().site();
    for (resource, status) in [("directory", 200), ("new-nonce", 204)] {
        let url = site.url("open", resource);
        let _ = site.send("GET", &url, &[("Content-Type", JOSE)], None).expect(status);
        let _ = site.send("GET", &url, &[("Content-Type", JOSE)], Some(b"{}")).expect(status);
    }
}

#[test]
fn a_conditional_request_gets_the_directory() {
    let site = world().site();
    let url = site.url("open", "directory");
    let wanted = site.get(&url).expect(200).body;
    for condition in [("If-Modified-Since", "Sun, 22 Nov 2099 00:00:00 GMT"), ("If-None-Match", "*")] {
        let response = site.send("GET", &url, &[condition], None);
        assert!(response.status == 304 || response.body == wanted, "{condition:?}: {response:?}");
        assert_eq!(response.status, 200, "nothing says since when it is as it is");
    }
}

#[test]
fn a_nonce_in_a_header_of_the_request_is_not_looked_at() {
    let client = world().account();
    let url = client.account_url();
    let spent = client.nonce();
    let _ = client.send(&url, &client.draft(&url, "").with("nonce", spent.as_str()).sign()).expect(200);
    for nonce in [spent.as_str(), "!!!", ""] {
        let jws = client.draft(&url, "").sign().to_string();
        let headers = [("Content-Type", JOSE), ("Replay-Nonce", nonce)];
        let _ = client.send_octets(&url, jws.as_bytes(), &headers).expect(200);
    }
    // Nor does one there stand in for one that is missing.
    let jws = client.draft(&url, "").without("nonce").sign().to_string();
    let good = client.nonce();
    let headers = [("Content-Type", JOSE), ("Replay-Nonce", good.as_str())];
    let _ = client.send_octets(&url, jws.as_bytes(), &headers).assert_refused(400, "badNonce");
}

#[test]
fn a_binding_in_an_update_changes_nothing() {
    let registration = world().officer().preregister(&json!({}));
    let other = world().officer().preregister(&json!({}));
    let mut client = world().client("registered");
    let binding = client.binding(&registration.kid, &registration.secret);
    let url = client.register(&json!({"externalAccountBinding": binding})).expect(201).location();
    let before = client.read(&url).expect(200).body;
    for binding in [client.binding(&other.kid, &other.secret), json!(7), json!({})] {
        let updated = client.post(&url, &json!({"externalAccountBinding": binding})).expect(200);
        assert_eq!(updated.body, before);
    }
    let mut newcomer = world().client("registered");
    let unused = newcomer.binding(&other.kid, &other.secret);
    let _ = newcomer.register(&json!({"externalAccountBinding": unused})).expect(201);
}

#[test]
fn one_key_may_be_certified_twice() {
    let client = world().account();
    let key = Key::p256();
    let (first, second) =
        (client.issue_for(&["reused.tolerance.test"], key.clone()), client.issue_for(&["reused.tolerance.test"], key));
    assert_ne!(first.leaf.serial_number().to_bn().unwrap(), second.leaf.serial_number().to_bn().unwrap());
}

#[test]
fn every_authorization_has_a_token_of_its_own() {
    let client = world().account();
    let names = ["one.tolerance.test", "two.tolerance.test", "*.two.tolerance.test"];
    let orders = [client.order(&names), client.order(&names)];
    let mut tokens = Vec::new();
    for url in orders.iter().flat_map(|order| tests::client::strings(&order.object["authorizations"])) {
        let authorization = client.read(&url).expect(200).json();
        tokens.push(authorization["challenges"][0]["token"].as_str().unwrap().to_owned());
    }
    assert!(tokens.iter().all(|token| token.len() == 43 && from_base64url(token).len() == 32), "{tokens:?}");
    assert_eq!(tokens.len(), 6);
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 6, "a token occurs twice: {tokens:?}");
}

#[test]
fn a_small_device_can_hold_every_answer() {
    const OCTETS_MAX: usize = 4096;
    let client = world().account();
    let issued = client.issue(&["small.tolerance.test"]);
    let order: Value = client.read(&issued.order_url).expect(200).json();
    let refused = client.new_order(&["not a name"]);
    let urls = [
        client.url("directory"),
        client.account_url(),
        issued.order_url,
        tests::client::strings(&order["authorizations"]).remove(0),
    ];
    let answers = urls.map(|url| client.read(&url).expect(200));
    for answer in answers.iter().chain([&refused]) {
        assert!(answer.body.len() < OCTETS_MAX, "{} octets: {answer:?}", answer.body.len());
    }
    assert!(chain(&issued.pem).len() <= 3);
}

#[test]
fn a_request_line_in_the_log_names_the_user_agent() {
    let site = world().site();
    let mut connection = site.connect();
    let agent = "tolerance/1.0 (a device)";
    let octets = request("GET", "/acme/open/directory?tolerance", "localhost", &[], None);
    let octets = String::from_utf8(octets).unwrap().replace("acme-gateway-tests", agent);
    connection.send(octets).unwrap();
    let _ = connection.receive("GET").unwrap().expect(200);
    let log = fs::read_to_string(site.log("gateway")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains(" request: ") && line.contains(agent)).count(), 1);
}
