//! tls-alpn-01 from newOrder to the certificate, and every way to answer it wrongly (RFC 8737, RFC 8738 §6).

use serde_json::{Value, json};
use tests::{
    client::{Client, Order, challenge},
    csr::Csr,
    key::Key,
};

use crate::world;

/// A pending order for one identifier, with its authorization.
fn pending(client: &Client, kind: &str, value: &str) -> (Order, Value) {
    let identifiers = json!({"identifiers": [{"type": kind, "value": value}]});
    let response = client.post(&client.url("new-order"), &identifiers).expect(201);
    let order = Order { url: response.location(), object: response.json() };
    let authorization = client.read(order.object["authorizations"][0].as_str().unwrap()).expect(200).json();
    (order, authorization)
}

fn respond(client: &Client, offered: &Value) {
    let _ = client.post(offered["url"].as_str().unwrap(), &json!({})).expect(200);
}

/// The error of the challenge when the server answers with this flaw.
fn error_of(client: &Client, name: &str, flaw: &str) -> Value {
    let (order, authorization) = pending(client, "dns", name);
    let offered = challenge(&authorization, "tls-alpn-01");
    let answer = client.key_authorization(offered["token"].as_str().unwrap());
    let answer = json!({"host": name, "content": answer, "flaw": flaw, "listen": true});
    client.site().control("/add-tlsalpn01", &answer);
    respond(client, &offered);
    let found = client.wait_at(offered["url"].as_str().unwrap(), "invalid");
    assert_eq!(client.reread(&order).object["status"], "invalid", "the order goes with its authorization");
    found["error"].clone()
}

#[test]
fn a_name_is_proven_in_a_handshake_and_gets_its_certificate() {
    let client = world().account();
    let name = "handshake.alpn.test";
    let (order, authorization) = pending(&client, "dns", name);
    let offered = client.provide(&authorization, "tls-alpn-01");
    respond(&client, &offered);
    let ready = client.wait(&order, "ready");
    let seen = client.site().control("/tlsalpn01-request-history", &json!({}));
    let handshake = seen.as_array().unwrap().iter().find(|seen| seen["server_name"] == name).cloned();
    assert_eq!(handshake.unwrap()["alpn"], json!(["acme-tls/1"]));
    let key = Key::p256();
    let _ = client.finalize(&ready, &Csr::for_names(&[name]).text(&key)).expect(200);
    let issued = client.download(&client.wait(&ready, "valid"), key);
    assert_eq!(tests::client::dns_names(&issued.leaf), [name]);
}

#[test]
fn an_address_is_proven_under_its_reverse_name() {
    let client = world().account();
    let (order, authorization) = pending(&client, "ip", "127.0.0.1");
    respond(&client, &client.provide(&authorization, "tls-alpn-01"));
    let _ = client.wait(&order, "ready");
    let seen = client.site().control("/tlsalpn01-request-history", &json!({}));
    let asked = seen.as_array().unwrap().iter().any(|seen| seen["server_name"] == "1.0.0.127.in-addr.arpa");
    assert!(asked, "{seen}");
}

#[test]
fn every_flaw_of_the_answer_is_refused_and_named() {
    let client = world().account();
    let table = [
        ("no-alpn", "incorrectResponse", "did not negotiate acme-tls/1"),
        ("signed-by-another", "incorrectResponse", "not self-signed"),
        ("extra-name", "incorrectResponse", "2 subject alternative names"),
        ("other-name", "incorrectResponse", "its subject alternative name is not"),
        ("common-name-only", "incorrectResponse", "no subject alternative name"),
        ("not-critical", "incorrectResponse", "not critical"),
        ("no-extension", "incorrectResponse", "no acmeIdentifier extension"),
        ("number-of-drafts", "incorrectResponse", "number of an old draft"),
        ("short-digest", "incorrectResponse", "32 octets"),
    ];
    for (flaw, kind, words) in table {
        let error = error_of(&client, &format!("{flaw}.alpn.test"), flaw);
        assert_eq!(error["type"], format!("urn:ietf:params:acme:error:{kind}"), "{flaw}: {error}");
        let detail = error["detail"].as_str().unwrap();
        let address = format!("127.0.0.1:{}", client.site().tls_alpn_01_port);
        assert!(detail.contains(words) && detail.contains(&address), "{flaw}: {detail}");
    }
}

#[test]
fn the_digest_of_another_key_authorization_is_no_answer() {
    let client = world().account();
    let (_, authorization) = pending(&client, "dns", "digest.alpn.test");
    let offered = challenge(&authorization, "tls-alpn-01");
    let answer = json!({"host": "digest.alpn.test", "content": "something else", "listen": true});
    client.site().control("/add-tlsalpn01", &answer);
    respond(&client, &offered);
    let found = client.wait_at(offered["url"].as_str().unwrap(), "invalid");
    assert_eq!(found["error"]["type"], "urn:ietf:params:acme:error:incorrectResponse", "{found}");
}

#[test]
fn a_server_that_does_not_know_the_name_is_a_problem() {
    let client = world().account();
    // The responder listens, but nobody told it of this name: it ends the connection.
    client.site().control("/tls-alpn-01/listen", &json!({}));
    let (_, authorization) = pending(&client, "dns", "unknown.alpn.test");
    let offered = challenge(&authorization, "tls-alpn-01");
    respond(&client, &offered);
    let found = client.wait_at(offered["url"].as_str().unwrap(), "invalid");
    assert_eq!(found["error"]["type"], "urn:ietf:params:acme:error:connection", "{found}");
}

#[test]
fn wildcards_are_not_offered_it() {
    let client = world().account();
    let (_, authorization) = pending(&client, "dns", "*.wild.alpn.test");
    let kinds: Vec<_> = authorization["challenges"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
    assert_eq!(kinds, ["dns-01"]);
}
