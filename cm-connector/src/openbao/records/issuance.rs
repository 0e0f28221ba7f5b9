//! What was asked for and what came of it: requests, and what is known of certificates.

use acme::{
    certificate::CertificateId,
    ids::{IdempotencyKey, IssuerName, OrderId, ProfileName, RegistrationId},
    revocation::RevocationReason,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A certificate request, from before anything is signed until long after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// What became of it.
    pub state: State,
    /// SHA-256 of the octets that ask for it, in hex: other octets are another request.
    pub digest: String,
    /// Whose it is.
    pub registration: RegistrationId,
    /// The order that it is for.
    pub order_ref: OrderId,
    /// The profile, which is a role.
    pub profile: ProfileName,
    /// SHA-256 of the CSR, in hex.
    pub csr_sha256: String,
    /// SHA-256 of the CSR's SubjectPublicKeyInfo, in hex: by this the certificate is found again.
    pub spki_sha256: String,
    /// Its DNS names: what the list of certificates tells candidates by.
    pub dns_names: Vec<String>,
    /// Its addresses; `None` if an earlier release wrote the record.
    #[serde(default)]
    pub ip_addresses: Option<Vec<String>>,
    /// The end of validity that the sign asks for; `None` if the role decides.
    #[serde(default)]
    pub not_after: Option<Timestamp>,
    /// The issuer of the profile at that time.
    pub issuer: IssuerName,
    /// The certificate that this one takes the place of.
    #[serde(default)]
    pub replaces: Option<CertificateId>,
    /// Counts the times that a sign was sent. Raised before each of them.
    pub attempts: u32,
    /// The certificate, once it is known: its serial as OpenBao writes it.
    #[serde(default)]
    pub serial: Option<String>,
    /// What the gateway found when it looked at the certificate.
    #[serde(default)]
    pub delivery: Option<Value>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A sign was or will be sent; nobody knows yet what came of it.
    Intent,
    /// There is a certificate.
    Issued,
    /// It was certainly not signed: OpenBao refused, or was not reached. It may be tried again, and its order may have another request.
    Refused,
    /// It was withdrawn; nothing is signed for it any more.
    Cancelled,
}

/// Which request is an order's. Another one takes its place only if nothing was issued for this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its key.
    pub request: IdempotencyKey,
}

/// What is known of a certificate beside itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Who it was issued to.
    pub registration: RegistrationId,
    /// For which order.
    pub order_ref: OrderId,
    /// By which profile.
    pub profile: ProfileName,
    /// By which issuer.
    pub issuer: IssuerName,
    /// The order that takes its place, from before that is signed; its request tells whether it has.
    #[serde(default)]
    pub replaced_by: Option<OrderId>,
    /// Why it was revoked, written before it is: OpenBao keeps no reasons.
    #[serde(default)]
    pub revocation: Option<Revocation>,
}

/// Why a certificate was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// The key of the revocation: the same again is a repetition.
    pub request: IdempotencyKey,
    /// Why.
    pub reason: RevocationReason,
    /// By what right, in the contract's words.
    pub basis: String,
}

impl Revocation {
    /// The reason in the contract's words.
    #[must_use]
    pub fn reason_word(&self) -> String {
        let word = serde_json::to_value(self.reason).ok().and_then(|word| word.as_str().map(str::to_owned));
        word.unwrap_or_default()
    }
}

/// Which certificate has this SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Its serial as OpenBao writes it.
    pub serial: String,
}
