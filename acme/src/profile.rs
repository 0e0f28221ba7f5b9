//! Profiles: what the CM issues by (draft-ietf-acme-profiles; CM contract section 4.2).

use std::time::Duration;

use crate::{
    caa::CaaPolicy,
    challenge::ChallengeKind,
    ids::{IssuerName, ProfileName},
};

/// A way of issuing that the CM offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The CM's name for it, shown in the directory.
    pub name: ProfileName,
    /// For people; shown in the directory.
    pub description: String,
    /// True if orders that name no profile get this one.
    pub is_default: bool,
    /// The issuer that signs.
    pub issuer: IssuerName,
    /// Whether DNS names can be asked for.
    pub dns: bool,
    /// Whether IP addresses can be asked for.
    pub ip: bool,
    /// Whether wildcard names can be asked for.
    pub wildcards: bool,
    /// Most identifiers in one certificate.
    pub identifiers_max: usize,
    /// Kinds of subject keys, in the CM's words (`EC-P256`, `RSA-2048`, …).
    pub key_types: Vec<String>,
    /// Longest validity.
    pub validity_max: Option<Duration>,
    /// Whether the client may ask for its own `notBefore` and `notAfter`.
    pub client_may_choose_validity: bool,
    /// How long a person may take to approve; `None` if none is asked.
    pub approval_timeout: Option<Duration>,
    /// Whether certificates carry the TLS feature extension (must-staple).
    pub must_staple: MustStaple,
    /// Whether the CM wants CAA records to be looked at.
    pub caa: CaaPolicy,
    /// The ways to prove control that the CM accepts; `None` if it does not say.
    pub methods: Option<Vec<ChallengeKind>>,
    /// Whether the CM accepts a waiver in place of a proof (CM contract section 4.3); never unless it says so.
    pub waivers: bool,
    /// How old a proof of control may be when a certificate is asked for; `None` if the CM does not
    /// say.
    pub proof_age_max: Option<Duration>,
}

/// Whether certificates of a profile carry the TLS feature extension (RFC 7633).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MustStaple {
    /// Never, and a CSR may not ask for it.
    Never,
    /// If the CSR asks for it.
    IfRequested,
    /// Always, whatever the CSR asks for.
    Always,
}

impl Profile {
    /// Whether the CM accepts proofs of this kind.
    #[must_use]
    pub fn accepts(&self, kind: ChallengeKind) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(&kind))
    }
}

impl MustStaple {
    /// Whether the certificate has to carry the extension.
    #[must_use]
    pub const fn is_due(self, asked_for: bool) -> bool {
        match self {
            Self::Never => false,
            Self::IfRequested => asked_for,
            Self::Always => true,
        }
    }
}
