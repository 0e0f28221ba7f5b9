//! What reads octets from servers that strangers name: the door for the fuzzer.

use acme::identifier::Identifier;

use crate::tls_alpn_01::certificate::{Expected, check};

/// Reads the certificate of a tls-alpn-01 server; true if it proves control of this identifier
/// (RFC 8737 §3).
#[must_use]
pub fn tls_alpn_01_certificate(der: &[u8], identifier: &Identifier, digest: [u8; 32]) -> bool {
    check(der, &Expected { identifier, digest }).is_ok()
}
