//! Profiles: what the CM issues by (draft-ietf-acme-profiles; CM contract section 4.2).

use std::time::Duration;

use crate::ids::{IssuerName, ProfileName};

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
    /// Whether certificates may carry the TLS feature extension (must-staple).
    pub must_staple_allowed: bool,
}
