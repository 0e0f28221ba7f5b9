//! A device: a key, and a certificate of its own making that says nothing but the key.

use std::{
    fs,
    path::{Path, PathBuf},
};

use openssl::{
    asn1::Asn1Time,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::PKey,
    x509::X509,
};

use crate::site::Shown;

/// A device that can show a certificate in TLS handshakes.
pub struct Device {
    /// Its certificate (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// SHA-256 of its public key, as waivers name it.
    pub digest: String,
}

impl Device {
    /// A new one, whose files go into this folder.
    ///
    /// # Panics
    /// The files cannot be written.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut certificate = X509::builder().unwrap();
        certificate.set_version(2).unwrap();
        certificate.set_pubkey(&key).unwrap();
        certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        certificate.sign(&key, MessageDigest::sha256()).unwrap();
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        let written =
            Self { certificate: file("pem"), key: file("key"), digest: digest(&key.public_key_to_der().unwrap()) };
        fs::write(&written.certificate, certificate.build().to_pem().unwrap()).unwrap();
        fs::write(&written.key, key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        written
    }

    /// What a client shows that is this device.
    #[must_use]
    pub fn shown(&self) -> Shown {
        Shown { identity: Some((self.certificate.clone(), self.key.clone())), ..Shown::default() }
    }
}

fn digest(octets: &[u8]) -> String {
    openssl::sha::sha256(octets).iter().map(|octet| format!("{octet:02x}")).collect()
}
