//! revokeCert (RFC 8555 §7.6).

use openssl::{
    asn1::Asn1Time,
    hash::MessageDigest,
    x509::{X509, X509Builder},
};
use serde_json::{Value, json};
use tests::{
    base64url,
    client::{Client, Issued, revocation, strings},
    csr::Csr,
    key::{Key, Kind},
    response::Response,
    snapshot::assert_snapshot,
};

use crate::world;

/// revokeCert signed by a key that is in the request.
fn revoke_by_key(client: &Client, issued: &Issued, key: &Key, reason: impl Into<Value>) -> Response {
    let url = client.url("revoke-cert");
    client.send(&url, &client.self_signed(&url, &revocation(&issued.leaf, reason), key).sign())
}

#[test]
fn the_account_that_got_a_certificate_revokes_it() {
    let client = world().account();
    let issued = client.issue(&["account.revoke.test"]);
    assert_snapshot("revocation_done", &client.revoke(&issued.leaf, Value::Null).to_snapshot());
    assert_snapshot("revocation_again", &client.revoke(&issued.leaf, Value::Null).to_snapshot());
}

#[test]
fn whoever_holds_the_key_of_a_certificate_revokes_it() {
    let client = world().account();
    let stranger = world().client("open");
    for kind in [Kind::P256, Kind::P384, Kind::Rsa(2048)] {
        let issued = client.issue_for(&["key.revoke.test"], Key::generate(kind));
        let response = revoke_by_key(&stranger, &issued, &issued.key, 1).expect(200);
        assert!(response.body.is_empty(), "{response:?}");
        let _ = client.revoke(&issued.leaf, Value::Null).assert_refused(400, "alreadyRevoked");
    }
}

#[test]
fn nobody_else_revokes_it() {
    let (client, other) = (world().account(), world().account());
    let issued = client.issue(&["nobody.revoke.test"]);
    let _ = other.revoke(&issued.leaf, Value::Null).assert_refused(403, "unauthorized");
    let _ = revoke_by_key(&other, &issued, &Key::p256(), Value::Null).assert_refused(403, "unauthorized");
    let _ = revoke_by_key(&client, &issued, &client.key, Value::Null).assert_refused(403, "unauthorized");
    let _ = client.revoke(&issued.leaf, Value::Null).expect(200);
}

#[test]
fn an_account_that_proved_all_names_revokes_the_certificate_of_another() {
    let (client, other) = (world().account(), world().account());
    let names = ["proven.revoke.test", "*.proven.revoke.test"];
    let issued = client.issue(&names);
    let detail = other.revoke(&issued.leaf, Value::Null).assert_refused(403, "unauthorized");
    assert!(detail.contains("proven.revoke.test"), "{detail}");
    let _ = other.ready_order(&names[..1]);
    let detail = other.revoke(&issued.leaf, Value::Null).assert_refused(403, "unauthorized");
    assert!(detail.contains("for *.proven.revoke.test "), "the name does not stand for the wildcard: {detail}");
    let _ = other.ready_order(&names[1..]);
    let response = other.revoke(&issued.leaf, 5).expect(200);
    assert!(response.body.is_empty(), "{response:?}");
    let _ = client.revoke(&issued.leaf, Value::Null).assert_refused(400, "alreadyRevoked");
}

#[test]
fn a_wildcard_does_not_stand_for_the_names_below_it() {
    let (client, other) = (world().account(), world().account());
    let issued = client.issue(&["www.wildcard.revoke.test"]);
    let _ = other.ready_order(&["*.wildcard.revoke.test"]);
    let _ = other.revoke(&issued.leaf, Value::Null).assert_refused(403, "unauthorized");
    let _ = client.revoke(&issued.leaf, Value::Null).expect(200);
}

#[test]
fn an_authorization_that_was_given_up_is_no_right_to_revoke() {
    let (client, other) = (world().account(), world().account());
    let issued = client.issue(&["given-up.revoke.test"]);
    let order = other.ready_order(&["given-up.revoke.test"]);
    let authorization = &strings(&order.object["authorizations"])[0];
    let _ = other.post(authorization, &json!({"status": "deactivated"})).expect(200);
    let _ = other.revoke(&issued.leaf, Value::Null).assert_refused(403, "unauthorized");
    let _ = client.revoke(&issued.leaf, Value::Null).expect(200);
}

#[test]
fn a_suspended_account_revokes_its_own_certificates_and_no_others() {
    let (client, _) = world().registered_account(&json!({"mode": "any"}));
    let (suspended, id) = world().registered_account(&json!({"mode": "any"}));
    let (own, issued) = (suspended.issue(&["own.revoke.test"]), client.issue(&["other.revoke.test"]));
    let _ = suspended.ready_order(&["other.revoke.test"]);
    world().officer().set_status(&id, "suspended");
    let _ = suspended.revoke(&issued.leaf, Value::Null).assert_refused(403, "unauthorized");
    let _ = suspended.revoke(&own.leaf, Value::Null).expect(200);
    let _ = client.revoke(&issued.leaf, Value::Null).expect(200);
}

#[test]
fn a_key_that_is_said_to_be_compromised_gets_no_certificate_any_more() {
    let client = world().account();
    let issued = client.issue(&["compromised.revoke.test"]);
    let _ = revoke_by_key(&client, &issued, &issued.key, 1).expect(200);
    let order = client.ready_order(&["compromised.revoke.test"]);
    let response = client.finalize(&order, &Csr::for_names(&["compromised.revoke.test"]).text(&issued.key));
    // The CM knows the key; it may say so while finalize waits or later.
    assert!(matches!(response.status, 200 | 400), "{response:?}");
    let order = client.wait(&order, "invalid");
    assert_eq!(order.object["error"]["type"], "urn:ietf:params:acme:error:badCSR", "{order:?}");
    // The CM of the tests does not change what it has on record.
    let again = client.issue(&["compromised.revoke.test"]);
    let _ = client.revoke(&again.leaf, 4).expect(200);
    let _ = revoke_by_key(&client, &again, &again.key, 1).assert_refused(400, "alreadyRevoked");
}

#[test]
fn an_account_key_that_is_in_the_request_is_no_right_to_revoke() {
    let client = world().account();
    let issued = client.issue(&["account-key.revoke.test"]);
    let _ = revoke_by_key(&client, &issued, &client.key, 1).assert_refused(403, "unauthorized");
    let url = client.url("revoke-cert");
    let both = client.self_signed(&url, &revocation(&issued.leaf, 1), &issued.key).with("kid", client.account_url());
    let _ = client.send(&url, &both.sign()).assert_refused(400, "malformed");
    let _ = client.revoke(&issued.leaf, Value::Null).expect(200);
}

#[test]
fn a_deactivated_account_leaves_revocation_to_the_key() {
    let client = world().account();
    let issued = client.issue(&["deactivated.revoke.test"]);
    let _ = client.post(&client.account_url(), &json!({"status": "deactivated"})).expect(200);
    let _ = client.revoke(&issued.leaf, Value::Null).assert_refused(401, "unauthorized");
    let _ = revoke_by_key(&client, &issued, &issued.key, Value::Null).expect(200);
}

#[test]
fn reasons_are_those_that_subscribers_may_give() {
    let client = world().account();
    let issued = client.issue(&["reason.revoke.test"]);
    for reason in [-1, 2, 6, 7, 8, 9, 10, 11, 1_000_000] {
        let _ = client.revoke(&issued.leaf, reason).assert_refused(400, "badRevocationReason");
    }
    for reason in [json!("1"), json!(1.5), json!([1])] {
        let _ = client.revoke(&issued.leaf, reason).assert_refused(400, "malformed");
    }
    for reason in [0, 1, 3, 4, 5] {
        let issued = client.issue(&["reason.revoke.test"]);
        let _ = client.revoke(&issued.leaf, reason).expect(200);
    }
}

#[test]
fn what_is_no_certificate_is_malformed() {
    let client = world().account();
    let url = client.url("revoke-cert");
    let pem = String::from_utf8(std::fs::read(client.site().pki("root.pem")).unwrap()).unwrap();
    for payload in [
        json!({}),
        json!({"certificate": 7}),
        json!({"certificate": pem}),
        json!({"certificate": "AAAA"}),
        json!({"certificate": base64url(b"")}),
    ] {
        let _ = client.post(&url, &payload).assert_refused(400, "malformed");
    }
    let _ = client.read(&url).assert_refused(400, "malformed");
}

#[test]
fn a_certificate_from_elsewhere_is_not_found() {
    let client = world().account();
    let root = X509::from_pem(&std::fs::read(client.site().pki("root.pem")).unwrap()).unwrap();
    let _ = client.revoke(&root, Value::Null).assert_refused(404, "malformed");
}

#[test]
fn a_certificate_with_the_serial_of_another_is_not_that_one() {
    let client = world().account();
    let issued = client.issue(&["serial.revoke.test"]);
    let key = Key::p256();
    let mut twin = X509Builder::new().unwrap();
    twin.set_version(2).unwrap();
    twin.set_serial_number(issued.leaf.serial_number()).unwrap();
    twin.set_subject_name(issued.leaf.subject_name()).unwrap();
    twin.set_issuer_name(issued.leaf.issuer_name()).unwrap();
    twin.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    twin.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    twin.set_pubkey(key.pkey()).unwrap();
    twin.sign(key.pkey(), MessageDigest::sha256()).unwrap();
    let twin = Issued { leaf: twin.build(), key, pem: String::new(), url: String::new(), order_url: String::new() };
    let _ = client.revoke(&twin.leaf, Value::Null).assert_refused(404, "malformed");
    let _ = revoke_by_key(&client, &twin, &twin.key, Value::Null).assert_refused(404, "malformed");
    let _ = client.revoke(&issued.leaf, Value::Null).expect(200);
}
