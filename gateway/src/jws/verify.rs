//! Verifying a signature with the key of a jwk or of an account (RFC 8555 §6.2, RFC 7515 §5.2).
//!
//! The octets verified are those that were received, never a new encoding of them. Whether a key is
//! strong enough is the policies' business; here it must be a key at all, and cheap to use.

use acme::{
    account_key::PublicKey,
    problem::{Problem, ProblemKind},
};
use josekit::jws::{
    JwsVerifier,
    alg::{ecdsa::EcdsaJwsAlgorithm, eddsa::EddsaJwsAlgorithm, rsassa::RsassaJwsAlgorithm},
};

use super::{
    algorithm::Algorithm,
    parse::{Signed, Signer},
    small_order,
};

/// Octets of the longest RSA modulus a signature is verified with: 8192 bits.
const RSA_MODULUS_OCTETS_MAX: usize = 1024;
/// Octets of the longest RSA exponent. The time of a verification grows with it.
const RSA_EXPONENT_OCTETS_MAX: usize = 8;

/// A key that can verify any number of signatures.
#[derive(Debug)]
pub(crate) struct VerifyingKey {
    algorithm: Algorithm,
    verifier: Box<dyn JwsVerifier>,
}

/// Why no signature can be verified with a key. The texts are for ACME clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyRefused {
    /// The coordinates are not a point of the curve, or one that proves nothing.
    #[error(
        "the jwk is refused: its coordinates are not a usable point of its curve (RFC 7518 section 6.2.1, RFC 8032 section 5.1); make a new key"
    )]
    Point,
    /// An RSA key of a size nobody should use, or that costs too much.
    #[error(
        "the jwk is refused: RSA keys must have 2048 to 8192 bits and a short public exponent (RFC 7518 section 3.3); make a new key with exponent 65537"
    )]
    RsaSize,
}

/// Why a signature is not accepted. The texts are for ACME clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VerifyError {
    /// The `alg` is not the one the jwk signs with.
    #[error(
        "the alg of the protected header does not fit the jwk (RFC 8555 section 6.2); sign P-256 keys with ES256, P-384 with ES384, P-521 with ES512, Ed25519 with EdDSA, RSA with RS256"
    )]
    AlgorithmOfJwk,
    /// The `alg` is not the one the account's key signs with.
    #[error(
        "the alg of the protected header does not fit the key of this account (RFC 8555 section 6.2); sign with the key the account has now"
    )]
    AlgorithmOfAccount,
    /// The signature does not have the length its algorithm gives it.
    #[error(
        "the signature does not have the length of its alg (RFC 7518 section 3.4); ECDSA signatures are R and S side by side, not DER"
    )]
    Length,
    /// The signature is by another key or over other octets.
    #[error(
        "the signature does not verify (RFC 7515 section 5.2); sign protected, a full stop and payload exactly as sent, with the key the header names"
    )]
    Signature,
}

impl From<KeyRefused> for Problem {
    fn from(error: KeyRefused) -> Self {
        Self::new(ProblemKind::BadPublicKey, error.to_string())
    }
}

impl From<VerifyError> for Problem {
    fn from(error: VerifyError) -> Self {
        let kind = match error {
            VerifyError::AlgorithmOfJwk => ProblemKind::BadPublicKey,
            VerifyError::AlgorithmOfAccount | VerifyError::Length | VerifyError::Signature => ProblemKind::Malformed,
        };
        Self::new(kind, error.to_string())
    }
}

impl VerifyingKey {
    /// Prepares a key. An elliptic point is proven to lie on its curve.
    ///
    /// # Errors
    /// [`KeyRefused`] if nothing can be verified with it; such a key never had a signature.
    pub(crate) fn new(key: &PublicKey) -> Result<Self, KeyRefused> {
        let refused = match key {
            PublicKey::Rsa { n, e } => {
                if n.len() > RSA_MODULUS_OCTETS_MAX || e.len() > RSA_EXPONENT_OCTETS_MAX {
                    return Err(KeyRefused::RsaSize);
                }
                KeyRefused::RsaSize
            }
            PublicKey::Ed25519 { x } if small_order::is_no_key(x) => return Err(KeyRefused::Point),
            PublicKey::Ed25519 { .. } | PublicKey::Ec { .. } => KeyRefused::Point,
        };
        let algorithm = Algorithm::of_key(key);
        let spki = key.to_spki_der();
        let ecdsa = |algorithm: EcdsaJwsAlgorithm| algorithm.verifier_from_der(&spki).map(boxed);
        let verifier = match algorithm {
            Algorithm::Es256 => ecdsa(EcdsaJwsAlgorithm::Es256),
            Algorithm::Es384 => ecdsa(EcdsaJwsAlgorithm::Es384),
            Algorithm::Es512 => ecdsa(EcdsaJwsAlgorithm::Es512),
            Algorithm::EdDsa => EddsaJwsAlgorithm::Eddsa.verifier_from_der(&spki).map(boxed),
            Algorithm::Rs256 => RsassaJwsAlgorithm::Rs256.verifier_from_der(&spki).map(boxed),
        };
        Ok(Self { algorithm, verifier: verifier.map_err(|_| refused)? })
    }

    /// Verifies the signature of a JWS over the octets that were received.
    ///
    /// # Errors
    /// [`VerifyError`]; the JWS is then worth nothing.
    pub(crate) fn verify(&self, signed: &Signed) -> Result<(), VerifyError> {
        if signed.algorithm != self.algorithm {
            return Err(match &signed.signer {
                Signer::Key(_) => VerifyError::AlgorithmOfJwk,
                Signer::Account(_) => VerifyError::AlgorithmOfAccount,
            });
        }
        if self.algorithm.signature_octets().is_some_and(|octets| signed.signature.len() != octets) {
            return Err(VerifyError::Length);
        }
        self.verifier.verify(&signed.received.signing_input(), &signed.signature).map_err(|_| VerifyError::Signature)
    }
}

fn boxed(verifier: impl JwsVerifier + 'static) -> Box<dyn JwsVerifier> {
    Box::new(verifier)
}

#[cfg(test)]
mod tests {
    use acme::base64url;
    use serde_json::{Value, json};

    use super::{
        super::{
            ALGORITHMS,
            parse::Jws,
            signing::{Key, contract_example},
        },
        *,
    };

    fn key_in(signed: &Signed) -> &PublicKey {
        match &signed.signer {
            Signer::Key(key) => key,
            Signer::Account(_) => panic!("a jwk is expected"),
        }
    }

    fn verify(body: &[u8]) -> Result<(), VerifyError> {
        let jws = Jws::parse(body).unwrap();
        VerifyingKey::new(key_in(&jws.signed)).unwrap().verify(&jws.signed)
    }

    fn kind(error: VerifyError) -> ProblemKind {
        Problem::from(error).kind
    }

    #[test]
    fn signatures_of_every_accepted_algorithm_verify() {
        for name in ALGORITHMS {
            let key = Key::generate(name);
            for payload in ["", "{}", r#"{"contact":["mailto:ä@example.com"]}"#] {
                assert_eq!(verify(&key.request(payload)), Ok(()), "{name}");
            }
        }
    }

    #[test]
    fn a_key_verifies_many_signatures() {
        let key = Key::generate("ES512");
        let verifying = VerifyingKey::new(&key.public()).unwrap();
        for number in 0..50 {
            let jws = Jws::parse(&key.request(&number.to_string())).unwrap();
            assert_eq!(verifying.verify(&jws.signed), Ok(()), "request {number}");
        }
    }

    #[test]
    fn a_changed_signature_payload_or_header_is_malformed() {
        for name in ALGORITHMS {
            let key = Key::generate(name);
            let good: Value = serde_json::from_slice(&key.request("{}")).unwrap();
            let changed = |member: &str, value: String| {
                let mut jws = good.clone();
                jws[member] = json!(value);
                verify(jws.to_string().as_bytes())
            };
            let mut signature = base64url::decode(good["signature"].as_str().unwrap()).unwrap();
            signature[17] ^= 1;
            assert_eq!(changed("signature", base64url::encode(&signature)), Err(VerifyError::Signature), "{name}");
            assert_eq!(changed("payload", base64url::encode("{ }")), Err(VerifyError::Signature), "{name}");
            let spaced = [base64url::decode(good["protected"].as_str().unwrap()).unwrap(), b" ".to_vec()].concat();
            assert_eq!(changed("protected", base64url::encode(spaced)), Err(VerifyError::Signature), "{name}");
            assert_eq!(kind(VerifyError::Signature), ProblemKind::Malformed);
        }
    }

    #[test]
    fn signatures_have_the_length_of_their_algorithm() {
        for (name, octets) in [("ES256", 64), ("ES384", 96), ("ES512", 132), ("EdDSA", 64)] {
            let key = Key::generate(name);
            for wrong in [0, octets - 1, octets + 1, octets / 2] {
                let body = key.request_with_signature(&vec![1; wrong]);
                assert_eq!(verify(&body), Err(VerifyError::Length), "{name} {wrong}");
            }
            let zeros = key.request_with_signature(&vec![0; octets]);
            assert_eq!(verify(&zeros), Err(VerifyError::Signature), "{name}");
        }
        let der = Key::generate("ES256").request_signed_in_der();
        assert_eq!(kind(verify(&der).unwrap_err()), ProblemKind::Malformed);
        let short = Key::generate("RS256").request_with_signature(&[1; 255]);
        assert_eq!(verify(&short), Err(VerifyError::Signature));
    }

    #[test]
    fn an_algorithm_of_another_key_type_is_refused() {
        let keys: Vec<Key> = ALGORITHMS.iter().map(|name| Key::generate(name)).collect();
        for key in &keys {
            let verifying = VerifyingKey::new(&key.public()).unwrap();
            for other in ALGORITHMS.iter().filter(|name| **name != key.algorithm()) {
                let by_jwk = Jws::parse(&key.request_claiming(other)).unwrap();
                assert_eq!(verifying.verify(&by_jwk.signed), Err(VerifyError::AlgorithmOfJwk), "{other}");
                let by_account = Jws::parse(&key.request_of_account(other)).unwrap();
                assert_eq!(verifying.verify(&by_account.signed), Err(VerifyError::AlgorithmOfAccount), "{other}");
            }
            let by_account = Jws::parse(&key.request_of_account(key.algorithm())).unwrap();
            assert_eq!(verifying.verify(&by_account.signed), Ok(()));
        }
        assert_eq!(kind(VerifyError::AlgorithmOfJwk), ProblemKind::BadPublicKey);
        assert_eq!(kind(VerifyError::AlgorithmOfAccount), ProblemKind::Malformed);
    }

    #[test]
    fn a_signature_by_another_key_of_the_same_type_does_not_verify() {
        for name in ALGORITHMS {
            let jws = Jws::parse(&Key::generate(name).request("{}")).unwrap();
            let other = VerifyingKey::new(&Key::generate(name).public()).unwrap();
            assert_eq!(other.verify(&jws.signed), Err(VerifyError::Signature), "{name}");
        }
    }

    #[test]
    fn keys_that_are_no_points_of_their_curve_are_refused() {
        for name in ["ES256", "ES384", "ES512"] {
            let PublicKey::Ec { curve, mut x, y } = Key::generate(name).public() else { panic!("not an EC key") };
            let octets = curve.coordinate_octets();
            let zeros = vec![0; octets];
            let infinity = PublicKey::Ec { curve, x: zeros.clone(), y: zeros };
            assert_eq!(VerifyingKey::new(&infinity).err(), Some(KeyRefused::Point), "{name}");
            let too_big = PublicKey::Ec { curve, x: vec![0xff; octets], y: y.clone() };
            assert_eq!(VerifyingKey::new(&too_big).err(), Some(KeyRefused::Point), "{name}");
            x[octets - 1] ^= 1;
            let off = PublicKey::Ec { curve, x, y };
            assert_eq!(VerifyingKey::new(&off).err(), Some(KeyRefused::Point), "{name}");
        }
        let identity = PublicKey::Ed25519 { x: [[1].as_slice(), &[0; 31]].concat().try_into().unwrap() };
        assert_eq!(VerifyingKey::new(&identity).err(), Some(KeyRefused::Point));
        assert_eq!(Problem::from(KeyRefused::Point).kind, ProblemKind::BadPublicKey);
    }

    #[test]
    fn rsa_keys_that_are_too_small_or_too_slow_are_refused() {
        let rsa = |n: usize, e: usize| VerifyingKey::new(&PublicKey::Rsa { n: vec![0xc5; n], e: vec![3; e] }).err();
        assert_eq!(rsa(128, 3), Some(KeyRefused::RsaSize));
        assert_eq!(rsa(1025, 3), Some(KeyRefused::RsaSize));
        assert_eq!(rsa(256, 9), Some(KeyRefused::RsaSize));
        assert_eq!(rsa(256, 3), None);
        assert_eq!(rsa(1024, 8), None);
    }

    #[test]
    fn the_new_account_request_of_the_cm_contract_verifies() {
        let example = contract_example();
        let jws = Jws::parse(example["proof"]["jws"].to_string().as_bytes()).unwrap();
        assert_eq!(
            key_in(&jws.signed).thumbprint().to_string(),
            "ahIyRbwOXzMFPMuEDVyIX3geBBhi9oEWKOEyg1TMZ4s",
            "the key of CM contract section 4.3"
        );
        assert_eq!(VerifyingKey::new(key_in(&jws.signed)).unwrap().verify(&jws.signed), Ok(()));
    }

    #[test]
    fn refusals_need_no_mending_to_be_shown() {
        for text in [KeyRefused::Point.to_string(), KeyRefused::RsaSize.to_string(), VerifyError::Length.to_string()] {
            assert_eq!(Problem::new(ProblemKind::Malformed, text.clone()).detail, text);
        }
    }
}
