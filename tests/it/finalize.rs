//! finalize (RFC 8555 §7.4): from a ready order and a CSR to a certificate.

use std::{cmp::Ordering, sync::LazyLock, thread};

use openssl::{asn1::Asn1Time, rsa::Rsa};
use serde_json::json;
use tests::{
    base64url,
    client::{Client, Order, dns_names},
    csr::Csr,
    key::{Key, Kind},
    snapshot::assert_snapshot,
    weak_key,
    world::{STAPLED, World},
};

use crate::world;

fn csr(names: &[&str]) -> String {
    Csr::for_names(names).text(&Key::p256())
}

#[track_caller]
fn assert_still_ready(client: &Client, order: &Order) {
    assert_eq!(client.reread(order).object["status"], "ready");
}

#[test]
fn finalize_is_refused_while_an_authorization_is_pending() {
    let client = world().account();
    let order = client.order(&["early.example.test"]);
    let detail = client.finalize(&order, &csr(&["early.example.test"])).assert_refused(403, "orderNotReady");
    assert!(detail.contains("pending"), "{detail}");
    // Its status is told before anything that is wrong with a CSR which does not matter yet.
    for garbage in [base64url(b"garbage"), String::new(), csr(&["other.example.test"])] {
        let _ = client.finalize(&order, &garbage).assert_refused(403, "orderNotReady");
    }
}

/// A world in which finalize waits for the certificate, however busy the machine is.
fn patient_world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(|| World::start_with(&[("issuance", "finalize_wait_secs = 25")]));
    &WORLD
}

#[test]
fn finalize_ends_in_a_valid_order_with_a_certificate() {
    let client = patient_world().account();
    let order = client.ready_order(&["done.example.test"]);
    let response = client.finalize(&order, &csr(&["done.example.test"]));
    assert_snapshot("finalize_valid", &response.to_snapshot());
    assert_eq!(patient_world().certificates_of(&order.url), 1);
}

#[test]
fn the_same_csr_again_is_answered_with_the_order_and_another_is_refused() {
    let client = patient_world().account();
    let order = client.ready_order(&["twice.example.test"]);
    let first = csr(&["twice.example.test"]);
    let done = client.finalize(&order, &first).expect(200);
    assert_eq!(client.finalize(&order, &first).expect(200).json(), done.json());
    let _ = client.finalize(&order, &csr(&["twice.example.test"])).assert_refused(403, "orderNotReady");
    assert_eq!(patient_world().certificates_of(&order.url), 1);
}

#[test]
fn an_order_that_failed_cannot_be_finalized() {
    let client = world().account();
    let order = client.ready_order(&["failed.example.test"]);
    let authorization = order.object["authorizations"][0].as_str().unwrap();
    let _ = client.post(authorization, &json!({"status": "deactivated"})).expect(200);
    let _ = client.finalize(&order, &csr(&["failed.example.test"])).assert_refused(403, "orderNotReady");
}

#[test]
fn an_order_of_another_account_is_not_finalized() {
    let (client, other) = (world().account(), world().account());
    let order = other.ready_order(&["theirs.finalize.test"]);
    let _ = client.finalize(&order, &csr(&["theirs.finalize.test"])).assert_refused(403, "unauthorized");
    assert_still_ready(&other, &order);
}

#[test]
fn payloads_without_a_csr_in_base64url_are_malformed() {
    let client = world().account();
    let order = client.ready_order(&["payload.example.test"]);
    let good = csr(&["payload.example.test"]);
    let url = order.object["finalize"].as_str().unwrap();
    let pem = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    for payload in
        [json!({}), json!({"csr": 7}), json!({"csr": pem}), json!({"csr": format!("{good}==")}), json!({"csr": null})]
    {
        let _ = client.post(url, &payload).assert_refused(400, "malformed");
    }
    let _ = client.read(url).assert_refused(400, "malformed");
    assert_still_ready(&client, &order);
}

#[test]
fn a_csr_that_is_none_is_refused_and_a_good_one_then_taken() {
    let client = world().account();
    let name = "octets.example.test";
    let order = client.ready_order(&[name]);
    let good = Csr::for_names(&[name]).der(&Key::p256());
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let trailing = [good.as_slice(), &[0]].concat();
    for der in [b"".as_slice(), b"\x30\x03\x02\x01\x00", &good[..good.len() - 1], &forged, &trailing, &[0x30; 20_000]] {
        let _ = client.finalize(&order, &base64url(der)).assert_refused(400, "badCSR");
    }
    assert_still_ready(&client, &order);
    let _ = client.finalize(&order, &base64url(&good)).expect(200);
    let _ = client.wait(&order, "valid");
}

#[test]
fn a_csr_has_exactly_the_names_of_the_order() {
    let client = world().account();
    let (a, b) = ("a.names.test", "b.names.test");
    let order = client.ready_order(&[a, b]);
    let key = Key::p256();
    let wrong = [
        Csr::for_names(&[a]),
        Csr::for_names(&[a, b, "c.names.test"]),
        Csr::for_names(&[a, "*.names.test"]),
        Csr { common_name: Some("c.names.test"), ..Csr::for_names(&[a, b]) },
        Csr { common_name: Some("My device"), ..Csr::for_names(&[a, b]) },
        Csr { ip: &["127.0.0.1"], ..Csr::for_names(&[a, b]) },
        Csr { email: &["root@names.test"], ..Csr::for_names(&[a, b]) },
        Csr { uri: &["https://a.names.test/"], ..Csr::for_names(&[a, b]) },
        Csr::default(),
    ];
    for csr in wrong {
        let _ = client.finalize(&order, &csr.text(&key)).assert_refused(400, "badCSR");
    }
    assert_still_ready(&client, &order);
    let detail = client.finalize(&order, &Csr::for_names(&[a]).text(&key)).assert_refused(400, "badCSR");
    assert!(detail.contains(b), "what is missing is named: {detail}");
    let _ = client.finalize(&order, &Csr::for_names(&[b, a]).text(&key)).expect(200);
    let issued = client.download(&client.wait(&order, "valid"), key);
    assert_eq!(dns_names(&issued.leaf), [a, b]);
}

#[test]
fn a_csr_asks_for_nothing_that_a_server_certificate_does_not_have() {
    let client = world().account();
    let name = "extensions.example.test";
    let order = client.ready_order(&[name]);
    for csr in [
        Csr { ca: true, ..Csr::for_names(&[name]) },
        Csr { strange_extension: true, ..Csr::for_names(&[name]) },
        Csr { sha1: true, ..Csr::for_names(&[name]) },
    ] {
        let _ = client.finalize(&order, &csr.text(&Key::p256())).assert_refused(400, "badCSR");
    }
    assert_still_ready(&client, &order);
}

#[test]
fn a_csr_is_for_a_key_that_may_be_certified() {
    let client = world().account();
    let name = "keys.example.test";
    let order = client.ready_order(&[name]);
    let wrong = [
        Key::from_rsa(Rsa::generate(1024).unwrap()),
        Key::from_rsa(weak_key::small_exponent()),
        Key::from_rsa(weak_key::roca()),
        Key::from_rsa(weak_key::close_primes()),
        Key::generate(Kind::P521),
        Key::generate(Kind::Ed25519),
        client.key.clone(),
    ];
    for key in wrong {
        let _ = client.finalize(&order, &Csr::for_names(&[name]).text(&key)).assert_refused(400, "badCSR");
    }
    assert_still_ready(&client, &order);
}

#[test]
fn csrs_as_clients_write_them_are_taken() {
    let client = world().account();
    let name = "written.example.test";
    let shapes = [
        Csr { common_name: Some(name), ..Csr::default() },
        Csr { common_name: Some(name), ..Csr::for_names(&[name]) },
        Csr { common_name: Some("WRITTEN.example.test"), ..Csr::for_names(&["Written.Example.Test"]) },
        Csr { organization: Some("Example Ltd"), usages: true, ..Csr::for_names(&[name]) },
        Csr { must_staple: true, ..Csr::for_names(&[name]) },
    ];
    for csr in shapes {
        let key = Key::p256();
        let order = client.ready_order(&[name]);
        let _ = client.finalize(&order, &csr.text(&key)).expect(200);
        let issued = client.download(&client.wait(&order, "valid"), key);
        assert_eq!(dns_names(&issued.leaf), [name]);
    }
}

#[test]
fn an_address_is_certified_as_an_address() {
    let client = world().account();
    let payload = json!({"identifiers": [{"type": "ip", "value": "127.0.0.1"}]});
    let response = client.post(&client.url("new-order"), &payload).expect(201);
    let order = client.prove(&Order { url: response.location(), object: response.json() });
    let as_name = Csr { common_name: Some("127.0.0.1"), ..Csr::default() };
    let _ = client.finalize(&order, &as_name.text(&Key::p256())).assert_refused(400, "badCSR");
    let key = Key::p256();
    let _ = client.finalize(&order, &Csr { ip: &["127.0.0.1"], ..Csr::default() }.text(&key)).expect(200);
    let issued = client.download(&client.wait(&order, "valid"), key);
    let names = issued.leaf.subject_alt_names().unwrap();
    assert_eq!(names.iter().filter_map(|name| name.ipaddress()).collect::<Vec<_>>(), [[127, 0, 0, 1]]);
}

#[test]
fn a_requested_end_is_kept_to_the_second() {
    let client = world().account();
    // Any time that lies in the near future will do; this one the gateway itself writes.
    let end = client.order(&["end.example.test"]).object["expires"].as_str().unwrap().to_owned();
    let payload = json!({"identifiers": [{"type": "dns", "value": "end.example.test"}], "notAfter": end});
    let response = client.post(&client.url("new-order"), &payload).expect(201);
    assert_eq!(response.json()["notAfter"], end);
    let order = client.prove(&Order { url: response.location(), object: response.json() });
    let key = Key::p256();
    let _ = client.finalize(&order, &Csr::for_names(&["end.example.test"]).text(&key)).expect(200);
    let issued = client.download(&client.wait(&order, "valid"), key);
    let wanted = Asn1Time::from_str(&end.replace(['-', ':', 'T'], "")).unwrap();
    assert_eq!(issued.leaf.not_after().compare(&wanted).unwrap(), Ordering::Equal);
}

#[test]
fn two_finalizes_at_once_make_one_certificate() {
    let client = world().account();
    let name = "race.example.test";
    let order = client.ready_order(&[name]);
    let race = |csr: String| {
        let (twin, order) = (client.twin(), order.clone());
        thread::spawn(move || twin.finalize(&order, &csr))
    };
    let racers = [race(csr(&[name])), race(csr(&[name])), race(csr(&[name]))];
    let responses = racers.map(|racer| racer.join().unwrap());
    let mut statuses = responses.each_ref().map(|response| response.status);
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403, 403], "{responses:?}");
    let _ = client.wait(&order, "valid");
    assert_eq!(world().certificates_of(&order.url), 1);
}

#[test]
fn every_kind_of_certificate_key_is_certified() {
    let client = world().account();
    for kind in [Kind::P256, Kind::P384, Kind::Rsa(2048), Kind::Rsa(3072), Kind::Rsa(4096)] {
        let issued = client.issue_for(&["kinds.example.test"], Key::generate(kind));
        assert!(tests::client::public_key(&issued.leaf).public_eq(issued.key.pkey()), "{kind:?}");
    }
}

#[test]
fn a_profile_that_staples_always_does_so_whatever_the_csr_asks_for() {
    let mut client = world().client(STAPLED);
    let _ = client.register(&json!({})).expect(201);
    for must_staple in [false, true] {
        let name = "stapled.example.test";
        let (order, key) = (client.ready_order(&[name]), Key::p256());
        let csr = Csr { must_staple, ..Csr::for_names(&[name]) };
        let _ = client.finalize(&order, &csr.text(&key)).expect(200);
        let issued = client.download(&client.wait(&order, "valid"), key);
        let der = issued.leaf.to_der().unwrap();
        // id-pe-tlsfeature with status_request (RFC 7633).
        let feature = [6, 8, 0x2b, 6, 1, 5, 5, 7, 1, 24, 4, 5, 0x30, 3, 2, 1, 5];
        assert!(der.windows(feature.len()).any(|octets| octets == feature), "asked for: {must_staple}");
    }
}
