//! Identifiers of orders (RFC 8555 §7.1.4, RFC 8738) and of certificates (RFC 9773 §4.1): what is taken has one form
//! and keeps it.

use acme::{certificate::CertificateId, identifier::Identifier};

pub(crate) fn run(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    for kind in ["dns", "ip"] {
        let Ok(identifier) = Identifier::parse(kind, text) else { continue };
        let written = identifier.to_string();
        assert!(written.len() <= 253 + "*.".len(), "{written} is longer than any name");
        assert!(written.bytes().all(|octet| octet.is_ascii_graphic() && !octet.is_ascii_uppercase()), "{written}");
        assert_eq!(Identifier::parse(kind, &written).as_ref(), Ok(&identifier), "{written} does not stay what it is");
        assert!(!identifier.without_wildcard().is_wildcard(), "{written}");
    }
    if let Ok(certificate) = CertificateId::parse_ari(text) {
        assert_eq!(certificate.as_str(), text, "it has one spelling");
        assert_eq!(CertificateId::parse(text), Ok(certificate), "it is one of the CM's too");
    }
}
