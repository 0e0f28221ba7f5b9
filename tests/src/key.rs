//! Keys of all the kinds that accounts and certificates have, as JWKs and signing as JWS wants it (RFC 7518, RFC 8037).

use std::collections::BTreeMap;

use openssl::{
    bn::{BigNum, BigNumContext},
    ec::{EcGroup, EcKey},
    ecdsa::EcdsaSig,
    hash::{MessageDigest, hash},
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
    sign::Signer,
};
use serde_json::{Value, json};

use crate::base64url;

/// A private key.
#[derive(Clone)]
pub struct Key {
    kind: Kind,
    pkey: PKey<Private>,
}

/// The kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    P256,
    P384,
    P521,
    Ed25519,
    Rsa(u32),
}

impl Key {
    /// A fresh key.
    ///
    /// # Panics
    /// The library cannot make one.
    #[must_use]
    pub fn generate(kind: Kind) -> Self {
        let pkey = match kind {
            Kind::P256 | Kind::P384 | Kind::P521 => {
                PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(curve(kind).0).unwrap()).unwrap())
            }
            Kind::Ed25519 => PKey::generate_ed25519(),
            Kind::Rsa(bits) => PKey::from_rsa(Rsa::generate(bits).unwrap()),
        };
        Self { kind, pkey: pkey.unwrap() }
    }

    /// A fresh P-256 key.
    #[must_use]
    pub fn p256() -> Self {
        Self::generate(Kind::P256)
    }

    /// An RSA key from elsewhere.
    ///
    /// # Panics
    /// It is no key.
    #[must_use]
    pub fn from_rsa(rsa: Rsa<Private>) -> Self {
        Self { kind: Kind::Rsa(rsa.size() * 8), pkey: PKey::from_rsa(rsa).unwrap() }
    }

    /// For the library.
    #[must_use]
    pub const fn pkey(&self) -> &PKey<Private> {
        &self.pkey
    }

    /// The JWS algorithm that it signs with.
    #[must_use]
    pub const fn algorithm(&self) -> &'static str {
        match self.kind {
            Kind::P256 => "ES256",
            Kind::P384 => "ES384",
            Kind::P521 => "ES512",
            Kind::Ed25519 => "EdDSA",
            Kind::Rsa(_) => "RS256",
        }
    }

    /// The public key as a JWK.
    ///
    /// # Panics
    /// The library cannot read its own key.
    #[must_use]
    pub fn jwk(&self) -> Value {
        match self.kind {
            Kind::P256 | Kind::P384 | Kind::P521 => {
                let (nid, name, octets) = curve(self.kind);
                let (mut x, mut y) = (BigNum::new().unwrap(), BigNum::new().unwrap());
                let key = self.pkey.ec_key().unwrap();
                let group = EcGroup::from_curve_name(nid).unwrap();
                let mut context = BigNumContext::new().unwrap();
                key.public_key().affine_coordinates(&group, &mut x, &mut y, &mut context).unwrap();
                let coordinate = |number: &BigNum| base64url(number.to_vec_padded(octets).unwrap());
                json!({"kty": "EC", "crv": name, "x": coordinate(&x), "y": coordinate(&y)})
            }
            Kind::Ed25519 => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(self.pkey.raw_public_key().unwrap())})
            }
            Kind::Rsa(_) => {
                let key = self.pkey.rsa().unwrap();
                json!({"kty": "RSA", "n": base64url(key.n().to_vec()), "e": base64url(key.e().to_vec())})
            }
        }
    }

    /// The thumbprint of RFC 7638, base64url.
    ///
    /// # Panics
    /// Never: it can be written as JSON.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // Sorted by name and without white space (RFC 7638 section 3.1). Maps of serde_json may keep another order.
        let members: BTreeMap<String, Value> = serde_json::from_value(self.jwk()).unwrap();
        let canonical = serde_json::to_string(&members).unwrap();
        base64url(hash(MessageDigest::sha256(), canonical.as_bytes()).unwrap())
    }

    /// A JWS signature.
    ///
    /// # Panics
    /// The library cannot sign.
    #[must_use]
    pub fn sign(&self, input: &[u8]) -> Vec<u8> {
        let der = self.sign_der(input);
        match self.kind {
            Kind::P256 | Kind::P384 | Kind::P521 => {
                let octets = curve(self.kind).2;
                let signature = EcdsaSig::from_der(&der).unwrap();
                let half = |number: &openssl::bn::BigNumRef| number.to_vec_padded(octets).unwrap();
                [half(signature.r()), half(signature.s())].concat()
            }
            Kind::Ed25519 | Kind::Rsa(_) => der,
        }
    }

    /// A signature in the form that the library likes: for ECDSA that is DER, which JWS forbids.
    ///
    /// # Panics
    /// The library cannot sign.
    #[must_use]
    pub fn sign_der(&self, input: &[u8]) -> Vec<u8> {
        let mut signer = match self.digest() {
            Some(digest) => Signer::new(digest, &self.pkey).unwrap(),
            None => Signer::new_without_digest(&self.pkey).unwrap(),
        };
        signer.sign_oneshot_to_vec(input).unwrap()
    }

    /// The hash that goes with the key, if it needs one.
    #[must_use]
    pub fn digest(&self) -> Option<MessageDigest> {
        match self.kind {
            Kind::P256 | Kind::Rsa(_) => Some(MessageDigest::sha256()),
            Kind::P384 => Some(MessageDigest::sha384()),
            Kind::P521 => Some(MessageDigest::sha512()),
            Kind::Ed25519 => None,
        }
    }
}

/// Library's number, name in a JWK, octets of a coordinate.
fn curve(kind: Kind) -> (Nid, &'static str, i32) {
    match kind {
        Kind::P384 => (Nid::SECP384R1, "P-384", 48),
        Kind::P521 => (Nid::SECP521R1, "P-521", 66),
        Kind::P256 => (Nid::X9_62_PRIME256V1, "P-256", 32),
        Kind::Ed25519 | Kind::Rsa(_) => panic!("{kind:?} has no curve of this sort"),
    }
}
