//! Which public keys are strong enough, as account keys (RFC 8555 §6.2, §11.1) and as the keys of
//! certificates.
//!
//! EC and Ed25519 keys have no parameters to get wrong; that a point lies on its curve is seen
//! where keys meet the crypto library. What can be weak about RSA is in `rsa.rs`.

use acme::{
    account_key::{Curve, PublicKey},
    profile::Profile,
    signature::SubjectKey,
};

pub use crate::key_weakness::KeyWeakness;
use crate::rsa;

/// Judges a key that would identify an account.
///
/// # Errors
/// [`KeyWeakness`] with the first rule the key breaks; report it as `badPublicKey`.
pub fn check_account_key(key: &PublicKey) -> Result<(), KeyWeakness> {
    match key {
        PublicKey::Rsa { n, e } => rsa::check(n, e),
        PublicKey::Ec { curve: Curve::P256 | Curve::P384 | Curve::P521, .. } | PublicKey::Ed25519 { .. } => Ok(()),
    }
}

/// Judges the key that a certificate is asked for: strong enough, and of a kind that the profile
/// takes. A profile of which the CM names no kinds takes every kind that is known here.
///
/// # Errors
/// [`KeyWeakness`] with the first rule the key breaks; report it as `badCSR`.
pub fn check_subject_key(key: &SubjectKey, profile: &Profile) -> Result<(), KeyWeakness> {
    if let SubjectKey::Rsa { n, e } = key {
        rsa::check(n, e)?;
    }
    let found = key_type(key);
    if profile.key_types.is_empty() || profile.key_types.contains(&found) {
        return Ok(());
    }
    Err(KeyWeakness::KeyType { found, profile: profile.name.clone(), taken: profile.key_types.clone() })
}

/// The kind of a key in the CM's words (CM contract section 4.2, `keyTypes`).
#[must_use]
pub fn key_type(key: &SubjectKey) -> String {
    match key {
        SubjectKey::Rsa { n, .. } => format!("RSA-{}", rsa::modulus_bits(n)),
        SubjectKey::Ec(Curve::P256) => String::from("EC-P256"),
        SubjectKey::Ec(Curve::P384) => String::from("EC-P384"),
        SubjectKey::Ec(Curve::P521) => String::from("EC-P521"),
        SubjectKey::Ed25519 => String::from("Ed25519"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rule::Rule, samples::profile};

    const EC: [SubjectKey; 3] = [SubjectKey::Ec(Curve::P256), SubjectKey::Ec(Curve::P384), SubjectKey::Ec(Curve::P521)];

    #[test]
    fn account_keys_of_every_curve_are_taken() {
        for curve in [Curve::P256, Curve::P384, Curve::P521] {
            let coordinate = vec![7; curve.coordinate_octets()];
            assert_eq!(check_account_key(&PublicKey::Ec { curve, x: coordinate.clone(), y: coordinate }), Ok(()));
        }
        assert_eq!(check_account_key(&PublicKey::Ed25519 { x: [7; 32] }), Ok(()));
    }

    #[test]
    fn weak_rsa_keys_are_refused_for_accounts_and_certificates() {
        let (n, e) = (vec![0xc5; 128], vec![1, 0, 1]);
        let account = PublicKey::Rsa { n: n.clone(), e: e.clone() };
        assert_eq!(check_account_key(&account), Err(KeyWeakness::RsaSize(1024)));
        assert_eq!(check_subject_key(&SubjectKey::Rsa { n, e }, &profile()), Err(KeyWeakness::RsaSize(1024)));
    }

    #[test]
    fn profiles_take_the_kinds_of_keys_that_they_list() {
        let taking =
            |words: &[&str]| Profile { key_types: words.iter().map(|word| String::from(*word)).collect(), ..profile() };
        let taken = |profile: &Profile| {
            EC.iter().chain([&SubjectKey::Ed25519]).filter(|key| check_subject_key(key, profile).is_ok()).count()
        };
        assert_eq!(taken(&taking(&["EC-P256", "EC-P384", "EC-P521", "Ed25519"])), 4);
        assert_eq!(taken(&taking(&["EC-P256"])), 1);
        assert_eq!(taken(&taking(&["EC", "ec-p256", "RSA-2048"])), 0);
        assert_eq!(taken(&taking(&[])), 4, "a CM that names no kinds takes all");
    }

    #[test]
    fn a_refusal_of_a_kind_says_what_the_profile_takes() {
        let refused = check_subject_key(&SubjectKey::Ed25519, &profile()).unwrap_err();
        assert_eq!(refused.rule(), Rule::ProfileKeyType);
        assert_eq!(
            refused.to_string(),
            "the profile tls-server takes no Ed25519 keys (rule profile.key-type); \
             make a key of one of the kinds EC-P256, EC-P384, RSA-2048, RSA-3072, RSA-4096"
        );
    }
}
