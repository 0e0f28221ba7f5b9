//! The way from a certificate up to a configured root (RFC 5280 §6, as far as CM contract
//! section 7, V4 asks for it).
//!
//! The chain is taken as it was sent, since clients get it in this order; no other path is looked
//! for. Name constraints and policies of the issuers are left to the relying parties.

use x509_parser::{certificate::X509Certificate, extensions::ParsedExtension};

use super::{Check, FailedCheck, check_key_strength, read_der};
use crate::{
    signature::{self, SignatureError},
    time::Timestamp,
};

/// Checks that every certificate is issued by the next one, and the last one by a root; that root in
/// DER, unless it is the last one itself.
pub(super) fn check<'a>(
    leaf: &X509Certificate<'_>,
    issuers: &[X509Certificate<'_>],
    anchors: &'a [Vec<u8>],
    now: Timestamp,
) -> Result<Option<&'a [u8]>, FailedCheck> {
    let mut subject = leaf;
    let mut below = 0;
    for issuer in issuers {
        check_issued_by(subject, issuer, below, now)?;
        // Self-issued certificates do not count for path lengths (RFC 5280 §4.2.1.9).
        below += u64::from(issuer.subject() != issuer.issuer());
        subject = issuer;
    }
    let mut refused = None;
    for (der, anchor) in anchors.iter().filter_map(|der| Some((der, read_der(der).ok()?))) {
        if anchor.as_raw() == subject.as_raw() {
            return Ok(None);
        }
        match check_issued_by(subject, &anchor, below, now) {
            Ok(()) => return Ok(Some(der)),
            Err(failed) if anchor.subject() == subject.issuer() => refused = Some(failed),
            Err(_) => {}
        }
    }
    let stranger =
        || FailedCheck { check: Check::Chain, detail: format!("no configured root issued {}", subject.subject()) };
    Err(refused.unwrap_or_else(stranger))
}

/// `below` counts the CA certificates between the issuer and the leaf.
fn check_issued_by(
    subject: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
    below: u64,
    now: Timestamp,
) -> Result<(), FailedCheck> {
    let fail = |check: Check, reason: &str| {
        Err(FailedCheck { check, detail: format!("{} by {}: {reason}", subject.subject(), issuer.subject()) })
    };
    if subject.issuer() != issuer.subject() {
        return fail(Check::Chain, "issuer and subject differ");
    }
    if let (Some(said), Some(found)) = (authority_key_id(subject), subject_key_id(issuer))
        && said != found
    {
        return fail(Check::Chain, "the key identifiers differ");
    }
    let Ok(Some(constraints)) = issuer.basic_constraints() else {
        return fail(Check::Chain, "the issuer has no basic constraints");
    };
    if !constraints.value.ca {
        return fail(Check::Chain, "the issuer is no CA");
    }
    if constraints.value.path_len_constraint.is_some_and(|most| u64::from(most) < below) {
        return fail(Check::Chain, "the issuer's path length is exceeded");
    }
    match issuer.key_usage() {
        Ok(None) => {}
        Ok(Some(usage)) if usage.value.key_cert_sign() => {}
        Ok(Some(_)) | Err(_) => return fail(Check::Chain, "the issuer may not sign certificates"),
    }
    let (start, end) = (issuer.validity().not_before.timestamp(), issuer.validity().not_after.timestamp());
    if !(start..=end).contains(&now.unix_secs()) {
        return fail(Check::Chain, "the issuer is not valid now");
    }
    if let Err(reason) = check_key_strength(issuer) {
        return fail(Check::Algorithm, &reason);
    }
    if subject.tbs_certificate.signature != subject.signature_algorithm {
        return fail(Check::Algorithm, "the signature algorithm is not the one that was signed (RFC 5280 §4.1.1.2)");
    }
    let signed = subject.tbs_certificate.as_ref();
    match signature::verify(issuer.public_key(), &subject.signature_algorithm, &subject.signature_value, signed) {
        Ok(()) => Ok(()),
        Err(error @ SignatureError::Algorithm) => fail(Check::Algorithm, &error.to_string()),
        Err(error @ SignatureError::Invalid) => fail(Check::Chain, &error.to_string()),
    }
}

/// The key identifier of its issuer, as the certificate says it.
pub(super) fn authority_key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.extensions().iter().find_map(|extension| {
        let ParsedExtension::AuthorityKeyIdentifier(authority) = extension.parsed_extension() else { return None };
        authority.key_identifier.as_ref().map(|id| id.0.to_vec())
    })
}

/// The key identifier of a CA.
pub(super) fn subject_key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.extensions().iter().find_map(|extension| {
        let ParsedExtension::SubjectKeyIdentifier(id) = extension.parsed_extension() else { return None };
        Some(id.0.to_vec())
    })
}
