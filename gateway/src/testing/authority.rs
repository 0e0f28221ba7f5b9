//! A certification authority of one root, so that certificates in tests are real ones.

use std::time::Duration;

use acme::{
    base64url,
    certificate::{CertificateId, Claims},
    time::Timestamp,
};
use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SerialNumber, SubjectPublicKeyInfo, date_time_ymd,
};

/// A root and its key.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) root_der: Vec<u8>,
    pub(crate) key_id: Vec<u8>,
}

/// What to sign.
pub(crate) struct Leaf<'a> {
    pub(crate) spki_der: &'a [u8],
    pub(crate) names: Vec<String>,
    pub(crate) serial: [u8; 16],
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) for_servers: bool,
}

/// A certificate and the truth about it.
pub(crate) struct Signed {
    pub(crate) id: CertificateId,
    pub(crate) pem: String,
    pub(crate) claims: Claims,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_der = params.self_signed(&key).unwrap().der().to_vec();
        let key_id = params.key_identifier(&key);
        Self { issuer: Issuer::new(params, key), root_der, key_id }
    }

    pub(crate) fn sign(&self, leaf: &Leaf<'_>) -> Signed {
        let mut params = CertificateParams::new(leaf.names.clone()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(&leaf.serial));
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(leaf.not_before);
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(leaf.not_after);
        if leaf.for_servers {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }
        let key = SubjectPublicKeyInfo::from_der(leaf.spki_der).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let id = format!("{}.{}", base64url::encode(&self.key_id), base64url::encode(leaf.serial));
        Signed {
            id: CertificateId::parse(&id).unwrap(),
            pem: certificate.pem(),
            claims: Claims {
                sha256: sha256(certificate.der()),
                serial: leaf.serial.iter().map(|octet| format!("{octet:02x}")).collect(),
            },
        }
    }
}

pub(crate) fn sha256(octets: &[u8]) -> [u8; 32] {
    digest(&SHA256, octets).as_ref().try_into().unwrap()
}

fn since_epoch(time: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(time.unix_secs()).unwrap())
}
