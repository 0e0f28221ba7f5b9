//! Certificate signing requests (RFC 2986) as a finalize request carries them (RFC 8555 §7.4).
//!
//! Parsing proves form and possession of the key: DER without a rest, version 1, one list of
//! extensions, a signature that verifies. Whether the names are the order's and the key is strong
//! enough is decided in the policies.

use sha2::{Digest, Sha256};
use x509_parser::{
    certification_request::X509CertificationRequest,
    cri_attributes::ParsedCriAttribute,
    extensions::{ParsedExtension, X509Extension},
    prelude::FromDer,
    x509::X509Version,
};

use crate::{
    order::CsrDigest,
    signature::{SignatureError, SubjectKey, subject_key, verify},
    subject_names::{SubjectNameError, SubjectNames},
};

/// Largest CSR, in octets (CM contract section 3, Limits).
pub const CSR_OCTETS_MAX: usize = 16 * 1024;

/// id-pe-tlsfeature (RFC 7633).
pub(crate) const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
/// extensionRequest (RFC 2985 §5.4.2) and Microsoft's equivalent.
const EXTENSION_REQUESTS: [&str; 2] = ["1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14"];

/// A CSR whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    der: Vec<u8>,
    spki_der: Vec<u8>,
    key: SubjectKey,
    names: SubjectNames,
    extensions: Vec<RequestedExtension>,
}

/// An extension that a CSR asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedExtension {
    /// Subject alternative names; read into [`Csr::names`].
    SubjectAlternativeName,
    /// Key usage, and whether it asks to sign certificates or CRLs.
    KeyUsage {
        /// keyCertSign or cRLSign is set.
        of_a_ca: bool,
    },
    /// Extended key usage.
    ExtendedKeyUsage,
    /// Basic constraints.
    BasicConstraints {
        /// cA is true.
        ca: bool,
    },
    /// Subject key identifier.
    SubjectKeyIdentifier,
    /// TLS feature (must-staple).
    TlsFeature,
    /// Any other, by its object identifier.
    Other(String),
}

/// Why octets are no CSR. The texts are for ACME clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Larger than [`CSR_OCTETS_MAX`].
    #[error("the CSR is larger than 16 KiB")]
    TooLarge,
    /// Not PKCS#10 in DER, or something follows it.
    #[error("the CSR is not PKCS#10 in DER (RFC 2986), or something follows it")]
    NotPkcs10,
    /// A version other than 1.
    #[error("the CSR has an unknown version")]
    Version,
    /// A kind of key that no profile takes.
    #[error("the key is neither RSA, P-256, P-384, P-521 nor Ed25519")]
    KeyKind,
    /// The self-signature is not accepted.
    #[error("the self-signature of the CSR is not accepted: {0}")]
    Signature(#[from] SignatureError),
    /// Several extension requests, or an extension twice.
    #[error("the CSR asks for extensions twice")]
    ExtensionsTwice,
    /// An extension that is not well-formed.
    #[error("the requested extension {0} is not well-formed")]
    Extension(String),
    /// A subject alternative name that cannot be asked for.
    #[error(transparent)]
    SubjectName(#[from] SubjectNameError),
}

impl Csr {
    /// Reads a CSR and verifies its self-signature.
    ///
    /// # Errors
    /// [`CsrError`] with the first rule the CSR breaks.
    pub fn parse(der: &[u8]) -> Result<Self, CsrError> {
        if der.len() > CSR_OCTETS_MAX {
            return Err(CsrError::TooLarge);
        }
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| CsrError::NotPkcs10)?;
        if !rest.is_empty() {
            return Err(CsrError::NotPkcs10);
        }
        let info = &request.certification_request_info;
        if info.version != X509Version::V1 {
            return Err(CsrError::Version);
        }
        let key = subject_key(&info.subject_pki).ok_or(CsrError::KeyKind)?;
        verify(&info.subject_pki, &request.signature_algorithm, &request.signature_value.data, info.raw)?;

        let mut names = SubjectNames::default();
        names.add_common_names(&info.subject);
        let mut extensions = Vec::new();
        for extension in requested_extensions(&request)? {
            extensions.push(read_extension(extension, &mut names)?);
        }
        Ok(Self { der: der.to_vec(), spki_der: info.subject_pki.raw.to_vec(), key, names, extensions })
    }

    /// The CSR as it was received: what the CM gets are the octets that were checked.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// The key that the certificate is asked for.
    #[must_use]
    pub const fn key(&self) -> &SubjectKey {
        &self.key
    }

    /// The names that it asks for.
    #[must_use]
    pub const fn names(&self) -> &SubjectNames {
        &self.names
    }

    /// The extensions that it asks for.
    #[must_use]
    pub fn extensions(&self) -> &[RequestedExtension] {
        &self.extensions
    }

    /// Whether it asks for must-staple (RFC 7633).
    #[must_use]
    pub fn asks_must_staple(&self) -> bool {
        self.extensions.contains(&RequestedExtension::TlsFeature)
    }

    /// SHA-256 of the DER.
    #[must_use]
    pub fn digest(&self) -> CsrDigest {
        CsrDigest(Sha256::digest(&self.der).into())
    }
}

fn requested_extensions<'a>(request: &'a X509CertificationRequest<'a>) -> Result<&'a [X509Extension<'a>], CsrError> {
    let mut found: Option<&[X509Extension<'_>]> = None;
    for attribute in request.certification_request_info.iter_attributes() {
        if !EXTENSION_REQUESTS.contains(&attribute.oid.to_id_string().as_str()) {
            continue; // challengePassword and others mean nothing to an ACME server
        }
        let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() else {
            return Err(CsrError::Extension(attribute.oid.to_id_string()));
        };
        if found.replace(&requested.extensions).is_some() {
            return Err(CsrError::ExtensionsTwice);
        }
    }
    let extensions = found.unwrap_or_default();
    let twice =
        |(index, one): (usize, &X509Extension<'_>)| extensions.iter().skip(index + 1).any(|other| other.oid == one.oid);
    if extensions.iter().enumerate().any(twice) { Err(CsrError::ExtensionsTwice) } else { Ok(extensions) }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is the parser's, not ours; what is unknown is named by its OID"
)]
fn read_extension(extension: &X509Extension<'_>, names: &mut SubjectNames) -> Result<RequestedExtension, CsrError> {
    Ok(match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(alternative) => {
            alternative.general_names.iter().try_for_each(|name| names.add_alternative(name))?;
            RequestedExtension::SubjectAlternativeName
        }
        ParsedExtension::KeyUsage(usage) => {
            RequestedExtension::KeyUsage { of_a_ca: usage.key_cert_sign() || usage.crl_sign() }
        }
        ParsedExtension::ExtendedKeyUsage(_) => RequestedExtension::ExtendedKeyUsage,
        ParsedExtension::BasicConstraints(constraints) => RequestedExtension::BasicConstraints { ca: constraints.ca },
        ParsedExtension::SubjectKeyIdentifier(_) => RequestedExtension::SubjectKeyIdentifier,
        ParsedExtension::ParseError { .. } => return Err(CsrError::Extension(extension.oid.to_id_string())),
        _ if extension.oid.to_id_string() == TLS_FEATURE => RequestedExtension::TlsFeature,
        _ => RequestedExtension::Other(extension.oid.to_id_string()),
    })
}
