//! Certificates: those that clients present for revocation, and the chains that the CM returns.

use acme::{
    certificate::{Claims, Expectation, PresentedCertificate, check, recheck},
    time::Timestamp,
};

pub(crate) fn run(octets: &[u8]) {
    let now = Timestamp::from_unix_secs(1_800_000_000);
    let claims = Claims { sha256: [0; 32], serial: String::new() };
    if let Ok(presented) = PresentedCertificate::parse(octets) {
        assert!(!presented.spki_der.is_empty());
    }
    assert!(recheck(octets, &claims, &[], now).is_err(), "a chain without an anchor was taken");
    let expected = Expectation {
        spki_der: &[],
        identifiers: &[],
        not_before: None,
        not_after: None,
        validity_max: None,
        issuer_key_ids: &[],
        anchors: &[],
        must_staple: false,
        now,
    };
    assert!(check(octets, &expected, &claims).is_err(), "a chain without an anchor was taken");
}
