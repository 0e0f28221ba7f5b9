//! Signatures inside CSRs and certificates: the algorithms we take, and their verification.
//!
//! SHA-1 and anything not listed is refused. (Signatures of JWS are not verified here.)

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::{
    asn1_rs::{BitString, Class, Tag},
    public_key::PublicKey,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

use crate::account_key::Curve;

/// The public key inside a CSR or certificate, as far as policies judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectKey {
    /// An RSA key.
    Rsa {
        /// Modulus, big-endian, without leading zeros.
        n: Vec<u8>,
        /// Public exponent, big-endian, without leading zeros.
        e: Vec<u8>,
    },
    /// An ECDSA key.
    Ec(Curve),
    /// An Ed25519 key.
    Ed25519,
}

/// Why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// An algorithm, or a combination of key and algorithm, that is not taken.
    #[error(
        "the signature algorithm is not accepted; use SHA-256 or stronger with RSA, P-256, P-384, P-521 or Ed25519"
    )]
    Algorithm,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Invalid,
}

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
const ED25519_OID: &str = "1.3.101.112";

/// Reads a SubjectPublicKeyInfo; `None` for kinds of keys that are not known here.
pub(crate) fn subject_key(spki: &SubjectPublicKeyInfo<'_>) -> Option<SubjectKey> {
    let algorithm = spki.algorithm.algorithm.to_id_string();
    match algorithm.as_str() {
        RSA => {
            let PublicKey::RSA(key) = spki.parsed().ok()? else { return None };
            Some(SubjectKey::Rsa { n: without_leading_zeros(key.modulus), e: without_leading_zeros(key.exponent) })
        }
        EC => curve(&spki.algorithm).map(SubjectKey::Ec),
        ED25519_OID => Some(SubjectKey::Ed25519),
        _ => None,
    }
}

/// Verifies a signature over `data` by the key `signer`.
pub(crate) fn verify(
    signer: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    signature: &BitString<'_>,
    data: &[u8],
) -> Result<(), SignatureError> {
    let key = subject_key(signer).ok_or(SignatureError::Algorithm)?;
    // RFC 4055 §5, RFC 5758 §3.2, RFC 8410 §3: NULL with RSA, which some leave out, else nothing.
    let parameters_good = match (&algorithm.parameters, &key) {
        (None, _) => true,
        (Some(any), SubjectKey::Rsa { .. }) => {
            any.class() == Class::Universal && any.tag() == Tag::Null && any.data.is_empty()
        }
        (Some(_), SubjectKey::Ec(_) | SubjectKey::Ed25519) => false,
    };
    if !parameters_good {
        return Err(SignatureError::Algorithm);
    }
    let verification: &'static dyn VerificationAlgorithm = match (&key, algorithm.algorithm.to_id_string().as_str()) {
        (SubjectKey::Rsa { .. }, "1.2.840.113549.1.1.11") => &RSA_PKCS1_2048_8192_SHA256,
        (SubjectKey::Rsa { .. }, "1.2.840.113549.1.1.12") => &RSA_PKCS1_2048_8192_SHA384,
        (SubjectKey::Rsa { .. }, "1.2.840.113549.1.1.13") => &RSA_PKCS1_2048_8192_SHA512,
        (SubjectKey::Ec(Curve::P256), "1.2.840.10045.4.3.2") => &ECDSA_P256_SHA256_ASN1,
        (SubjectKey::Ec(Curve::P256), "1.2.840.10045.4.3.3") => &ECDSA_P256_SHA384_ASN1,
        (SubjectKey::Ec(Curve::P256), "1.2.840.10045.4.3.4") => &ECDSA_P256_SHA512_ASN1,
        (SubjectKey::Ec(Curve::P384), "1.2.840.10045.4.3.2") => &ECDSA_P384_SHA256_ASN1,
        (SubjectKey::Ec(Curve::P384), "1.2.840.10045.4.3.3") => &ECDSA_P384_SHA384_ASN1,
        (SubjectKey::Ec(Curve::P384), "1.2.840.10045.4.3.4") => &ECDSA_P384_SHA512_ASN1,
        (SubjectKey::Ec(Curve::P521), "1.2.840.10045.4.3.2") => &ECDSA_P521_SHA256_ASN1,
        (SubjectKey::Ec(Curve::P521), "1.2.840.10045.4.3.3") => &ECDSA_P521_SHA384_ASN1,
        (SubjectKey::Ec(Curve::P521), "1.2.840.10045.4.3.4") => &ECDSA_P521_SHA512_ASN1,
        (SubjectKey::Ed25519, ED25519_OID) => &ED25519,
        _ => return Err(SignatureError::Algorithm),
    };
    if signature.unused_bits != 0 {
        return Err(SignatureError::Invalid); // signatures are whole octets
    }
    UnparsedPublicKey::new(verification, &signer.subject_public_key.data)
        .verify(data, &signature.data)
        .map_err(|_| SignatureError::Invalid)
}

fn curve(algorithm: &AlgorithmIdentifier<'_>) -> Option<Curve> {
    let oid = algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string();
    match oid.as_str() {
        "1.2.840.10045.3.1.7" => Some(Curve::P256),
        "1.3.132.0.34" => Some(Curve::P384),
        "1.3.132.0.35" => Some(Curve::P521),
        _ => None,
    }
}

fn without_leading_zeros(octets: &[u8]) -> Vec<u8> {
    octets.iter().copied().skip_while(|octet| *octet == 0).collect()
}
