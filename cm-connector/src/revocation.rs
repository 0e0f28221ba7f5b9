//! Revocations (CM contract section 4.6).

use acme::{certificate::CertificateId, ids::RegistrationId, revocation::RevocationReason, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Client, Proof, Validation};

/// A revocation that the gateway has authorised. What goes to the CM are the octets that are made of it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Which certificate.
    pub certificate: CertificateId,
    /// SHA-256 of the certificate that the client presented.
    pub sha256: [u8; 32],
    /// Why.
    pub reason: RevocationReason,
    /// By what right.
    pub basis: Basis,
    /// Who asked.
    pub client: Client,
    /// The revokeCert JWS; `None` only for [`Basis::GatewayPolicy`].
    pub proof: Option<Proof>,
    /// True to bar the key from new certificates; taken by the CM only with `keyCompromise` proven
    /// by the key itself.
    pub block_key: bool,
}

/// By what right somebody revokes (RFC 8555 §7.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// It is their certificate.
    Account {
        /// Theirs.
        registration: RegistrationId,
    },
    /// They control all its names.
    Authorizations {
        /// Who they are.
        registration: RegistrationId,
        /// One entry an identifier.
        validations: Vec<Validation>,
    },
    /// They hold its key.
    CertificateKey,
    /// The gateway's own decision, such as a key that has become known.
    GatewayPolicy,
}

/// The CM has revoked it; OCSP says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// When.
    pub at: Timestamp,
}
