//! Certificate signing requests, right ones and wrong ones (RFC 2986).

use openssl::{
    asn1::Asn1Object,
    hash::MessageDigest,
    nid::Nid,
    stack::Stack,
    x509::{
        X509Extension, X509NameBuilder, X509ReqBuilder,
        extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName},
    },
};

use crate::{base64url, key::Key};

/// What a CSR asks for.
#[derive(Default)]
pub struct Csr<'a> {
    /// dNSName.
    pub dns: Vec<String>,
    /// iPAddress.
    pub ip: &'a [&'a str],
    /// rfc822Name.
    pub email: &'a [&'a str],
    /// uniformResourceIdentifier.
    pub uri: &'a [&'a str],
    /// An otherName: a user principal name.
    pub other_name: bool,
    /// commonName.
    pub common_name: Option<&'a str>,
    /// organizationName.
    pub organization: Option<&'a str>,
    /// cA in the basic constraints.
    pub ca: bool,
    /// Key usages that a TLS server has.
    pub usages: bool,
    /// TLS feature (RFC 7633).
    pub must_staple: bool,
    /// An extension that no client may ask for.
    pub strange_extension: bool,
    /// Signs with SHA-1.
    pub sha1: bool,
}

impl Csr<'_> {
    /// For these names, as most clients write it: alternative names only.
    #[must_use]
    pub fn for_names(dns: &[&str]) -> Self {
        Self { dns: dns.iter().map(|&name| name.to_owned()).collect(), ..Self::default() }
    }

    /// PKCS#10 in DER.
    ///
    /// # Panics
    /// The library cannot write it.
    #[must_use]
    pub fn der(&self, key: &Key) -> Vec<u8> {
        let mut request = X509ReqBuilder::new().unwrap();
        request.set_pubkey(key.pkey()).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        if let Some(organization) = self.organization {
            subject.append_entry_by_nid(Nid::ORGANIZATIONNAME, organization).unwrap();
        }
        if let Some(name) = self.common_name {
            subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
        }
        request.set_subject_name(&subject.build()).unwrap();
        let mut extensions = Stack::new().unwrap();
        for extension in self.extensions(&request) {
            extensions.push(extension).unwrap();
        }
        if !extensions.is_empty() {
            request.add_extensions(&extensions).unwrap();
        }
        let digest = if self.sha1 { Some(MessageDigest::sha1()) } else { key.digest() };
        request.sign(key.pkey(), digest.unwrap_or_else(MessageDigest::null)).unwrap();
        request.build().to_der().unwrap()
    }

    /// As finalize wants it.
    #[must_use]
    pub fn text(&self, key: &Key) -> String {
        base64url(self.der(key))
    }

    fn extensions(&self, request: &X509ReqBuilder) -> Vec<X509Extension> {
        let mut extensions = Vec::new();
        let names = self.dns.len() + self.ip.len() + self.email.len() + self.uri.len() + usize::from(self.other_name);
        if names > 0 {
            let mut alternative = SubjectAlternativeName::new();
            for name in &self.dns {
                alternative.dns(name);
            }
            for address in self.ip {
                alternative.ip(address);
            }
            for address in self.email {
                alternative.email(address);
            }
            for uri in self.uri {
                alternative.uri(uri);
            }
            if self.other_name {
                // A UTF8String of one letter.
                alternative.other_name2(Asn1Object::from_str("1.3.6.1.4.1.311.20.2.3").unwrap(), &[0x0c, 0x01, b'a']);
            }
            extensions.push(alternative.build(&request.x509v3_context(None)).unwrap());
        }
        if self.ca {
            extensions.push(BasicConstraints::new().critical().ca().build().unwrap());
        }
        if self.usages {
            extensions.push(KeyUsage::new().critical().digital_signature().build().unwrap());
            extensions.push(ExtendedKeyUsage::new().server_auth().build().unwrap());
        }
        if self.must_staple {
            extensions.push(raw_extension("1.3.6.1.5.5.7.1.24", &[0x30, 0x03, 0x02, 0x01, 0x05]));
        }
        if self.strange_extension {
            extensions.push(raw_extension("1.3.6.1.4.1.55555.1", &[0x05, 0x00]));
        }
        extensions
    }
}

fn raw_extension(oid: &str, der: &[u8]) -> X509Extension {
    let oid = Asn1Object::from_str(oid).unwrap();
    let value = openssl::asn1::Asn1OctetString::new_from_bytes(der).unwrap();
    X509Extension::new_from_der(&oid, false, &value).unwrap()
}
