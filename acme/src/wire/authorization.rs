//! Authorizations and challenges (RFC 8555 §7.1.4, §7.5, §8).

use serde::{Deserialize, Serialize};

use super::{order::IdentifierText, problem::Problem};
use crate::{authorization::AuthorizationStatus, identifier::Identifier, time::Timestamp};

/// Payload of newAuthz (RFC 8555 §7.4.1).
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "the member of RFC 8555 section 7.4.1")]
pub struct NewAuthorization {
    pub identifier: IdentifierText,
}

/// Payload of an authorization update: only giving it up is possible (RFC 8555 §7.5.2).
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "the member of RFC 8555 section 7.5.2")]
pub struct AuthorizationUpdate {
    pub status: String,
}

/// Payload of a response to a challenge: an object, whose members do not matter for the kinds
/// that are offered (RFC 8555 §7.5.1).
#[derive(Debug, Deserialize)]
pub struct ChallengeResponse {}

/// An authorization object.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the members of RFC 8555 section 7.1.4")]
pub struct Authorization {
    pub status: AuthorizationStatus,
    pub expires: Timestamp,
    pub identifier: Identifier,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub wildcard: bool,
    pub challenges: Vec<Challenge>,
}

/// A challenge object. `error` comes last: clients that read JSON with line tools want it so.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the members of RFC 8555 section 7.1.5 and of dns-persist-01")]
pub struct Challenge {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub url: String,
    pub status: ChallengeStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(rename = "issuer-domain-names", skip_serializing_if = "Vec::is_empty")]
    pub issuer_domain_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounturi: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validated: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

/// The status words of RFC 8555 §7.1.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of RFC 8555 section 7.1.6")]
pub enum ChallengeStatus {
    Pending,
    Processing,
    Valid,
    Invalid,
}
