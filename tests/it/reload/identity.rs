//! Certificates of the gateway itself, by the authorities of the sandbox, and which of them it shows.

use std::{
    fs,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
    ssl::{SslConnector, SslMethod, SslVersion},
    x509::{
        X509, X509NameBuilder,
        extension::{ExtendedKeyUsage, SubjectAlternativeName},
    },
};
use tests::world::World;

const DAY_SECS: i64 = 86_400;

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
    /// When it expires, in seconds since 1970.
    pub(crate) expires: i64,
}

/// Who it is for.
#[derive(Clone, Copy)]
pub(crate) enum For {
    Clients,
    Cm,
}

impl For {
    fn authority(self) -> &'static str {
        match self {
            Self::Clients => "acme-ca",
            Self::Cm => "clients-ca",
        }
    }
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

pub(crate) fn ec_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

pub(crate) fn rsa_key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

impl Identity {
    /// By the authority of the sandbox that its readers trust; valid from an hour ago for so many days.
    pub(crate) fn new(world: &World, whom: For, key: PKey<Private>, days: i64) -> Self {
        Self::by(world, whom.authority(), whom, key, days)
    }

    /// By this authority of the sandbox.
    pub(crate) fn by(world: &World, authority: &str, whom: For, key: PKey<Private>, days: i64) -> Self {
        let expires = now() + days * DAY_SECS;
        Self::between(world, authority, whom, key, (now().min(expires) - 3600, expires))
    }

    /// One that was renewed a year ago, or should have been.
    pub(crate) fn old(world: &World, whom: For, days_left: i64) -> Self {
        const YEAR_DAYS: i64 = 365;
        let expires = now() + days_left * DAY_SECS;
        Self::between(world, whom.authority(), whom, ec_key(), (expires - YEAR_DAYS * DAY_SECS, expires))
    }

    fn between(world: &World, authority: &str, whom: For, key: PKey<Private>, (begins, expires): (i64, i64)) -> Self {
        let read = |name: String| fs::read(world.site().pki(&name)).unwrap();
        let issuer = X509::from_pem(&read(format!("{authority}.pem"))).unwrap();
        let issuer_key = PKey::private_key_from_pem(&read(format!("{authority}.key"))).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_text("CN", "renewed").unwrap();
        let mut serial = BigNum::new().unwrap();
        serial.rand(120, MsbOption::ONE, false).unwrap();
        let mut certificate = X509::builder().unwrap();
        certificate.set_version(2).unwrap();
        certificate.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
        certificate.set_subject_name(&subject.build()).unwrap();
        certificate.set_issuer_name(issuer.subject_name()).unwrap();
        certificate.set_pubkey(&key).unwrap();
        certificate.set_not_before(&Asn1Time::from_unix(begins).unwrap()).unwrap();
        certificate.set_not_after(&Asn1Time::from_unix(expires).unwrap()).unwrap();
        let context = certificate.x509v3_context(Some(&issuer), None);
        let names = match whom {
            For::Clients => SubjectAlternativeName::new().dns("localhost").ip("127.0.0.1").build(&context),
            For::Cm => SubjectAlternativeName::new().uri("urn:cm:gateway:quickstart").build(&context),
        };
        certificate.append_extension(names.unwrap()).unwrap();
        let usage = match whom {
            For::Clients => ExtendedKeyUsage::new().server_auth().build(),
            For::Cm => ExtendedKeyUsage::new().client_auth().build(),
        };
        certificate.append_extension(usage.unwrap()).unwrap();
        certificate.sign(&issuer_key, MessageDigest::sha256()).unwrap();
        Self { certificate: certificate.build(), key, expires }
    }

    pub(crate) fn certificate_pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    pub(crate) fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }

    /// Puts both into their files, each in one step, as careful tools do.
    pub(crate) fn put(&self, certificate: &Path, key: &Path) {
        replace(certificate, &self.certificate_pem(), 0o644);
        replace(key, &self.key_pem(), 0o600);
    }
}

/// Puts another file in the place of this one.
pub(crate) fn replace(path: &Path, octets: &[u8], mode: u32) {
    let fresh = path.with_extension("fresh");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&fresh).unwrap();
    std::io::Write::write_all(&mut file, octets).unwrap();
    fs::set_permissions(&fresh, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(&fresh, path).unwrap();
}

/// The certificate that the gateway shows to a client that verifies RSA signatures only, or that knows everything.
pub(crate) fn shown(world: &World, rsa_only: bool) -> Option<X509> {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_ca_file(world.site().pki("acme-ca.pem")).unwrap();
    if rsa_only {
        connector.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
        connector.set_cipher_list("ECDHE-RSA-AES128-GCM-SHA256").unwrap();
    }
    let socket = std::net::TcpStream::connect(world.site().gateway).unwrap();
    connector.build().connect("localhost", socket).ok()?.ssl().peer_certificate()
}
