//! Renewal information (RFC 9773 §4): who may ask, what is told, and what while the CM is away.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::x509::X509;
use serde_json::{Value, json};
pub(crate) use tests::time::rfc3339 as acme_time;
use tests::{client::Client, response::Response, snapshot::assert_snapshot};

use crate::{fragile_world, world};

/// What a client calls a certificate: key identifier of the issuer, and serial.
pub(crate) fn certificate_id(leaf: &X509) -> String {
    let authority = leaf.authority_key_id().unwrap().as_slice().to_vec();
    let mut serial = leaf.serial_number().to_bn().unwrap().to_vec();
    if serial[0] >= 0x80 {
        serial.insert(0, 0);
    }
    format!("{}.{}", tests::base64url(authority), tests::base64url(serial))
}

fn url_of(client: &Client, leaf: &X509) -> String {
    format!("{}/{}", renewal_info(client), certificate_id(leaf))
}

fn renewal_info(client: &Client) -> String {
    client.site().get(&client.url("directory")).expect(200).member("renewalInfo")
}

/// Start and end of the window as texts: such times have the order of their texts.
pub(crate) fn window(response: &Response) -> (String, String) {
    let window = &response.json()["suggestedWindow"];
    let time = |name: &str| {
        let text = window[name].as_str().unwrap_or_else(|| panic!("no {name}: {response:?}"));
        assert!(text.len() == 20 && text.ends_with('Z'), "whole seconds of UTC: {text}");
        text.to_owned()
    };
    (time("start"), time("end"))
}

pub(crate) fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    acme_time(seconds)
}

#[test]
fn anybody_may_ask_when_a_certificate_should_be_renewed() {
    let client = world().account();
    let issued = client.issue(&["ari.example.test"]);
    let response = client.site().get(&url_of(&client, &issued.leaf)).expect(200);
    let (start, end) = window(&response);
    assert!(now() < start && start < end, "a fresh certificate is renewed later: {response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("replay-nonce"), None, "what is cached has no nonce");
    let retry_after: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((60..=86_400).contains(&retry_after), "{retry_after}");
    let max_age = response.header("cache-control").unwrap().strip_prefix("public, max-age=").unwrap();
    assert!(max_age.parse::<u64>().unwrap() <= retry_after, "{response:?}");
    assert_snapshot("renewal_info", &response.to_snapshot());
}

#[test]
fn a_doubled_slash_head_and_post_as_get_lead_to_the_same() {
    let client = world().account();
    let issued = client.issue(&["same.example.test"]);
    let url = url_of(&client, &issued.leaf);
    let told = client.site().get(&url).expect(200).json();
    let doubled = url.replace("/renewal-info/", "/renewal-info//");
    assert_eq!(client.site().get(&doubled).expect(200).json(), told);
    let head = client.site().send("HEAD", &url, &[], None).expect(200);
    assert!(head.body.is_empty() && head.header("retry-after").is_some(), "{head:?}");
    for url in [&url, &doubled] {
        let posted = client.read(url).expect(200);
        assert_eq!(posted.json(), told);
        assert_eq!(posted.header("cache-control"), Some("no-store"), "a nonce is for one client");
        assert!(posted.header("replay-nonce").is_some() && posted.header("retry-after").is_some(), "{posted:?}");
    }
    let _ = client.post(&url, &json!({})).assert_refused(400, "malformed");
    let _ = client.site().send("DELETE", &url, &[], None).assert_problem(405, "malformed");
}

#[test]
fn what_names_no_certificate_is_malformed_and_what_names_an_unknown_one_is_not_found() {
    let client = world().account();
    let base = renewal_info(&client);
    let issued = client.issue(&["named.example.test"]);
    let id = certificate_id(&issued.leaf);
    let padded = format!("{id}=");
    for bad in ["abc", "a.b.c", ".", "AAAA.", ".AAAA", "AAAA.AA", "+AAA.AQ", &padded] {
        let _ = client.site().get(&format!("{base}/{bad}")).assert_problem(400, "malformed");
    }
    for unknown in ["aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", "AAAA.AQ"] {
        let _ = client.site().get(&format!("{base}/{unknown}")).assert_problem(404, "malformed");
    }
    let other = base.replace("/open/", "/terms/");
    let _ = client.site().get(&format!("{other}/{id}")).assert_problem(404, "malformed");
    let _ = client.site().get(&base).assert_problem(404, "malformed");
}

#[test]
fn a_revoked_certificate_should_be_renewed_at_once() {
    let client = world().account();
    let issued = client.issue(&["at-once.example.test"]);
    let url = url_of(&client, &issued.leaf);
    assert!(window(&client.site().get(&url).expect(200)).0 > now());
    let _ = client.revoke(&issued.leaf, Value::Null).expect(200);
    let (_, end) = window(&client.site().get(&url).expect(200));
    assert!(end <= now(), "{end}");
}

#[test]
fn while_the_cm_is_away_its_last_word_holds_and_the_rest_is_told_to_come_back() {
    let world = fragile_world();
    let client = world.account();
    let [asked, not_asked] = ["asked.example.test", "not-asked.example.test"].map(|name| client.issue(&[name]));
    let told = client.site().get(&url_of(&client, &asked.leaf)).expect(200).json();
    world.set_faults("getRenewalInfo", 40, &json!({"kind": "unavailable", "retry_after_secs": 1}));
    assert_eq!(client.site().get(&url_of(&client, &asked.leaf)).expect(200).json(), told);
    let response = client.site().get(&url_of(&client, &not_asked.leaf));
    let _ = response.assert_problem(503, "serverInternal");
    assert!(response.header("retry-after").is_some(), "{response:?}");
    world.clear_faults();
    tests::wait_for("the CM", Duration::from_secs(120), || {
        (client.site().get(&url_of(&client, &not_asked.leaf)).status == 200).then_some(())
    });
}

#[test]
fn many_who_ask_for_the_same_ask_the_cm_once() {
    let world = fragile_world();
    let client = world.account();
    let issued = client.issue(&["crowd.example.test"]);
    let url = url_of(&client, &issued.leaf);
    let (asked, ()) = world.counting("getRenewalInfo", || {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| client.site().get(&url).expect(200));
            }
        });
    });
    assert!((1..=2).contains(&asked), "{asked} questions");
}
