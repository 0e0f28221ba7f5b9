//! Waivers: an officer's word, approved by a second person, that for certain names of one
//! registration control need not be proven if the client shows certain evidence (CM contract
//! section 4.3, Waivers).
//!
//! What is here is what the CM said and what an order keeps of it. Whether a waiver covers a name
//! is decided in the policies.

use std::{fmt, net::IpAddr, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use sha2::{Digest, Sha256};

use crate::{allowed_identifiers::IdentifierRule, ids::WaiverId, time::Timestamp};

/// Shortest prefix of a block of IPv4 addresses.
const IPV4_PREFIX_BITS_MIN: u8 = 8;
/// Shortest prefix of a block of IPv6 addresses.
const IPV6_PREFIX_BITS_MIN: u8 = 16;
/// Bits before the IPv4 address in an IPv4-mapped one (RFC 4291 §2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// A waiver that was in force when the CM was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// The CM's id (`wav_…`).
    pub id: WaiverId,
    /// Names that it is about, among those that the registration may ask for. One rule has to match.
    pub identifiers: Vec<IdentifierRule>,
    /// What the client has to show.
    pub evidence: WaiverEvidence,
    /// When it ends by itself; from then on it is as if it had never been.
    pub not_after: Timestamp,
    /// Why, in the words of the officer.
    pub reason: String,
    /// Who proposed it, in the CM's name for people (`urn:cm:officer:anna`).
    pub proposed_by: String,
    /// Who approved it: never the same person.
    pub decided_by: String,
}

/// What a client has to show for a waiver: one entry of each kind that has entries. There is at least
/// one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaiverEvidence {
    /// Where the request comes from.
    pub addresses: Vec<AddressBlock>,
    /// The key that the client proved to hold in the TLS handshake.
    pub client_certificates: Vec<KeyDigest>,
}

/// A block of addresses that is small enough to be evidence: /8 or smaller, /16 of IPv6. Host bits are zero, and
/// IPv4 inside IPv6 is IPv4. None is of 0.0.0.0/8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressBlock {
    address: IpAddr,
    prefix_bits: u8,
}

/// The SHA-256 digest of a `SubjectPublicKeyInfo` in DER: names a key whatever certificate it is in. In
/// text 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 32]);

/// What an order keeps of the waiver that it rests on: by whom, why, and what the client showed
/// (CM contract section 4.3, the member `waiver` of a validation).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waived {
    /// Which waiver.
    pub waiver: WaiverId,
    /// Who proposed it.
    pub proposed_by: String,
    /// Who approved it.
    pub decided_by: String,
    /// Why.
    pub reason: String,
    /// Where the client's request came from.
    pub address: IpAddr,
    /// The key that the client proved to hold in the TLS handshake, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<KeyDigest>,
}

/// The text is no block of addresses that can be evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an address block such as 192.0.2.0/24, of at least 8 bits of prefix, or 16 for IPv6, and none of 0.0.0.0/8"
)]
pub struct NotAnAddressBlock;

/// The text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 lowercase hexadecimal digits: the SHA-256 digest of a public key")]
pub struct NotAKeyDigest;

impl AddressBlock {
    /// Whether the address, in whatever form, is in the block.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix_bits) == Some(self.address)
    }
}

impl KeyDigest {
    /// Of a `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn of_spki(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

/// The address with its host bits cleared; `None` if its family has fewer bits.
fn masked(address: IpAddr, prefix_bits: u8) -> Option<IpAddr> {
    let bits = u32::from(prefix_bits);
    match address {
        IpAddr::V4(address) => {
            let host = u32::BITS.checked_sub(bits)?;
            let mask = u32::MAX.checked_shl(host).unwrap_or(0);
            Some(IpAddr::V4((address.to_bits() & mask).into()))
        }
        IpAddr::V6(address) => {
            let host = u128::BITS.checked_sub(bits)?;
            let mask = u128::MAX.checked_shl(host).unwrap_or(0);
            Some(IpAddr::V6((address.to_bits() & mask).into()))
        }
    }
}

impl FromStr for AddressBlock {
    type Err = NotAnAddressBlock;

    fn from_str(text: &str) -> Result<Self, NotAnAddressBlock> {
        let (address, bits) = text.split_once('/').ok_or(NotAnAddressBlock)?;
        let address = address.parse::<IpAddr>().map_err(|_| NotAnAddressBlock)?;
        let is_number = !bits.is_empty() && bits.bytes().all(|octet| octet.is_ascii_digit());
        let bits = is_number.then(|| bits.parse::<u8>().ok()).flatten().ok_or(NotAnAddressBlock)?;
        let canonical = address.to_canonical();
        let (address, prefix_bits) = match (address.is_ipv6() && canonical.is_ipv4(), bits.checked_sub(MAPPED_BITS)) {
            (true, Some(folded)) => (canonical, folded),
            (true, None) | (false, _) => (address, bits),
        };
        let least = if address.is_ipv4() { IPV4_PREFIX_BITS_MIN } else { IPV6_PREFIX_BITS_MIN };
        if prefix_bits < least {
            return Err(NotAnAddressBlock);
        }
        let address = masked(address, prefix_bits).ok_or(NotAnAddressBlock)?;
        // Nobody comes from there, and a connection that shows no address counts as 0.0.0.0 (RFC 1122 §3.2.1.3).
        if matches!(address, IpAddr::V4(address) if address.octets()[0] == 0) {
            return Err(NotAnAddressBlock);
        }
        Ok(Self { address, prefix_bits })
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix_bits)
    }
}

impl FromStr for KeyDigest {
    type Err = NotAKeyDigest;

    fn from_str(text: &str) -> Result<Self, NotAKeyDigest> {
        let octets = HEXLOWER.decode(text.as_bytes()).map_err(|_| NotAKeyDigest)?;
        octets.try_into().map(Self).map_err(|_| NotAKeyDigest)
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl Serialize for KeyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(text: &str) -> AddressBlock {
        text.parse().unwrap()
    }

    #[test]
    fn a_block_has_one_form() {
        let table = [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.77/24", "192.0.2.0/24"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7/32", "192.0.2.7/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("2001:db8::/16", "2001::/16"),
            ("::1/128", "::1/128"),
        ];
        for (text, shown) in table {
            assert_eq!(block(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn a_block_that_is_too_large_is_no_evidence() {
        let refused = [
            "0.0.0.0/0",
            "0.0.0.0/8",
            "0.0.0.0/32",
            "0.1.2.3/24",
            "::ffff:0.0.0.0/104",
            "10.0.0.0/7",
            "::/0",
            "2000::/15",
            "::ffff:0:0/96",
            "::ffff:10.0.0.0/103",
            "192.0.2.0/33",
            "::1/129",
            "192.0.2.0",
            "192.0.2.0/",
            "192.0.2.0/+24",
            "/24",
            "printers/24",
            "192.0.2.0/24/24",
            "192.0.2.0/ 24",
            "",
        ];
        for text in refused {
            assert_eq!(text.parse::<AddressBlock>(), Err(NotAnAddressBlock), "{text}");
        }
    }

    #[test]
    fn an_address_is_in_a_block_of_its_own_family_only() {
        let printers = block("192.0.2.0/24");
        for address in ["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.7"] {
            assert!(printers.contains(address.parse().unwrap()), "{address}");
        }
        for address in ["192.0.3.0", "192.0.1.255", "::192.0.2.7", "2001:db8::1", "c000:0200::"] {
            assert!(!printers.contains(address.parse().unwrap()), "{address}");
        }
        assert!(block("2001:db8::/32").contains("2001:db8:ffff::1".parse().unwrap()));
        assert!(!block("2001:db8::/32").contains("2001:db9::".parse().unwrap()));
        assert!(!block("::1/128").contains("0.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_digest_is_lowercase_and_complete() {
        let digest = KeyDigest::of_spki(b"key");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for refused in ["", "0a", &"0A".repeat(32), &"0a".repeat(33)] {
            assert_eq!(refused.parse::<KeyDigest>(), Err(NotAKeyDigest), "{refused}");
        }
    }

    #[test]
    fn what_an_order_keeps_is_read_as_it_was_written() {
        let waived = Waived {
            waiver: "wav_1".parse().unwrap(),
            proposed_by: String::from("urn:cm:officer:anna"),
            decided_by: String::from("urn:cm:approver:bert"),
            reason: String::from("printers cannot open port 80"),
            address: "192.0.2.44".parse().unwrap(),
            client_certificate: Some(KeyDigest::of_spki(b"key")),
        };
        for waived in [waived.clone(), Waived { client_certificate: None, ..waived }] {
            let stored = serde_json::to_string(&waived).unwrap();
            assert_eq!(serde_json::from_str::<Waived>(&stored).unwrap(), waived);
        }
    }

    proptest! {
        #[test]
        fn an_address_is_in_a_block_if_their_first_bits_agree(
            block_octets in any::<[u8; 4]>().prop_filter("nobody's", |octets| octets[0] != 0), octets in any::<[u8; 4]>(), bits in 8..=32_u8, near in any::<bool>(),
        ) {
            // Half of the addresses share their first octets, else hardly one would be inside.
            let [a, b, _, _] = block_octets;
            let [_, _, c, d] = octets;
            let address = IpAddr::from(if near { [a, b, c, d] } else { octets });
            let network = IpAddr::from(block_octets);
            let block: AddressBlock = format!("{network}/{bits}").parse().unwrap();
            let (IpAddr::V4(one), IpAddr::V4(other)) = (network, address) else { unreachable!() };
            let agree = (one.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(bits);
            prop_assert_eq!(block.contains(address), agree);
            let IpAddr::V4(inner) = address else { unreachable!() };
            prop_assert_eq!(block.contains(inner.to_ipv6_mapped().into()), agree);
        }
    }
}
