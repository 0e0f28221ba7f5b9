//! The CM itself and its issuers (CM contract sections 4.1 and 4.2).

use std::collections::BTreeSet;

use acme::{
    ids::{IssuerName, RealmName},
    time::Timestamp,
};

/// Who we are to the CM, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Our name, from our certificate: `urn:cm:gateway:…`.
    pub name: String,
    /// What we may act as.
    pub roles: BTreeSet<String>,
    /// Where.
    pub realms: BTreeSet<RealmName>,
    /// The CM's clock when it answered; its difference from ours is the skew.
    pub time: Timestamp,
    /// What the CM can do, in the words of the contract (`eab-verify`, `delivery`, …).
    pub capabilities: BTreeSet<String>,
    /// Product and version, for the log.
    pub product: String,
}

/// What a CM may lack, and the gateway does without (CM contract section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// It says when certificates should be renewed.
    RenewalInfo,
    /// Its registrations may have waivers of challenges.
    Waivers,
    /// A directory URL can bind to a registration.
    DirectoryLinks,
    /// It says what a realm allows to anybody.
    RealmPolicy,
}

impl Capability {
    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RenewalInfo => "renewal-info",
            Self::Waivers => "waivers",
            Self::DirectoryLinks => "directory-links",
            Self::RealmPolicy => "realm-policy",
        }
    }
}

/// One of the CM's issuers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The CM's name of it.
    pub name: IssuerName,
    /// False if it is retired, offline, or something we do not know.
    pub is_active: bool,
    /// End of its certificate's validity.
    pub not_after: Timestamp,
    /// Its key identifier, as certificates name their issuer (V5 of CM contract section 7).
    pub subject_key_id: Option<Vec<u8>>,
    /// The domain names that CAA records permit it by (RFC 8659 §4.2).
    pub caa_identities: Vec<String>,
}
