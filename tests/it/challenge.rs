//! Challenges: responding, and what becomes of it (RFC 8555 §7.5.1, §8).

use serde_json::{Value, json};
use tests::{
    client::{Client, Order, challenge},
    snapshot::assert_snapshot,
};

use crate::world;

/// A pending order for one name, with its authorization's URL and object.
fn pending(client: &Client, name: &str) -> (Order, String, Value) {
    let order = client.order(&[name]);
    let url = order.object["authorizations"][0].as_str().unwrap().to_owned();
    let authorization = client.read(&url).expect(200).json();
    (order, url, authorization)
}

fn url_of(challenge: &Value) -> String {
    challenge["url"].as_str().unwrap().to_owned()
}

/// Lets the web server answer the challenge in this way.
fn behave(client: &Client, challenge: &Value, behaviour: &Value) {
    let path = format!("/.well-known/acme-challenge/{}", challenge["token"].as_str().unwrap());
    client.site().control("/set-http01-behaviour", &json!({"path": path, "behaviour": behaviour}));
}

/// Responds, and waits for the refusal.
fn invalid(client: &Client, name: &str, make: impl FnOnce(&Value)) -> Value {
    let (order, _, authorization) = pending(client, name);
    let offered = client.provide(&authorization, "http-01");
    make(&offered);
    let _ = client.post(&url_of(&offered), &json!({})).expect(200);
    let found = client.wait_at(&url_of(&offered), "invalid");
    let order = client.reread(&order);
    assert_eq!(order.object["status"], "invalid", "the order goes with its authorization");
    assert_eq!(order.object["error"]["type"], found["error"]["type"]);
    found
}

#[track_caller]
fn assert_error(challenge: &Value, kind: &str) {
    assert_eq!(challenge["error"]["type"], format!("urn:ietf:params:acme:error:{kind}"), "{challenge}");
}

#[test]
fn responding_is_answered_with_the_challenge_and_the_way_up() {
    let client = world().account();
    let (order, url, authorization) = pending(&client, "respond.example.test");
    let offered = client.provide(&authorization, "http-01");
    let response = client.post(&url_of(&offered), &json!({})).expect(200);
    assert_eq!(response.link("up"), Some(url.as_str()));
    assert_eq!(response.location(), url_of(&offered));
    assert_eq!(response.member("url"), url_of(&offered));
    let _ = client.wait(&order, "ready");
    let response = client.read(&url_of(&offered));
    assert_snapshot("challenge_valid", &response.to_snapshot());
}

#[test]
fn reading_a_challenge_triggers_nothing() {
    let client = world().account();
    let (order, url, authorization) = pending(&client, "read.challenge.test");
    let offered = client.provide(&authorization, "http-01");
    let response = client.read(&url_of(&offered)).expect(200);
    assert_eq!(response.member("status"), "pending");
    assert_eq!(response.link("up"), Some(url.as_str()));
    assert_eq!(client.reread(&order).object["status"], "pending");
    let seen = client.site().control("/http-request-history", &json!({}));
    let token = offered["token"].as_str().unwrap();
    let asked = seen.as_array().unwrap().iter().any(|request| request["target"].as_str().unwrap().contains(token));
    assert!(!asked, "{seen}");
}

#[test]
fn responding_again_changes_nothing() {
    let client = world().account();
    let (order, _, authorization) = pending(&client, "again.example.test");
    let offered = client.provide(&authorization, "http-01");
    let url = url_of(&offered);
    for _ in 0..3 {
        let _ = client.post(&url, &json!({})).expect(200);
    }
    let _ = client.wait(&order, "ready");
    let before = client.read(&url).body;
    assert_eq!(client.post(&url, &json!({})).expect(200).body, before);
}

#[test]
fn responses_carry_whatever_members() {
    let client = world().account();
    let (order, _, authorization) = pending(&client, "members.example.test");
    let offered = client.provide(&authorization, "http-01");
    let legacy = json!({"resource": "challenge", "type": "http-01", "keyAuthorization": "x"});
    let _ = client.post(&url_of(&offered), &legacy).expect(200);
    let _ = client.wait(&order, "ready");
}

#[test]
fn responses_that_are_no_objects_are_malformed() {
    let client = world().account();
    let (_, _, authorization) = pending(&client, "shape.example.test");
    let url = url_of(&challenge(&authorization, "http-01"));
    for payload in [json!([]), json!("x"), json!(null)] {
        let _ = client.post(&url, &payload).assert_refused(400, "malformed");
    }
    assert_eq!(client.read(&url).member("status"), "pending");
}

#[test]
fn a_challenge_of_another_account_is_not_answered() {
    let (client, other) = (world().account(), world().account());
    let (_, _, authorization) = pending(&other, "theirs.challenge.test");
    let url = url_of(&challenge(&authorization, "http-01"));
    let _ = client.post(&url, &json!({})).assert_refused(403, "unauthorized");
    let _ = client.read(&url).assert_refused(403, "unauthorized");
    assert_eq!(other.read(&url).member("status"), "pending");
}

#[test]
fn a_challenge_that_was_not_offered_is_not_found() {
    let client = world().account();
    let (_, _, authorization) = pending(&client, "*.offered.example.test");
    let url = url_of(&challenge(&authorization, "dns-01"));
    for other in ["http-01", "tls-alpn-01", "x"] {
        let _ = client.post(&url.replace("dns-01", other), &json!({})).assert_refused(404, "malformed");
    }
}

#[test]
fn when_the_authorization_is_valid_the_order_is_ready() {
    let client = world().account();
    for _ in 0..5 {
        let (order, url, authorization) = pending(&client, "atomic.example.test");
        let offered = client.provide(&authorization, "http-01");
        let _ = client.post(&url_of(&offered), &json!({})).expect(200);
        let _ = client.wait_at(&url, "valid");
        assert_eq!(client.reread(&order).object["status"], "ready");
    }
}

#[test]
fn a_wrong_answer_is_final_and_says_what_was_found() {
    let client = world().account();
    let found = invalid(&client, "wrong.example.test", |offered| {
        behave(&client, offered, &json!({"kind": "content", "content": "something else"}));
    });
    assert_error(&found, "incorrectResponse");
    assert!(found["validated"].is_string(), "{found}");
    let response = client.read(&url_of(&found));
    assert_snapshot("challenge_invalid", &response.to_snapshot());
}

#[test]
fn a_missing_answer_is_final() {
    let client = world().account();
    let found = invalid(&client, "missing.example.test", |offered| {
        behave(&client, offered, &json!({"kind": "status", "status": 404}));
    });
    assert_error(&found, "incorrectResponse");
    assert!(found["error"]["detail"].as_str().unwrap().contains("404"), "{found}");
}

#[test]
fn after_a_failure_there_is_no_second_try() {
    let client = world().account();
    let found = invalid(&client, "second.example.test", |offered| {
        behave(&client, offered, &json!({"kind": "status", "status": 500}));
    });
    let url = url_of(&found);
    for url in [&url, &url.replace("http-01", "dns-01")] {
        let _ = client.post(url, &json!({})).assert_refused(400, "malformed");
    }
    assert_eq!(client.read(&url).expect(200).json(), found, "and the failure can still be read");
}

#[test]
fn an_authorization_that_was_given_up_is_not_proven_any_more() {
    let client = world().account();
    let (_, url, authorization) = pending(&client, "no-more.example.test");
    let offered = client.provide(&authorization, "http-01");
    let _ = client.post(&url, &json!({"status": "deactivated"})).expect(200);
    let _ = client.post(&url_of(&offered), &json!({})).assert_refused(400, "malformed");
    assert_eq!(client.read(&url).member("status"), "deactivated");
}

#[test]
fn a_name_that_does_not_resolve_is_a_dns_problem() {
    let client = world().account();
    client.site().control("/set-outcome", &json!({"host": "gone.example.test.", "outcome": "nxdomain"}));
    let found = invalid(&client, "gone.example.test", |_| {});
    assert_error(&found, "dns");
}

#[test]
fn a_web_server_that_cannot_be_reached_is_a_connection_problem() {
    let client = world().account();
    // Nobody listens there, while the responder listens on 127.0.0.1.
    client.site().control("/add-a", &json!({"host": "closed.example.test.", "addresses": ["127.0.0.99"]}));
    let found = invalid(&client, "closed.example.test", |_| {});
    assert_error(&found, "connection");
}

#[test]
fn forbidden_addresses_are_never_dialled() {
    let client = world().account();
    client.site().control("/add-a", &json!({"host": "metadata.example.test.", "addresses": ["169.254.169.254"]}));
    let found = invalid(&client, "metadata.example.test", |_| {});
    assert_error(&found, "connection");
    let found = invalid(&client, "redirected.example.test", |offered| {
        behave(
            &client,
            offered,
            &json!({"kind": "redirect", "location": "http://metadata.example.test/latest/meta-data"}),
        );
    });
    assert_error(&found, "connection");
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let client = world().account();
    let (order, _, authorization) = pending(&client, "redirect.example.test");
    let offered = client.provide(&authorization, "http-01");
    let answer = client.key_authorization(offered["token"].as_str().unwrap());
    let target = format!("/elsewhere-{}", offered["token"].as_str().unwrap());
    client.site().control(
        "/set-http01-behaviour",
        &json!({"path": target, "behaviour": {"kind": "content", "content": answer}}),
    );
    let there = format!("http://other.example.test{target}");
    behave(&client, &offered, &json!({"kind": "redirect", "location": there}));
    let _ = client.post(&url_of(&offered), &json!({})).expect(200);
    let _ = client.wait(&order, "ready");
    for location in ["", "http://loop.example.test:8080/", "ftp://loop.example.test/", "http://127.0.0.1/x"] {
        let found = invalid(&client, "loop.example.test", |offered| {
            behave(&client, offered, &json!({"kind": "redirect", "location": location}));
        });
        assert_error(&found, "connection");
    }
}

#[test]
fn a_final_line_feed_and_chunks_do_not_spoil_an_answer() {
    let client = world().account();
    for kind in ["trailing-newline", "chunked"] {
        let (order, _, authorization) = pending(&client, "unusual.example.test");
        let offered = client.provide(&authorization, "http-01");
        behave(&client, &offered, &json!({"kind": kind}));
        let _ = client.post(&url_of(&offered), &json!({})).expect(200);
        let _ = client.wait(&order, "ready");
    }
}

#[test]
fn an_endless_answer_is_cut_off() {
    let client = world().account();
    let found = invalid(&client, "huge.example.test", |offered| {
        behave(&client, offered, &json!({"kind": "huge", "bytes": 10_000_000}));
    });
    assert!(
        matches!(found["error"]["type"].as_str(), Some(kind) if kind.ends_with("connection") || kind.ends_with("incorrectResponse"))
    );
}

#[test]
fn dns_01_proves_a_wildcard_and_its_base_at_one_owner_name() {
    let client = world().account();
    let order = client.order(&["*.txt.example.test", "txt.example.test"]);
    for url in tests::client::strings(&order.object["authorizations"]) {
        let authorization = client.read(&url).json();
        let offered = client.provide(&authorization, "dns-01");
        let _ = client.post(&url_of(&offered), &json!({})).expect(200);
    }
    let _ = client.wait(&order, "ready");
}

#[test]
fn dns_01_without_the_right_text_is_refused() {
    let client = world().account();
    client.site().control("/add-txt", &json!({"host": "_acme-challenge.badtxt.example.test.", "value": "nonsense"}));
    let (_, _, authorization) = pending(&client, "*.badtxt.example.test");
    let url = url_of(&challenge(&authorization, "dns-01"));
    let _ = client.post(&url, &json!({})).expect(200);
    let found = client.wait_at(&url, "invalid");
    assert_error(&found, "incorrectResponse");
}

#[test]
fn dns_01_with_a_failing_name_server_is_a_dns_problem() {
    let client = world().account();
    client.site().control("/set-servfail", &json!({"host": "_acme-challenge.servfail.example.test."}));
    let (_, _, authorization) = pending(&client, "*.servfail.example.test");
    let url = url_of(&challenge(&authorization, "dns-01"));
    let _ = client.post(&url, &json!({})).expect(200);
    let found = client.wait_at(&url, "invalid");
    assert_error(&found, "dns");
}

#[test]
fn the_web_server_is_asked_with_a_host_and_the_right_path() {
    let client = world().account();
    let (order, _, authorization) = pending(&client, "host.example.test");
    let offered = client.provide(&authorization, "http-01");
    let _ = client.post(&url_of(&offered), &json!({})).expect(200);
    let _ = client.wait(&order, "ready");
    let seen = client.site().control("/http-request-history", &json!({}));
    let target = format!("/.well-known/acme-challenge/{}", offered["token"].as_str().unwrap());
    let request = seen.as_array().unwrap().iter().find(|request| request["target"] == target.as_str());
    let request = request.unwrap_or_else(|| panic!("{target} was not asked for: {seen}"));
    assert_eq!(request["method"], "GET");
    assert!(request["host"].as_str().unwrap().starts_with("host.example.test"), "{request}");
}

#[test]
fn a_challenge_that_is_being_validated_is_answered_at_once_and_says_when_to_look_again() {
    let client = world().account();
    let (order, url, authorization) = pending(&client, "silent.example.test");
    let offered = client.provide(&authorization, "http-01");
    behave(&client, &offered, &json!({"kind": "silence"}));
    let response = client.post(&url_of(&offered), &json!({})).expect(200);
    // Two attempts of six seconds come before the end, which would be told otherwise.
    assert_eq!(response.member("status"), "processing");
    assert!(response.header("retry-after").is_some(), "{response:?}");
    assert_eq!(client.read(&url).member("status"), "pending", "an authorization is never processing");
    assert_eq!(client.reread(&order).object["status"], "pending");
    let found = client.wait_at(&url_of(&offered), "invalid");
    assert_error(&found, "connection");
}

#[test]
fn an_authorization_given_up_while_it_is_validated_stays_given_up() {
    let client = world().account();
    let (_, url, authorization) = pending(&client, "while.example.test");
    let offered = client.provide(&authorization, "http-01");
    behave(&client, &offered, &json!({"kind": "drip", "interval_millis": 10}));
    let _ = client.post(&url_of(&offered), &json!({})).expect(200);
    let _ = client.post(&url, &json!({"status": "deactivated"})).expect(200);
    let path = format!("/.well-known/acme-challenge/{}", offered["token"].as_str().unwrap());
    tests::wait_for("the end of the validation", std::time::Duration::from_secs(120), || {
        let seen = client.site().control("/http-request-history", &json!({}));
        let asked = seen.as_array().unwrap().iter().any(|request| request["target"] == path.as_str());
        assert_eq!(client.read(&url).member("status"), "deactivated");
        asked.then_some(())
    });
    assert_eq!(client.read(&url).member("status"), "deactivated");
}

#[test]
fn a_dead_ipv6_address_does_not_hide_a_good_ipv4_address() {
    let client = world().account();
    let host = "two-families.example.test.";
    client.site().control("/add-aaaa", &json!({"host": host, "addresses": ["::1"]}));
    client.site().control("/add-a", &json!({"host": host, "addresses": ["127.0.0.1"]}));
    let _ = client.ready_order(&["two-families.example.test"]);
}

#[test]
fn ten_redirects_are_followed_and_eleven_are_not() {
    let client = world().account();
    let chain = |client: &Client, offered: &Value, redirects: usize| {
        let token = offered["token"].as_str().unwrap();
        let hop = |number: usize| format!("/hop-{number}-{token}");
        let set = |path: String, behaviour: Value| {
            client.site().control("/set-http01-behaviour", &json!({"path": path, "behaviour": behaviour}));
        };
        behave(client, offered, &json!({"kind": "redirect", "location": hop(1)}));
        for number in 1..redirects {
            set(hop(number), json!({"kind": "redirect", "location": hop(number + 1)}));
        }
        set(hop(redirects), json!({"kind": "content", "content": client.key_authorization(token)}));
    };
    let (order, _, authorization) = pending(&client, "ten.example.test");
    let offered = client.provide(&authorization, "http-01");
    chain(&client, &offered, 10);
    let _ = client.post(&url_of(&offered), &json!({})).expect(200);
    let _ = client.wait(&order, "ready");
    let found = invalid(&client, "eleven.example.test", |offered| chain(&client, offered, 11));
    assert_error(&found, "connection");
}

#[test]
fn dns_01_follows_an_alias() {
    let client = world().account();
    let (order, _, authorization) = pending(&client, "*.alias.example.test");
    let offered = challenge(&authorization, "dns-01");
    let digest = openssl::sha::sha256(client.key_authorization(offered["token"].as_str().unwrap()).as_bytes());
    let site = client.site();
    site.control(
        "/set-cname",
        &json!({"host": "_acme-challenge.alias.example.test.", "target": "proofs.example.test."}),
    );
    site.control("/add-txt", &json!({"host": "proofs.example.test.", "value": tests::base64url(digest)}));
    let _ = client.post(&url_of(&offered), &json!({})).expect(200);
    let _ = client.wait(&order, "ready");
}

#[test]
fn several_responses_at_once_start_one_validation() {
    let client = world().account();
    let (order, _, authorization) = pending(&client, "storm.example.test");
    let offered = client.provide(&authorization, "http-01");
    let respond = || {
        let (twin, url) = (client.twin(), url_of(&offered));
        std::thread::spawn(move || twin.post(&url, &json!({})).status)
    };
    let responses = [respond(), respond(), respond(), respond()];
    assert_eq!(responses.map(|response| response.join().unwrap()), [200; 4]);
    let _ = client.wait(&order, "ready");
    let seen = client.site().control("/http-request-history", &json!({}));
    let token = offered["token"].as_str().unwrap();
    let asked = seen.as_array().unwrap().iter().filter(|request| request["target"].as_str().unwrap().contains(token));
    assert_eq!(asked.count(), 1);
}

#[test]
fn an_answer_of_the_name_server_that_does_not_fit_is_asked_for_again_over_tcp() {
    let client = world().account();
    let order = client.order(&["*.truncated.example.test"]);
    let authorization = client.read(order.object["authorizations"][0].as_str().unwrap()).json();
    let offered = client.provide(&authorization, "dns-01");
    let host = "_acme-challenge.truncated.example.test.";
    client.site().control("/set-outcome", &json!({"host": host, "outcome": "truncated"}));
    let _ = client.post(&url_of(&offered), &json!({})).expect(200);
    let _ = client.wait(&order, "ready");
    let queries = client.site().control("/dns-request-history", &json!({"host": host}));
    assert!(queries.as_array().unwrap().iter().any(|query| query["transport"] == "tcp"), "{queries}");
}

#[test]
fn an_ipv6_address_is_proven_on_itself() {
    let client = world().account();
    let site = client.site();
    site.control("/http-01/listen", &json!({"address": format!("[::1]:{}", site.http_01_port)}));
    let payload = json!({"identifiers": [{"type": "ip", "value": "::1"}]});
    let response = client.post(&client.url("new-order"), &payload).expect(201);
    let _ = client.prove(&Order { url: response.location(), object: response.json() });
    let seen = site.control("/http-request-history", &json!({}));
    let host = |request: &Value| request["host"].as_str().unwrap_or_default().starts_with("[::1]");
    assert!(seen.as_array().unwrap().iter().any(host), "{seen}");
}
