//! What the gateway takes from a CM and what it does not: the checks of CM contract section 7,
//! one wrong certificate a row, each refused by the one check that is meant to see it.

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

type Row = (&'static str, Check, fn(&mut Case));

/// What a CM that errs or lies can send.
const WRONG: &[Row] = &[
    // V1: form
    ("nothing", Check::Form, |case| case.pem = |_| Vec::new()),
    ("no PEM at all", Check::Form, |case| case.pem = |_| b"OK".to_vec()),
    ("DER instead of PEM", Check::Form, |case| case.pem = |_| leaf().sign(&ISSUING)),
    ("an octet after the leaf's DER", Check::Form, |case| case.leaf_der = |der| [der, vec![0]].concat()),
    ("a leaf that is cut short", Check::Form, |case| case.leaf_der = |der| der[..der.len() - 1].to_vec()),
    ("an octet after an issuer's DER", Check::Form, |case| case.issuers[0].push(0)),
    ("a CSR in place of a certificate", Check::Form, |case| {
        case.leaf_der = |_| crate::made::Request::of(&LEAF).sign(&LEAF);
    }),
    ("version 1", Check::Form, |case| {
        case.leaf.version = None;
        case.leaf.extensions.clear();
    }),
    ("version 1 with extensions", Check::Form, |case| case.leaf.version = None),
    ("version 4", Check::Form, |case| case.leaf.version = Some(3)),
    ("an issuer of version 1", Check::Form, |case| {
        let mut issuer = issuing();
        issuer.version = None;
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("an extension twice", Check::Form, |case| case.leaf.extensions.push(subject_key_id(&OTHER.id()))),
    ("the names twice", Check::Form, |case| case.leaf.extensions.push(alternative_names(&[dns("evil.test")]))),
    ("basic constraints that cannot be read", Check::Form, |case| {
        case.leaf.set(Extension { oid: oids::BASIC_CONSTRAINTS, critical: true, value: vec![0x30, 0x03, 0x01, 0x01] });
    }),
    ("basic constraints with a TRUE that is not DER", Check::Form, |case| {
        let value = vec![0x30, 0x03, 0x01, 0x01, 0x01];
        case.leaf.set(Extension { oid: oids::BASIC_CONSTRAINTS, critical: true, value });
    }),
    ("octets after the names inside their extension", Check::Form, |case| {
        let mut names = alternative_names(&[dns("a.test"), dns("b.test")]);
        names.value.extend(dns("evil.test"));
        case.leaf.set(names);
    }),
    ("something after the extensions", Check::Form, |case| case.leaf.after_extensions = tlv(0x04, b"more")),
    ("something after the signature", Check::Form, |case| {
        case.leaf_der = |_| {
            let inside = leaf().sign(&ISSUING)[4..].to_vec();
            tlv(0x30, &[inside, tlv(0x04, b"more")].concat())
        };
    }),
    ("a length that is longer than need be", Check::Form, |case| {
        case.leaf_der = |der| [&[0x30, 0x83, 0x00], &der[2..]].concat();
    }),
    ("a length that is indefinite", Check::Form, |case| {
        case.leaf_der = |der| [&[0x30, 0x80], &der[4..], &[0, 0]].concat();
    }),
    ("six certificates", Check::Form, |case| {
        let one = case.issuers[0].clone();
        case.issuers = vec![one; 5];
    }),
    ("more than 64 KiB", Check::Form, |case| {
        let value = tlv(0x04, &vec![0; CHAIN_OCTETS_MAX]);
        case.leaf.set(Extension { oid: oids::PRIVATE, critical: false, value });
    }),
    ("a private key beside it", Check::Form, |case| {
        case.pem = |chain| [chain, pem("PRIVATE KEY", &[0x30, 0])].concat().into_bytes();
    }),
    ("a trusted certificate of OpenSSL", Check::Form, |case| {
        case.pem = |chain| chain.replace(" CERTIFICATE", " TRUSTED CERTIFICATE").into_bytes();
    }),
    ("a label that only begins right", Check::Form, |case| {
        case.pem = |chain| chain.replace("BEGIN CERTIFICATE-", "BEGIN CERTIFICATE-X-").into_bytes();
    }),
    ("a block that ends as another one", Check::Form, |case| {
        case.pem = |chain| chain.replace("END CERTIFICATE", "END PRIVATE KEY").into_bytes();
    }),
    ("a block without an end", Check::Form, |case| {
        case.pem = |chain| chain.trim_end().trim_end_matches("-----END CERTIFICATE-----").as_bytes().to_vec();
    }),
    ("text before the first block", Check::Form, |case| {
        case.pem = |chain| format!("subject=/CN=a.test\n{chain}").into_bytes();
    }),
    ("text between the blocks", Check::Form, |case| {
        case.pem = |chain| chain.replacen("E-----\n-----B", "E-----\nissuer=/CN=issuing\n-----B", 1).into_bytes();
    }),
    ("text after the last block", Check::Form, |case| case.pem = |chain| format!("{chain}the end").into_bytes()),
    ("a header inside a block", Check::Form, |case| {
        case.pem = |chain| chain.replacen("E-----\n", "E-----\nProc-Type: 4,ENCRYPTED\n", 1).into_bytes();
    }),
    ("octets that are no text", Check::Form, |case| {
        case.pem = |chain| [chain.as_bytes(), b"\xff\xfe\n"].concat();
    }),
    // V2: public key
    ("another key", Check::PublicKey, |case| case.leaf.spki = OTHER.spki()),
    ("the issuer's key", Check::PublicKey, |case| case.leaf.spki = ISSUING.spki()),
    // V3: names
    ("a name is missing", Check::Names, |case| case.leaf_names(&[dns("a.test")])),
    ("a name too many", Check::Names, |case| case.leaf_names(&[dns("a.test"), dns("b.test"), dns("c.test")])),
    ("another name", Check::Names, |case| case.leaf_names(&[dns("a.test"), dns("c.test")])),
    ("a wildcard in place of a name", Check::Names, |case| case.leaf_names(&[dns("a.test"), dns("*.test")])),
    ("a wildcard beside its base name", Check::Names, |case| {
        case.leaf_names(&[dns("a.test"), dns("b.test"), dns("*.b.test")]);
    }),
    ("a name in place of a wildcard", Check::Names, |case| case.identifiers = identifiers(&["a.test", "*.b.test"])),
    ("no names", Check::Names, |case| case.leaf.remove(oids::ALTERNATIVE_NAMES)),
    ("the only name as common name", Check::Names, |case| {
        case.identifiers = identifiers(&["a.test"]);
        case.leaf.remove(oids::ALTERNATIVE_NAMES);
        case.leaf.subject = name(&["a.test"]);
    }),
    ("a common name that is none of the names", Check::Names, |case| case.leaf.subject = name(&["c.test"])),
    ("a second common name that is none of the names", Check::Names, |case| {
        case.leaf.subject = name(&["a.test", "c.test"]);
    }),
    ("an e-mail address", Check::Names, |case| {
        case.leaf_names(&[dns("a.test"), dns("b.test"), email("root@a.test")]);
    }),
    ("a URI", Check::Names, |case| case.leaf_names(&[dns("a.test"), dns("b.test"), uri("https://a.test/")])),
    ("a directory name", Check::Names, |case| {
        case.leaf_names(&[dns("a.test"), dns("b.test"), tlv(0xa4, &name(&["a.test"]))]);
    }),
    ("a user principal name", Check::Names, |case| {
        let principal = [crate::made::oid("1.3.6.1.4.1.311.20.2.3"), tlv(0xa0, &tlv(0x0c, b"root@a.test"))].concat();
        case.leaf_names(&[dns("a.test"), dns("b.test"), tlv(0xa0, &principal)]);
    }),
    ("an address as dNSName", Check::Names, |case| {
        case.identifiers = identifiers(&["192.0.2.7"]);
        case.leaf_names(&[dns("192.0.2.7")]);
    }),
    ("an address inside a longer address", Check::Names, |case| {
        case.identifiers = identifiers(&["192.0.2.7"]);
        case.leaf_names(&[ip(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7])]);
    }),
    ("an address with its mask", Check::Names, |case| {
        case.identifiers = identifiers(&["192.0.2.7"]);
        case.leaf_names(&[ip(&[192, 0, 2, 7, 255, 255, 255, 255])]);
    }),
    ("a name with a zero octet", Check::Names, |case| case.leaf_names(&[dns("a.test"), dns("b.test\0.evil.test")])),
    ("a name with a final dot", Check::Names, |case| case.leaf_names(&[dns("a.test"), dns("b.test.")])),
    ("an integer among the names", Check::Form, |case| {
        case.leaf_names(&[dns("a.test"), dns("b.test"), tlv(0x02, b"b.test")]);
    }),
    // V4: chain
    ("an unknown root", Check::Chain, |case| {
        case.anchors = vec![ca("root", &OTHER, "root", &OTHER).sign(&OTHER)];
    }),
    ("an impostor of the root", Check::Chain, |case| {
        let impostor = ca("root", &OTHER, "root", &OTHER).sign(&OTHER);
        case.issuers = vec![ca("issuing", &ISSUING, "root", &OTHER).sign(&OTHER), impostor];
    }),
    ("no root at all", Check::Chain, |case| case.anchors.clear()),
    ("no intermediate", Check::Chain, |case| case.issuers.clear()),
    ("a leaf that somebody else signed", Check::Chain, |case| case.leaf_signer = OTHER.clone()),
    ("a leaf that signed itself", Check::Chain, |case| case.leaf_signer = LEAF.clone()),
    ("an intermediate that somebody else signed", Check::Chain, |case| {
        case.issuers = vec![issuing().sign(&OTHER)];
    }),
    ("an issuer of another name", Check::Chain, |case| case.leaf.issuer = name(&["issuing 2"])),
    ("an expired intermediate", Check::Chain, |case| {
        let mut issuer = issuing();
        issuer.end = NOW.minus(Duration::from_secs(1));
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("an intermediate that is not yet valid", Check::Chain, |case| {
        let mut issuer = issuing();
        issuer.start = NOW.plus(Duration::from_secs(1));
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("an expired root", Check::Chain, |case| {
        let mut expired = ca("root", &ROOT, "root", &ROOT);
        expired.end = NOW.minus(Duration::from_secs(1));
        case.anchors = vec![expired.sign(&ROOT)];
    }),
    ("one intermediate more than the path length", Check::Chain, |case| {
        let below = ca("below", &OTHER, "issuing", &ISSUING).sign(&ISSUING);
        case.issued_by("below", &OTHER, vec![below, issuing().sign(&ROOT)]);
    }),
    ("an intermediate that is no CA", Check::Chain, |case| {
        let mut issuer = issuing();
        issuer.set(basic_constraints(false, None));
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("an intermediate without basic constraints", Check::Chain, |case| {
        let mut issuer = issuing();
        issuer.remove(oids::BASIC_CONSTRAINTS);
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("an intermediate that may sign CRLs only", Check::Chain, |case| {
        let mut issuer = issuing();
        issuer.set(key_usage(usage::CRL_SIGN));
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("intermediates out of order", Check::Chain, |case| {
        let upper = ca("upper", &OTHER, "root", &ROOT).sign(&ROOT);
        let mut lower = ca("issuing", &ISSUING, "upper", &OTHER);
        lower.set(basic_constraints(true, Some(0)));
        case.issuers = vec![upper, lower.sign(&OTHER)];
    }),
    ("the leaf twice", Check::Chain, |case| case.issuers.insert(0, leaf().sign(&ISSUING))),
    ("a stranger after the root", Check::Chain, |case| {
        case.issuers.push(root());
        case.issuers.push(ca("elsewhere", &OTHER, "elsewhere", &OTHER).sign(&OTHER));
    }),
    ("an issuer with another key identifier than the leaf says", Check::Chain, |case| {
        let mut issuer = issuing();
        issuer.set(subject_key_id(&OTHER.id()));
        case.issuers = vec![issuer.sign(&ROOT)];
        case.issuer_key_ids = vec![ISSUING.id(), OTHER.id()];
    }),
    // V5: issuer
    ("an issuer of another profile", Check::Issuer, |case| case.issuer_key_ids = vec![OTHER.id()]),
    ("no word about the issuer", Check::Issuer, |case| case.leaf.remove(oids::AUTHORITY_KEY_ID)),
    ("an issuer that hides its key identifier", Check::Issuer, |case| {
        let mut hidden = ca("other", &OTHER, "root", &ROOT);
        hidden.remove(oids::SUBJECT_KEY_ID);
        case.issued_by("other", &OTHER, vec![hidden.sign(&ROOT)]);
        case.leaf.set(authority_key_id(&ISSUING.id()));
        case.issuer_key_ids = vec![ISSUING.id()];
    }),
    // V6: validity
    ("a start more than five minutes ahead", Check::Validity, |case| {
        case.leaf.start = NOW.plus(Duration::from_secs(301));
    }),
    ("an end in the past", Check::Validity, |case| case.leaf.end = NOW.minus(Duration::from_secs(1))),
    ("an end right now", Check::Validity, |case| case.leaf.end = NOW),
    ("an end before the start", Check::Validity, |case| {
        case.leaf.start = NOW.plus(Duration::from_secs(200));
        case.leaf.end = NOW.plus(Duration::from_secs(100));
    }),
    ("another start than was asked for", Check::Validity, |case| case.not_before = Some(NOW)),
    ("an end cut short", Check::Validity, |case| case.not_after = Some(NOW.plus(91 * DAY))),
    ("a later end than was asked for", Check::Validity, |case| {
        case.not_after = Some(NOW.plus(90 * DAY).minus(Duration::from_secs(1)));
    }),
    ("longer than the profile", Check::Validity, |case| case.validity_max = Some(89 * DAY)),
    // V7: usage
    ("a CA", Check::Usage, |case| case.leaf.set(basic_constraints(true, None))),
    ("a CA with path length zero", Check::Usage, |case| case.leaf.set(basic_constraints(true, Some(0)))),
    ("may sign certificates", Check::Usage, |case| {
        case.leaf.set(key_usage(usage::DIGITAL_SIGNATURE | usage::CERTIFICATE_SIGN));
    }),
    ("may sign CRLs", Check::Usage, |case| {
        case.leaf.set(key_usage(usage::DIGITAL_SIGNATURE | usage::CRL_SIGN));
    }),
    ("may sign OCSP answers", Check::Usage, |case| {
        case.leaf.set(extended_key_usage(&[oids::SERVER_AUTH, oids::OCSP_SIGNING]));
    }),
    ("for clients only", Check::Usage, |case| case.leaf.set(extended_key_usage(&[oids::CLIENT_AUTH]))),
    ("no extended key usage", Check::Usage, |case| case.leaf.remove(oids::EXTENDED_KEY_USAGE)),
    ("name constraints", Check::Usage, |case| case.leaf.set(name_constraints("test"))),
    ("a key usage that an EC key cannot have", Check::Usage, |case| {
        case.leaf.set(key_usage(usage::KEY_ENCIPHERMENT));
    }),
    ("a key usage that no server's RSA key has", Check::Usage, |case| {
        case.leaf_key(&RSA);
        case.leaf.set(key_usage(0x40)); // nonRepudiation
    }),
    // V8: serial
    ("serial zero", Check::Serial, |case| case.leaf.serial = vec![0]),
    ("a counted serial", Check::Serial, |case| case.leaf.serial = vec![0x01, 0xe2, 0x40]),
    ("a serial of six octets", Check::Serial, |case| case.leaf.serial = vec![0x5a; 6]),
    ("a negative serial", Check::Serial, |case| case.leaf.serial = vec![0x80; 16]),
    ("a serial of 21 octets", Check::Serial, |case| case.leaf.serial = vec![0x5a; 21]),
    // V9: algorithm
    ("SHA-1", Check::Algorithm, |case| case.leaf.digest = MessageDigest::sha1()),
    ("SHA-1 straight under the root", Check::Algorithm, |case| {
        case.issued_by("root", &ROOT, Vec::new());
        case.leaf.digest = MessageDigest::sha1();
    }),
    ("SHA-1 with RSA", Check::Algorithm, |case| {
        case.issued_by("rsa", &RSA, vec![ca("rsa", &RSA, "root", &ROOT).sign(&ROOT)]);
        case.leaf.digest = MessageDigest::sha1();
    }),
    ("SHA-1 on the intermediate", Check::Algorithm, |case| {
        let mut issuer = issuing();
        issuer.digest = MessageDigest::sha1();
        case.issuers = vec![issuer.sign(&ROOT)];
    }),
    ("a signature algorithm other than the signed one", Check::Algorithm, |case| {
        case.leaf.inner_algorithm = Some(ISSUING.algorithm(MessageDigest::sha384()));
    }),
    ("RSA of 1024 bits", Check::Algorithm, |case| case.leaf_key(&WEAK_RSA)),
    ("RSA of 2047 bits", Check::Algorithm, |case| {
        let mut modulus = vec![0x7f];
        modulus.extend([0xab; 255]);
        let key = crate::made::sequence(&[&tlv(0x02, &modulus), &tlv(0x02, &[1, 0, 1])]);
        let rsa = crate::made::sequence(&[&crate::made::oid("1.2.840.113549.1.1.1"), &[0x05, 0x00]]);
        case.leaf.spki = crate::made::sequence(&[&rsa, &crate::made::bit_string(&key)]);
        case.spki = case.leaf.spki.clone();
    }),
    ("an intermediate with RSA of 1024 bits", Check::Algorithm, |case| {
        case.issued_by("weak", &WEAK_RSA, vec![ca("weak", &WEAK_RSA, "root", &ROOT).sign(&ROOT)]);
    }),
    ("a curve that no profile takes", Check::Algorithm, |case| case.leaf_key(&Key::ec(Nid::SECP256K1))),
    // V10: must-staple
    ("must-staple is missing", Check::MustStaple, |case| case.must_staple = true),
    ("must-staple was not asked for", Check::MustStaple, |case| case.leaf.set(tls_feature(5))),
    ("another TLS feature than must-staple", Check::MustStaple, |case| {
        case.must_staple = true;
        case.leaf.set(tls_feature(17));
    }),
    // V11: claims
    ("another sha256 is claimed", Check::Claims, |case| case.claims = |claims| claims.sha256 = [0; 32]),
    ("another serial is claimed", Check::Claims, |case| case.claims = |claims| claims.serial = "5a".repeat(19)),
];

#[test]
fn every_wrong_certificate_is_refused_by_the_check_that_is_meant_for_it() {
    let mut missed = Vec::new();
    for (what, meant, spoil) in WRONG {
        let mut case = Case::good();
        spoil(&mut case);
        match case.check() {
            Err(failed) if failed == [*meant] => {}
            verdict => missed.push(format!("{what}: {meant:?} expected, {:?}", verdict.map(|_| "taken"))),
        }
    }
    assert!(missed.is_empty(), "{} of {}:\n{}", missed.len(), WRONG.len(), missed.join("\n"));
}

/// What is good about it, the certificates in its chain, and how it is made.
type Good = (&'static str, usize, fn(&mut Case));

const GOOD: &[Good] = &[
    ("leaf and intermediate", 2, |_| {}),
    ("with the root at the end", 3, |case| case.issuers.push(root())),
    ("straight under the root, which is added", 2, |case| case.issued_by("root", &ROOT, Vec::new())),
    ("straight under the root, which is sent along", 2, |case| case.issued_by("root", &ROOT, vec![root()])),
    ("two intermediates", 3, |case| {
        let upper = ca("upper", &OTHER, "root", &ROOT).sign(&ROOT);
        case.issuers = vec![ca("issuing", &ISSUING, "upper", &OTHER).sign(&OTHER), upper];
    }),
    ("a root that is cross-signed by an older one", 3, |case| {
        case.issuers.push(ca("root", &ROOT, "elsewhere", &OTHER).sign(&OTHER));
        case.anchors.pop();
    }),
    ("a self-issued intermediate does not count for the path length", 3, |case| {
        let renewed = ca("issuing", &ISSUING, "issuing", &OTHER).sign(&OTHER);
        let mut former = ca("issuing", &OTHER, "root", &ROOT);
        former.set(basic_constraints(true, Some(0)));
        case.issuers = vec![renewed, former.sign(&ROOT)];
    }),
    ("an RSA leaf", 2, |case| {
        case.leaf_key(&RSA);
        case.leaf.set(key_usage(usage::DIGITAL_SIGNATURE | usage::KEY_ENCIPHERMENT));
    }),
    ("an RSA issuer", 2, |case| {
        case.issued_by("rsa", &RSA, vec![ca("rsa", &RSA, "root", &ROOT).sign(&ROOT)]);
        case.leaf.digest = MessageDigest::sha512();
    }),
    ("a P-384 leaf", 2, |case| case.leaf_key(&Key::ec(Nid::SECP384R1))),
    ("a P-521 issuer with SHA-512", 2, |case| {
        let key = Key::ec(Nid::SECP521R1);
        case.issued_by("p521", &key, vec![ca("p521", &key, "root", &ROOT).sign(&ROOT)]);
        case.leaf.digest = MessageDigest::sha512();
    }),
    ("addresses", 2, |case| {
        case.identifiers = identifiers(&["2001:db8::7", "192.0.2.7", "a.test"]);
        let long = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        case.leaf_names(&[ip(&[192, 0, 2, 7]), ip(&long), dns("a.test")]);
    }),
    ("a wildcard", 2, |case| {
        case.identifiers = identifiers(&["*.a.test"]);
        case.leaf_names(&[dns("*.a.test")]);
    }),
    ("a name in upper case and twice", 2, |case| case.leaf_names(&[dns("A.test"), dns("B.TEST"), dns("a.test")])),
    ("one of the names as common name", 2, |case| case.leaf.subject = name(&["B.test"])),
    ("must-staple that was asked for", 2, |case| {
        case.must_staple = true;
        case.leaf.set(tls_feature(5));
    }),
    ("the validity that was asked for", 2, |case| {
        case.leaf.start = NOW;
        case.leaf.end = NOW.plus(7 * DAY);
        case.not_before = Some(NOW);
        case.not_after = Some(NOW.plus(7 * DAY));
    }),
    ("a start five minutes ahead", 2, |case| case.leaf.start = NOW.plus(Duration::from_secs(300))),
    ("a start that is dated back", 2, |case| case.leaf.start = NOW.minus(Duration::from_secs(3600))),
    ("no limit in the profile", 2, |case| {
        case.validity_max = None;
        case.leaf.end = NOW.plus(900 * DAY);
    }),
    ("a CM that does not say who issues", 2, |case| {
        case.issuer_key_ids.clear();
        case.leaf.remove(oids::AUTHORITY_KEY_ID);
    }),
    ("explicitly no CA", 2, |case| case.leaf.set(basic_constraints(false, None))),
    ("no key usage", 2, |case| case.leaf.remove(oids::KEY_USAGE)),
    ("for clients too", 2, |case| case.leaf.set(extended_key_usage(&[oids::CLIENT_AUTH, oids::SERVER_AUTH]))),
    ("an extension of the house", 2, |case| {
        case.leaf.set(Extension { oid: oids::PRIVATE, critical: false, value: b"not DER".to_vec() });
    }),
    ("64 random bits that begin with eight zeros", 2, |case| case.leaf.serial = vec![0x5a; 7]),
    ("64 random bits that begin with a one", 2, |case| case.leaf.serial = [vec![0], vec![0x9a; 8]].concat()),
    ("CRLF, blank lines and blanks at the end of lines", 2, |case| {
        case.pem = |chain| format!("\r\n{}\r\n \r\n", chain.replace('\n', " \r\n")).into_bytes();
    }),
    ("base64 in one line and no final LF", 2, |case| {
        case.pem = |chain| {
            let joined = chain.replace("-----\n", "-----|").replace('\n', "");
            joined.replace("-----|", "-----\n").replace("-----END", "\n-----END").trim_end().as_bytes().to_vec()
        };
    }),
];

#[test]
fn good_certificates_pass_and_are_written_anew() {
    for (what, certificates, make) in GOOD {
        let mut case = Case::good();
        make(&mut case);
        let (chain, claims) = case.chain();
        let checked = case.check_chain(&chain, &claims).unwrap_or_else(|failed| panic!("{what}: {failed:?}"));
        let sent: Vec<_> = X509::stack_from_pem(&chain).unwrap();
        let kept: Vec<_> = X509::stack_from_pem(checked.chain_pem.as_bytes()).unwrap();
        assert_eq!(kept.len(), *certificates, "{what}");
        let ders = |chain: &[X509]| chain.iter().map(|one| one.to_der().unwrap()).collect::<Vec<_>>();
        let (as_sent, added) = kept.split_at(sent.len());
        assert_eq!(ders(as_sent), ders(&sent), "{what}");
        assert!(ders(added).iter().all(|one| case.anchors.contains(one)), "{what}: only the root is ever added");
        let again = recheck(&chain, &claims, &case.anchors, NOW).unwrap();
        assert_eq!(again, checked.chain_pem, "{what}: it is the same when it is read again");
        assert_eq!(kept[0].public_key().unwrap().public_key_to_der().unwrap(), case.spki, "{what}");
        assert_strict_pem(&checked.chain_pem);
    }
}

/// RFC 7468 §3, `stricttextualmsg`.
fn assert_strict_pem(text: &str) {
    assert!(text.is_ascii() && text.ends_with("-----END CERTIFICATE-----\n") && !text.contains("\n\n"));
    let mut lines = text.split_terminator('\n').peekable();
    while let Some(begin) = lines.next() {
        assert_eq!(begin, "-----BEGIN CERTIFICATE-----");
        loop {
            let line = lines.next().unwrap();
            if line == "-----END CERTIFICATE-----" {
                break;
            }
            let last = lines.peek().is_some_and(|next| next.starts_with('-'));
            assert!(line.len() == 64 || (last && (1..64).contains(&line.len())), "{line:?}");
            assert!(line.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+/=".contains(&octet)), "{line:?}");
        }
    }
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
