//! Inner JWSs: good ones of every algorithm, and everything that can be wrong with one.

use acme::base64url;
use serde_json::json;

use super::*;
use crate::jws::signing::Key;

const URL: &str = "https://acme.example.net/acme/tls/key-change";
const ACCOUNT: &str = "https://acme.example.net/acme/tls/acct/reg_1";

struct Keys {
    old: Key,
    new: Key,
}

impl Keys {
    fn new() -> Self {
        Self { old: Key::generate("ES256"), new: Key::generate("ES256") }
    }

    fn header(&self) -> Value {
        json!({"alg": self.new.algorithm(), "url": URL, "jwk": self.new.public().to_jwk()})
    }

    fn payload(&self) -> Value {
        json!({"account": ACCOUNT, "oldKey": self.old.public().to_jwk()})
    }

    fn judge(&self, inner: &[u8]) -> Result<PublicKey, KeyChangeError> {
        let old = self.old.public();
        KeyChange::parse(inner)?.prove(&Outer { url: URL, account: ACCOUNT, key: &old }).cloned()
    }

    /// What comes of a good JWS whose header is changed.
    fn with_header(&self, change: impl FnOnce(&mut Value)) -> Result<PublicKey, KeyChangeError> {
        let mut header = self.header();
        change(&mut header);
        self.judge(&self.new.sign(&header, &self.payload().to_string()))
    }

    /// What comes of a good JWS with another payload.
    fn with_payload(&self, payload: &str) -> Result<PublicKey, KeyChangeError> {
        self.judge(&self.new.sign(&self.header(), payload))
    }
}

fn kind(refused: Result<PublicKey, KeyChangeError>) -> ProblemKind {
    Problem::from(&refused.unwrap_err()).kind
}

#[test]
fn keys_of_every_kind_take_the_place_of_keys_of_every_kind() {
    for old in ["ES256", "RS256"] {
        for new in ["ES256", "ES384", "ES512", "EdDSA", "RS256"] {
            let keys = Keys { old: Key::generate(old), new: Key::generate(new) };
            assert_eq!(keys.with_header(|_| ()), Ok(keys.new.public()), "{old} to {new}");
        }
    }
}

#[test]
fn further_members_of_header_and_payload_are_ignored() {
    let keys = Keys::new();
    assert!(keys.with_header(|header| header["typ"] = json!("JWT")).is_ok());
    let mut payload = keys.payload();
    payload["oldKey"]["use"] = json!("sig");
    payload["newKey"] = json!("as in drafts before the RFC");
    assert!(keys.with_payload(&payload.to_string()).is_ok());
}

#[test]
fn the_shape_comes_first_and_is_that_of_every_jws() {
    let keys = Keys::new();
    for octets in [b"".as_slice(), b"{}", b"[]", b"a.b.c", b"\xff", b"{\"newKey\":{}}"] {
        assert_eq!(kind(keys.judge(octets)), ProblemKind::Malformed);
    }
    assert_eq!(kind(keys.with_header(|header| header["crit"] = json!([]))), ProblemKind::Malformed);
    let inner = keys.new.sign(&keys.header(), &keys.payload().to_string());
    let mut general: Value = serde_json::from_slice(&inner).unwrap();
    general["header"] = json!({});
    assert_eq!(kind(keys.judge(general.to_string().as_bytes())), ProblemKind::Malformed);
    assert_eq!(keys.with_header(|header| header["nonce"] = json!("AA")), Err(KeyChangeError::Nonce));
    assert_eq!(keys.with_header(|header| header["nonce"] = json!(null)), Err(KeyChangeError::Nonce));
}

#[test]
fn the_new_key_is_in_the_jws_and_no_account_is() {
    let keys = Keys::new();
    let without = |header: &mut Value| drop(header.as_object_mut().unwrap().remove("jwk"));
    assert_eq!(keys.with_header(without), Err(KeyChangeError::NoKey));
    assert_eq!(keys.with_header(|header| header["kid"] = json!(ACCOUNT)), Err(KeyChangeError::NoKey));
    let by_account = |header: &mut Value| {
        without(header);
        header["kid"] = json!(ACCOUNT);
    };
    assert_eq!(keys.with_header(by_account), Err(KeyChangeError::NoKey));
    assert_eq!(kind(keys.with_header(|header| header["jwk"] = json!("key"))), ProblemKind::Malformed);
    assert_eq!(kind(keys.with_header(|header| header["jwk"] = json!({"kty": "oct"}))), ProblemKind::BadPublicKey);
}

#[test]
fn algorithms_are_those_of_every_request() {
    let keys = Keys::new();
    for name in ["HS256", "none", "ES256K", "RS1"] {
        let refused = keys.with_header(|header| header["alg"] = json!(name));
        assert_eq!(kind(refused), ProblemKind::BadSignatureAlgorithm, "{name}");
    }
    assert_eq!(kind(keys.with_header(|header| header["alg"] = json!("ES384"))), ProblemKind::BadPublicKey);
}

#[test]
fn the_new_key_must_have_signed() {
    let keys = Keys::new();
    let forged = keys.old.sign(&keys.header(), &keys.payload().to_string());
    assert_eq!(keys.judge(&forged), Err(KeyChangeError::Signature(VerifyError::Signature)));
    assert_eq!(kind(keys.judge(&forged)), ProblemKind::Malformed);
    let mut changed: Value = serde_json::from_slice(&keys.new.sign(&keys.header(), "{}")).unwrap();
    changed["payload"] = json!(base64url::encode(keys.payload().to_string()));
    assert_eq!(kind(keys.judge(changed.to_string().as_bytes())), ProblemKind::Malformed);
}

#[test]
fn the_payload_names_account_and_old_key() {
    let keys = Keys::new();
    let old = keys.old.public().to_jwk();
    for payload in [
        json!(""),
        json!([]),
        json!({}),
        json!({"account": ACCOUNT}),
        json!({"oldKey": old}),
        json!({"account": [ACCOUNT], "oldKey": old}),
        json!({"account": ACCOUNT, "oldKey": old.to_string()}),
        json!({"account": null, "oldKey": null}),
    ] {
        assert_eq!(keys.with_payload(&payload.to_string()), Err(KeyChangeError::Payload), "{payload}");
    }
    assert_eq!(keys.with_payload(""), Err(KeyChangeError::Payload));
    let twice = format!("{{\"account\":\"x\",\"account\":{},\"oldKey\":{old}}}", json!(ACCOUNT));
    assert_eq!(keys.with_payload(&twice), Err(KeyChangeError::Payload));
    let no_key = json!({"account": ACCOUNT, "oldKey": {"kty": "oct"}});
    assert_eq!(kind(keys.with_payload(&no_key.to_string())), ProblemKind::Malformed);
}

#[test]
fn url_account_and_old_key_are_those_of_the_request() {
    let keys = Keys::new();
    for url in [format!("{URL}/"), URL.replace("key-change", "new-order"), URL.to_uppercase()] {
        assert_eq!(keys.with_header(|header| header["url"] = json!(url)), Err(KeyChangeError::Url), "{url}");
    }
    for account in [format!("{ACCOUNT}/"), ACCOUNT.replace("reg_1", "reg_2"), String::from("reg_1")] {
        let payload = json!({"account": account, "oldKey": keys.old.public().to_jwk()});
        assert_eq!(keys.with_payload(&payload.to_string()), Err(KeyChangeError::OtherAccount), "{account}");
    }
    let payload = json!({"account": ACCOUNT, "oldKey": Key::generate("ES256").public().to_jwk()});
    assert_eq!(keys.with_payload(&payload.to_string()), Err(KeyChangeError::OtherOldKey));
}

#[test]
fn a_key_is_not_changed_to_itself() {
    let old = Key::generate("EdDSA");
    let header = json!({"alg": "EdDSA", "url": URL, "jwk": old.public().to_jwk()});
    let payload = json!({"account": ACCOUNT, "oldKey": old.public().to_jwk()});
    let inner = old.sign(&header, &payload.to_string());
    let proven = KeyChange::parse(&inner).unwrap();
    let public = old.public();
    let refused = proven.prove(&Outer { url: URL, account: ACCOUNT, key: &public });
    assert_eq!(refused.unwrap_err(), KeyChangeError::SameKey);
}

#[test]
fn keys_with_which_nothing_can_be_verified_are_bad_keys() {
    let keys = Keys::new();
    let small = json!({"kty": "RSA", "n": base64url::encode([0xc5; 128]), "e": "AQAB"});
    let refused = keys.with_header(|header| {
        header["alg"] = json!("RS256");
        header["jwk"] = small;
    });
    assert_eq!(refused, Err(KeyChangeError::Unusable(KeyRefused::RsaSize)));
    assert_eq!(kind(refused), ProblemKind::BadPublicKey);
}

#[test]
fn of_several_faults_the_first_in_the_order_of_the_checks_is_told() {
    type Fault = fn(&Keys, &mut Value, &mut Value, &mut bool);
    type Told = fn(&KeyChangeError) -> bool;
    let faults: [(Fault, Told); 7] = [
        (|_, header, _, _| header["alg"] = json!("none"), |error| matches!(error, KeyChangeError::Shape(_))),
        (|_, header, _, _| header["nonce"] = json!("AA"), |error| *error == KeyChangeError::Nonce),
        (|_, _, _, is_forged| *is_forged = true, |error| matches!(error, KeyChangeError::Signature(_))),
        (|_, _, payload, _| payload["account"] = json!(7), |error| *error == KeyChangeError::Payload),
        (|_, header, _, _| header["url"] = json!("https://a.test/"), |error| *error == KeyChangeError::Url),
        (|_, _, payload, _| payload["account"] = json!(URL), |error| *error == KeyChangeError::OtherAccount),
        (
            |keys, _, payload, _| payload["oldKey"] = keys.new.public().to_jwk(),
            |error| *error == KeyChangeError::OtherOldKey,
        ),
    ];
    let keys = Keys::new();
    for (first, (break_first, is_told)) in faults.iter().enumerate() {
        for (break_second, _) in faults.iter().skip(first) {
            let (mut header, mut payload, mut is_forged) = (keys.header(), keys.payload(), false);
            // Last, for two of them break the same member.
            break_second(&keys, &mut header, &mut payload, &mut is_forged);
            break_first(&keys, &mut header, &mut payload, &mut is_forged);
            let signer = if is_forged { &keys.old } else { &keys.new };
            let refused = keys.judge(&signer.sign(&header, &payload.to_string())).unwrap_err();
            assert!(is_told(&refused), "{first}: {refused:?}");
        }
    }
}
