//! dns-account-01 and dns-persist-01: offered only where the operator names them, and good for a certificate.

use serde_json::{Value, json};
use tests::client::{Client, Order, challenge};

use crate::world;

fn account() -> Client {
    let mut client = world().client("drafts");
    let _ = client.register(&json!({"termsOfServiceAgreed": true})).expect(201);
    client
}

fn authorization(client: &Client, order: &Order) -> Value {
    client.read(order.object["authorizations"][0].as_str().unwrap()).expect(200).json()
}

fn kinds(authorization: &Value) -> Vec<&str> {
    authorization["challenges"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect()
}

/// Ten octets in base32 (RFC 4648 §6), in lower case.
fn base32(octets: &[u8; 10]) -> String {
    let bits = octets.iter().fold(0_u128, |bits, octet| bits << 8 | u128::from(*octet));
    let digit = |place: u32| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(bits >> (75 - 5 * place)) as usize & 31]);
    (0..16).map(digit).collect()
}

fn add_txt(client: &Client, host: &str, value: &str) {
    client.site().control("/add-txt", &json!({"host": format!("{host}."), "value": value}));
}

fn respond(client: &Client, offered: &Value) {
    let response = client.post(offered["url"].as_str().unwrap(), &json!({})).expect(200);
    assert_eq!(response.member("type"), offered["type"]);
}

#[test]
fn they_are_offered_where_they_are_named_and_those_without_a_token_come_last() {
    let client = account();
    let found = authorization(&client, &client.order(&["order.drafts.test"]));
    assert_eq!(kinds(&found), ["http-01", "dns-01", "tls-alpn-01", "dns-account-01", "dns-persist-01"]);
    let wildcard = authorization(&client, &client.order(&["*.order.drafts.test"]));
    assert_eq!(kinds(&wildcard), ["dns-01", "dns-account-01", "dns-persist-01"]);
    let url = challenge(&found, "dns-persist-01")["url"].clone();
    let expected = json!({
        "type": "dns-persist-01", "url": url, "status": "pending",
        "issuer-domain-names": ["ca.sandbox.test"], "accounturi": client.account_url(),
    });
    assert_eq!(challenge(&found, "dns-persist-01"), expected, "no token, and nothing nested");
    let usual = world().account();
    let usual = authorization(&usual, &usual.order(&["usual.drafts.test"]));
    assert_eq!(kinds(&usual), ["http-01", "dns-01", "tls-alpn-01"]);
}

#[test]
fn a_record_under_the_label_of_the_account_gets_a_certificate() {
    let client = account();
    let order = client.order(&["*.account.drafts.test"]);
    let offered = challenge(&authorization(&client, &order), "dns-account-01");
    let digest = openssl::sha::sha256(client.account_url().as_bytes());
    let label = base32(digest[..10].try_into().unwrap());
    let answer = client.key_authorization(offered["token"].as_str().unwrap());
    let value = tests::base64url(openssl::sha::sha256(answer.as_bytes()));
    add_txt(&client, &format!("_{label}._acme-challenge.account.drafts.test"), &value);
    respond(&client, &offered);
    let ready = client.wait(&order, "ready");
    let key = tests::key::Key::p256();
    let csr = tests::csr::Csr::for_names(&["*.account.drafts.test"]).text(&key);
    let _ = client.finalize(&ready, &csr).expect(200);
    let _ = client.download(&client.wait(&ready, "valid"), key);
}

#[test]
fn a_record_that_stays_proves_as_often_as_its_account_asks() {
    let client = account();
    let value = format!("ca.sandbox.test; accounturi={}; policy=wildcard", client.account_url());
    add_txt(&client, "_validation-persist.stay.drafts.test", &value);
    for name in ["stay.drafts.test", "*.stay.drafts.test"] {
        let order = client.order(&[name]);
        respond(&client, &challenge(&authorization(&client, &order), "dns-persist-01"));
        let ready = client.wait(&order, "ready");
        let key = tests::key::Key::p256();
        let _ = client.finalize(&ready, &tests::csr::Csr::for_names(&[name]).text(&key)).expect(200);
        let _ = client.download(&client.wait(&ready, "valid"), key);
    }
    let other = account();
    let order = other.order(&["stay.drafts.test"]);
    let offered = challenge(&authorization(&other, &order), "dns-persist-01");
    respond(&other, &offered);
    let found = other.wait_at(offered["url"].as_str().unwrap(), "invalid");
    assert_eq!(found["error"]["type"], "urn:ietf:params:acme:error:unauthorized", "{found}");
    assert!(found["error"]["detail"].as_str().unwrap().contains("another accounturi"), "{found}");
}
