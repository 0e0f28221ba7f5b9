//! The shape of an external account binding (RFC 8555 §7.3.4).
//!
//! The MAC is verified by the CM, which alone has the keys (CM contract section 4.3); this gateway
//! could not. Everything that needs no key is checked here, so that the CM sees only bindings that
//! may be right.

use acme::{
    account_key::{KeyError, PublicKey},
    problem::{Problem, ProblemKind},
};
use serde_json::{Map, Value};

use super::{
    flattened::{ContainerError, Flattened},
    json,
};

/// The MAC algorithms of a binding (RFC 8555 §7.3.4, RFC 7518 §3.2).
const MAC_ALGORITHMS: [&str; 3] = ["HS256", "HS384", "HS512"];
/// Longest key id, in characters.
const KEY_ID_CHARACTERS_MAX: usize = 64;

/// A binding whose MAC is still to be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExternalAccount {
    /// Which key the MAC is claimed to be made with: 1 to 64 characters of visible ASCII.
    pub(crate) key_id: String,
    /// The binding as it was received, for the CM.
    pub(crate) binding: Flattened,
}

/// Why a binding is not taken. The texts are for ACME clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BindingError {
    /// It is no flattened JWS.
    #[error("externalAccountBinding is refused: {0}")]
    Container(#[from] ContainerError),
    /// No MAC algorithm, or an unknown one.
    #[error("externalAccountBinding is refused: alg must be HS256, HS384 or HS512 (RFC 8555 section 7.3.4)")]
    Algorithm,
    /// A nonce is not allowed inside.
    #[error("externalAccountBinding is refused: its protected header must not have a nonce (RFC 8555 section 7.3.4)")]
    Nonce,
    /// The key of a MAC is never sent.
    #[error(
        "externalAccountBinding is refused: its protected header must not have a jwk (RFC 8555 section 7.3.4); the account key belongs into the payload"
    )]
    Jwk,
    /// The key id is missing or cannot be one.
    #[error(
        "externalAccountBinding is refused: kid must be the key id you were given, 1 to 64 visible ASCII characters (RFC 8555 section 7.3.4)"
    )]
    KeyId,
    /// Made for another resource.
    #[error("externalAccountBinding is refused: its url must equal the url of the request (RFC 8555 section 7.3.4)")]
    Url,
    /// The payload is no object.
    #[error("externalAccountBinding is refused: its payload must be the account key as a jwk (RFC 8555 section 7.3.4)")]
    Payload,
    /// The payload is an object, but no public key.
    #[error("externalAccountBinding is refused: its payload is no public account key: {0}")]
    Key(#[from] KeyError),
    /// The payload is another key.
    #[error(
        "externalAccountBinding is refused: its payload is not the key that signed the request (RFC 8555 section 7.3.4); make a new binding for this key"
    )]
    OtherKey,
}

impl From<&BindingError> for Problem {
    fn from(error: &BindingError) -> Self {
        let kind = match error {
            BindingError::Container(_)
            | BindingError::Algorithm
            | BindingError::Nonce
            | BindingError::Jwk
            | BindingError::KeyId
            | BindingError::Url
            | BindingError::Payload => ProblemKind::Malformed,
            BindingError::Key(_) | BindingError::OtherKey => ProblemKind::BadPublicKey,
        };
        Self::new(kind, error.to_string())
    }
}

impl ExternalAccount {
    /// Checks the `externalAccountBinding` of a newAccount request that was made for `url` and
    /// signed by `key`.
    ///
    /// # Errors
    /// [`BindingError`] with the first rule it breaks.
    pub(crate) fn check(binding: &Value, url: &str, key: &PublicKey) -> Result<Self, BindingError> {
        let Value::Object(members) = binding else { return Err(ContainerError::NotAnObject.into()) };
        let binding = Flattened::from_members(members)?;
        let opened = binding.open()?;
        if !text(&opened.header, "alg").is_some_and(|name| MAC_ALGORITHMS.contains(&name)) {
            return Err(BindingError::Algorithm);
        }
        if opened.header.contains_key("nonce") {
            return Err(BindingError::Nonce);
        }
        if opened.header.contains_key("jwk") {
            return Err(BindingError::Jwk);
        }
        let key_id = text(&opened.header, "kid").filter(|id| is_key_id(id)).ok_or(BindingError::KeyId)?.to_owned();
        if text(&opened.header, "url") != Some(url) {
            return Err(BindingError::Url);
        }
        let jwk = json::object(&opened.payload).map_err(|_| BindingError::Payload)?;
        // By thumbprint, in effect: both sides are canonical, and other members do not count.
        if PublicKey::from_jwk(&jwk)? != *key {
            return Err(BindingError::OtherKey);
        }
        Ok(Self { key_id, binding })
    }
}

fn text<'h>(header: &'h Map<String, Value>, member: &str) -> Option<&'h str> {
    header.get(member).and_then(Value::as_str)
}

fn is_key_id(text: &str) -> bool {
    (1..=KEY_ID_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use acme::base64url;
    use josekit::jws::HS256;
    use serde_json::json;

    use super::{
        super::{
            parse::{Jws, Signer},
            signing::{Key, contract_example},
        },
        *,
    };

    const URL: &str = "https://acme.example.net/acme/tls/new-account";

    fn header() -> Value {
        json!({"alg": "HS256", "kid": "kid-2026-0417", "url": URL})
    }

    fn binding(header: &Value, payload: &Value) -> Value {
        json!({
            "protected": base64url::encode(header.to_string()),
            "payload": base64url::encode(payload.to_string()),
            "signature": base64url::encode([7; 32]),
        })
    }

    fn refusal(key: &Key, binding: &Value) -> BindingError {
        ExternalAccount::check(binding, URL, &key.public()).unwrap_err()
    }

    #[test]
    fn the_binding_of_the_cm_contract_is_taken_and_handed_on_unchanged() {
        let example = contract_example();
        let jws = Jws::parse(example["proof"]["jws"].to_string().as_bytes()).unwrap();
        let payload: Value = serde_json::from_slice(&jws.signed.payload).unwrap();
        let Signer::Key(key) = &jws.signed.signer else { panic!("a jwk is expected") };
        let account = ExternalAccount::check(&payload["externalAccountBinding"], &jws.signed.url, key).unwrap();
        assert_eq!(account.key_id, "kid-2026-0417");
        assert_eq!(account.binding.protected, example["eab"]["protected"]);
        assert_eq!(account.binding.payload, example["eab"]["payload"]);
        assert_eq!(account.binding.signature, example["eab"]["signature"]);
    }

    #[test]
    fn the_mac_is_left_to_the_cm_over_the_octets_handed_on() {
        let key = Key::generate("ES256");
        let secret = [9; 32];
        let mut made = binding(&header(), &key.public().to_jwk());
        let input = format!("{}.{}", made["protected"].as_str().unwrap(), made["payload"].as_str().unwrap());
        let signer = HS256.signer_from_bytes(secret).unwrap();
        let mac = josekit::jws::JwsSigner::sign(&signer, input.as_bytes()).unwrap();
        made["signature"] = json!(base64url::encode(mac));
        let account = ExternalAccount::check(&made, URL, &key.public()).unwrap();
        let verifier = HS256.verifier_from_bytes(secret).unwrap();
        let mac = base64url::decode(&account.binding.signature).unwrap();
        josekit::jws::JwsVerifier::verify(&verifier, &account.binding.signing_input(), &mac).unwrap();
    }

    #[test]
    fn the_key_is_compared_as_a_key_and_not_as_text() {
        let key = Key::generate("RS256");
        let mut jwk = key.public().to_jwk();
        jwk["alg"] = json!("RS256");
        jwk["use"] = json!("sig");
        jwk["kid"] = json!("mine");
        for algorithm in MAC_ALGORITHMS {
            let mut header = header();
            header["alg"] = json!(algorithm);
            assert!(ExternalAccount::check(&binding(&header, &jwk), URL, &key.public()).is_ok(), "{algorithm}");
        }
    }

    #[test]
    fn headers_that_are_not_those_of_a_binding_are_malformed() {
        let key = Key::generate("ES256");
        let jwk = key.public().to_jwk();
        let with = |member: &str, value: Value| {
            let mut header = header();
            header[member] = value;
            refusal(&key, &binding(&header, &jwk))
        };
        for algorithm in [json!("RS256"), json!("none"), json!("ES256"), json!("HS1"), json!(7), json!(null)] {
            assert_eq!(with("alg", algorithm), BindingError::Algorithm);
        }
        assert_eq!(with("nonce", json!("AA")), BindingError::Nonce);
        assert_eq!(with("nonce", json!(null)), BindingError::Nonce);
        assert_eq!(with("jwk", jwk.clone()), BindingError::Jwk);
        for id in [json!(""), json!("k".repeat(65)), json!("a b"), json!("a\n"), json!("\u{e4}"), json!(7)] {
            assert_eq!(with("kid", id), BindingError::KeyId);
        }
        for url in [json!("https://acme.example.net/acme/tls/new-order"), json!(format!("{URL}/")), json!([URL])] {
            assert_eq!(with("url", url), BindingError::Url);
        }
        assert_eq!(with("crit", json!([])), BindingError::Container(ContainerError::Critical));
        for member in ["alg", "kid", "url"] {
            let mut header = header();
            header.as_object_mut().unwrap().remove(member);
            let refused = refusal(&key, &binding(&header, &jwk));
            assert_eq!(Problem::from(&refused).kind, ProblemKind::Malformed, "{member}");
        }
    }

    #[test]
    fn payloads_that_are_not_the_account_key_are_refused() {
        let key = Key::generate("ES256");
        let with = |payload: &Value| refusal(&key, &binding(&header(), payload));
        assert_eq!(with(&json!("key")), BindingError::Payload);
        assert_eq!(with(&json!({})), BindingError::Key(KeyError::KeyType));
        let other = with(&Key::generate("ES256").public().to_jwk());
        assert_eq!(other, BindingError::OtherKey);
        assert_eq!(Problem::from(&other).kind, ProblemKind::BadPublicKey);
    }

    #[test]
    fn a_binding_is_an_object() {
        let key = Key::generate("ES256");
        for value in [json!("a.b.c"), json!([]), json!(true), json!(7)] {
            assert_eq!(refusal(&key, &value), BindingError::Container(ContainerError::NotAnObject));
        }
        let mut unprotected = binding(&header(), &key.public().to_jwk());
        unprotected["header"] = json!({});
        let refused = refusal(&key, &unprotected);
        assert_eq!(refused, BindingError::Container(ContainerError::UnprotectedHeader));
        assert_eq!(Problem::from(&refused).kind, ProblemKind::Malformed);
    }
}
