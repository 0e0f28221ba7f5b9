//! Whether a certificate answers a tls-alpn-01 challenge (RFC 8737 §3, RFC 8738 §4). Pure.
//!
//! The certificate vouches for nothing but itself: there is no chain, and its dates do not count.

use std::net::IpAddr;

use acme::identifier::Identifier;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, X509Extension},
    prelude::FromDer as _,
};

/// id-pe-acmeIdentifier (RFC 8737 §6.1).
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";
/// What drafts called it before it had a number of its own.
const ACME_IDENTIFIER_OF_DRAFTS: &str = "1.3.6.1.5.5.7.1.30.1";
/// An OCTET STRING of 32 octets begins like this.
const DIGEST_HEAD: [u8; 2] = [0x04, 0x20];

/// What the certificate has to be.
pub(crate) struct Expected<'a> {
    /// Its only name: a DNS name or an address.
    pub(crate) identifier: &'a Identifier,
    /// What its acmeIdentifier carries.
    pub(crate) digest: [u8; 32],
}

/// Why a certificate is no answer. The texts are for clients and repeat nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("it is not a well-formed certificate")]
    Form,
    #[error("an extension occurs twice")]
    ExtensionTwice,
    #[error("it has no acmeIdentifier extension; is this the server's usual certificate?")]
    NoAcmeIdentifier,
    #[error("its acmeIdentifier has the number of an old draft, {ACME_IDENTIFIER_OF_DRAFTS}; update the client")]
    AcmeIdentifierOfDrafts,
    #[error("its acmeIdentifier extension is not critical")]
    NotCritical,
    #[error("its acmeIdentifier is not an OCTET STRING of 32 octets")]
    DigestForm,
    #[error("its acmeIdentifier is not the digest of the key authorization; expected {0}")]
    Digest(String),
    #[error("it has no subject alternative name; a common name does not count")]
    NoName,
    #[error("it has {0} subject alternative names; it must have the one that is validated and no other")]
    Names(usize),
    #[error("its subject alternative name is not {0}")]
    OtherName(String),
    #[error("it is not self-signed")]
    NotSelfSigned,
}

/// Checks the certificate.
pub(crate) fn check(der: &[u8], expected: &Expected<'_>) -> Result<(), Flaw> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Flaw::Form)?;
    if !rest.is_empty() {
        return Err(Flaw::Form);
    }
    // A map of the extensions can only be made if none occurs twice (RFC 5280 §4.2).
    let extensions = certificate.extensions_map().map_err(|_| Flaw::ExtensionTwice)?;
    let found = |number: &str| extensions.values().find(|extension| extension.oid.to_id_string() == number);
    match (found(ACME_IDENTIFIER), found(ACME_IDENTIFIER_OF_DRAFTS)) {
        (Some(extension), _) => check_acme_identifier(extension, &expected.digest)?,
        (None, Some(_)) => return Err(Flaw::AcmeIdentifierOfDrafts),
        (None, None) => return Err(Flaw::NoAcmeIdentifier),
    }
    check_name(&certificate, expected.identifier)?;
    let same_name = certificate.subject().as_raw() == certificate.issuer().as_raw();
    if !same_name || certificate.verify_signature(None).is_err() {
        return Err(Flaw::NotSelfSigned);
    }
    Ok(())
}

fn check_acme_identifier(extension: &X509Extension<'_>, digest: &[u8; 32]) -> Result<(), Flaw> {
    if !extension.critical {
        return Err(Flaw::NotCritical);
    }
    match extension.value.strip_prefix(&DIGEST_HEAD) {
        Some(found) if found == digest => Ok(()),
        Some(found) if found.len() == digest.len() => {
            Err(Flaw::Digest(digest.iter().map(|octet| format!("{octet:02x}")).collect()))
        }
        Some(_) | None => Err(Flaw::DigestForm),
    }
}

fn check_name(certificate: &X509Certificate<'_>, identifier: &Identifier) -> Result<(), Flaw> {
    let names = certificate.subject_alternative_name().map_err(|_| Flaw::Form)?;
    match names.map(|names| names.value.general_names.as_slice()) {
        None | Some([]) => Err(Flaw::NoName),
        Some([only]) if is(only, identifier) => Ok(()),
        Some([_]) => Err(Flaw::OtherName(identifier.to_string())),
        Some(several) => Err(Flaw::Names(several.len())),
    }
}

fn is(name: &GeneralName<'_>, identifier: &Identifier) -> bool {
    match (name, identifier) {
        (GeneralName::DNSName(found), Identifier::Dns(wanted)) => found.eq_ignore_ascii_case(wanted.as_str()),
        (GeneralName::IPAddress(found), Identifier::Ip(IpAddr::V4(wanted))) => *found == wanted.octets(),
        (GeneralName::IPAddress(found), Identifier::Ip(IpAddr::V6(wanted))) => *found == wanted.octets(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
