//! Challenges: how control of an identifier is proven (RFC 8555 §7.1.5, §8).
//!
//! A challenge keeps facts: whether the client has responded, and what came of it. The key
//! authorization is fixed when the response arrives (§8.3), so a later key change does not turn a
//! running validation into another one.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{account_key::Thumbprint, base64url, identifier::Identifier, problem::Problem, time::Timestamp};

/// A way to prove control of an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChallengeKind {
    /// A resource on the identifier's web server (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// A TXT record under the identifier (RFC 8555 §8.4).
    #[serde(rename = "dns-01")]
    Dns01,
}

impl ChallengeKind {
    /// All kinds, in the order in which they are offered.
    pub const ALL: [Self; 2] = [Self::Http01, Self::Dns01];

    /// The name in the registry of RFC 8555 §9.7.8.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
        }
    }

    /// Whether this kind can prove control of such an identifier at all: web servers prove nothing
    /// about a wildcard (BR 3.2.2.4.19), and the DNS nothing about an address (RFC 8738 §7).
    #[must_use]
    pub const fn can_prove(self, identifier: &Identifier) -> bool {
        match (self, identifier) {
            (Self::Http01, Identifier::Dns(_) | Identifier::Ip(_))
            | (Self::Dns01, Identifier::Dns(_) | Identifier::Wildcard(_)) => true,
            (Self::Http01, Identifier::Wildcard(_)) | (Self::Dns01, Identifier::Ip(_)) => false,
        }
    }
}

/// The random value of a challenge: 43 characters of base64url.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token(String);

impl Token {
    /// A token of 255 random bits. One bit is given up so that no token begins with a hyphen,
    /// which shell clients would read as an option.
    #[must_use]
    pub fn from_random(mut bits: [u8; 32]) -> Self {
        let [first, ..] = &mut bits;
        *first &= 0x7f;
        Self(base64url::encode(bits))
    }

    /// The token as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Token and account key thumbprint, joined by a dot (RFC 8555 §8.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAuthorization(String);

impl KeyAuthorization {
    /// Binds a challenge's token to the key of the account that responds to it.
    #[must_use]
    pub fn new(token: &Token, key: &Thumbprint) -> Self {
        Self(format!("{}.{key}", token.as_str()))
    }

    /// What an http-01 resource contains.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a dns-01 TXT record contains: the SHA-256 digest in base64url (RFC 8555 §8.4).
    #[must_use]
    pub fn dns_01_record(&self) -> String {
        base64url::encode(Sha256::digest(&self.0))
    }
}

/// What was seen when control was proven: the CM judges by it, and auditors read it
/// (CM contract section 4.4, `validations`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Which network location looked: `local` for this gateway.
    pub perspective: String,
    /// Address the check came from, as far as it is known.
    pub source: String,
    /// What it reached: `address:port`, or the name of the DNS record.
    pub target: String,
    /// When the proof was seen.
    pub at: Timestamp,
}

/// One challenge of an authorization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// How control is proven.
    pub kind: ChallengeKind,
    /// The random value to be shown.
    pub token: Token,
    /// What has happened to it.
    pub state: ChallengeState,
}

/// What has happened to a challenge (RFC 8555 §7.1.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChallengeState {
    /// The client has not responded.
    Pending,
    /// The client has responded; a validation job exists.
    Processing {
        /// What the validation looks for.
        key_authorization: KeyAuthorization,
        /// When the response arrived.
        since: Timestamp,
    },
    /// Control is proven.
    Valid {
        /// What was seen.
        evidence: Evidence,
    },
    /// The proof failed for good.
    Invalid {
        /// When the last attempt failed.
        at: Timestamp,
        /// Why, for the client.
        problem: Problem,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_never_begin_with_a_hyphen() {
        for first in 0..=255_u8 {
            let mut bits = [0xff; 32];
            bits[0] = first;
            let token = Token::from_random(bits);
            assert_eq!(token.as_str().len(), 43);
            assert!(!token.as_str().starts_with('-'));
        }
    }

    #[test]
    fn wildcards_are_proven_by_dns_and_addresses_by_http_only() {
        let wildcard = Identifier::parse_dns("*.a.test").unwrap();
        let address = Identifier::parse_ip("192.0.2.1").unwrap();
        assert!(!ChallengeKind::Http01.can_prove(&wildcard) && ChallengeKind::Dns01.can_prove(&wildcard));
        assert!(ChallengeKind::Http01.can_prove(&address) && !ChallengeKind::Dns01.can_prove(&address));
    }
}
