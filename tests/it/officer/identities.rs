//! Certificates of people that the throwaway PKI does not have: another role or name, another authority, another time.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
};

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    x509::{
        X509, X509Builder, X509NameBuilder,
        extension::{ExtendedKeyUsage, SubjectAlternativeName},
    },
};
use tests::site::Site;

/// The authority of the CM's clients.
pub(super) struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

impl Authority {
    /// That of the throwaway PKI.
    pub(super) fn of(site: &Site) -> Self {
        let read = |file: &str| fs::read(site.pki(file)).unwrap();
        Self {
            certificate: X509::from_pem(&read("clients-ca.pem")).unwrap(),
            key: PKey::private_key_from_pem(&read("clients-ca.key")).unwrap(),
        }
    }
}

/// Writes a certificate for the program to use, with its key, as `name` into the throwaway PKI. It holds from the first to
/// the second day from now. Without an issuer it is self-signed.
pub(super) fn certificate(site: &Site, name: &str, issuer: Option<&Authority>, urn: &str, days: [i64; 2]) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let at = |days: i64| Asn1Time::from_unix(now.cast_signed() + days * 86_400).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", urn).unwrap();
    let subject = subject.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(4711).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(issuer.map_or(&subject, |issuer| issuer.certificate.subject_name())).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&at(days[0])).unwrap();
    builder.set_not_after(&at(days[1])).unwrap();
    let names = SubjectAlternativeName::new().uri(urn).build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.append_extension(ExtendedKeyUsage::new().client_auth().build().unwrap()).unwrap();
    builder.sign(issuer.map_or(&key, |issuer| &issuer.key), MessageDigest::sha256()).unwrap();
    fs::write(site.pki(&format!("{name}.pem")), builder.build().to_pem().unwrap()).unwrap();
    // The program uses no key that others can read.
    let mut file = OpenOptions::new();
    file.write(true).create(true).truncate(true).mode(0o600);
    let mut file = file.open(site.pki(&format!("{name}.key"))).unwrap();
    file.write_all(&key.private_key_to_pem_pkcs8().unwrap()).unwrap();
}
