//! Signing requests as an ACME client does: ES256 by the account key (RFC 8555 §6.2), HS256 by an external
//! account key (§7.3.4).

use acme::{account_key::PublicKey, base64url};
use anyhow::{Context as _, anyhow};
use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};

/// The key of our account.
pub(crate) struct AccountKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

/// Who signs: the key itself, or the account that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signer<'a> {
    Key,
    Account(&'a str),
}

impl AccountKey {
    /// From PKCS #8 in DER; P-256 only.
    pub(crate) fn from_pkcs8(der: &[u8]) -> anyhow::Result<Self> {
        const COORDINATE_OCTETS: usize = 32;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map_err(|error| anyhow!("not a P-256 key in PKCS #8: {error}"))?;
        let (_form, point) = pair.public_key().as_ref().split_first().context("no point")?;
        let (x, y) = point.split_at_checked(COORDINATE_OCTETS).context("no point")?;
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": base64url::encode(x), "y": base64url::encode(y)});
        let public = PublicKey::from_jwk(jwk.as_object().context("a JWK is an object")?)?;
        Ok(Self { pair, public })
    }

    /// SHA-256 of the key authorization of a challenge (RFC 8555 §8.1).
    pub(crate) fn challenge_digest(&self, token: &str) -> Vec<u8> {
        digest(&SHA256, self.key_authorization(token).as_bytes()).as_ref().to_vec()
    }

    /// The key authorization of a challenge (RFC 8555 §8.1).
    pub(crate) fn key_authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.public.thumbprint())
    }

    /// The body of a request; an empty payload is POST-as-GET.
    pub(crate) fn sign(&self, signer: Signer<'_>, url: &str, nonce: &str, payload: &str) -> anyhow::Result<String> {
        let mut header = json!({"alg": "ES256", "nonce": nonce, "url": url});
        let (member, value) = match signer {
            Signer::Key => ("jwk", self.public.to_jwk()),
            Signer::Account(url) => ("kid", url.into()),
        };
        if let Value::Object(members) = &mut header {
            members.insert(member.to_owned(), value);
        }
        let flattened = flattened(&header, payload, |input| {
            let signature = self.pair.sign(&SystemRandom::new(), input);
            signature.map(|signature| signature.as_ref().to_vec()).map_err(|_| anyhow!("cannot sign"))
        })?;
        Ok(flattened.to_string())
    }

    /// Binds this key to the holder of an external account key, for newAccount at this URL.
    pub(crate) fn bind(&self, key_id: &str, secret: &[u8], url: &str) -> anyhow::Result<Value> {
        let header = json!({"alg": "HS256", "kid": key_id, "url": url});
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        flattened(&header, &self.public.to_jwk().to_string(), |input| Ok(hmac::sign(&key, input).as_ref().to_vec()))
    }
}

fn flattened(
    header: &Value,
    payload: &str,
    sign: impl FnOnce(&[u8]) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Value> {
    let (protected, payload) = (base64url::encode(header.to_string()), base64url::encode(payload));
    let signature = sign(format!("{protected}.{payload}").as_bytes())?;
    Ok(json!({"protected": protected, "payload": payload, "signature": base64url::encode(signature)}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jws::{external_account::ExternalAccount, parse, verify};

    const URL: &str = "https://acme.example.test/acme/a/new-account";

    fn key() -> AccountKey {
        AccountKey::from_pkcs8(&rcgen::KeyPair::generate().unwrap().serialize_der()).unwrap()
    }

    #[test]
    fn what_is_signed_is_what_this_gateway_verifies() {
        let key = key();
        let body = key.sign(Signer::Key, URL, "AA", r#"{"a":1}"#).unwrap();
        let jws = parse::Jws::parse(body.as_bytes()).unwrap();
        assert_eq!((jws.signed.url.as_str(), jws.signed.payload.as_slice()), (URL, br#"{"a":1}"#.as_slice()));
        let parse::Signer::Key(signer) = &jws.signed.signer else { panic!("a jwk is expected") };
        assert_eq!(*signer, key.public);
        verify::VerifyingKey::new(signer).unwrap().verify(&jws.signed).unwrap();
        let body = key.sign(Signer::Account("https://acme.example.test/acme/a/acct/1"), URL, "AA", "").unwrap();
        let jws = parse::Jws::parse(body.as_bytes()).unwrap();
        assert!(jws.signed.payload.is_empty() && !matches!(jws.signed.signer, parse::Signer::Key(_)));
        verify::VerifyingKey::new(&key.public).unwrap().verify(&jws.signed).unwrap();
    }

    #[test]
    fn a_binding_has_the_shape_that_this_gateway_wants() {
        let key = key();
        let binding = key.bind("kid-1", &[9; 32], URL).unwrap();
        assert_eq!(ExternalAccount::check(&binding, URL, &key.public).unwrap().key_id, "kid-1");
    }
}
