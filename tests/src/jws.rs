//! Flattened JWS (RFC 7515, RFC 8555 §6.2) that can be made wrong at every place.

use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use serde_json::{Map, Value, json};

use crate::{base64url, key::Key};

/// A JWS before it is signed.
#[derive(Clone)]
pub struct Draft {
    /// The protected header.
    pub protected: Map<String, Value>,
    /// The payload as it is before encoding.
    pub payload: Vec<u8>,
    /// Who signs.
    pub key: Key,
}

impl Draft {
    /// The same with a member of the protected header set.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.protected.insert(member.to_owned(), value.into());
        self
    }

    /// The same without a member of the protected header.
    #[must_use]
    pub fn without(mut self, member: &str) -> Self {
        self.protected.remove(member);
        self
    }

    /// Signs it.
    #[must_use]
    pub fn sign(&self) -> Value {
        sign_text(&Value::from(self.protected.clone()).to_string(), &self.payload, &self.key)
    }
}

/// Signs a protected header that may be no JSON at all.
#[must_use]
pub fn sign_text(protected: &str, payload: &[u8], key: &Key) -> Value {
    let (protected, payload) = (base64url(protected), base64url(payload));
    let signature = base64url(key.sign(format!("{protected}.{payload}").as_bytes()));
    json!({"protected": protected, "payload": payload, "signature": signature})
}

/// An external account binding (RFC 8555 §7.3.4).
#[derive(Clone)]
pub struct Binding<'a> {
    /// HS256, HS384 or HS512.
    pub algorithm: &'a str,
    /// The external account key's id.
    pub kid: &'a str,
    /// Its secret.
    pub secret: &'a [u8],
    /// The newAccount URL.
    pub url: &'a str,
    /// The account key.
    pub jwk: Value,
}

impl Binding<'_> {
    /// The header that it should have.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({"alg": self.algorithm, "kid": self.kid, "url": self.url})
    }

    /// The JWS.
    #[must_use]
    pub fn sign(&self) -> Value {
        self.sign_with(&self.header())
    }

    /// The JWS with another header.
    ///
    /// # Panics
    /// The library cannot compute a MAC.
    #[must_use]
    pub fn sign_with(&self, header: &Value) -> Value {
        let digest = match self.algorithm {
            "HS384" => MessageDigest::sha384(),
            "HS512" => MessageDigest::sha512(),
            _ => MessageDigest::sha256(),
        };
        let (protected, payload) = (base64url(header.to_string()), base64url(self.jwk.to_string()));
        let key = PKey::hmac(self.secret).unwrap();
        let mut signer = Signer::new(digest, &key).unwrap();
        let mac = signer.sign_oneshot_to_vec(format!("{protected}.{payload}").as_bytes()).unwrap();
        json!({"protected": protected, "payload": payload, "signature": base64url(mac)})
    }
}
