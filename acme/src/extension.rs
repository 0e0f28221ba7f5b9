//! Extensions as CSRs and certificates share them (RFC 5280 §4.2): their form, not what they may
//! say.

use std::collections::BTreeSet;

use x509_parser::{
    extensions::{ParsedExtension, X509Extension},
    oid_registry::{
        OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE,
        OID_X509_EXT_KEY_USAGE, OID_X509_EXT_NAME_CONSTRAINTS, OID_X509_EXT_SUBJECT_ALT_NAME,
        OID_X509_EXT_SUBJECT_KEY_IDENTIFIER, Oid,
    },
};

use crate::der;

/// id-pe-tlsfeature (RFC 7633).
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
/// A list of one feature: status_request (5), which is what must-staple means.
const STATUS_REQUEST: [u8; 5] = [0x30, 0x03, 0x02, 0x01, 0x05];

/// Those that decide something here: read wrongly they would count as absent.
const DECISIVE: [Oid<'static>; 7] = [
    OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
    OID_X509_EXT_BASIC_CONSTRAINTS,
    OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_NAME_CONSTRAINTS,
    OID_X509_EXT_SUBJECT_ALT_NAME,
    OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
];

/// Whether some extension occurs more than once (RFC 5280 §4.2 forbids it).
pub(crate) fn any_twice(extensions: &[X509Extension<'_>]) -> bool {
    let mut seen = BTreeSet::new();
    !extensions.iter().all(|extension| seen.insert(extension.oid.as_bytes()))
}

/// Whether it decides something and cannot be read as exactly one value.
pub(crate) fn is_malformed(extension: &X509Extension<'_>) -> bool {
    DECISIVE.contains(&extension.oid)
        && (matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. })
            || !der::is_exact(extension.value))
}

/// Whether it is the TLS feature extension, whatever feature it names.
pub(crate) fn is_tls_feature(extension: &X509Extension<'_>) -> bool {
    extension.oid.to_id_string() == TLS_FEATURE
}

/// Whether it is the TLS feature extension with status_request and nothing else.
pub(crate) fn is_must_staple(extension: &X509Extension<'_>) -> bool {
    is_tls_feature(extension) && extension.value == STATUS_REQUEST
}
