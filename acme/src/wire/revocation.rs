//! Revocation (RFC 8555 §7.6).

use serde::Deserialize;

/// Payload of revokeCert.
#[derive(Debug, Deserialize)]
pub struct Revocation {
    /// The certificate in DER, base64url.
    pub certificate: String,
    /// A `reasonCode` of RFC 5280 §5.3.1.
    pub reason: Option<i64>,
}
