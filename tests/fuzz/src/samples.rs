//! What parsed values are judged against.

use std::time::Duration;

use acme::{
    account_key::PublicKey,
    caa::CaaPolicy,
    ids::{IssuerName, ProfileName},
    profile::{MustStaple, Profile},
};

/// A profile that allows much, so that little is refused before it was looked at.
pub(crate) fn profile() -> Option<Profile> {
    Some(Profile {
        name: ProfileName::parse("fuzz").ok()?,
        description: String::new(),
        is_default: true,
        issuer: IssuerName::parse("fuzz").ok()?,
        dns: true,
        ip: true,
        wildcards: true,
        identifiers_max: 100,
        key_types: ["EC-P256", "EC-P384", "EC-P521", "Ed25519", "RSA-2048", "RSA-3072", "RSA-4096"]
            .map(String::from)
            .to_vec(),
        validity_max: Some(Duration::from_secs(90 * 86_400)),
        client_may_choose_validity: true,
        approval_timeout: None,
        must_staple: MustStaple::IfRequested,
        caa: CaaPolicy::Optional,
        methods: None,
        waivers: false,
        proof_age_max: None,
    })
}

/// An account key: the Ed25519 key of RFC 8037, appendix A.2.
pub(crate) fn account_key() -> Option<PublicKey> {
    let jwk = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    PublicKey::from_jwk(jwk.as_object()?).ok()
}
