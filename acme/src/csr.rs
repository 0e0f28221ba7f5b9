//! Certificate signing requests (RFC 2986) as a finalize request carries them (RFC 8555 §7.4).
//!
//! Parsing proves form and possession of the key: DER without a rest, version 1, one list of
//! extensions, a signature that verifies. Whether the names are the order's and the key is strong
//! enough is decided in the policies.

use x509_parser::{
    certification_request::X509CertificationRequest,
    cri_attributes::ExtensionRequest,
    der_parser::{Oid, oid},
    extensions::{ParsedExtension, X509Extension},
    prelude::FromDer,
    x509::X509Version,
};

use crate::{
    der::{self, Element},
    extension::{any_twice, is_malformed, is_must_staple},
    order::CsrDigest,
    signature::{SignatureError, SubjectKey, subject_key, verify},
    subject_names::{SubjectNameError, SubjectNames},
};

/// Largest CSR, in octets (CM contract section 3, Limits).
pub const CSR_OCTETS_MAX: usize = 16 * 1024;

/// extensionRequest (RFC 2985 §5.4.2) and Microsoft's equivalent.
static EXTENSION_REQUESTS: [Oid<'static>; 2] = [oid!(1.2.840.113549.1.9.14), oid!(1.3.6.1.4.1.311.2.1.14)];

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
    /// TLS feature with status_request alone (must-staple).
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
    #[error("the CSR has a version that PKCS #10 does not have; its version field must be 0 (RFC 2986 section 4.1)")]
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
        let attributes =
            der::signed_parts(der).and_then(|[signed, ..]| attributes(signed)).ok_or(CsrError::NotPkcs10)?;
        let (_, request) = X509CertificationRequest::from_der(der).map_err(|_| CsrError::NotPkcs10)?;
        let info = &request.certification_request_info;
        if info.version != X509Version::V1 {
            return Err(CsrError::Version);
        }
        let key = subject_key(&info.subject_pki).ok_or(CsrError::KeyKind)?;
        verify(&info.subject_pki, &request.signature_algorithm, &request.signature_value, info.raw)?;

        let mut names = SubjectNames::default();
        names.add_common_names(&info.subject);
        let mut extensions = Vec::new();
        for extension in requested_extensions(attributes)? {
            extensions.push(read_extension(&extension, &mut names)?);
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
        CsrDigest::of(&self.der)
    }
}

/// The list of extensions, found by the form of a CSR alone: x509-parser knows one of the two
/// attributes only, and passes over all but the first value.
fn requested_extensions(attributes: Vec<Element<'_>>) -> Result<Vec<X509Extension<'_>>, CsrError> {
    let mut requests = Vec::new();
    for attribute in attributes {
        let Some([kind, values]) = attribute.parts().filter(|[kind, _]| kind.names()) else {
            return Err(CsrError::NotPkcs10);
        };
        let Some(wanted) = EXTENSION_REQUESTS.iter().find(|wanted| wanted.as_bytes() == kind.content) else {
            continue; // challengePassword and others mean nothing to an ACME server
        };
        let values = der::all(values.content).filter(|values| !values.is_empty());
        let values = values.ok_or_else(|| CsrError::Extension(wanted.to_id_string()))?;
        requests.extend(values.into_iter().map(|value| (wanted, value)));
    }
    let (wanted, request) = match requests.as_slice() {
        [] => return Ok(Vec::new()),
        [only] => only,
        [_, _, ..] => return Err(CsrError::ExtensionsTwice),
    };
    const PARTS_MAX: usize = 3; // what it is, whether it is critical, its value
    let whole = |extension: &Element<'_>| {
        let parts = der::all(extension.content).filter(|parts| parts.len() <= PARTS_MAX);
        parts.is_some_and(|parts| parts.first().is_some_and(Element::names))
    };
    let list = der::all(request.content)
        .filter(|extensions| extensions.iter().all(whole))
        .and_then(|_| ExtensionRequest::from_der(request.der).ok());
    let (_, list) = list.ok_or_else(|| CsrError::Extension(wanted.to_id_string()))?;
    if any_twice(&list.extensions) { Err(CsrError::ExtensionsTwice) } else { Ok(list.extensions) }
}

/// The attributes inside the signed part (RFC 2986 §4.1); `None` if the parts are not those of a CSR.
fn attributes(signed: Element<'_>) -> Option<Vec<Element<'_>>> {
    let [_version, _subject, _key, attributes] = signed.parts()?;
    der::all(attributes.content)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is the parser's, not ours; what is unknown is named by its OID"
)]
fn read_extension(extension: &X509Extension<'_>, names: &mut SubjectNames) -> Result<RequestedExtension, CsrError> {
    if is_malformed(extension) {
        return Err(CsrError::Extension(extension.oid.to_id_string()));
    }
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
        _ if is_must_staple(extension) => RequestedExtension::TlsFeature,
        _ => RequestedExtension::Other(extension.oid.to_id_string()),
    })
}
