//! When a certificate is valid (RFC 5280 §4.1.2.5), whoever issued it and whatever else it says.

use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::time::Timestamp;

/// From when to when a certificate is valid, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub not_before: Timestamp,
    /// Its last second.
    pub not_after: Timestamp,
}

impl Validity {
    /// The validity of a certificate in DER; `None` if it is none.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(Self {
            not_before: Timestamp::from_unix_secs(validity.not_before.timestamp()),
            not_after: Timestamp::from_unix_secs(validity.not_after.timestamp()),
        })
    }
}
