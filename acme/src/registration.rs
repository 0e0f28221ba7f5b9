//! Registrations: the CM's records of who may ask for what (CM contract section 4.3).
//!
//! An ACME account is the face of a registration to which an account key is bound. What is here
//! is what the CM said; what follows from it for a name is decided in the policies.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use crate::allowed_identifiers::{AllowedIdentifiers, IdentifierRule};
use crate::{
    account_key::Thumbprint,
    ids::{ProfileName, RegistrationId},
    time::Timestamp,
    waiver::Waiver,
};

/// The CM's record, as far as the gateway needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The CM's id; the account URL ends in it.
    pub id: RegistrationId,
    /// Counts changes; needed for conditional writes.
    pub version: u64,
    /// Whether it may be used.
    pub status: RegistrationStatus,
    /// The bound account key; `None` while pending.
    pub key: Option<AccountKeyRecord>,
    /// Whether it had another key before.
    pub had_key: bool,
    /// Contact URIs as the client gave them.
    pub contacts: Vec<String>,
    /// When the terms of service were agreed to.
    pub terms_of_service_agreed_at: Option<Timestamp>,
    /// The external account it was bound through.
    pub external_account: Option<String>,
    /// Names it may ask for.
    pub allowed_identifiers: AllowedIdentifiers,
    /// Profiles it may ask for; empty means the realm's default profile only.
    pub allowed_profiles: Vec<ProfileName>,
    /// Longest validity of its certificates, its parent's counted in; `None` if profiles alone limit it.
    pub validity_max: Option<Duration>,
    /// The registration that it came from. Its status and names are counted in already.
    pub parent: Option<Parent>,
    /// What the realm allows to anybody; `None` if the CM does not say.
    pub realm: Option<Arc<AllowedIdentifiers>>,
    /// Waivers of challenges that were in force when the CM was asked, its parent's among them.
    pub waivers: Vec<Waiver>,
}

/// A registration whose key bound another one: its policy applies too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Which one.
    pub id: RegistrationId,
    /// Profiles that its children may ask for; empty means the realm's default profile only.
    pub allowed_profiles: Vec<ProfileName>,
}

/// The account key of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountKeyRecord {
    /// The public key.
    pub key: crate::account_key::PublicKey,
    /// Its thumbprint, computed by us from the key.
    pub thumbprint: Thumbprint,
    /// Since when it has been bound, if the CM says so.
    pub since: Option<Timestamp>,
}

/// Whether a registration may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistrationStatus {
    /// Made by an officer, no key bound yet.
    Pending,
    /// In use.
    Active,
    /// Held by an officer; may come back. Also what an unknown word of the CM is taken for.
    Suspended,
    /// Given up by its client, for good.
    Deactivated,
    /// Ended by an officer, for good.
    Revoked,
}
