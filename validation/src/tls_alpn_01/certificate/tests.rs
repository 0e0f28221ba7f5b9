//! Certificates right and wrong, made with another library.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm,
};

use super::*;

const NUMBER: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 31];
const NUMBER_OF_DRAFTS: [u64; 10] = [1, 3, 6, 1, 5, 5, 7, 1, 30, 1];
const DIGEST: [u8; 32] = [7; 32];

fn acme_identifier(number: &[u64], value: &[u8], critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(number, value.to_vec());
    extension.set_criticality(critical);
    extension
}

fn good() -> CustomExtension {
    acme_identifier(&NUMBER, &[[4, 32].as_slice(), &DIGEST].concat(), true)
}

fn params(names: &[&str], extensions: Vec<CustomExtension>) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "a.test");
    params.custom_extensions = extensions;
    params
}

fn self_signed(params: &CertificateParams) -> Vec<u8> {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn checked(der: &[u8], identifier: &str) -> Result<(), Flaw> {
    let identifier = Identifier::parse_ip(identifier).or_else(|_| Identifier::parse_dns(identifier)).unwrap();
    check(der, &Expected { identifier: &identifier, digest: DIGEST })
}

#[test]
fn the_right_certificate_answers_whatever_its_key_and_dates() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let algorithm: &'static SignatureAlgorithm = algorithm;
        let mut params = params(&["A.test"], vec![good()]);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate_for(algorithm).unwrap()).unwrap();
        assert_eq!(checked(certificate.der(), "a.test"), Ok(()), "{algorithm:?}");
    }
    for address in ["192.0.2.7", "2001:db8::7"] {
        assert_eq!(checked(&self_signed(&params(&[address], vec![good()])), address), Ok(()));
    }
}

#[test]
fn each_flaw_is_named() {
    let short = acme_identifier(&NUMBER, &[[4, 31].as_slice(), &[7; 31]].concat(), true);
    let bare = acme_identifier(&NUMBER, &DIGEST, true);
    let long = acme_identifier(&NUMBER, &[[4, 32].as_slice(), &[7; 33]].concat(), true);
    let other = acme_identifier(&NUMBER, &[[4, 32].as_slice(), &[8; 32]].concat(), true);
    let lax = acme_identifier(&NUMBER, &[[4, 32].as_slice(), &DIGEST].concat(), false);
    let old = acme_identifier(&NUMBER_OF_DRAFTS, &[[4, 32].as_slice(), &DIGEST].concat(), true);
    let strange = acme_identifier(&[1, 3, 6, 1, 5, 5, 7, 1, 32], &[[4, 32].as_slice(), &DIGEST].concat(), true);
    let expected = || Flaw::Digest("07".repeat(32));
    let other_name = || Flaw::OtherName("a.test".to_owned());
    let table: [(&[&str], Vec<CustomExtension>, Flaw); 14] = [
        (&["a.test"], vec![], Flaw::NoAcmeIdentifier),
        (&["a.test"], vec![strange], Flaw::NoAcmeIdentifier),
        (&["a.test"], vec![old], Flaw::AcmeIdentifierOfDrafts),
        (&["a.test"], vec![lax], Flaw::NotCritical),
        (&["a.test"], vec![short], Flaw::DigestForm),
        (&["a.test"], vec![bare], Flaw::DigestForm),
        (&["a.test"], vec![long], Flaw::DigestForm),
        (&["a.test"], vec![other], expected()),
        (&["a.test"], vec![good(), good()], Flaw::ExtensionTwice),
        (&[], vec![good()], Flaw::NoName),
        (&["a.test", "b.test"], vec![good()], Flaw::Names(2)),
        (&["a.test", "192.0.2.7"], vec![good()], Flaw::Names(2)),
        (&["b.test"], vec![good()], other_name()),
        (&["192.0.2.7"], vec![good()], other_name()),
    ];
    for (names, extensions, flaw) in table {
        assert_eq!(checked(&self_signed(&params(names, extensions)), "a.test"), Err(flaw.clone()), "{flaw}");
    }
    let wildcard = self_signed(&params(&["*.test"], vec![good()]));
    assert_eq!(checked(&wildcard, "a.test"), Err(other_name()), "a wildcard is another name");
    let text = self_signed(&params(&["a.test"], vec![good()]));
    assert_eq!(checked(&text, "192.0.2.7"), Err(Flaw::OtherName("192.0.2.7".to_owned())));
}

#[test]
fn a_certificate_that_another_key_signed_is_no_answer() {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    for ca_name in ["CA", "a.test"] {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name = DistinguishedName::new();
        ca.distinguished_name.push(DnType::CommonName, ca_name);
        let issuer = Issuer::from_params(&ca, &ca_key);
        let certificate = params(&["a.test"], vec![good()]).signed_by(&key, &issuer).unwrap();
        assert_eq!(checked(certificate.der(), "a.test"), Err(Flaw::NotSelfSigned), "by {ca_name}");
    }
}

#[test]
fn octets_that_are_no_certificate_are_refused() {
    let good = self_signed(&params(&["a.test"], vec![good()]));
    assert_eq!(checked(&[], "a.test"), Err(Flaw::Form));
    assert_eq!(checked(good.get(..good.len() - 1).unwrap(), "a.test"), Err(Flaw::Form));
    assert_eq!(checked(&[good.as_slice(), &[0]].concat(), "a.test"), Err(Flaw::Form));
}
