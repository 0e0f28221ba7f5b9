//! Flattened JWS (RFC 7515) as the contract forwards them: proofs and external account bindings.
//!
//! `alg` comes from a closed list that the key decides (signatures) or the pre-registration
//! (MACs); `crit` and `b64` are refused, so what is verified is what is read.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::key::PublicKey;

/// A JWS with its three parts in base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jws {
    protected: String,
    payload: String,
    signature: String,
}

/// The protected header; members that ACME does not know are ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    /// Signature or MAC algorithm.
    pub(crate) alg: String,
    /// Account URL or, in a binding, the key id.
    pub(crate) kid: Option<String>,
    /// The signer's key.
    pub(crate) jwk: Option<Value>,
    /// Anti-replay nonce of ACME.
    pub(crate) nonce: Option<String>,
    /// Where the client sent it.
    pub(crate) url: Option<String>,
    crit: Option<Value>,
    b64: Option<Value>,
}

/// A MAC algorithm of RFC 7518 section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MacAlgorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
}

impl MacAlgorithm {
    /// From the name in a header; none for anything that is not a MAC.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::HS256),
            "HS384" => Some(Self::HS384),
            "HS512" => Some(Self::HS512),
            _ => None,
        }
    }

    /// Octets of a key that is as strong as the MAC.
    pub(crate) fn key_octets(self) -> usize {
        match self {
            Self::HS256 => 32,
            Self::HS384 => 48,
            Self::HS512 => 64,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::HS256 => hmac::HMAC_SHA256,
            Self::HS384 => hmac::HMAC_SHA384,
            Self::HS512 => hmac::HMAC_SHA512,
        }
    }
}

impl Jws {
    /// The protected header.
    pub(crate) fn header(&self) -> Result<Header, &'static str> {
        let octets = URL_SAFE_NO_PAD.decode(&self.protected).map_err(|_| "the protected header is not base64url")?;
        let header: Header =
            serde_json::from_slice(&octets).map_err(|_| "the protected header is not what ACME asks for")?;
        if header.crit.is_some() || header.b64.is_some() {
            return Err("crit and b64 are not supported");
        }
        Ok(header)
    }

    /// The payload octets.
    pub(crate) fn payload(&self) -> Result<Vec<u8>, &'static str> {
        URL_SAFE_NO_PAD.decode(&self.payload).map_err(|_| "the payload is not base64url")
    }

    /// Verifies the signature with a key.
    pub(crate) fn verify(&self, key: &PublicKey, header: &Header) -> Result<(), &'static str> {
        key.verify(&header.alg, &self.signing_input(), &self.signature_octets()?)
    }

    /// Verifies the MAC in constant time.
    pub(crate) fn verify_mac(&self, algorithm: MacAlgorithm, secret: &[u8]) -> bool {
        let key = hmac::Key::new(algorithm.hmac(), secret);
        // A tag that does not decode is compared as an empty one, so that the way is the same.
        let tag = self.signature_octets().unwrap_or_default();
        hmac::verify(&key, &self.signing_input(), &tag).is_ok()
    }

    /// Names what was signed. The signature is left out: an ECDSA signature has two spellings.
    pub(crate) fn digest(&self) -> Vec<u8> {
        Sha256::digest(self.signing_input()).to_vec()
    }

    fn signing_input(&self) -> Vec<u8> {
        format!("{}.{}", self.protected, self.payload).into_bytes()
    }

    fn signature_octets(&self) -> Result<Vec<u8>, &'static str> {
        URL_SAFE_NO_PAD.decode(&self.signature).map_err(|_| "the signature is not base64url")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::vectors;
    use super::*;

    #[test]
    fn the_mac_of_the_contract_verifies_and_no_other_secret_does() {
        let jws: Jws = serde_json::from_value(vectors::bind_request()["eab"].clone()).unwrap();
        let mut secret = vectors::eab_secret();
        assert!(jws.verify_mac(MacAlgorithm::HS256, &secret));
        assert!(!jws.verify_mac(MacAlgorithm::HS384, &secret));
        secret[0] ^= 1;
        assert!(!jws.verify_mac(MacAlgorithm::HS256, &secret));
    }

    #[test]
    fn the_proofs_of_the_contract_verify_and_a_changed_payload_does_not() {
        let key = vectors::account_key();
        for document in [vectors::bind_request(), vectors::certificate_request(), vectors::revocation()] {
            let mut jws: Jws = serde_json::from_value(document["proof"]["jws"].clone()).unwrap();
            let header = jws.header().unwrap();
            assert_eq!(jws.verify(&key, &header), Ok(()));
            jws.payload = URL_SAFE_NO_PAD.encode("{}");
            assert!(jws.verify(&key, &header).is_err());
        }
    }

    #[test]
    fn headers_with_crit_or_repeated_members_are_refused() {
        for header in [
            r#"{"alg":"ES256","url":"https://a","crit":["b64"]}"#,
            r#"{"alg":"ES256","url":"https://a","b64":false}"#,
            r#"{"alg":"ES256","alg":"none","url":"https://a"}"#,
            r#"{"url":"https://a"}"#,
        ] {
            let jws =
                Jws { protected: URL_SAFE_NO_PAD.encode(header), payload: String::new(), signature: String::new() };
            assert!(jws.header().is_err(), "{header}");
        }
    }
}
