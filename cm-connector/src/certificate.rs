//! Certificates as the CM tells of them (CM contract section 4.5). Whether one is what was asked
//! for is checked in `acme::certificate`.

use acme::{
    certificate::{CertificateId, Claims},
    identifier::Identifier,
    ids::{IssuerName, OrderId, ProfileName, RegistrationId},
    time::Timestamp,
};

/// A certificate of the CM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The CM's name of it.
    pub id: CertificateId,
    /// Whether it is good.
    pub status: CertificateStatus,
    /// Who it was issued to.
    pub registration: RegistrationId,
    /// Who signed it.
    pub issuer: IssuerName,
    /// What it was issued by, if the CM says so.
    pub profile: Option<ProfileName>,
    /// The order it was issued for; `None` if the CM names none, or one that we cannot have made.
    pub order_ref: Option<OrderId>,
    /// The names the CM says it carries.
    pub identifiers: Vec<Identifier>,
    /// Start of its validity.
    pub not_before: Timestamp,
    /// End of its validity.
    pub not_after: Timestamp,
    /// At least one chain, leaf first, root left out.
    pub chains: Vec<Chain>,
    /// What `acme::certificate::check` compares with the certificate itself.
    pub claims: Claims,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
    /// When and why it was revoked, if it was.
    pub revocation: Option<RevocationRecord>,
}

/// One way from the certificate to a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The CM's name of it.
    pub name: String,
    /// True for the one that clients get unless they ask for another.
    pub is_default: bool,
    /// The chain in PEM as the CM sent it, unchecked.
    pub pem: String,
}

/// Whether a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateStatus {
    /// In its validity and not revoked.
    Good,
    /// Revoked; also what an unknown word of the CM is taken for.
    Revoked,
    /// Suspended by an officer.
    Hold,
    /// Past its validity.
    Expired,
}

/// The CM's record of a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationRecord {
    /// When.
    pub at: Timestamp,
    /// Why, in the CM's words; officers have reasons that gateways do not.
    pub reason: String,
}

impl Certificate {
    /// The chain that clients get unless they ask for another.
    #[must_use]
    pub fn default_chain(&self) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.is_default).or_else(|| self.chains.first())
    }
}
