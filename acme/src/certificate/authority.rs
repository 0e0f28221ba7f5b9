//! Certificates of CAs by themselves, for operators: whose they are, and whether a chain of them reaches a configured
//! root by the rule that issued certificates are held to (V4 of CM contract section 7).

use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Check, FailedCheck, path};
use crate::time::Timestamp;

/// Whose a certificate is, in the words of RFC 4514. They are its own: show them to nobody as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Whom it is about.
    pub subject: String,
    /// Who signed it, if it is true.
    pub issuer: String,
}

impl Names {
    /// Those of a certificate in DER; `None` if it is none.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Self { subject: certificate.subject().to_string(), issuer: certificate.issuer().to_string() })
    }
}

/// That this CA's certificate chains by those above it, in their order, to one of these roots. All in DER.
///
/// # Errors
/// The check that failed; its detail is for operators.
pub fn require_anchored(
    authority: &[u8],
    above: &[impl AsRef<[u8]>],
    anchors: &[Vec<u8>],
    now: Timestamp,
) -> Result<(), FailedCheck> {
    let authority = read(authority)?;
    let above = above.iter().map(|one| read(one.as_ref())).collect::<Result<Vec<_>, _>>()?;
    path::check(&authority, &above, anchors, now).map(|_| ())
}

fn read(der: &[u8]) -> Result<X509Certificate<'_>, FailedCheck> {
    super::read_der(der).map_err(|detail| FailedCheck { check: Check::Form, detail })
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    fn parameters(name: &str) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
    }

    #[test]
    fn only_a_chain_that_ends_below_a_configured_root_is_anchored() {
        let root = |name| CertifiedIssuer::self_signed(parameters(name), KeyPair::generate().unwrap()).unwrap();
        let (first, other) = (root("first"), root("other"));
        let issuing = parameters("issuing").signed_by(&KeyPair::generate().unwrap(), &first).unwrap();
        let [first, other] = [&first, &other].map(|root| root.der().to_vec());
        let now = "2026-11-22T00:00:00Z".parse().unwrap();
        let anchored = |above: &[&Vec<u8>], anchor: &Vec<u8>| {
            require_anchored(issuing.der(), above, &[other.clone(), anchor.clone()], now)
        };
        anchored(&[], &first).unwrap();
        anchored(&[&first], &first).unwrap();
        assert!(anchored(&[], &other).is_err(), "another root");
        assert!(anchored(&[&other], &first).is_err(), "one between that did not sign it");
        assert!(require_anchored(b"nothing", &[&first], std::slice::from_ref(&first), now).is_err());
        let names = Names::of(issuing.der()).unwrap();
        assert!(names.subject.contains("CN=issuing") && names.issuer.contains("CN=first"), "{names:?}");
        assert_eq!(Names::of(b"nothing"), None);
    }
}
