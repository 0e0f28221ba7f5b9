//! What the gateway takes from a CM and what it does not: the checks of CM contract section 7.

mod good;
mod wrong;

use std::{sync::LazyLock, time::Duration};

use crate::made::{
    Certificate, Extension, Key, alternative_names, authority_key_id, basic_constraints, dns, email,
    extended_key_usage, ip, key_usage, name, name_constraints, oids, subject_key_id, tls_feature, tlv, uri, usage,
};
use acme::{
    certificate::{
        CHAIN_OCTETS_MAX, CertificateId, Check, CheckedCertificate, Claims, Expectation, NotACertificateId,
        PresentedCertificate, check, recheck,
    },
    identifier::Identifier,
    time::Timestamp,
};
use data_encoding::{BASE64, HEXLOWER};
use openssl::{hash::MessageDigest, nid::Nid, x509::X509};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

static ROOT: LazyLock<Key> = LazyLock::new(Key::p256);
static ISSUING: LazyLock<Key> = LazyLock::new(Key::p256);
static LEAF: LazyLock<Key> = LazyLock::new(Key::p256);
static OTHER: LazyLock<Key> = LazyLock::new(Key::p256);
static RSA: LazyLock<Key> = LazyLock::new(|| Key::rsa(2048));
static WEAK_RSA: LazyLock<Key> = LazyLock::new(|| Key::rsa(1024));

fn ca(subject: &str, key: &Key, issuer: &str, issuer_key: &Key) -> Certificate {
    Certificate {
        version: Some(2),
        serial: vec![0x11; 16],
        issuer: name(&[issuer]),
        start: NOW.minus(100 * DAY),
        end: NOW.plus(1000 * DAY),
        subject: name(&[subject]),
        spki: key.spki(),
        extensions: vec![
            basic_constraints(true, None),
            key_usage(usage::CERTIFICATE_SIGN | usage::CRL_SIGN),
            subject_key_id(&key.id()),
            authority_key_id(&issuer_key.id()),
        ],
        digest: MessageDigest::sha256(),
        inner_algorithm: None,
        after_extensions: Vec::new(),
    }
}

fn root() -> Vec<u8> {
    ca("root", &ROOT, "root", &ROOT).sign(&ROOT)
}

fn issuing() -> Certificate {
    let mut issuing = ca("issuing", &ISSUING, "root", &ROOT);
    issuing.set(basic_constraints(true, Some(0)));
    issuing
}

fn leaf() -> Certificate {
    let mut leaf = ca("", &LEAF, "issuing", &ISSUING);
    leaf.serial = vec![0x5a; 20];
    leaf.start = NOW.minus(Duration::from_secs(60));
    leaf.end = NOW.plus(90 * DAY);
    leaf.subject = name(&[]);
    leaf.extensions = vec![
        key_usage(usage::DIGITAL_SIGNATURE),
        extended_key_usage(&[oids::SERVER_AUTH]),
        alternative_names(&[dns("a.test"), dns("b.test")]),
        subject_key_id(&LEAF.id()),
        authority_key_id(&ISSUING.id()),
    ];
    leaf
}

/// One answer of the CM and what was asked of it; the rows of the table spoil it in one place.
struct Case {
    leaf: Certificate,
    leaf_signer: Key,
    leaf_der: fn(Vec<u8>) -> Vec<u8>,
    issuers: Vec<Vec<u8>>,
    pem: fn(String) -> Vec<u8>,
    claims: fn(&mut Claims),
    spki: Vec<u8>,
    identifiers: Vec<Identifier>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    validity_max: Option<Duration>,
    issuer_key_ids: Vec<Vec<u8>>,
    anchors: Vec<Vec<u8>>,
    must_staple: bool,
}

impl Case {
    fn good() -> Self {
        Self {
            leaf: leaf(),
            leaf_signer: ISSUING.clone(),
            leaf_der: |der| der,
            issuers: vec![issuing().sign(&ROOT)],
            pem: String::into_bytes,
            claims: |_| {},
            spki: LEAF.spki(),
            identifiers: identifiers(&["b.test", "a.test"]),
            not_before: None,
            not_after: None,
            validity_max: Some(90 * DAY),
            issuer_key_ids: vec![ISSUING.id()],
            anchors: vec![ca("elsewhere", &OTHER, "elsewhere", &OTHER).sign(&OTHER), root()],
            must_staple: false,
        }
    }

    fn chain(&self) -> (Vec<u8>, Claims) {
        let leaf_der = (self.leaf_der)(self.leaf.sign(&self.leaf_signer));
        let serial = self.leaf.serial.iter().copied().skip_while(|octet| *octet == 0).collect::<Vec<_>>();
        let mut claims = Claims { sha256: Sha256::digest(&leaf_der).into(), serial: HEXLOWER.encode(&serial) };
        (self.claims)(&mut claims);
        let chain: String = [leaf_der].iter().chain(&self.issuers).map(|der| pem("CERTIFICATE", der)).collect();
        ((self.pem)(chain), claims)
    }

    fn check(&self) -> Result<CheckedCertificate, Vec<Check>> {
        let (chain, claims) = self.chain();
        self.check_chain(&chain, &claims)
    }

    fn check_chain(&self, chain: &[u8], claims: &Claims) -> Result<CheckedCertificate, Vec<Check>> {
        let expected = Expectation {
            spki_der: &self.spki,
            identifiers: &self.identifiers,
            not_before: self.not_before,
            not_after: self.not_after,
            validity_max: self.validity_max,
            issuer_key_ids: &self.issuer_key_ids,
            anchors: &self.anchors,
            must_staple: self.must_staple,
            now: NOW,
        };
        check(chain, &expected, claims).map_err(|failed| failed.into_iter().map(|one| one.check).collect())
    }

    fn leaf_key(&mut self, key: &Key) {
        self.leaf.spki = key.spki();
        self.spki = key.spki();
    }

    fn leaf_names(&mut self, names: &[Vec<u8>]) {
        self.leaf.set(alternative_names(names));
    }

    /// The leaf is issued by this CA, and `issuers` stand above it.
    fn issued_by(&mut self, subject: &str, key: &Key, issuers: Vec<Vec<u8>>) {
        self.leaf.issuer = name(&[subject]);
        self.leaf.set(authority_key_id(&key.id()));
        self.leaf_signer = key.clone();
        self.issuers = issuers;
        self.issuer_key_ids = vec![key.id()];
    }
}

fn identifiers(names: &[&str]) -> Vec<Identifier> {
    names.iter().map(|name| Identifier::parse_dns(name).or_else(|_| Identifier::parse_ip(name)).unwrap()).collect()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn what_was_checked_is_told() {
    let mut case = Case::good();
    case.leaf.serial = [vec![0], vec![0x9a; 16]].concat();
    let (chain, claims) = case.chain();
    let checked = case.check_chain(&chain, &claims).unwrap();
    assert_eq!(checked.serial, "9a".repeat(16));
    assert_eq!(checked.sha256, claims.sha256);
    assert_eq!(checked.authority_key_id, ISSUING.id());
    assert_eq!(checked.not_after, NOW.plus(90 * DAY));
    assert_eq!(checked.chain_pem.as_bytes(), chain);
}

#[test]
fn every_failed_check_is_told_at_once() {
    let mut case = Case::good();
    case.leaf.spki = OTHER.spki();
    case.leaf_names(&[dns("evil.test")]);
    case.leaf.set(basic_constraints(true, None));
    case.leaf.serial = vec![1];
    let failed = [Check::PublicKey, Check::Names, Check::Usage, Check::Serial];
    assert_eq!(case.check().unwrap_err(), failed);
}

/// Even if the CM claims the changed certificate: whatever bit changes, it is not delivered.
#[test]
fn a_certificate_with_one_changed_bit_is_refused() {
    let case = Case::good();
    let (_, mut claims) = case.chain();
    let der = case.leaf.sign(&ISSUING);
    for place in 0..der.len() * 8 {
        let mut changed = der.clone();
        changed[place / 8] ^= 1 << (place % 8);
        claims.sha256 = Sha256::digest(&changed).into();
        let chain = [pem("CERTIFICATE", &changed), pem("CERTIFICATE", &case.issuers[0])].concat();
        assert!(case.check_chain(chain.as_bytes(), &claims).is_err(), "bit {} of octet {}", place % 8, place / 8);
    }
}

#[test]
fn a_chain_that_is_read_again_is_checked_again() {
    let case = Case::good();
    let (chain, claims) = case.chain();
    let again = |chain: &[u8], claims: &Claims, anchors: &[Vec<u8>], now| {
        recheck(chain, claims, anchors, now)
            .map_err(|failed| failed.into_iter().map(|one| one.check).collect::<Vec<_>>())
    };
    assert_eq!(again(&chain, &claims, &case.anchors, NOW).unwrap().as_bytes(), chain);
    assert!(again(&chain, &claims, &case.anchors, NOW.plus(91 * DAY)).is_ok(), "an expired leaf can be read again");

    let other = Claims { sha256: [0; 32], ..claims.clone() };
    assert_eq!(again(&chain, &other, &case.anchors, NOW), Err(vec![Check::Claims]));
    let other = Claims { serial: String::from("00"), ..claims.clone() };
    assert_eq!(again(&chain, &other, &case.anchors, NOW), Err(vec![Check::Claims]));
    assert_eq!(again(&chain, &claims, &[], NOW), Err(vec![Check::Chain]));
    assert_eq!(again(&chain, &claims, &case.anchors, NOW.plus(1001 * DAY)), Err(vec![Check::Chain]));
    assert_eq!(again(b"", &claims, &case.anchors, NOW), Err(vec![Check::Form]));
    let text = [b"text\n", chain.as_slice()].concat();
    assert_eq!(again(&text, &claims, &case.anchors, NOW), Err(vec![Check::Form]));

    let mut forged = Case::good();
    forged.leaf_signer = OTHER.clone();
    let (chain, claims) = forged.chain();
    assert_eq!(again(&chain, &claims, &case.anchors, NOW), Err(vec![Check::Chain]));
}

#[test]
fn a_presented_certificate_is_read_without_being_believed() {
    let mut certificate = leaf();
    certificate.set(alternative_names(&[dns("A.test"), ip(&[192, 0, 2, 7])]));
    let der = certificate.sign(&OTHER);
    let presented = PresentedCertificate::parse(&der).unwrap();
    assert_eq!(presented.sha256, <[u8; 32]>::from(Sha256::digest(&der)));
    assert_eq!(presented.spki_der, LEAF.spki());
    assert!(presented.names.iter().eq(&identifiers(&["a.test", "192.0.2.7"])));
    assert_eq!(presented.not_after, certificate.end);

    assert!(PresentedCertificate::parse(&[der.as_slice(), &[0]].concat()).is_err());
    assert!(PresentedCertificate::parse(&der[..der.len() - 1]).is_err());
    certificate.set(alternative_names(&[email("root@a.test")]));
    assert!(PresentedCertificate::parse(&certificate.sign(&OTHER)).is_err());
}

#[test]
fn a_certificate_is_called_by_its_issuers_key_and_its_serial() {
    let der = leaf().sign(&ISSUING);
    let id = CertificateId::of(&der).unwrap();
    let (authority, serial) = id.as_str().split_once('.').unwrap();
    assert_eq!(acme::base64url::decode(authority).unwrap(), ISSUING.id());
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert_eq!(acme::base64url::decode(serial).unwrap(), parsed.raw_serial());
    assert_eq!(CertificateId::of(&der[1..]), None);
}

#[test]
fn certificate_ids_have_two_forms() {
    // RFC 9773 section 4.1, and a fallback for certificates without a key identifier.
    let renewal = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";
    let digest = format!("sha256-{}", "0a".repeat(32));
    for text in [renewal, digest.as_str()] {
        let id = CertificateId::parse(text).unwrap();
        assert_eq!((id.as_str(), id.to_string().as_str()), (text, text));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("{text:?}"));
        assert_eq!(serde_json::from_str::<CertificateId>(&json).unwrap(), id);
    }
    let long = format!("{}.AIdlQyE", "a".repeat(100));
    let refused = [
        "",
        ".",
        "a.",
        ".a",
        "a.b.c",
        "a/../b.c",
        "aYhba4dGQEHhs3uEe6CuLN4ByNQ=.AIdlQyE=",
        "aYhba4dGQEHhs3uEe6CuLN4ByNQ",
        "a b.c",
        "ä.c",
        "a.c\n",
        "sha256-",
        "sha256-0a",
        &digest.to_uppercase(),
        &digest.replace("sha256", "sha512"),
        &digest.replace("0a", "0A"),
        &format!("{digest}0"),
        long.as_str(),
    ];
    for text in refused {
        assert_eq!(CertificateId::parse(text), Err(NotACertificateId), "{text:?}");
        assert!(serde_json::from_value::<CertificateId>(text.into()).is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_octets_are_no_chain(octets in prop::collection::vec(any::<u8>(), 0..2048)) {
        let case = Case::good();
        let claims = Claims { sha256: [0; 32], serial: String::new() };
        prop_assert_eq!(case.check_chain(&octets, &claims), Err(vec![Check::Form]));
        prop_assert_eq!(case.check_chain(pem("CERTIFICATE", &octets).as_bytes(), &claims), Err(vec![Check::Form]));
        prop_assert!(PresentedCertificate::parse(&octets).is_err());
    }

    /// Cut, doubled and inserted octets make no reader stumble.
    #[test]
    fn mangled_certificates_are_refused(
        from in any::<prop::sample::Index>(),
        length in 0..40_usize,
        inserted in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let der = leaf().sign(&ISSUING);
        let from = from.index(der.len());
        let to = (from + length).min(der.len());
        let mangled = [&der[..from], &inserted, &der[to..]].concat();
        prop_assume!(mangled != der);
        let case = Case::good();
        let (_, mut claims) = case.chain();
        claims.sha256 = Sha256::digest(&mangled).into();
        let chain = [pem("CERTIFICATE", &mangled), pem("CERTIFICATE", &case.issuers[0])].concat();
        prop_assert!(case.check_chain(chain.as_bytes(), &claims).is_err());
        let _ = PresentedCertificate::parse(&mangled);
    }

    /// A mangled chain, its PEM included, is refused or is the same chain still.
    #[test]
    fn mangled_pem_never_delivers_anything_else(
        place in any::<prop::sample::Index>(),
        octet in any::<u8>(),
    ) {
        let case = Case::good();
        let (chain, claims) = case.chain();
        let mut mangled = chain.clone();
        let place = place.index(mangled.len());
        mangled[place] = octet;
        if let Ok(checked) = case.check_chain(&mangled, &claims) {
            prop_assert_eq!(checked.chain_pem.as_bytes(), chain);
        }
    }
}
