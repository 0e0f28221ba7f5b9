//! Values that several tests start from.

use std::time::Duration;

use acme::{
    caa::CaaPolicy,
    challenge::ChallengeKind,
    identifier::{DnsName, Identifier},
    ids::{IssuerName, ProfileName, RegistrationId},
    profile::{MustStaple, Profile},
    registration::{AllowedIdentifiers, IdentifierRule, Registration, RegistrationStatus},
};

/// An identifier; addresses are told by their look.
pub(crate) fn identifier(text: &str) -> Identifier {
    Identifier::parse_ip(text).or_else(|_| Identifier::parse_dns(text)).unwrap()
}

pub(crate) fn identifiers(texts: &[&str]) -> Vec<Identifier> {
    texts.iter().map(|text| identifier(text)).collect()
}

pub(crate) fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

pub(crate) fn suffix(text: &str) -> IdentifierRule {
    IdentifierRule::Suffix { name: name(text), wildcards: true }
}

/// The profile of CM contract section 4.2.
pub(crate) fn profile() -> Profile {
    Profile {
        name: ProfileName::parse("tls-server").unwrap(),
        description: String::from("TLS server, 90 days"),
        is_default: true,
        issuer: IssuerName::parse("issuing-1").unwrap(),
        dns: true,
        ip: true,
        wildcards: true,
        identifiers_max: 100,
        key_types: ["EC-P256", "EC-P384", "RSA-2048", "RSA-3072", "RSA-4096"].map(String::from).to_vec(),
        validity_max: Some(Duration::from_secs(90 * 86_400)),
        client_may_choose_validity: true,
        approval_timeout: None,
        must_staple: MustStaple::IfRequested,
        caa: CaaPolicy::Optional,
        methods: Some(vec![ChallengeKind::Http01, ChallengeKind::Dns01]),
        waivers: false,
        proof_age_max: Some(Duration::from_secs(8 * 86_400)),
    }
}

/// The registration of CM contract section 4.3.
pub(crate) fn registration() -> Registration {
    Registration {
        id: RegistrationId::parse("reg_01KANM3T9V5R8YFZ2Q6W4XH7CE").unwrap(),
        version: 2,
        status: RegistrationStatus::Active,
        key: None,
        had_key: false,
        contacts: Vec::new(),
        terms_of_service_agreed_at: None,
        external_account: None,
        allowed_identifiers: AllowedIdentifiers::Listed {
            rules: vec![
                suffix("example.com"),
                IdentifierRule::Exact(name("www.example.org")),
                IdentifierRule::Network { address: "192.0.2.0".parse().unwrap(), prefix_bits: 24 },
            ],
            exclude: vec![suffix("vpn.example.com")],
        },
        allowed_profiles: vec![ProfileName::parse("tls-server").unwrap()],
        validity_max: None,
        parent: None,
        realm: None,
        waivers: Vec::new(),
    }
}
