//! Keys that no account may have (RFC 7517, RFC 7518, RFC 8037; RFC 8555 §6.2, §11.1).

use openssl::rsa::Rsa;
use serde_json::{Value, json};
use tests::{
    base64url,
    key::{Key, Kind},
    weak_key,
};

use super::{Row, prove, trial::Trial};

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-038", "A key of another curve does not sign by ES256", 400, "badPublicKey", |trial| {
        let client = trial.stranger("open");
        let url = client.url("new-account");
        let _ = trial.refuse("ES256 with a key on P-384", || {
            let draft = client.self_signed(&url, &json!({}), &Key::generate(Kind::P384));
            client.send(&url, &draft.with("alg", "ES256").sign())
        });
    }),
    Row::refused("N-040", "A point that is not on its curve is no key", 400, "badPublicKey", |trial| {
        let on_curve = |member: &'static str, value: String| move |jwk: &mut Value| jwk[member] = value.into();
        spoil(trial, "y is 0", on_curve("y", base64url([0; 32])));
        spoil(trial, "y is 1", on_curve("y", base64url([[0; 31].as_slice(), &[1]].concat())));
        spoil(trial, "x is larger than the field", on_curve("x", base64url([0xff; 32])));
        spoil(trial, "x is too short", on_curve("x", base64url([1; 31])));
    }),
    Row::refused("N-041", "An RSA key of 1024 bits is too short", 400, "badPublicKey", |trial| {
        weak(trial, "1024 bits", Key::from_rsa(Rsa::generate(1024).unwrap()));
    }),
    Row::refused("N-042", "An RSA key with the exponent 3 is weak", 400, "badPublicKey", |trial| {
        weak(trial, "e is 3", Key::from_rsa(weak_key::small_exponent()));
    }),
    Row::refused("N-043", "An RSA key of a library that is known for it is weak", 400, "badPublicKey", |trial| {
        weak(trial, "ROCA", Key::from_rsa(weak_key::roca()));
        weak(trial, "close primes", Key::from_rsa(weak_key::close_primes()));
    }),
    Row::refused("N-044", "A symmetric key is no public key", 400, "badPublicKey", |trial| {
        spoil(trial, "kty oct", |jwk| *jwk = json!({"kty": "oct", "k": base64url([7; 32])}));
    }),
    Row::refused("N-045", "A key that was shown with its private part is not secret", 400, "badPublicKey", |trial| {
        spoil(trial, "d of an EC key", |jwk| jwk["d"] = base64url([7; 32]).into());
        let client = trial.stranger("open");
        let url = client.url("new-account");
        let _ = trial.refuse("d of an RSA key", || {
            let key = Key::generate(Kind::Rsa(2048));
            let mut jwk = key.jwk();
            jwk["d"] = base64url(key.pkey().rsa().unwrap().d().to_vec()).into();
            client.send(&url, &client.self_signed(&url, &json!({}), &key).with("jwk", jwk).sign())
        });
    }),
];

#[test]
fn keys_that_no_account_may_have_are_refused() {
    prove(ROWS);
}

/// newAccount by a P-256 key whose JWK was made wrong.
fn spoil(trial: &mut Trial, what: &str, change: impl FnOnce(&mut Value)) {
    let client = trial.stranger("open");
    let url = client.url("new-account");
    let _ = trial.refuse(what, || {
        let mut jwk = client.key.jwk();
        change(&mut jwk);
        client.send(&url, &client.self_signed(&url, &json!({}), &client.key).with("jwk", jwk).sign())
    });
}

/// newAccount rightly signed by a key that is worth nothing.
fn weak(trial: &mut Trial, what: &str, key: Key) {
    let client = trial.world().client_with("open", key);
    trial.watch(&client);
    let url = client.url("new-account");
    let _ = trial.refuse(what, || client.send(&url, &client.self_signed(&url, &json!({}), &client.key).sign()));
}
