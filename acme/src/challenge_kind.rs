//! The kinds of challenge: by what control of an identifier can be proven, and of which (RFC 8555 §8).

use serde::{Deserialize, Serialize};

use crate::identifier::Identifier;

/// Longest DNS name without its final dot, in octets (RFC 1035 §2.3.4).
const NAME_OCTETS_MAX: usize = 253;

/// A way to prove control of an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChallengeKind {
    /// A resource on the identifier's web server (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// A TXT record under the identifier (RFC 8555 §8.4).
    #[serde(rename = "dns-01")]
    Dns01,
    /// A certificate made for the challenge, shown in a TLS handshake (RFC 8737; RFC 8738 §6 for
    /// addresses).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// As dns-01, under a label of the account's own (draft-ietf-acme-dns-account-label).
    #[serde(rename = "dns-account-01")]
    DnsAccount01,
    /// A TXT record that stays and names issuer and account (draft-ietf-acme-dns-persist).
    #[serde(rename = "dns-persist-01")]
    DnsPersist01,
}

impl ChallengeKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Http01, Self::Dns01, Self::TlsAlpn01, Self::DnsAccount01, Self::DnsPersist01];

    /// The name in the registry of RFC 8555 §9.7.8.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::DnsAccount01 => "dns-account-01",
            Self::DnsPersist01 => "dns-persist-01",
        }
    }

    /// Whether a client is shown a token. Some clients expect one in every challenge that they
    /// walk over, so those without come last in an authorization.
    #[must_use]
    pub const fn has_token(self) -> bool {
        match self {
            Self::Http01 | Self::Dns01 | Self::TlsAlpn01 | Self::DnsAccount01 => true,
            Self::DnsPersist01 => false,
        }
    }

    /// Whether this kind can prove control of such an identifier at all: servers prove nothing
    /// about a wildcard (BR 3.2.2.4.19 and 20), the DNS nothing about an address (RFC 8738 §7), and
    /// the name of the record must be a name too.
    #[must_use]
    pub fn can_prove(self, identifier: &Identifier) -> bool {
        match (self.record_label_octets(), identifier) {
            (None, Identifier::Dns(_) | Identifier::Ip(_)) => true,
            (None, Identifier::Wildcard(_)) | (Some(_), Identifier::Ip(_)) => false,
            (Some(octets), Identifier::Dns(name) | Identifier::Wildcard(name)) => {
                octets + name.as_str().len() <= NAME_OCTETS_MAX
            }
        }
    }

    /// Length of what stands before the identifier in the name of the record, with the dot;
    /// `None` if the proof is no record.
    const fn record_label_octets(self) -> Option<usize> {
        match self {
            Self::Http01 | Self::TlsAlpn01 => None,
            Self::Dns01 => Some("_acme-challenge.".len()),
            Self::DnsAccount01 => Some("_ujmmovf2vn55tgye._acme-challenge.".len()),
            Self::DnsPersist01 => Some("_validation-persist.".len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_proven_by_the_dns_only_and_addresses_by_servers_only() {
        let proving = |identifier: &Identifier| -> Vec<_> {
            ChallengeKind::ALL
                .into_iter()
                .filter(|kind| kind.can_prove(identifier))
                .map(ChallengeKind::as_str)
                .collect()
        };
        let by_dns = ["dns-01", "dns-account-01", "dns-persist-01"];
        assert_eq!(proving(&Identifier::parse_dns("*.a.test").unwrap()), by_dns);
        assert_eq!(proving(&Identifier::parse_ip("192.0.2.1").unwrap()), ["http-01", "tls-alpn-01"]);
        assert_eq!(proving(&Identifier::parse_dns("a.test").unwrap()).len(), ChallengeKind::ALL.len());
    }

    #[test]
    fn a_name_that_leaves_no_room_for_the_record_is_not_proven_by_it() {
        let longest = |octets: usize| {
            let name = format!("{}aaaa", "a.".repeat(octets / 2 - 2)) + if octets % 2 == 1 { "a" } else { "" };
            assert_eq!(name.len(), octets);
            Identifier::parse_dns(&name).unwrap()
        };
        for (kind, octets) in
            [(ChallengeKind::Dns01, 237), (ChallengeKind::DnsAccount01, 219), (ChallengeKind::DnsPersist01, 233)]
        {
            assert!(kind.can_prove(&longest(octets)) && !kind.can_prove(&longest(octets + 1)), "{kind:?}");
        }
        assert!(ChallengeKind::Http01.can_prove(&longest(253)) && ChallengeKind::TlsAlpn01.can_prove(&longest(253)));
    }
}
