//! Public keys as JWK (RFC 7517, RFC 8037) and signatures over them (RFC 7518).
//!
//! A key has exactly one form here: coordinates of full width, numbers without leading zeros. So
//! the RFC 7638 thumbprint, which the CM computes itself, names one key and nothing else.

use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_parser::public_key::PublicKey as ParsedKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Sizes of RSA moduli that are accepted, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;

/// A curve of RFC 7518 section 6.2.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
}

impl Curve {
    fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    fn coordinate_octets(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn verification(self) -> (&'static str, &'static dyn VerificationAlgorithm) {
        match self {
            Self::P256 => ("ES256", &signature::ECDSA_P256_SHA256_FIXED),
            Self::P384 => ("ES384", &signature::ECDSA_P384_SHA384_FIXED),
            Self::P521 => ("ES512", &signature::ECDSA_P521_SHA512_FIXED),
        }
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    /// An elliptic-curve key: `x` and `y`, each of the curve's full width.
    Ec {
        /// Its curve.
        curve: Curve,
        /// First coordinate.
        x: Vec<u8>,
        /// Second coordinate.
        y: Vec<u8>,
    },
    /// An Ed25519 key.
    Ed25519(Vec<u8>),
    /// An RSA key: big-endian numbers without leading zeros.
    Rsa {
        /// Modulus.
        modulus: Vec<u8>,
        /// Public exponent.
        exponent: Vec<u8>,
    },
}

impl PublicKey {
    /// Reads a JWK; members that do not belong to the key are ignored, private ones are refused.
    pub(crate) fn from_jwk(jwk: &Value) -> Result<Self, &'static str> {
        if jwk.get("d").is_some() || jwk.get("k").is_some() {
            return Err("the JWK holds a private or a symmetric key");
        }
        let text = |name| jwk.get(name).and_then(Value::as_str);
        let octets = |name| {
            text(name)
                .and_then(|value| URL_SAFE_NO_PAD.decode(value).ok())
                .ok_or("a member of the JWK is missing or not base64url")
        };
        match text("kty") {
            Some("EC") => {
                let curve = match text("crv") {
                    Some("P-256") => Curve::P256,
                    Some("P-384") => Curve::P384,
                    Some("P-521") => Curve::P521,
                    Some(_) | None => return Err("the curve is not P-256, P-384 or P-521"),
                };
                let (x, y) = (octets("x")?, octets("y")?);
                let width = curve.coordinate_octets();
                if x.len() != width || y.len() != width {
                    return Err("a coordinate does not have the full width of the curve");
                }
                Ok(Self::Ec { curve, x, y })
            }
            Some("OKP") => match (text("crv"), octets("x")?) {
                (Some("Ed25519"), x) if x.len() == 32 => Ok(Self::Ed25519(x)),
                (Some(_) | None, _) => Err("the OKP key is not an Ed25519 key"),
            },
            Some("RSA") => Self::rsa(octets("n")?, octets("e")?),
            Some(_) | None => Err("the key type is not EC, OKP or RSA"),
        }
    }

    /// Takes the key out of a certificate or a CSR; none if it is of no kind that a JWK can hold.
    pub(crate) fn from_spki(spki: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        if spki.algorithm.algorithm == x509_parser::oid_registry::OID_SIG_ED25519 {
            return Some(Self::Ed25519(spki.subject_public_key.data.to_vec()));
        }
        match spki.parsed().ok()? {
            ParsedKey::EC(point) => {
                let data = point.data();
                let curve = match data.len() {
                    65 => Curve::P256,
                    97 => Curve::P384,
                    133 => Curve::P521,
                    _ => return None,
                };
                let (form, coordinates) = data.split_first()?;
                let (x, y) = coordinates.split_at_checked(curve.coordinate_octets())?;
                (*form == 4).then(|| Self::Ec { curve, x: x.to_vec(), y: y.to_vec() })
            }
            ParsedKey::RSA(key) => {
                let plain = |number: &[u8]| {
                    let zeros = number.iter().take_while(|octet| **octet == 0).count();
                    number.get(zeros..).map(<[u8]>::to_vec)
                };
                Self::rsa(plain(key.modulus)?, plain(key.exponent)?).ok()
            }
            ParsedKey::DSA(_) | ParsedKey::GostR3410(_) | ParsedKey::GostR3410_2012(_) | ParsedKey::Unknown(_) => None,
        }
    }

    fn rsa(modulus: Vec<u8>, exponent: Vec<u8>) -> Result<Self, &'static str> {
        let bits = match modulus.first() {
            None | Some(0) => return Err("the modulus is empty or begins with a zero octet"),
            Some(first) => modulus.len() * 8 - first.leading_zeros() as usize,
        };
        if !RSA_BITS.contains(&bits) {
            return Err("an RSA key must have 2048 to 4096 bits");
        }
        let odd = |number: &[u8]| number.last().is_some_and(|octet| octet & 1 == 1);
        let at_least_65537 = exponent.len() >= 3 && exponent.first() != Some(&0);
        if !at_least_65537 || exponent.len() > 4 || !odd(&exponent) || !odd(&modulus) {
            return Err("the RSA exponent must be odd and from 65537 to 2^32, the modulus odd");
        }
        Ok(Self::Rsa { modulus, exponent })
    }

    /// The public members, in the order in which RFC 7638 hashes them.
    fn canonical_json(&self) -> String {
        let text = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        match self {
            Self::Ec { curve, x, y } => {
                format!(r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#, curve.name(), text(x), text(y))
            }
            Self::Ed25519(x) => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(x))
            }
            Self::Rsa { modulus, exponent } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(exponent), text(modulus))
            }
        }
    }

    /// The JWK with public members only.
    pub(crate) fn jwk(&self) -> Value {
        serde_json::from_str(&self.canonical_json()).unwrap_or_else(|_| json!({}))
    }

    /// RFC 7638 with SHA-256.
    pub(crate) fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.canonical_json()))
    }

    /// Verifies a JWS signature; the algorithm must be the key's own.
    pub(crate) fn verify(&self, algorithm: &str, input: &[u8], signature: &[u8]) -> Result<(), &'static str> {
        const WRONG: &str = "the signature is wrong";
        const UNFIT: &str = "the algorithm does not fit the key";
        match self {
            Self::Ec { curve, x, y } => {
                let (name, verification) = curve.verification();
                if algorithm != name {
                    return Err(UNFIT);
                }
                let point = [[4_u8].as_slice(), x, y].concat();
                UnparsedPublicKey::new(verification, point).verify(input, signature).map_err(|_| WRONG)
            }
            Self::Ed25519(x) => {
                if algorithm != "EdDSA" {
                    return Err(UNFIT);
                }
                UnparsedPublicKey::new(&signature::ED25519, x).verify(input, signature).map_err(|_| WRONG)
            }
            Self::Rsa { modulus, exponent } => {
                if algorithm != "RS256" {
                    return Err(UNFIT);
                }
                RsaPublicKeyComponents { n: modulus, e: exponent }
                    .verify(&signature::RSA_PKCS1_2048_8192_SHA256, input, signature)
                    .map_err(|_| WRONG)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_of_the_contract_is_computed() {
        let jwk = json!({"crv": "P-256", "kty": "EC", "use": "sig",
            "x": "_gjcgbP2cGgPl_VSlAiYy_Db4XSk_lsHXnatnSLD7i8",
            "y": "43HGvYbvqinnQ1uLaxp3Z72dIUGkYkL2OkB0hIqVg0E"});
        let key = PublicKey::from_jwk(&jwk).unwrap();
        assert_eq!(key.thumbprint(), "ahIyRbwOXzMFPMuEDVyIX3geBBhi9oEWKOEyg1TMZ4s");
        assert_eq!(PublicKey::from_jwk(&key.jwk()).unwrap(), key);
    }

    #[test]
    fn the_thumbprint_of_rfc_7638_is_computed() {
        let jwk = json!({"kty": "RSA", "e": "AQAB", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"});
        assert_eq!(PublicKey::from_jwk(&jwk).unwrap().thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn keys_with_a_second_spelling_or_too_little_strength_are_refused() {
        let coordinate = URL_SAFE_NO_PAD.encode([7_u8; 32]);
        let long = URL_SAFE_NO_PAD.encode([7_u8; 33]);
        let modulus = |octets: usize| URL_SAFE_NO_PAD.encode(vec![0xff_u8; octets]);
        for jwk in [
            json!({"kty": "EC", "crv": "P-256", "x": coordinate, "y": long}),
            json!({"kty": "EC", "crv": "P-224", "x": coordinate, "y": coordinate}),
            json!({"kty": "EC", "crv": "P-256", "x": coordinate, "y": coordinate, "d": coordinate}),
            json!({"kty": "EC", "crv": "P-256", "x": format!("{coordinate}="), "y": coordinate}),
            json!({"kty": "RSA", "n": modulus(128), "e": "AQAB"}),
            json!({"kty": "RSA", "n": modulus(1024), "e": "AQAB"}),
            json!({"kty": "RSA", "n": modulus(256), "e": "Aw"}),
            json!({"kty": "RSA", "n": modulus(256), "e": "AAEAAQ"}),
            json!({"kty": "oct", "k": coordinate}),
            json!({}),
        ] {
            assert!(PublicKey::from_jwk(&jwk).is_err(), "{jwk}");
        }
    }

    #[test]
    fn each_algorithm_verifies_with_its_own_key_and_no_other_name() {
        use aws_lc_rs::rand::SystemRandom;
        use aws_lc_rs::signature::{
            ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
            EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
        };
        let (random, input) = (SystemRandom::new(), b"header.payload");
        let mut cases: Vec<(&str, PublicKey, Vec<u8>)> = Vec::new();
        for (name, curve, algorithm) in [
            ("ES256", Curve::P256, &ECDSA_P256_SHA256_FIXED_SIGNING),
            ("ES384", Curve::P384, &ECDSA_P384_SHA384_FIXED_SIGNING),
            ("ES512", Curve::P521, &ECDSA_P521_SHA512_FIXED_SIGNING),
        ] {
            let pair = EcdsaKeyPair::generate(algorithm).unwrap();
            let (x, y) = pair.public_key().as_ref()[1..].split_at(curve.coordinate_octets());
            let key = PublicKey::Ec { curve, x: x.to_vec(), y: y.to_vec() };
            cases.push((name, key, pair.sign(&random, input).unwrap().as_ref().to_vec()));
        }
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = PublicKey::Ed25519(pair.public_key().as_ref().to_vec());
        cases.push(("EdDSA", key, pair.sign(input).as_ref().to_vec()));
        let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let key = PublicKey::rsa(
            public.modulus().big_endian_without_leading_zero().to_vec(),
            public.exponent().big_endian_without_leading_zero().to_vec(),
        )
        .unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &random, input, &mut signature).unwrap();
        cases.push(("RS256", key, signature));

        for (name, key, signature) in &cases {
            for (other, _, _) in &cases {
                assert_eq!(key.verify(other, input, signature).is_ok(), name == other, "{name} as {other}");
            }
            assert!(key.verify(name, b"other.payload", signature).is_err(), "{name}");
            assert!(key.verify("none", input, &[]).is_err(), "{name}");
            assert_eq!(PublicKey::from_jwk(&key.jwk()).as_ref(), Ok(key));
        }
    }
}
