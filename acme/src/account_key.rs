//! Account keys: public JWKs in one canonical form, and their thumbprints (RFC 7517, RFC 7638).
//!
//! One key must have one spelling, or one key could hold many accounts and slip past a block
//! list: coordinates have their full length, RSA numbers no leading zeros, base64url is
//! canonical. Whether a point lies on its curve is checked where keys meet the crypto library;
//! whether a key is strong enough is the policies' business.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{base64url, der};

/// Octets of the longest JWK member we decode: RSA with 16384 bits.
const MEMBER_OCTETS_MAX: usize = 2048;
/// Members of a JWK that only private and symmetric keys have (RFC 7518 §6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A curve for ECDSA (RFC 7518 §6.2.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
}

/// A public key as account keys are written, canonical by construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// An ECDSA key.
    Ec {
        /// Its curve.
        curve: Curve,
        /// Affine x coordinate, full length, big-endian.
        x: Vec<u8>,
        /// Affine y coordinate, full length, big-endian.
        y: Vec<u8>,
    },
    /// An RSA key.
    Rsa {
        /// Modulus, big-endian, without leading zeros.
        n: Vec<u8>,
        /// Public exponent, big-endian, without leading zeros.
        e: Vec<u8>,
    },
    /// An Ed25519 key (RFC 8037).
    Ed25519 {
        /// The encoded point.
        x: [u8; 32],
    },
}

/// The RFC 7638 thumbprint of a key under SHA-256: what an account is looked up by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

/// Why a JWK is no acceptable public key. The texts are for ACME clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a JSON object, or a member of the wrong JSON type.
    #[error("jwk must be an object with string members (RFC 7517)")]
    Shape,
    /// `kty` is missing or not EC, RSA or OKP.
    #[error("kty must be EC, RSA or OKP")]
    KeyType,
    /// `crv` is missing or names another curve.
    #[error("crv must be P-256, P-384 or P-521 for EC keys and Ed25519 for OKP keys")]
    Curve,
    /// A member the key type needs is absent.
    #[error("the jwk lacks a member that its kty requires")]
    MissingMember,
    /// A member is not canonical base64url.
    #[error("a jwk member is not base64url without padding")]
    Encoding,
    /// A coordinate does not have its curve's length, or an RSA number begins with a zero octet.
    #[error("a jwk member does not have its canonical length (RFC 7518 section 6)")]
    Length,
    /// The JWK discloses a private or symmetric key.
    #[error("the jwk contains private key material; this key must be considered compromised")]
    PrivateMember,
}

impl Curve {
    const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// Octets of one coordinate.
    #[must_use]
    pub const fn coordinate_octets(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// AlgorithmIdentifier of a key on this curve (RFC 5480 §2.1.1).
    const fn algorithm_identifier(self) -> &'static [u8] {
        match self {
            Self::P256 => b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
            Self::P384 => b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22",
            Self::P521 => b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23",
        }
    }
}

impl PublicKey {
    /// Takes a JWK. Members that do not belong to the key (`alg`, `use`, `kid`, …) are ignored.
    ///
    /// # Errors
    /// [`KeyError`] with the first rule the JWK breaks.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, KeyError> {
        if PRIVATE_MEMBERS.iter().any(|member| jwk.contains_key(*member)) {
            return Err(KeyError::PrivateMember);
        }
        match text(jwk, "kty").map_err(|_| KeyError::KeyType)? {
            "EC" => Self::ec_from_jwk(jwk),
            "RSA" => Ok(Self::Rsa { n: unsigned_number(jwk, "n")?, e: unsigned_number(jwk, "e")? }),
            "OKP" => Self::okp_from_jwk(jwk),
            _ => Err(KeyError::KeyType),
        }
    }

    fn ec_from_jwk(jwk: &Map<String, Value>) -> Result<Self, KeyError> {
        let curve = match text(jwk, "crv").map_err(|_| KeyError::Curve)? {
            "P-256" => Curve::P256,
            "P-384" => Curve::P384,
            "P-521" => Curve::P521,
            _ => return Err(KeyError::Curve),
        };
        let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
        if x.len() != curve.coordinate_octets() || y.len() != curve.coordinate_octets() {
            return Err(KeyError::Length);
        }
        Ok(Self::Ec { curve, x, y })
    }

    fn okp_from_jwk(jwk: &Map<String, Value>) -> Result<Self, KeyError> {
        if text(jwk, "crv").map_err(|_| KeyError::Curve)? != "Ed25519" {
            return Err(KeyError::Curve);
        }
        let x = octets(jwk, "x")?.try_into().map_err(|_| KeyError::Length)?;
        Ok(Self::Ed25519 { x })
    }

    /// The JWK with exactly the members that make the thumbprint.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        match self {
            Self::Ec { curve, x, y } => {
                json!({"crv": curve.name(), "kty": "EC", "x": base64url::encode(x), "y": base64url::encode(y)})
            }
            Self::Rsa { n, e } => json!({"e": base64url::encode(e), "kty": "RSA", "n": base64url::encode(n)}),
            Self::Ed25519 { x } => json!({"crv": "Ed25519", "kty": "OKP", "x": base64url::encode(x)}),
        }
    }

    /// RFC 7638 §3: SHA-256 over the required members in lexicographic order without white space.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        let canonical = match self {
            Self::Ec { curve, x, y } => format!(
                r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
                curve.name(),
                base64url::encode(x),
                base64url::encode(y)
            ),
            Self::Rsa { n, e } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, base64url::encode(e), base64url::encode(n))
            }
            Self::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url::encode(x)),
        };
        Thumbprint(Sha256::digest(canonical).into())
    }

    /// The key as SubjectPublicKeyInfo in DER, the form in which certificates and CSRs carry it.
    #[must_use]
    pub fn to_spki_der(&self) -> Vec<u8> {
        const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
        const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";
        match self {
            Self::Ec { curve, x, y } => {
                let point = [&[4], x.as_slice(), y].concat();
                der::sequence(&[curve.algorithm_identifier(), &der::bit_string(&point)])
            }
            Self::Rsa { n, e } => {
                let key = der::sequence(&[&der::unsigned_integer(n), &der::unsigned_integer(e)]);
                der::sequence(&[RSA, &der::bit_string(&key)])
            }
            Self::Ed25519 { x } => der::sequence(&[ED25519, &der::bit_string(x)]),
        }
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, member: &str) -> Result<&'a str, KeyError> {
    match jwk.get(member) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(KeyError::Shape),
        None => Err(KeyError::MissingMember),
    }
}

fn octets(jwk: &Map<String, Value>, member: &str) -> Result<Vec<u8>, KeyError> {
    let octets = base64url::decode(text(jwk, member)?).map_err(|_| KeyError::Encoding)?;
    if octets.len() > MEMBER_OCTETS_MAX { Err(KeyError::Length) } else { Ok(octets) }
}

fn unsigned_number(jwk: &Map<String, Value>, member: &str) -> Result<Vec<u8>, KeyError> {
    let number = octets(jwk, member)?;
    match number.first() {
        None | Some(0) => Err(KeyError::Length),
        Some(_) => Ok(number),
    }
}

impl Thumbprint {
    /// The 32 octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&base64url::encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for Thumbprint {
    type Err = base64url::NotBase64Url;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let octets = base64url::decode(text)?;
        Ok(Self(octets.try_into().map_err(|_| base64url::NotBase64Url)?))
    }
}

impl Serialize for Thumbprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Thumbprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(jwk: Value) -> Result<PublicKey, KeyError> {
        PublicKey::from_jwk(jwk.as_object().unwrap())
    }

    const X: &str = "_gjcgbP2cGgPl_VSlAiYy_Db4XSk_lsHXnatnSLD7i8";
    const Y: &str = "43HGvYbvqinnQ1uLaxp3Z72dIUGkYkL2OkB0hIqVg0E";

    #[test]
    fn thumbprints_are_those_of_the_contract_and_of_rfc_7638() {
        let ec = parse(json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "use": "sig"})).unwrap();
        assert_eq!(ec.thumbprint().to_string(), "ahIyRbwOXzMFPMuEDVyIX3geBBhi9oEWKOEyg1TMZ4s");
        let rsa = parse(json!({"kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"})).unwrap();
        assert_eq!(rsa.thumbprint().to_string(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn one_key_has_one_spelling() {
        let with = |x: &[u8], y: &[u8]| {
            parse(json!({"kty": "EC", "crv": "P-256", "x": base64url::encode(x), "y": base64url::encode(y)}))
        };
        let point = [base64url::decode(X).unwrap(), base64url::decode(Y).unwrap()].concat();
        let accepted = (0..=64).filter(|split| with(&point[..*split], &point[*split..]).is_ok()).count();
        assert_eq!(accepted, 1, "of 65 ways to split one point only one is a key");
        assert_eq!(parse(json!({"kty": "RSA", "n": "AAEC", "e": "AQAB"})), Err(KeyError::Length));
    }

    #[test]
    fn keys_that_are_no_public_keys_are_refused() {
        assert_eq!(parse(json!({"kty": "oct", "k": "AAAA"})), Err(KeyError::PrivateMember));
        assert_eq!(parse(json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "d": X})), Err(KeyError::PrivateMember));
        assert_eq!(parse(json!({"kty": "EC", "crv": "secp256k1", "x": X, "y": Y})), Err(KeyError::Curve));
        assert_eq!(parse(json!({"kty": "EC", "crv": "P-384", "x": X, "y": Y})), Err(KeyError::Length));
        assert_eq!(parse(json!({"kty": "EC", "crv": "P-256", "x": X})), Err(KeyError::MissingMember));
        assert_eq!(parse(json!({"kty": "EC", "crv": "P-256", "x": 7, "y": Y})), Err(KeyError::Shape));
        assert_eq!(parse(json!({"kty": "EC", "crv": "P-256", "x": format!("{X}="), "y": Y})), Err(KeyError::Encoding));
        assert_eq!(parse(json!({})), Err(KeyError::KeyType));
    }

    #[test]
    fn spki_is_what_x509_parsers_read() {
        use x509_parser::{prelude::FromDer, x509::SubjectPublicKeyInfo};
        let keys = [
            parse(json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y})).unwrap(),
            PublicKey::Rsa { n: vec![0xc5; 256], e: vec![1, 0, 1] },
            PublicKey::Ed25519 { x: [7; 32] },
        ];
        for key in keys {
            let spki = key.to_spki_der();
            let (rest, parsed) = SubjectPublicKeyInfo::from_der(&spki).unwrap();
            assert!(rest.is_empty());
            assert!(parsed.parsed().is_ok());
        }
    }
}
