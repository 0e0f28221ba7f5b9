//! The inner JWS of keyChange (RFC 8555 §7.3.5): the new key asks for the account, inside a request
//! in which the old key does.
//!
//! It obeys the rules of every JWS here, and three more: it carries its key, it has the `url` of the
//! request around it, and it has no nonce. Whether the new key is strong enough and belongs to
//! nobody else is not judged here.

use acme::{
    account_key::{KeyError, PublicKey},
    problem::{Problem, ProblemKind},
};
use serde_json::Value;

use super::{
    json,
    parse::{ParseError, Signed, Signer},
    verify::{KeyRefused, VerifyError, VerifyingKey},
};

/// An inner JWS of the right shape; nothing about it is proven.
#[derive(Debug)]
pub(crate) struct KeyChange {
    inner: Signed,
    new_key: PublicKey,
}

/// What the request around it is known to be about.
pub(crate) struct Outer<'a> {
    /// The `url` of its protected header.
    pub(crate) url: &'a str,
    /// The account URL in its `kid`.
    pub(crate) account: &'a str,
    /// The key that signed it: the one that the account has now.
    pub(crate) key: &'a PublicKey,
}

/// Why an inner JWS is not taken. The texts are for ACME clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyChangeError {
    /// It is no JWS that could be taken anywhere here.
    #[error("the inner JWS of keyChange is refused: {0}")]
    Shape(ParseError),
    /// Nonces are for the request around it.
    #[error("the inner JWS of keyChange is refused: it must not have a nonce (RFC 8555 section 7.3.5)")]
    Nonce,
    /// The new key is not in it, or an account is named where the key should be.
    #[error(
        "the inner JWS of keyChange is refused: it must have the new key in jwk, and no kid (RFC 8555 section 7.3.5)"
    )]
    NoKey,
    /// Nothing can be verified with the new key.
    #[error("the new key is refused: {0}")]
    Unusable(#[from] KeyRefused),
    /// The new key did not sign it.
    #[error("the inner JWS of keyChange is refused: {0}")]
    Signature(#[from] VerifyError),
    /// The payload is something else than JSON with `account` and `oldKey`.
    #[error(
        "the payload of the inner JWS must be an object with account, the account URL, and oldKey, the key of the account as a jwk (RFC 8555 section 7.3.5)"
    )]
    Payload,
    /// `oldKey` is no public key.
    #[error("oldKey in the inner JWS is no public key: {0}")]
    OldKey(#[from] KeyError),
    /// Made for another resource.
    #[error("the url of the inner JWS must equal the url of the request (RFC 8555 section 7.3.5)")]
    Url,
    /// About another account.
    #[error("account in the inner JWS must equal the kid of the request (RFC 8555 section 7.3.5)")]
    OtherAccount,
    /// The account has another key.
    #[error("oldKey in the inner JWS is not the key that the account has (RFC 8555 section 7.3.5)")]
    OtherOldKey,
    /// The account has this key.
    #[error("the new key is the one that the account has already; make a new key")]
    SameKey,
}

impl From<&KeyChangeError> for Problem {
    fn from(error: &KeyChangeError) -> Self {
        let kind = match error {
            KeyChangeError::Shape(error) => Self::from(error).kind,
            KeyChangeError::Signature(error) => Self::from(*error).kind,
            KeyChangeError::Unusable(_) => ProblemKind::BadPublicKey,
            KeyChangeError::Nonce
            | KeyChangeError::NoKey
            | KeyChangeError::Payload
            | KeyChangeError::OldKey(_)
            | KeyChangeError::Url
            | KeyChangeError::OtherAccount
            | KeyChangeError::OtherOldKey
            | KeyChangeError::SameKey => ProblemKind::Malformed,
        };
        Self::new(kind, error.to_string())
    }
}

impl KeyChange {
    /// Reads the payload of a keyChange request.
    ///
    /// # Errors
    /// [`KeyChangeError`] if it is no JWS that carries its key and has no nonce.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, KeyChangeError> {
        let (inner, header) = Signed::read(payload).map_err(|error| {
            let names_no_key = matches!(error, ParseError::TwoSigners | ParseError::NoSigner);
            if names_no_key { KeyChangeError::NoKey } else { KeyChangeError::Shape(error) }
        })?;
        if header.contains_key("nonce") {
            return Err(KeyChangeError::Nonce);
        }
        match inner.signer.clone() {
            Signer::Key(new_key) => Ok(Self { inner, new_key }),
            Signer::Account(_) => Err(KeyChangeError::NoKey),
        }
    }

    /// Proves that the new key asks for this account in place of the old one, and answers with it.
    ///
    /// # Errors
    /// [`KeyChangeError`] with the first of these that does not hold: the new key signed; the
    /// payload is what it must be; `url`, `account` and `oldKey` are those of the request; the keys
    /// differ.
    pub(crate) fn prove(&self, outer: &Outer<'_>) -> Result<&PublicKey, KeyChangeError> {
        VerifyingKey::new(&self.new_key)?.verify(&self.inner)?;
        let payload = json::object(&self.inner.payload).map_err(|_| KeyChangeError::Payload)?;
        let (Some(Value::String(account)), Some(Value::Object(old_key))) =
            (payload.get("account"), payload.get("oldKey"))
        else {
            return Err(KeyChangeError::Payload);
        };
        let old_key = PublicKey::from_jwk(old_key)?;
        if self.inner.url != outer.url {
            return Err(KeyChangeError::Url);
        }
        if account != outer.account {
            return Err(KeyChangeError::OtherAccount);
        }
        // By thumbprint, in effect: both sides are canonical, and other members do not count.
        if old_key != *outer.key {
            return Err(KeyChangeError::OtherOldKey);
        }
        if self.new_key == *outer.key {
            return Err(KeyChangeError::SameKey);
        }
        Ok(&self.new_key)
    }
}

#[cfg(test)]
mod tests;
