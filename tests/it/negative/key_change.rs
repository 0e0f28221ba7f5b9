//! Key changes that change nothing (RFC 8555 §7.3.5).

use openssl::rsa::Rsa;
use serde_json::{Map, Value, json};
use tests::{
    client::Client,
    jws::Draft,
    key::{Key, Kind},
    response::Response,
};

use super::{Row, prove, trial::Trial};

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-081", "The new key is in the inner envelope", 400, "malformed", |trial| {
        spoil(trial, "no jwk", |_, inner| inner.without("jwk").sign());
        spoil(trial, "the account's URL in place of it", |client, inner| {
            inner.without("jwk").with("kid", client.account_url()).sign()
        });
        spoil(trial, "both", |client, inner| inner.with("kid", client.account_url()).sign());
    }),
    Row::refused("N-082", "The inner envelope has no nonce", 400, "malformed", |trial| {
        spoil(trial, "a good one", |client, inner| inner.with("nonce", client.nonce()).sign());
        spoil(trial, "an empty one", |_, inner| inner.with("nonce", "").sign());
    }),
    Row::refused("N-083", "The inner envelope is meant for keyChange", 400, "malformed", |trial| {
        spoil(trial, "another resource", |client, inner| inner.with("url", client.url("new-order")).sign());
        spoil(trial, "another directory", |client, inner| {
            inner.with("url", client.url("key-change").replace("/open/", "/web/")).sign()
        });
        spoil(trial, "nothing", |_, inner| inner.without("url").sign());
    }),
    Row::refused("N-084", "The new key signs the inner envelope", 400, "malformed", |trial| {
        spoil(trial, "the old key signs it", |client, inner| Draft { key: client.key.clone(), ..inner }.sign());
        spoil(trial, "the signature of another payload", |_, inner| {
            let mut jws = inner.sign();
            jws["payload"] = tests::base64url("{}").into();
            jws
        });
        spoil(trial, "no payload", |_, inner| {
            let mut jws = inner.sign();
            let _ = jws.as_object_mut().unwrap().remove("payload");
            jws
        });
        spoil(trial, "a payload that is no object", |_, inner| Draft { payload: b"[]".to_vec(), ..inner }.sign());
        for (what, payload) in [("{}", json!({})), ("a text", json!("e30.e30.AA")), ("a list", json!([]))] {
            spoil(trial, &format!("{what} in place of an envelope"), |_, _| payload);
        }
    }),
    Row::refused("N-085", "A key is changed for the account that asks", 400, "malformed", |trial| {
        let other = trial.account();
        spoil(trial, "another account", |client, inner| payload(inner, other.account_url(), &client.key.jwk()));
        spoil(trial, "a number", |client, inner| payload(inner, 7, &client.key.jwk()));
        spoil(trial, "a slash too many", |client, inner| {
            payload(inner, format!("{}/", client.account_url()), &client.key.jwk())
        });
    }),
    Row::refused("N-086", "A key is changed by one who knows the old one", 400, "malformed", |trial| {
        spoil(trial, "another key", |client, inner| payload(inner, client.account_url(), &Key::p256().jwk()));
        spoil(trial, "the new key", |client, inner| {
            let new_key = inner.key.jwk();
            payload(inner, client.account_url(), &new_key)
        });
        spoil(trial, "its thumbprint", |client, inner| {
            payload(inner, client.account_url(), &client.key.thumbprint().into())
        });
        let client = trial.account();
        let key = client.key.clone();
        let _ = trial.refuse("the key that the account has", || change_key(&client, &inner(&client, &key).sign()));
    }),
    Row::refused("N-087", "A key of another account is not taken", 409, "malformed", |trial| {
        let client = trial.account();
        let other = trial.account();
        let response = trial.refuse("another account's", || change_key(&client, &inner(&client, &other.key).sign()));
        assert_eq!(response.location(), other.account_url());
    }),
    Row::refused("N-088", "A weak key is not taken", 400, "badPublicKey", |trial| {
        let client = trial.account();
        for (what, key) in [
            ("RSA of 1024 bits", Key::from_rsa(Rsa::generate(1024).unwrap())),
            ("RSA of a library that is known for it", Key::from_rsa(tests::weak_key::roca())),
        ] {
            let _ = trial.refuse(what, || change_key(&client, &inner(&client, &key).sign()));
        }
        let key = Key::generate(Kind::P384);
        trial.refuse_as("a MAC", 400, "badSignatureAlgorithm", || {
            change_key(&client, &inner(&client, &key).with("alg", "HS256").sign())
        });
    }),
    Row::refused("N-089", "The old key signs nothing any more", 400, "malformed", |trial| {
        let old = trial.world().account();
        let order = old.order(&["old.key-change.test"]);
        let new_key = Key::p256();
        let _ = change_key(&old, &inner(&old, &new_key).sign()).expect(200);
        let mut renewed = old.twin();
        renewed.key = new_key;
        trial.watch(&renewed);
        let _ = trial.refuse("reading", || old.read(&order.url));
        let _ = trial.refuse("newOrder", || old.new_order(&["old.key-change.test"]));
        let _ = trial.refuse("another change", || change_key(&old, &inner(&old, &Key::p256()).sign()));
        let _ = trial.refuse("deactivation", || old.post(&old.account_url(), &json!({"status": "deactivated"})));
    }),
];

#[test]
fn key_changes_that_are_wrong_change_nothing() {
    prove(ROWS);
}

/// The inner envelope that changes the client's key to this one, unsigned.
fn inner(client: &Client, new_key: &Key) -> Draft {
    let mut protected = Map::new();
    protected.insert("alg".to_owned(), new_key.algorithm().into());
    protected.insert("url".to_owned(), client.url("key-change").into());
    protected.insert("jwk".to_owned(), new_key.jwk());
    let payload = json!({"account": client.account_url(), "oldKey": client.key.jwk()});
    Draft { protected, payload: payload.to_string().into_bytes(), key: new_key.clone() }
}

fn change_key(client: &Client, inner: &Value) -> Response {
    client.post(&client.url("key-change"), inner)
}

/// A key change that was made wrong, and the right one afterwards.
fn spoil(trial: &mut Trial, what: &str, make: impl FnOnce(&Client, Draft) -> Value) {
    let client = trial.account();
    let new_key = Key::p256();
    let wrong = make(&client, inner(&client, &new_key));
    let _ = trial.refuse(what, || change_key(&client, &wrong));
    let _ = change_key(&client, &inner(&client, &new_key).sign()).expect(200);
    let mut renewed = client.twin();
    renewed.key = new_key;
    trial.forget(&client);
    trial.watch(&renewed);
}

/// The inner envelope with another account or another old key.
fn payload(inner: Draft, account: impl Into<Value>, old_key: &Value) -> Value {
    let payload = json!({"account": account.into(), "oldKey": old_key});
    Draft { payload: payload.to_string().into_bytes(), ..inner }.sign()
}
