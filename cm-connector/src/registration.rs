//! Requests about registrations, and the client's own words that go with them as proof
//! (CM contract section 4.3).

use std::{fmt, net::IpAddr};

use acme::{account_key::PublicKey, ids::IdempotencyKey, registration::Registration, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::Binding;

/// A JWS as the client sent it: three base64url texts, octet for octet. Its `Debug` form shows
/// nothing, for it can carry an EAB MAC.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jws {
    /// The protected header.
    pub protected: String,
    /// The payload.
    pub payload: String,
    /// The signature or MAC.
    pub signature: String,
}

/// The client's signed request, forwarded so that the CM need not believe the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof(pub Jws);

/// Where a client's request came from, for the CM's audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its address.
    pub ip: IpAddr,
    /// Its `User-Agent`; the CM is sent the first 256 characters.
    pub user_agent: Option<String>,
}

/// A wish for a registration: what newAccount carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRegistration {
    /// The account key.
    pub key: PublicKey,
    /// Contact URIs, checked.
    pub contacts: Vec<String>,
    /// When the client agreed to the terms of service.
    pub terms_of_service_agreed_at: Option<Timestamp>,
    /// Who asks.
    pub client: Client,
    /// The newAccount JWS.
    pub proof: Proof,
    /// What it is bound by; nothing in open mode.
    pub binding: Option<Binding>,
    /// Makes a repeated creation harmless. Not sent with a binding, which is harmless by itself.
    pub idempotency_key: IdempotencyKey,
}

/// What a client changes in its account (RFC 8555 §7.3.2); what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegistrationUpdate {
    /// All of its contact URIs, checked.
    pub contacts: Option<Vec<String>>,
    /// When it agreed to the terms of service again.
    pub terms_of_service_agreed_at: Option<Timestamp>,
}

impl RegistrationUpdate {
    /// Whether a registration is as this update would have it.
    #[must_use]
    pub fn is_in(&self, registration: &Registration) -> bool {
        let agreed_at = self.terms_of_service_agreed_at;
        self.contacts.as_ref().is_none_or(|contacts| registration.contacts == *contacts)
            && (agreed_at.is_none() || registration.terms_of_service_agreed_at == agreed_at)
    }
}

/// A registration with this key exists now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// It.
    pub registration: Registration,
    /// False if it existed before (RFC 8555 §7.3: then the answer is 200).
    pub created: bool,
}

impl fmt::Debug for Jws {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[jws]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jws_does_not_show_when_it_is_printed() {
        let jws = Jws { protected: "secret".into(), payload: "secret".into(), signature: "secret".into() };
        assert_eq!(format!("{:?}", Proof(jws)), "Proof([jws])");
    }
}
