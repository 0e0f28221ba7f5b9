//! Certificates and CSRs put together octet by octet, so that they can be wrong in any one way.
//!
//! Nothing of the crate under test is used to make them; keys and signatures are OpenSSL's.

use acme::time::Timestamp;
use openssl::{
    asn1::Asn1Object,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{Id, PKey, Private},
    rsa::Rsa,
    sign::Signer,
};
use sha2::{Digest, Sha256};

/// Object identifiers that the tests name.
pub(crate) mod oids {
    pub(crate) const SUBJECT_KEY_ID: &str = "2.5.29.14";
    pub(crate) const KEY_USAGE: &str = "2.5.29.15";
    pub(crate) const ALTERNATIVE_NAMES: &str = "2.5.29.17";
    pub(crate) const BASIC_CONSTRAINTS: &str = "2.5.29.19";
    pub(crate) const NAME_CONSTRAINTS: &str = "2.5.29.30";
    pub(crate) const AUTHORITY_KEY_ID: &str = "2.5.29.35";
    pub(crate) const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
    pub(crate) const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
    pub(crate) const PRIVATE: &str = "1.3.6.1.4.1.32473.1";
    pub(crate) const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
    pub(crate) const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
    pub(crate) const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
    pub(crate) const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";
    pub(crate) const EXTENSION_REQUEST_OF_MICROSOFT: &str = "1.3.6.1.4.1.311.2.1.14";
    pub(crate) const CHALLENGE_PASSWORD: &str = "1.2.840.113549.1.9.7";
}

/// Key usage bits as they stand in the first octet of the BIT STRING.
pub(crate) mod usage {
    pub(crate) const DIGITAL_SIGNATURE: u8 = 0x80;
    pub(crate) const KEY_ENCIPHERMENT: u8 = 0x20;
    pub(crate) const CERTIFICATE_SIGN: u8 = 0x04;
    pub(crate) const CRL_SIGN: u8 = 0x02;
}

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=0x7f => vec![short as u8],
        medium @ 0x80..=0xff => vec![0x81, medium as u8],
        long @ 0x100..=0xffff => vec![0x82, (long >> 8) as u8, long as u8],
        longer => vec![0x83, (longer >> 16) as u8, (longer >> 8) as u8, longer as u8],
    };
    [&[tag], length.as_slice(), content].concat()
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn set(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x31, &parts.concat())
}

pub(crate) fn oid(text: &str) -> Vec<u8> {
    tlv(0x06, Asn1Object::from_str(text).unwrap().as_slice())
}

pub(crate) fn bit_string(octets: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], octets].concat())
}

/// A Name with these common names, one an RDN.
pub(crate) fn name(common_names: &[&str]) -> Vec<u8> {
    let rdns: Vec<_> =
        common_names.iter().map(|text| set(&[&sequence(&[&oid("2.5.4.3"), &tlv(0x0c, text.as_bytes())])])).collect();
    tlv(0x30, &rdns.concat())
}

pub(crate) fn dns(text: &str) -> Vec<u8> {
    tlv(0x82, text.as_bytes())
}

pub(crate) fn email(text: &str) -> Vec<u8> {
    tlv(0x81, text.as_bytes())
}

pub(crate) fn uri(text: &str) -> Vec<u8> {
    tlv(0x86, text.as_bytes())
}

pub(crate) fn ip(octets: &[u8]) -> Vec<u8> {
    tlv(0x87, octets)
}

#[derive(Clone)]
pub(crate) struct Extension {
    pub(crate) oid: &'static str,
    pub(crate) critical: bool,
    pub(crate) value: Vec<u8>,
}

impl Extension {
    pub(crate) fn der(&self) -> Vec<u8> {
        let critical: &[u8] = if self.critical { &[0x01, 0x01, 0xff] } else { &[] };
        sequence(&[&oid(self.oid), critical, &tlv(0x04, &self.value)])
    }
}

pub(crate) fn alternative_names(names: &[Vec<u8>]) -> Extension {
    Extension { oid: oids::ALTERNATIVE_NAMES, critical: false, value: tlv(0x30, &names.concat()) }
}

pub(crate) fn key_usage(bits: u8) -> Extension {
    let value = tlv(0x03, &[bits.trailing_zeros() as u8, bits]);
    Extension { oid: oids::KEY_USAGE, critical: true, value }
}

pub(crate) fn extended_key_usage(purposes: &[&str]) -> Extension {
    let purposes: Vec<_> = purposes.iter().map(|purpose| oid(purpose)).collect();
    Extension { oid: oids::EXTENDED_KEY_USAGE, critical: false, value: tlv(0x30, &purposes.concat()) }
}

pub(crate) fn basic_constraints(ca: bool, path_length: Option<u8>) -> Extension {
    let ca: &[u8] = if ca { &[0x01, 0x01, 0xff] } else { &[] };
    let path_length = path_length.map(|most| tlv(0x02, &[most])).unwrap_or_default();
    Extension { oid: oids::BASIC_CONSTRAINTS, critical: true, value: sequence(&[ca, &path_length]) }
}

pub(crate) fn authority_key_id(id: &[u8]) -> Extension {
    Extension { oid: oids::AUTHORITY_KEY_ID, critical: false, value: sequence(&[&tlv(0x80, id)]) }
}

pub(crate) fn subject_key_id(id: &[u8]) -> Extension {
    Extension { oid: oids::SUBJECT_KEY_ID, critical: false, value: tlv(0x04, id) }
}

pub(crate) fn name_constraints(permitted: &str) -> Extension {
    let value = sequence(&[&tlv(0xa0, &sequence(&[&dns(permitted)]))]);
    Extension { oid: oids::NAME_CONSTRAINTS, critical: true, value }
}

/// RFC 7633: a list of TLS extension numbers; 5 is status_request, which is must-staple.
pub(crate) fn tls_feature(number: u8) -> Extension {
    Extension { oid: oids::TLS_FEATURE, critical: false, value: sequence(&[&tlv(0x02, &[number])]) }
}

#[derive(Clone)]
pub(crate) struct Key(pub(crate) PKey<Private>);

impl Key {
    pub(crate) fn ec(curve: Nid) -> Self {
        let group = EcGroup::from_curve_name(curve).unwrap();
        Self(PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap())
    }

    pub(crate) fn p256() -> Self {
        Self::ec(Nid::X9_62_PRIME256V1)
    }

    pub(crate) fn rsa(bits: u32) -> Self {
        Self(PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap())
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        self.0.public_key_to_der().unwrap()
    }

    pub(crate) fn id(&self) -> Vec<u8> {
        Sha256::digest(self.spki())[..20].to_vec()
    }

    pub(crate) fn algorithm(&self, digest: MessageDigest) -> Vec<u8> {
        let null: &[u8] = &[0x05, 0x00];
        let (text, parameters): (_, &[u8]) = match (self.0.id(), digest.type_()) {
            (Id::RSA, Nid::SHA1) => ("1.2.840.113549.1.1.5", null),
            (Id::RSA, Nid::SHA256) => ("1.2.840.113549.1.1.11", null),
            (Id::RSA, Nid::SHA384) => ("1.2.840.113549.1.1.12", null),
            (Id::RSA, Nid::SHA512) => ("1.2.840.113549.1.1.13", null),
            (Id::EC, Nid::SHA1) => ("1.2.840.10045.4.1", &[]),
            (Id::EC, Nid::SHA256) => ("1.2.840.10045.4.3.2", &[]),
            (Id::EC, Nid::SHA384) => ("1.2.840.10045.4.3.3", &[]),
            (Id::EC, Nid::SHA512) => ("1.2.840.10045.4.3.4", &[]),
            other => panic!("no algorithm for {other:?}"),
        };
        sequence(&[&oid(text), parameters])
    }

    pub(crate) fn sign(&self, digest: MessageDigest, data: &[u8]) -> Vec<u8> {
        Signer::new(digest, &self.0).unwrap().sign_oneshot_to_vec(data).unwrap()
    }
}

/// What a certificate is to contain.
#[derive(Clone)]
pub(crate) struct Certificate {
    /// The version number as it is written; `None` leaves the field out, which is v1.
    pub(crate) version: Option<u8>,
    /// The octets of the INTEGER.
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) subject: Vec<u8>,
    pub(crate) spki: Vec<u8>,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) digest: MessageDigest,
    /// The algorithm inside the signed part, if it is not the one outside.
    pub(crate) inner_algorithm: Option<Vec<u8>>,
    /// What follows the extensions inside the signed part.
    pub(crate) after_extensions: Vec<u8>,
}

impl Certificate {
    /// Puts an extension in the place of the one of its kind.
    pub(crate) fn set(&mut self, extension: Extension) {
        self.remove(extension.oid);
        self.extensions.push(extension);
    }

    pub(crate) fn remove(&mut self, oid: &str) {
        self.extensions.retain(|extension| extension.oid != oid);
    }

    pub(crate) fn sign(&self, key: &Key) -> Vec<u8> {
        let algorithm = key.algorithm(self.digest);
        let extensions: Vec<_> = self.extensions.iter().map(Extension::der).collect();
        let signed = sequence(&[
            &self.version.map(|version| tlv(0xa0, &tlv(0x02, &[version]))).unwrap_or_default(),
            &tlv(0x02, &self.serial),
            self.inner_algorithm.as_ref().unwrap_or(&algorithm),
            &self.issuer,
            &sequence(&[&utc_time(self.start), &utc_time(self.end)]),
            &self.subject,
            &self.spki,
            &if extensions.is_empty() { Vec::new() } else { tlv(0xa3, &tlv(0x30, &extensions.concat())) },
            &self.after_extensions,
        ]);
        sequence(&[&signed, &algorithm, &bit_string(&key.sign(self.digest, &signed))])
    }
}

fn utc_time(at: Timestamp) -> Vec<u8> {
    let digits: String = at.to_string().chars().filter(char::is_ascii_digit).skip(2).collect();
    tlv(0x17, format!("{digits}Z").as_bytes())
}

/// What a CSR is to contain.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) version: u8,
    pub(crate) subject: Vec<u8>,
    pub(crate) spki: Vec<u8>,
    /// Attributes in DER.
    pub(crate) attributes: Vec<Vec<u8>>,
    /// Leaves out the field of the attributes.
    pub(crate) no_attributes: bool,
    pub(crate) digest: MessageDigest,
    /// What follows the attributes inside the signed part.
    pub(crate) after_attributes: Vec<u8>,
    /// What follows the signature inside the outer SEQUENCE.
    pub(crate) after_signature: Vec<u8>,
}

impl Request {
    pub(crate) fn of(key: &Key) -> Self {
        Self {
            version: 0,
            subject: name(&[]),
            spki: key.spki(),
            attributes: Vec::new(),
            no_attributes: false,
            digest: MessageDigest::sha256(),
            after_attributes: Vec::new(),
            after_signature: Vec::new(),
        }
    }

    pub(crate) fn asking(key: &Key, extensions: &[Extension]) -> Self {
        Self { attributes: vec![attribute(oids::EXTENSION_REQUEST, &[extension_list(extensions)])], ..Self::of(key) }
    }

    pub(crate) fn sign(&self, key: &Key) -> Vec<u8> {
        let signed = sequence(&[
            &tlv(0x02, &[self.version]),
            &self.subject,
            &self.spki,
            &if self.no_attributes { Vec::new() } else { tlv(0xa0, &self.attributes.concat()) },
            &self.after_attributes,
        ]);
        let signature = key.sign(self.digest, &signed);
        sequence(&[&signed, &key.algorithm(self.digest), &bit_string(&signature), &self.after_signature])
    }
}

pub(crate) fn attribute(kind: &str, values: &[Vec<u8>]) -> Vec<u8> {
    sequence(&[&oid(kind), &tlv(0x31, &values.concat())])
}

pub(crate) fn extension_list(extensions: &[Extension]) -> Vec<u8> {
    let extensions: Vec<_> = extensions.iter().map(Extension::der).collect();
    tlv(0x30, &extensions.concat())
}
