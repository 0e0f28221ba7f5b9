//! What reads octets from strangers before anybody is known to have signed them: the door for the
//! fuzzer, which has nothing else to do in here.

use acme::account_key::PublicKey;
use serde_json::Value;

use crate::{
    http::connection::head,
    jws::{
        external_account::ExternalAccount,
        key_change::{KeyChange, Outer},
        parse::{Jws, Signer},
        verify::VerifyingKey,
    },
};

/// Reads a request body; true if it has the shape of a signed request and, where it carries its
/// own key, a good signature (RFC 8555 §6.2).
#[must_use]
pub fn jws(body: &[u8]) -> bool {
    let Ok(jws) = Jws::parse(body) else { return false };
    if let Signer::Key(key) = &jws.signed.signer
        && let Ok(key) = VerifyingKey::new(key)
    {
        return key.verify(&jws.signed).is_ok();
    }
    true
}

/// Reads an external account binding; true if it could be one for this key and URL
/// (RFC 8555 §7.3.4).
#[must_use]
pub fn external_account(binding: &Value, url: &str, key: &PublicKey) -> bool {
    ExternalAccount::check(binding, url, key).is_ok()
}

/// Reads the JWS inside a key change; true if it asks, with a good signature, for this account of this
/// key (RFC 8555 §7.3.5).
#[must_use]
pub fn key_change(inner: &[u8], url: &str, account: &str, key: &PublicKey) -> bool {
    KeyChange::parse(inner).is_ok_and(|inner| inner.prove(&Outer { url, account, key }).is_ok())
}

/// Reads the head of a request; true if it is whole and sound (RFC 9112 §2 to §6).
#[must_use]
pub fn request_head(octets: &[u8]) -> bool {
    matches!(head::judge(octets), Ok(Some(_)))
}
