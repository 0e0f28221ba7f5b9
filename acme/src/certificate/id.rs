//! The CM's names of certificates (CM contract section 4.5, RFC 9773 §4.1).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::path::authority_key_id;
use crate::base64url;

/// The CM's name of a certificate: the CertID of RFC 9773 §4.1, or `sha256-` and hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateId(Box<str>);

/// The text is no certificate id of the CM contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a certificate id: base64url of the authority key identifier, a dot, base64url of the serial")]
pub struct NotACertificateId;

impl CertificateId {
    /// Takes an id of the CM.
    ///
    /// # Errors
    /// [`NotACertificateId`] for anything but the two forms of the contract.
    pub fn parse(text: &str) -> Result<Self, NotACertificateId> {
        const LENGTH_MAX: usize = 96;
        let base64url = |part: &str| {
            !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
        };
        let hexadecimal =
            |part: &str| part.len() == 64 && part.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'));
        let good = match (text.split_once('.'), text.strip_prefix("sha256-")) {
            (Some((authority, serial)), _) => base64url(authority) && base64url(serial),
            (None, Some(digest)) => hexadecimal(digest),
            (None, None) => false,
        };
        if good && text.len() <= LENGTH_MAX { Ok(Self(text.into())) } else { Err(NotACertificateId) }
    }

    /// What a client calls a certificate in DER (RFC 9773 §4.1); `None` if it is none, or says nothing of its
    /// issuer's key.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let authority = base64url::encode(authority_key_id(&certificate)?);
        Self::parse_ari(&format!("{authority}.{}", base64url::encode(certificate.raw_serial()))).ok()
    }

    /// Takes the unique identifier that an ACME client makes of a certificate: base64url of the
    /// authority key identifier, a dot, base64url of the serial's DER content octets (RFC 9773
    /// §4.1).
    ///
    /// # Errors
    /// [`NotACertificateId`] for anything that no certificate can have.
    pub fn parse_ari(text: &str) -> Result<Self, NotACertificateId> {
        /// A serial has at most 20 octets, and one of zeros before them if the first bit is set.
        const SERIAL_OCTETS_MAX: usize = 21;
        let (authority, serial) = text.split_once('.').ok_or(NotACertificateId)?;
        let octets = |part: &str| base64url::decode(part).map_err(|_| NotACertificateId);
        let (authority, serial) = (octets(authority)?, octets(serial)?);
        let positive = match serial.as_slice() {
            [] | [0] => false,
            [0, second, ..] => *second >= 0x80,
            [first, ..] => *first < 0x80,
        };
        if authority.is_empty() || !positive || serial.len() > SERIAL_OCTETS_MAX {
            return Err(NotACertificateId);
        }
        Self::parse(text)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for CertificateId {
    type Err = NotACertificateId;

    fn from_str(text: &str) -> Result<Self, NotACertificateId> {
        Self::parse(text)
    }
}

impl Serialize for CertificateId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CertificateId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_that_clients_make_are_read_strictly() {
        let vector = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";
        assert_eq!(CertificateId::parse_ari(vector).unwrap().as_str(), vector, "RFC 9773, appendix A");
        let long = format!("AAAA.{}", base64url::encode([1; 22]));
        for refused in [
            "abc",
            "",
            ".",
            "AAAA.",
            ".AQ",
            "AAAA.AQ==",
            "AAAA.AQ.AQ",
            "AAAA.AR",
            "AAAA.A+A",
            "AAAA.AA",
            "AAAA.h2VDIQ",
            "AAAA.AAE",
            "sha256-0000000000000000000000000000000000000000000000000000000000000000",
            &long,
        ] {
            assert_eq!(CertificateId::parse_ari(refused), Err(NotACertificateId), "{refused:?}");
        }
    }
}
