//! CSRs made with OpenSSL and rcgen, and what is said of each.

use std::sync::LazyLock;

use acme::account_key::Curve;
use openssl::{
    bn::{BigNum, BigNumContext},
    ec::{EcGroup, EcKey, PointConversionForm},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::X509ReqBuilder,
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
};

use super::*;
use crate::samples::{identifiers, profile};

static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().unwrap());
const ACCOUNT_KEY: PublicKey = PublicKey::Ed25519 { x: [7; 32] };

/// A CSR by [`KEY`] for alternative names (a comma between two) and common names.
fn request(alternative: &str, common: &[&str]) -> CertificateParams {
    let names: Vec<_> = alternative.split(',').filter(|name| !name.is_empty()).map(String::from).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for name in common {
        params.distinguished_name.push(DnType::CommonName, *name);
    }
    params
}

fn signed(params: &CertificateParams, key: &KeyPair) -> Csr {
    Csr::parse(params.serialize_request(key).unwrap().der()).unwrap()
}

#[test]
fn before_a_key_is_bound_everything_else_is_judged() {
    let csr = signed(&request("a.test", &[]), &KEY);
    assert_eq!(check_csr_before_binding(&csr, &identifiers(&["a.test"]), &profile()), Ok(()));
    let other = check_csr_before_binding(&csr, &identifiers(&["b.test"]), &profile()).unwrap_err();
    assert!(other.detail.contains("(rule csr.names)"), "{other:?}");
    let rsa_only = Profile { key_types: vec!["RSA-2048".into()], ..profile() };
    assert!(check_csr_before_binding(&csr, &identifiers(&["a.test"]), &rsa_only).is_err());
}

fn judged(csr: &Csr, ordered: &[&str], profile: &Profile, account_key: &PublicKey) -> Result<(), String> {
    check_csr(csr, &identifiers(ordered), profile, account_key).map_err(|problem| {
        assert_eq!(problem.kind, ProblemKind::BadCsr);
        assert!(problem.subproblems.is_empty());
        problem.detail.into_owned()
    })
}

fn judged_names(alternative: &str, common: &[&str], ordered: &[&str]) -> Result<(), String> {
    judged(&signed(&request(alternative, common), &KEY), ordered, &profile(), &ACCOUNT_KEY)
}

fn judged_request(params: &CertificateParams, profile: &Profile) -> Result<(), String> {
    judged(&signed(params, &KEY), &["a.test"], profile, &ACCOUNT_KEY)
}

#[test]
fn a_csr_with_exactly_the_names_of_the_order_is_taken() {
    let table: [(&str, &[&str], &[&str]); 9] = [
        ("a.test", &[], &["a.test"]),
        ("a.test", &["a.test"], &["a.test"]),
        ("A.Test,b.test,a.test", &["B.TEST"], &["b.test", "a.test"]),
        ("", &["a.test"], &["a.test"]),
        ("", &["*.a.test"], &["*.a.test"]),
        ("a.test", &["b.test"], &["a.test", "b.test"]),
        ("*.a.test,a.test", &["*.a.test"], &["a.test", "*.a.test"]),
        ("192.0.2.7,2001:db8::1,a.test", &[], &["a.test", "192.0.2.7", "2001:db8::1"]),
        ("192.0.2.7", &["192.0.2.7"], &["192.0.2.7"]),
    ];
    for (alternative, common, ordered) in table {
        assert_eq!(judged_names(alternative, common, ordered), Ok(()), "{alternative} {common:?}");
    }
}

#[test]
fn missing_and_extra_names_are_refused_and_listed() {
    let table: [(&str, &[&str], &[&str], &str); 6] = [
        ("a.test", &[], &["a.test", "b.test"], "it lacks b.test"),
        ("a.test,b.test", &[], &["a.test"], "the order does not have b.test"),
        ("a.test,c.test", &[], &["a.test", "*.a.test"], "it lacks *.a.test, and the order does not have c.test"),
        ("", &[], &["a.test"], "it lacks a.test"),
        ("", &["192.0.2.7"], &["192.0.2.7"], "it lacks 192.0.2.7"),
        ("::ffff:192.0.2.7", &[], &["192.0.2.7"], "it lacks 192.0.2.7, and the order does not have ::ffff:192.0.2.7"),
    ];
    for (alternative, common, ordered, difference) in table {
        let expected = format!(
            "the names of the CSR are not those of the order: {difference} (rule csr.names); \
             make a CSR with exactly the names of the order"
        );
        assert_eq!(judged_names(alternative, common, ordered), Err(expected));
    }
}

#[test]
fn a_long_list_of_differences_stays_below_one_kibibyte() {
    let long = |letter: &str| {
        let label = letter.repeat(60);
        (10..30).map(|number| format!("{label}.{label}.{label}.{number}.test")).collect::<Vec<_>>()
    };
    let (asked, ordered) = (long("a"), long("b"));
    let ordered: Vec<_> = ordered.iter().map(String::as_str).collect();
    let detail = judged_names(&asked.join(","), &[], &ordered).unwrap_err();
    assert!(detail.len() < 1024 && detail.contains(" more"), "{detail}");
}

#[test]
fn a_common_name_that_is_not_ordered_is_refused_by_name() {
    let long = format!("{}.{}.test", "a".repeat(40), "b".repeat(40));
    let table: [(&str, &str); 6] = [
        ("b.test", "the common name b.test is not a name of the order (rule csr.common-name-not-ordered); "),
        ("192.0.2.7", "the common name 192.0.2.7 is not a name of the order (rule csr.common-name-not-ordered); "),
        (
            "My \"device\"",
            "the common name 'My ?device?' is neither a DNS name nor an IP address (rule csr.common-name-free-text); ",
        ),
        (
            "a.test.",
            "the common name 'a.test.' is neither a DNS name nor an IP address (rule csr.common-name-free-text); ",
        ),
        ("", "the common name '' is neither a DNS name nor an IP address (rule csr.common-name-free-text); "),
        (&long, "the common name is longer than 64 characters (rule csr.common-name-too-long); "),
    ];
    for (common, what) in table {
        let detail = judged_names("a.test", &[common], &["a.test"]).unwrap_err();
        assert_eq!(detail, format!("{what}leave the common name out, or use a name of the order"));
    }
    assert!(judged_names(&long, &[&long], &[&long]).is_err(), "longer than 64 characters, though ordered");
}

#[test]
fn every_common_name_has_to_be_ordered() {
    let by_openssl = |common: &[&str]| {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut subject = openssl::x509::X509NameBuilder::new().unwrap();
        for name in common {
            subject.append_entry_by_text("CN", name).unwrap();
        }
        let csr = signed_by_openssl(&key, Some(&subject.build()));
        judged(&csr, &["a.test", "b.test"], &profile(), &ACCOUNT_KEY)
    };
    assert_eq!(by_openssl(&["a.test", "b.test"]), Ok(()));
    assert!(by_openssl(&["a.test", "b.test", "c.test"]).unwrap_err().contains("(rule csr.common-name-not-ordered)"));
}

#[test]
fn harmless_extensions_are_taken() {
    let mut params = request("a.test", &[]);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.is_ca = IsCa::ExplicitNoCa;
    assert_eq!(judged_request(&params, &profile()), Ok(()));
    params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 14], vec![4, 1, 7])];
    assert_eq!(judged_request(&params, &profile()), Ok(()), "subject key identifier");
}

#[test]
fn what_only_a_ca_has_is_refused() {
    let mut params = request("a.test", &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert!(judged_request(&params, &profile()).unwrap_err().contains("(rule csr.of-ca)"));
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let mut params = request("a.test", &[]);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, usage];
        assert!(judged_request(&params, &profile()).unwrap_err().contains("(rule csr.of-ca)"));
    }
}

#[test]
fn extensions_that_would_change_the_meaning_are_refused() {
    let name_constraints = [0x30, 0x0c, 0xa0, 0x0a, 0x30, 0x08, 0x82, 0x06, b'a', b'.', b't', b'e', b's', b't'];
    let any_policy = [0x30, 0x08, 0x30, 0x06, 0x06, 0x04, 0x55, 0x1d, 0x20, 0x00];
    let table: [(&[u64], &[u8], &str); 3] = [
        (&[2, 5, 29, 30], &name_constraints, "2.5.29.30"),
        (&[2, 5, 29, 32], &any_policy, "2.5.29.32"),
        (&[1, 3, 6, 1, 4, 1, 99999, 1], &[5, 0], "1.3.6.1.4.1.99999.1"),
    ];
    for (oid, content, text) in table {
        let mut params = request("a.test", &[]);
        params.custom_extensions = vec![CustomExtension::from_oid_content(oid, content.to_vec())];
        let detail = judged_request(&params, &profile()).unwrap_err();
        assert!(detail.contains(text) && detail.contains("(rule csr.extension)"), "{detail}");
    }
}

#[test]
fn must_staple_needs_a_profile_that_allows_it() {
    let mut params = request("a.test", &[]);
    let status_request = vec![0x30, 3, 2, 1, 5];
    params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], status_request)];
    assert_eq!(judged_request(&params, &profile()), Ok(()));
    let always = Profile { must_staple: MustStaple::Always, ..profile() };
    assert_eq!(judged_request(&params, &always), Ok(()));
    let without = Profile { must_staple: MustStaple::Never, ..profile() };
    assert!(judged_request(&params, &without).unwrap_err().contains("(rule csr.must-staple)"));
}

#[test]
fn the_kind_and_strength_of_the_key_are_judged() {
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let csr = signed(&request("a.test", &[]), &ed25519);
    assert!(judged(&csr, &["a.test"], &profile(), &ACCOUNT_KEY).unwrap_err().contains("(rule profile.key-type)"));
    let three = BigNum::from_u32(3).unwrap();
    let key = PKey::from_rsa(Rsa::generate_with_e(2048, &three).unwrap()).unwrap();
    let detail = judged(&signed_by_openssl(&key, None), &[], &profile(), &ACCOUNT_KEY).unwrap_err();
    assert!(detail.contains("(rule key.rsa-exponent)"), "{detail}");
}

fn signed_by_openssl(key: &PKey<Private>, subject: Option<&openssl::x509::X509NameRef>) -> Csr {
    let mut builder = X509ReqBuilder::new().unwrap();
    builder.set_pubkey(key).unwrap();
    if let Some(subject) = subject {
        builder.set_subject_name(subject).unwrap();
    }
    builder.sign(key, MessageDigest::sha256()).unwrap();
    Csr::parse(&builder.build().to_der().unwrap()).unwrap()
}

fn is_refused_as_account_key(csr: &Csr, account_key: &PublicKey) -> bool {
    let taking_all = Profile { key_types: Vec::new(), ..profile() };
    match judged(csr, &["a.test"], &taking_all, account_key) {
        Ok(()) => false,
        Err(detail) => detail.contains("(rule csr.account-key)"),
    }
}

#[test]
fn the_account_key_is_refused_whatever_its_kind() {
    let one_of_each = || {
        [
            KeyPair::generate().unwrap(),
            KeyPair::generate_for(&PKCS_ED25519).unwrap(),
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
        ]
    };
    let (keys, strangers) = (one_of_each(), one_of_each());
    let as_account_key = |key: &KeyPair| {
        let raw = key.public_key_raw();
        if key.is_compatible(&PKCS_ED25519) {
            PublicKey::Ed25519 { x: raw.try_into().unwrap() }
        } else if key.is_compatible(&PKCS_RSA_SHA256) {
            let rsa = Rsa::public_key_from_der_pkcs1(raw).unwrap();
            PublicKey::Rsa { n: rsa.n().to_vec(), e: rsa.e().to_vec() }
        } else {
            PublicKey::Ec { curve: Curve::P256, x: raw[1..33].to_vec(), y: raw[33..].to_vec() }
        }
    };
    for (index, key) in keys.iter().enumerate() {
        let csr = signed(&request("a.test", &[]), key);
        for (other_index, other) in keys.iter().enumerate() {
            let account_key = as_account_key(other);
            assert_eq!(is_refused_as_account_key(&csr, &account_key), index == other_index);
            assert_eq!(csr.spki_der() == account_key.to_spki_der(), index == other_index);
        }
        for stranger in &strangers {
            assert!(!is_refused_as_account_key(&csr, &as_account_key(stranger)));
        }
    }
}

#[test]
fn the_modulus_of_the_account_key_is_refused_under_another_exponent_too() {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let n = key.rsa().unwrap().n().to_vec();
    let csr = signed_by_openssl(&key, None);
    assert!(is_refused_as_account_key(&csr, &PublicKey::Rsa { n, e: vec![1, 0, 3] }));
}

#[test]
fn the_account_key_is_refused_as_a_compressed_point_too() {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    for _ in 0..4 {
        let made = EcKey::generate(&group).unwrap();
        let (mut x, mut y) = (BigNum::new().unwrap(), BigNum::new().unwrap());
        let mut context = BigNumContext::new().unwrap();
        made.public_key().affine_coordinates(&group, &mut x, &mut y, &mut context).unwrap();
        let account_key =
            PublicKey::Ec { curve: Curve::P256, x: x.to_vec_padded(32).unwrap(), y: y.to_vec_padded(32).unwrap() };
        let point = made.public_key().to_bytes(&group, PointConversionForm::COMPRESSED, &mut context).unwrap();
        let csr = signed_with_point(&PKey::from_ec_key(made).unwrap(), &point);
        assert_ne!(csr.spki_der(), account_key.to_spki_der());
        assert!(is_refused_as_account_key(&csr, &account_key));
    }
}

/// A CSR whose public key is written as this point; libraries of today write it uncompressed.
fn signed_with_point(key: &PKey<Private>, point: &[u8]) -> Csr {
    let sequence = |parts: &[&[u8]]| {
        let content = parts.concat();
        let octets = u8::try_from(content.len()).unwrap();
        let length = if octets < 0x80 { vec![octets] } else { vec![0x81, octets] };
        [[0x30].as_slice(), &length, &content].concat()
    };
    let bit_string = |octets: &[u8]| [&[3, u8::try_from(octets.len() + 1).unwrap(), 0], octets].concat();
    let algorithm = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    let ecdsa_with_sha256 = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
    let spki = sequence(&[algorithm, &bit_string(point)]);
    let info = sequence(&[&[2, 1, 0], &[0x30, 0], &spki, &[0xa0, 0]]);
    let signature =
        openssl::sign::Signer::new(MessageDigest::sha256(), key).unwrap().sign_oneshot_to_vec(&info).unwrap();
    Csr::parse(&sequence(&[&info, ecdsa_with_sha256, &bit_string(&signature)])).unwrap()
}
