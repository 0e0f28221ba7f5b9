//! newOrder and orders (RFC 8555 §7.1.3, §7.4).

use serde_json::{Value, json};
use tests::{client::Client, response::Response, snapshot::assert_snapshot};

use crate::world;

fn order(client: &Client, payload: &Value) -> Response {
    client.post(&client.url("new-order"), payload)
}

fn dns(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"type": "dns", "value": name})).collect()
}

#[test]
fn a_new_order_is_pending_and_shows_what_to_prove() {
    let client = world().account();
    assert_snapshot("order_created", &client.new_order(&["new.example.test"]).to_snapshot());
}

#[test]
fn an_order_is_read_as_it_was_made() {
    let client = world().account();
    let created = client.new_order(&["read.example.test"]).expect(201);
    let read = client.read(&created.location()).expect(200);
    assert_eq!((read.json(), read.location()), (created.json(), created.location()));
    let _ = client.post(&created.location(), &json!({})).assert_refused(400, "malformed");
}

#[test]
fn names_are_folded_and_repeated_ones_dropped() {
    let client = world().account();
    let order = client.order(&["B.Example.TEST", "a.example.test", "b.example.test"]);
    assert_eq!(order.object["identifiers"], dns(&["b.example.test", "a.example.test"]));
    assert_eq!(order.object["authorizations"].as_array().unwrap().len(), 2);
}

#[test]
fn a_wildcard_and_its_base_are_proven_apart() {
    let client = world().account();
    let order = client.order(&["*.both.example.test", "both.example.test"]);
    assert_eq!(order.object["identifiers"], dns(&["*.both.example.test", "both.example.test"]));
    let authorizations = tests::client::strings(&order.object["authorizations"]);
    let shown: Vec<_> = authorizations.iter().map(|url| client.read(url).expect(200).json()).collect();
    assert!(shown.iter().all(|one| one["identifier"]["value"] == "both.example.test"), "{shown:?}");
    assert_eq!((shown[0]["wildcard"].clone(), shown[1].get("wildcard")), (json!(true), None));
}

#[test]
fn names_that_cannot_be_in_a_certificate_are_malformed() {
    let client = world().account();
    let label = format!("{}.test", "a".repeat(64));
    let long = format!("{}test", "a.".repeat(125));
    for name in [
        "",
        ".",
        "a..b",
        "-a.org",
        "a-.org",
        "a_b.org",
        "a.org.",
        ".a.org",
        "192.0.2.1",
        "https://a.org/",
        "a.org:443",
        "a@b.org",
        "a b.org",
        "xn--.org",
        "xn--a-.org",
        "ab--cd.org",
        "bücher.example",
        "*",
        "*.*.a.org",
        "a.*.org",
        "w*.a.org",
        "**.a.org",
        &label,
        &long,
    ] {
        let _ = client.new_order(&[name]).assert_refused(400, "malformed");
    }
}

#[test]
fn international_names_are_taken_as_a_labels() {
    let client = world().account();
    let order = client.order(&["xn--bcher-kva.example.test"]);
    assert_eq!(order.object["identifiers"], dns(&["xn--bcher-kva.example.test"]));
}

#[test]
fn addresses_are_taken_in_their_one_spelling() {
    let client = world().account();
    let ip = |value: &str| order(&client, &json!({"identifiers": [{"type": "ip", "value": value}]}));
    for value in
        ["::0001", "2001:DB8::1", "fe80::1%eth0", "10.0.0.1/8", "010.0.0.1", "[::1]", "::ffff:10.0.0.1", "1", ""]
    {
        let _ = ip(value).assert_refused(400, "malformed");
    }
    for value in ["127.0.0.1", "2001:db8::1"] {
        let created = ip(value).expect(201).json();
        assert_eq!(created["identifiers"], json!([{"type": "ip", "value": value}]));
        let authorization = client.read(created["authorizations"][0].as_str().unwrap()).json();
        let kinds: Vec<_> = authorization["challenges"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
        assert_eq!(kinds, ["http-01", "tls-alpn-01"], "dns-01 cannot prove an address (RFC 8738 section 7)");
    }
}

#[test]
fn other_types_of_identifiers_are_unsupported() {
    let client = world().account();
    let email = json!({"identifiers": [{"type": "email", "value": "a@example.test"}]});
    let _ = order(&client, &email).assert_refused(400, "unsupportedIdentifier");
}

#[test]
fn orders_without_well_formed_identifiers_are_malformed() {
    let client = world().account();
    for payload in [
        json!({}),
        json!({"identifiers": []}),
        json!({"identifiers": "a.test"}),
        json!({"identifiers": ["a.test"]}),
        json!({"identifiers": [{"type": "dns"}]}),
        json!({"identifiers": [{"value": "a.test"}]}),
        json!({"identifiers": [{"type": "dns", "value": 7}]}),
    ] {
        let _ = order(&client, &payload).assert_refused(400, "malformed");
    }
}

#[test]
fn at_most_a_hundred_identifiers_are_taken() {
    let client = world().account();
    let names: Vec<_> = (0..101).map(|number| format!("n{number}.example.test")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let detail = client.new_order(&names).assert_refused(400, "malformed");
    assert!(detail.contains("100"), "{detail}");
    let _ = client.new_order(&names[..100]).expect(201);
}

#[test]
fn every_bad_identifier_is_named_in_a_subproblem() {
    let client = world().account();
    let response = client.new_order(&["good.example.test", "a..b", "under_score.test"]);
    let _ = response.assert_refused(400, "malformed");
    let problem = response.json();
    assert!(problem.get("identifier").is_none(), "{problem}");
    let named: Vec<_> =
        problem["subproblems"].as_array().unwrap().iter().map(|one| &one["identifier"]["value"]).collect();
    assert_eq!(named, ["a..b", "under_score.test"]);
}

#[test]
fn empty_members_count_as_not_given_and_unknown_ones_are_ignored() {
    let client = world().account();
    let payload = json!({
        "identifiers": dns(&["empty.example.test"]),
        "notBefore": "", "notAfter": "", "profile": "", "status": "", "finalize": "", "resource": "new-order",
    });
    let created = order(&client, &payload).expect(201).json();
    assert!(created.get("notAfter").is_none() && created["profile"] == "tls-server", "{created}");
}

#[test]
fn a_profile_must_be_one_of_those_on_offer() {
    let client = world().account();
    let with =
        |profile: &str| order(&client, &json!({"identifiers": dns(&["profile.example.test"]), "profile": profile}));
    assert_eq!(with("tls-server").expect(201).json()["profile"], "tls-server");
    let detail = with("unknown").assert_refused(400, "invalidProfile");
    assert!(detail.contains("tls-server"), "the detail says what can be chosen: {detail}");
}

#[test]
fn a_validity_is_kept_exactly_or_refused() {
    let client = world().account();
    let with = |member: &str, value: &str| {
        let mut payload = json!({"identifiers": dns(&["validity.example.test"])});
        payload[member] = value.into();
        order(&client, &payload)
    };
    for (member, value) in [
        ("notBefore", "tomorrow"),
        ("notAfter", "2026-13-01T00:00:00Z"),
        ("notAfter", "2001-01-01T00:00:00Z"),
        ("notAfter", "2101-01-01T00:00:00Z"),
        ("notBefore", "2001-01-01T00:00:00Z"),
    ] {
        let _ = with(member, value).assert_refused(400, "malformed");
    }
}

#[test]
fn a_name_that_no_challenge_can_prove_is_refused() {
    let mut client = world().client("web");
    let _ = client.register(&json!({})).expect(201);
    let detail = client.new_order(&["*.example.test"]).assert_refused(403, "rejectedIdentifier");
    assert!(detail.contains("challenge.none-offered"), "{detail}");
}

#[test]
fn a_wildcard_right_below_a_top_level_domain_is_refused() {
    let client = world().account();
    let _ = client.new_order(&["*.test"]).assert_refused(403, "rejectedIdentifier");
}

#[test]
fn an_order_of_another_account_is_neither_shown_nor_found_out() {
    let (client, other) = (world().account(), world().account());
    let theirs = other.order(&["theirs.example.test"]);
    let _ = client.read(&theirs.url).assert_refused(403, "unauthorized");
    let _ = client.read(&format!("{}/AAAAAAAAAAAAAAAAAAAAAA", client.url("order"))).assert_refused(404, "malformed");
    let _ = client.read(&format!("{}/!", client.url("order"))).assert_refused(404, "malformed");
}

#[test]
fn a_url_with_a_slash_too_many_is_not_found() {
    let client = world().account();
    let order = client.order(&["slash.example.test"]);
    let _ = client.read(&format!("{}/", order.url)).assert_refused(404, "malformed");
    let _ = client.read(&client.url("nothing")).assert_refused(404, "malformed");
}

#[test]
fn an_order_of_one_directory_is_not_found_at_another() {
    let client = world().account();
    let order = client.order(&["elsewhere.example.test"]);
    let mut elsewhere = world().client_with("web", client.key.clone());
    let _ = elsewhere.register(&json!({})).expect(201);
    let _ = elsewhere.read(&order.url.replace("/open/", "/web/")).assert_refused(404, "malformed");
    let authorization = order.object["authorizations"][0].as_str().unwrap();
    let _ = elsewhere.read(&authorization.replace("/open/", "/web/")).assert_refused(404, "malformed");
}

#[test]
fn many_clients_at_once_all_get_their_certificates() {
    let clients = (0..10).map(|number| {
        std::thread::spawn(move || {
            let client = world().account();
            let issued = client.issue(&[&format!("many{number}.example.test"), "shared.example.test"]);
            world().certificates_of(&issued.order_url)
        })
    });
    let clients: Vec<_> = clients.collect();
    let counts: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert_eq!(counts, [1; 10]);
}

#[test]
fn an_order_of_many_names_is_certified_whole() {
    let client = world().account();
    let names: Vec<_> = (0..40).map(|number| format!("whole{number:02}.example.test")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let issued = client.issue(&names);
    assert_eq!(tests::client::dns_names(&issued.leaf), names);
}
