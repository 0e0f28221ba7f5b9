//! Signing requests as a client does, for the tests of this folder.

use acme::{account_key::PublicKey, base64url};
use josekit::{
    jwk::{
        Jwk,
        alg::{ec::EcCurve, ed::EdCurve},
    },
    jws::{ES256, ES384, ES512, EdDSA, JwsSigner, RS256},
};
use serde_json::{Map, Value, json};

/// A private key and the algorithm it signs with.
pub(super) struct Key {
    jwk: Jwk,
    algorithm: &'static str,
}

impl Key {
    pub(super) fn generate(algorithm: &str) -> Self {
        let (jwk, algorithm) = match algorithm {
            "ES256" => (Jwk::generate_ec_key(EcCurve::P256), "ES256"),
            "ES384" => (Jwk::generate_ec_key(EcCurve::P384), "ES384"),
            "ES512" => (Jwk::generate_ec_key(EcCurve::P521), "ES512"),
            "EdDSA" => (Jwk::generate_ed_key(EdCurve::Ed25519), "EdDSA"),
            "RS256" => (Jwk::generate_rsa_key(2048), "RS256"),
            other => panic!("no keys for {other}"),
        };
        Self { jwk: jwk.unwrap(), algorithm }
    }

    pub(super) fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    pub(super) fn public(&self) -> PublicKey {
        let members: Map<String, Value> = self.jwk.to_public_key().unwrap().into();
        PublicKey::from_jwk(&members).unwrap()
    }

    /// A good newAccount request.
    pub(super) fn request(&self, payload: &str) -> Vec<u8> {
        self.sign(&self.header(self.algorithm), payload)
    }

    /// A request whose header claims another algorithm than the key has.
    pub(super) fn request_claiming(&self, algorithm: &str) -> Vec<u8> {
        self.sign(&self.header(algorithm), "{}")
    }

    /// A request by an account.
    pub(super) fn request_of_account(&self, algorithm: &str) -> Vec<u8> {
        let header = json!({"alg": algorithm, "nonce": "AA", "url": "https://a.test/", "kid": "https://a.test/1"});
        self.sign(&header, "{}")
    }

    /// A request with these octets in place of the signature.
    pub(super) fn request_with_signature(&self, signature: &[u8]) -> Vec<u8> {
        let protected = base64url::encode(self.header(self.algorithm).to_string());
        body(&protected, &base64url::encode("{}"), signature)
    }

    /// A request with a P-256 signature as X.509 writes it.
    pub(super) fn request_signed_in_der(&self) -> Vec<u8> {
        let private = openssl::pkey::PKey::private_key_from_der(&self.signer_der()).unwrap();
        let (protected, payload) =
            (base64url::encode(self.header(self.algorithm).to_string()), base64url::encode("{}"));
        let mut signer = openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &private).unwrap();
        signer.update(format!("{protected}.{payload}").as_bytes()).unwrap();
        body(&protected, &payload, &signer.sign_to_vec().unwrap())
    }

    fn signer_der(&self) -> Vec<u8> {
        josekit::jwk::alg::ec::EcKeyPair::from_jwk(&self.jwk).unwrap().to_der_private_key()
    }

    fn header(&self, algorithm: &str) -> Value {
        json!({"alg": algorithm, "nonce": "AA", "url": "https://a.test/", "jwk": self.public().to_jwk()})
    }

    pub(super) fn sign(&self, header: &Value, payload: &str) -> Vec<u8> {
        let (protected, payload) = (base64url::encode(header.to_string()), base64url::encode(payload));
        let signature = self.signer().sign(format!("{protected}.{payload}").as_bytes()).unwrap();
        body(&protected, &payload, &signature)
    }

    fn signer(&self) -> Box<dyn JwsSigner> {
        match self.algorithm {
            "ES256" => Box::new(ES256.signer_from_jwk(&self.jwk).unwrap()),
            "ES384" => Box::new(ES384.signer_from_jwk(&self.jwk).unwrap()),
            "ES512" => Box::new(ES512.signer_from_jwk(&self.jwk).unwrap()),
            "EdDSA" => Box::new(EdDSA.signer_from_jwk(&self.jwk).unwrap()),
            _ => Box::new(RS256.signer_from_jwk(&self.jwk).unwrap()),
        }
    }
}

fn body(protected: &str, payload: &str, signature: &[u8]) -> Vec<u8> {
    json!({"protected": protected, "payload": payload, "signature": base64url::encode(signature)})
        .to_string()
        .into_bytes()
}

/// The bind request that CM contract section 4.3 gives as an example.
pub(super) fn contract_example() -> Value {
    serde_json::from_str(include_str!("contract_example.json")).unwrap()
}
