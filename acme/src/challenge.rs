//! Challenges: how control of an identifier is proven (RFC 8555 §7.1.5, §8).
//!
//! A challenge keeps facts: whether the client has responded, and what came of it. The key
//! authorization is fixed when the response arrives (§8.3), so a later key change does not turn a
//! running validation into another one.

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use crate::challenge_kind::ChallengeKind;
use crate::{
    account_key::Thumbprint, base64url, caa::CaaEvidence, identifier::Identifier, problem::Problem, time::Timestamp,
    waiver::Waived,
};

/// Most names of issuers in a dns-persist-01 challenge.
const ISSUER_DOMAIN_NAMES_MAX: usize = 10;

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
        base64url::encode(self.digest())
    }

    /// What a tls-alpn-01 certificate carries: the SHA-256 digest (RFC 8737 §3).
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

/// The label under which an account keeps its dns-account-01 records: made of the first ten octets of
/// the SHA-256 digest of its URL (draft-ietf-acme-dns-account-label §3.2).
#[must_use]
pub fn account_label(account_url: &str) -> String {
    let digest = Sha256::digest(account_url);
    let first: Vec<u8> = digest.iter().copied().take(10).collect();
    format!("_{}", BASE32_NOPAD.encode(&first).to_ascii_lowercase())
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
    /// What the CAA records said then, if they were looked at and permit issuance (RFC 8659).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caa: Option<CaaEvidence>,
    /// The last moment at which a new order may rest on it, if what was seen says so: records that stay are good for
    /// their time to live and no longer (BR 3.2.2.4.22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reusable_until: Option<Timestamp>,
}

/// One challenge of an authorization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// How control is proven.
    pub kind: ChallengeKind,
    /// The random value to be shown. Nobody is told that of dns-persist-01.
    pub token: Token,
    /// Names of the issuer of which a dns-persist-01 record has to bear one, as they were offered;
    /// none for other kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuer_domain_names: Vec<String>,
    /// What has happened to it.
    pub state: ChallengeState,
}

impl Challenge {
    /// A challenge that the client has not responded to, of a kind that has a token.
    #[must_use]
    pub const fn new(kind: ChallengeKind, token: Token) -> Self {
        Self { kind, token, issuer_domain_names: Vec::new(), state: ChallengeState::Pending }
    }
}

/// The challenges of a new authorization: those of `kinds` that can prove the identifier, all with
/// one token, and the ones that show no token at the end.
#[must_use]
pub fn offer(
    kinds: &[ChallengeKind],
    identifier: &Identifier,
    token: &Token,
    issuer_domain_names: &[String],
) -> Vec<Challenge> {
    let names: Vec<_> = issuer_domain_names.iter().take(ISSUER_DOMAIN_NAMES_MAX).cloned().collect();
    let provable = || kinds.iter().copied().filter(|kind| kind.can_prove(identifier));
    let with_token = provable().filter(|kind| kind.has_token()).map(|kind| Challenge::new(kind, token.clone()));
    // A record that names no issuer cannot exist.
    let without = provable().filter(|kind| !kind.has_token() && !names.is_empty());
    let without =
        without.map(|kind| Challenge { issuer_domain_names: names.clone(), ..Challenge::new(kind, token.clone()) });
    with_token.chain(without).collect()
}

/// The challenge of an authorization whose proof is waived: clients expect one, and there is nothing to do about it
/// (RFC 8555 §7.1.3). Of a kind that is on offer, as far as any can prove such an identifier.
#[must_use]
pub fn waived(
    kinds: &[ChallengeKind],
    identifier: &Identifier,
    token: Token,
    at: Timestamp,
    waived: Waived,
) -> Challenge {
    let fits = |kind: &ChallengeKind| kind.has_token() && kind.can_prove(identifier);
    let otherwise = if identifier.is_wildcard() { ChallengeKind::Dns01 } else { ChallengeKind::Http01 };
    let kind = kinds.iter().copied().find(fits).unwrap_or(otherwise);
    Challenge { state: ChallengeState::Waived { at, waived }, ..Challenge::new(kind, token) }
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
    /// Control need not be proven, because an officer's waiver says so. Clients see a valid challenge.
    Waived {
        /// When the client showed what the waiver asks for.
        at: Timestamp,
        /// By whom, why, and what it showed.
        waived: Waived,
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
    fn challenges_without_a_token_come_last_and_only_if_the_issuer_has_a_name() {
        let kinds = [ChallengeKind::DnsPersist01, ChallengeKind::Dns01, ChallengeKind::Http01];
        let name = Identifier::parse_dns("a.test").unwrap();
        let names = [String::from("ca.example.net")];
        let offered = |names: &[String]| offer(&kinds, &name, &Token::from_random([7; 32]), names);
        let kinds_of = |offered: &[Challenge]| -> Vec<_> { offered.iter().map(|challenge| challenge.kind).collect() };
        let all = offered(&names);
        assert_eq!(kinds_of(&all), [ChallengeKind::Dns01, ChallengeKind::Http01, ChallengeKind::DnsPersist01]);
        assert_eq!(all[2].issuer_domain_names, names);
        assert!(all[0].issuer_domain_names.is_empty());
        assert_eq!(kinds_of(&offered(&[])), [ChallengeKind::Dns01, ChallengeKind::Http01]);
    }

    #[test]
    fn a_waived_challenge_is_of_a_kind_on_offer_and_of_one_that_fits_the_identifier() {
        let of = |kinds: &[ChallengeKind], name: &str| {
            let identifier = Identifier::parse_ip(name).or_else(|_| Identifier::parse_dns(name)).unwrap();
            let by = Waived {
                waiver: "wav_1".parse().unwrap(),
                proposed_by: String::from("anna"),
                decided_by: String::from("bert"),
                reason: String::from("no port 80"),
                address: "192.0.2.44".parse().unwrap(),
                client_certificate: None,
            };
            waived(kinds, &identifier, Token::from_random([7; 32]), Timestamp::from_unix_secs(1), by).kind
        };
        use ChallengeKind::{Dns01, DnsPersist01, Http01, TlsAlpn01};
        assert_eq!(of(&[TlsAlpn01, Dns01], "a.test"), TlsAlpn01);
        assert_eq!(of(&[DnsPersist01, Dns01, Http01], "a.test"), Dns01, "one with a token");
        assert_eq!(of(&[Http01, Dns01], "*.a.test"), Dns01);
        assert_eq!(of(&[Http01], "*.a.test"), Dns01, "none on offer fits");
        assert_eq!(of(&[Dns01], "192.0.2.7"), Http01, "none on offer fits");
    }

    #[test]
    fn the_label_of_an_account_is_that_of_the_drafts_example() {
        assert_eq!(account_label("https://example.com/acme/acct/ExampleAccount"), "_ujmmovf2vn55tgye");
    }
}
