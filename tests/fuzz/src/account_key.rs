//! Account keys as JWK (RFC 7517, RFC 7518, RFC 8037): what is taken keeps its thumbprint (RFC 7638).

use acme::account_key::PublicKey;
use serde_json::Value;

pub(crate) fn run(octets: &[u8]) {
    let Ok(Value::Object(jwk)) = serde_json::from_slice(octets) else { return };
    let Ok(key) = PublicKey::from_jwk(&jwk) else { return };
    let _ = policies::key::check_account_key(&key);
    assert!(!key.to_spki_der().is_empty());
    let written = key.to_jwk();
    let again = written.as_object().map(PublicKey::from_jwk);
    assert!(matches!(again, Some(Ok(again)) if again.thumbprint() == key.thumbprint()), "{written}");
}
