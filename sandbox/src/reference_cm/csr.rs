//! The CSR as the CM reads it: PKCS #10 (RFC 2986), one key, names, self-signature.

use std::collections::BTreeSet;
use std::net::IpAddr;

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, GeneralName};

use super::identifier::{Identifier, Kind, WireIdentifier};
use super::ids::hex;
use super::key::{Curve, PublicKey};
use super::problem::{Code, Problem};

/// Longest CSR, in octets.
const OCTETS_MAX: usize = 16 * 1024;
/// The TLS feature extension (RFC 7633) and its value for status_request.
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
const STATUS_REQUEST: &[u8] = &[0x30, 0x03, 0x02, 0x01, 0x05];

/// What the CM takes from a CSR.
#[derive(Debug)]
pub(crate) struct Csr {
    /// Names asked for, in normal form.
    pub(crate) names: BTreeSet<Identifier>,
    /// Common names, in normal form.
    pub(crate) common_names: Vec<Identifier>,
    /// DER of the SubjectPublicKeyInfo.
    pub(crate) spki: Vec<u8>,
    /// `EC-P256`, `RSA-2048` and so on.
    pub(crate) key_type: String,
    /// The key, to compare it with account keys.
    pub(crate) key: PublicKey,
    /// Whether it asks for must-staple.
    pub(crate) must_staple: bool,
}

fn bad(detail: &str) -> Problem {
    Problem::new(Code::CsrBad, detail)
}

impl Csr {
    /// Parses a CSR and verifies its self-signature.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, Problem> {
        if der.len() > OCTETS_MAX {
            return Err(bad("the CSR is longer than 16 KiB"));
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| bad("the CSR is not DER of a PKCS #10 request"))?;
        if !rest.is_empty() {
            return Err(bad("there are octets behind the CSR"));
        }
        let info = &request.certification_request_info;
        let spki = info.subject_pki.raw.to_vec();
        let key = PublicKey::from_spki(&info.subject_pki)
            .ok_or_else(|| Problem::new(Code::CsrKeyRejected, "the key of the CSR is of no accepted type"))?;
        let key_type = key_type(&key)?;
        if request.signature_algorithm.algorithm == x509_parser::oid_registry::OID_PKCS1_SHA1WITHRSA {
            return Err(bad("the CSR is signed with SHA-1"));
        }
        request.verify_signature().map_err(|_| bad("the signature of the CSR is wrong"))?;
        // rcgen writes the key information anew; it must come out the same, octet by octet.
        let rewritten =
            rcgen::SubjectPublicKeyInfo::from_der(&spki).map(|key| rcgen::PublicKeyData::subject_public_key_info(&key));
        if rewritten.ok().as_ref() != Some(&spki) {
            return Err(Problem::new(Code::CsrKeyRejected, "the key of the CSR is not written in the usual form"));
        }

        let mut csr =
            Self { names: BTreeSet::new(), common_names: Vec::new(), spki, key_type, key, must_staple: false };
        for common_name in info.subject.iter_common_name() {
            let text = common_name.as_str().map_err(|_| bad("a common name of the CSR is not text"))?;
            csr.common_names.push(read_name(text)?);
        }
        csr.read_extensions(&request)?;
        Ok(csr)
    }

    fn read_extensions(&mut self, request: &X509CertificationRequest<'_>) -> Result<(), Problem> {
        let requested = request
            .certification_request_info
            .iter_attributes()
            .filter_map(|attribute| {
                let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() else {
                    return None;
                };
                Some(&requested.extensions)
            })
            .flatten();
        let mut seen = BTreeSet::new();
        for extension in requested {
            let oid = extension.oid.to_id_string();
            if !seen.insert(oid.clone()) {
                return Err(bad("the CSR asks for an extension twice"));
            }
            // Whatever is not read here is for the profile to say, not for the client.
            let parsed = extension.parsed_extension();
            if let ParsedExtension::SubjectAlternativeName(names) = parsed {
                for name in &names.general_names {
                    self.names.insert(read_general_name(name)?);
                }
            }
            if let ParsedExtension::BasicConstraints(constraints) = parsed
                && constraints.ca
            {
                return Err(bad("the CSR asks for a CA certificate"));
            }
            if parsed.error().is_some() {
                return Err(bad("an extension of the CSR does not parse"));
            }
            if oid == TLS_FEATURE {
                if extension.value != STATUS_REQUEST {
                    return Err(bad("the TLS feature extension may ask for status_request only"));
                }
                self.must_staple = true;
            }
        }
        Ok(())
    }

    /// SHA-256 of the key information, for searches and the list of blocked keys.
    pub(crate) fn spki_sha256(&self) -> String {
        use sha2::Digest as _;
        hex(&sha2::Sha256::digest(&self.spki))
    }
}

fn key_type(key: &PublicKey) -> Result<String, Problem> {
    let rejected = |detail| Err(Problem::new(Code::CsrKeyRejected, detail));
    match key {
        PublicKey::Ec { curve: Curve::P256, .. } => Ok("EC-P256".to_owned()),
        PublicKey::Ec { curve: Curve::P384, .. } => Ok("EC-P384".to_owned()),
        PublicKey::Ec { curve: Curve::P521, .. } => rejected("this CM does not certify P-521 keys"),
        PublicKey::Ed25519(_) => Ok("Ed25519".to_owned()),
        PublicKey::Rsa { modulus, .. } => {
            if modulus.first().is_some_and(|first| first.leading_zeros() > 0) {
                return rejected("the size of the RSA key is not a multiple of eight");
            }
            Ok(format!("RSA-{}", modulus.len() * 8))
        }
    }
}

/// A common name, which may be spelled in capitals.
fn read_name(text: &str) -> Result<Identifier, Problem> {
    let kind = if text.parse::<IpAddr>().is_ok() { Kind::Ip } else { Kind::Dns };
    Identifier::from_wire(&WireIdentifier { kind, value: text.to_ascii_lowercase() })
        .ok_or_else(|| Problem::new(Code::CsrMismatch, "a name of the CSR is neither a DNS name nor an IP address"))
}

fn read_general_name(name: &GeneralName<'_>) -> Result<Identifier, Problem> {
    let identifier = if let GeneralName::DNSName(text) = name {
        Identifier::from_wire(&WireIdentifier { kind: Kind::Dns, value: text.to_ascii_lowercase() })
    } else if let GeneralName::IPAddress(octets) = name {
        <[u8; 4]>::try_from(*octets)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from))
            .ok()
            .filter(|address| address.to_canonical() == *address)
            .map(Identifier::Ip)
    } else {
        None
    };
    identifier.ok_or_else(|| {
        Problem::new(
            Code::CsrMismatch,
            "the CSR has an alternative name that is no DNS name or IP address in normal form",
        )
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::super::vectors;
    use super::*;

    fn example() -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(vectors::certificate_request()["csr"].as_str().unwrap()).unwrap()
    }

    #[test]
    fn the_csr_of_the_contract_is_read() {
        use sha2::Digest as _;
        let csr = Csr::parse(&example()).unwrap();
        let names: Vec<String> = csr.names.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), 2);
        for name in ["*.example.com", "www.example.com"] {
            assert!(names.iter().any(|found| found == name), "{name}");
        }
        assert_eq!(csr.key_type, "EC-P256");
        assert!(!csr.must_staple);
        let issued = vectors::issued();
        assert_eq!(csr.spki_sha256(), issued["certificate"]["spkiSha256"]);
        assert_eq!(hex(&sha2::Sha256::digest(example())), issued["csrSha256"]);
    }

    #[test]
    fn a_csr_with_a_wrong_signature_or_more_behind_it_is_bad() {
        let mut longer = example();
        longer.push(0);
        assert_eq!(Csr::parse(&longer).unwrap_err().code(), Code::CsrBad);
        let mut changed = example();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        assert_eq!(Csr::parse(&changed).unwrap_err().code(), Code::CsrBad);
        assert_eq!(Csr::parse(b"").unwrap_err().code(), Code::CsrBad);
    }

    #[test]
    fn names_of_other_types_are_refused() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.subject_alt_names.push(rcgen::SanType::Rfc822Name("a@a.example".try_into().unwrap()));
        let request = params.serialize_request(&key).unwrap();
        assert_eq!(Csr::parse(request.der()).unwrap_err().code(), Code::CsrMismatch);
    }
}
