//! Orders from newOrder to the certificate (RFC 8555 §7.1.6, §7.4; RFC 8738).

use serde_json::{Value, json};
use tests::{
    client::{Client, Order, dns_names, public_key, strings},
    csr::Csr,
    key::Key,
};

use crate::world;

#[test]
fn an_order_goes_from_pending_over_ready_to_a_certificate_that_matches() {
    let client = world().account();
    let name = "states.scenario.test";
    let order = client.order(&[name]);
    assert_eq!(order.object["status"], "pending");
    assert_eq!(order.object["identifiers"], json!([{"type": "dns", "value": name}]));
    let authorization = client.read(order.object["authorizations"][0].as_str().unwrap()).expect(200).json();
    assert_eq!(authorization["status"], "pending");
    let challenge = client.provide(&authorization, "http-01");
    let _ = client.post(challenge["url"].as_str().unwrap(), &json!({})).expect(200);
    let order = client.wait(&order, "ready");
    assert!(order.object.get("certificate").is_none(), "{order:?}");
    let key = Key::p256();
    let finalized = client.finalize(&order, &Csr::for_names(&[name]).text(&key)).expect(200);
    assert!(matches!(finalized.member("status").as_str(), "processing" | "valid"), "{finalized:?}");
    assert_eq!(finalized.location(), order.url);
    let issued = client.download(&client.wait(&order, "valid"), key);
    assert_eq!(dns_names(&issued.leaf), [name]);
    assert!(public_key(&issued.leaf).public_eq(issued.key.pkey()));
}

#[test]
fn a_wildcard_and_its_base_are_proven_by_two_records_of_one_name() {
    let client = world().account();
    let names = ["*.both.scenario.test", "both.scenario.test"];
    let order = client.order(&names);
    let urls = strings(&order.object["authorizations"]);
    let authorizations: Vec<_> = urls.iter().map(|url| client.read(url).expect(200).json()).collect();
    assert_eq!(authorizations.len(), 2);
    let base = json!({"type": "dns", "value": "both.scenario.test"});
    assert!(authorizations.iter().all(|one| one["identifier"] == base), "{authorizations:?}");
    let wildcards: Vec<_> = authorizations.iter().map(|one| one.get("wildcard")).collect();
    assert!(wildcards.contains(&Some(&Value::Bool(true))) && wildcards.contains(&None), "{wildcards:?}");
    // Both records first, as clients do that publish everything and then respond.
    let challenges: Vec<_> = authorizations.iter().map(|one| client.provide(one, "dns-01")).collect();
    for challenge in challenges {
        let _ = client.post(challenge["url"].as_str().unwrap(), &json!({})).expect(200);
    }
    let order = client.wait(&order, "ready");
    let key = Key::p256();
    let _ = client.finalize(&order, &Csr::for_names(&names).text(&key)).expect(200);
    assert_eq!(dns_names(&client.download(&client.wait(&order, "valid"), key).leaf), names);
}

#[test]
fn an_address_is_proven_by_either_method_and_certified_as_an_address() {
    for kind in ["http-01", "tls-alpn-01"] {
        let client = world().account();
        let order = order(&client, &json!({"identifiers": [{"type": "ip", "value": "127.0.0.1"}]}));
        let authorization = client.read(order.object["authorizations"][0].as_str().unwrap()).expect(200).json();
        let challenge = client.provide(&authorization, kind);
        let _ = client.post(challenge["url"].as_str().unwrap(), &json!({})).expect(200);
        let order = client.wait(&order, "ready");
        let key = Key::p256();
        let csr = Csr { ip: &["127.0.0.1"], ..Csr::default() }.text(&key);
        let _ = client.finalize(&order, &csr).expect(200);
        let issued = client.download(&client.wait(&order, "valid"), key);
        let names = issued.leaf.subject_alt_names().unwrap();
        assert_eq!(names.iter().filter_map(|name| name.ipaddress()).collect::<Vec<_>>(), [[127, 0, 0, 1]], "{kind}");
        assert_eq!(names.len(), 1, "{kind}");
    }
}

#[test]
fn a_profile_is_shown_whether_it_was_asked_for_or_not() {
    let client = world().account();
    let identifiers = json!([{"type": "dns", "value": "profile.scenario.test"}]);
    let directory = client.site().get(&client.url("directory")).expect(200).json();
    let offered: Vec<_> = directory["meta"]["profiles"].as_object().unwrap().keys().cloned().collect();
    for (profile, payload) in [
        ("tls-server", json!({"identifiers": identifiers, "profile": "tls-server"})),
        ("tls-server", json!({"identifiers": identifiers})),
    ] {
        assert!(offered.iter().any(|name| name == profile), "{offered:?}");
        let order = order(&client, &payload);
        assert_eq!(order.object["profile"], profile, "{payload}");
        assert_eq!(client.reread(&order).object["profile"], profile, "{payload}");
    }
}

fn order(client: &Client, payload: &Value) -> Order {
    let response = client.post(&client.url("new-order"), payload).expect(201);
    Order { url: response.location(), object: response.json() }
}
