//! Which addresses count as one client.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, or the /64 of an IPv6 address: that is what one subscriber has to himself, and
/// he may use another address of it for each request (RFC 4291 §2.5.4).
///
/// An IPv4 address is not widened to its /24: neighbours are strangers, and in private networks the
/// whole fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AddressGroup(IpAddr);

impl AddressGroup {
    /// The group of this address; IPv4 inside IPv6 is IPv4.
    pub(super) fn of(address: IpAddr) -> Self {
        const UPPER_64: u128 = !0 << 64;
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & UPPER_64)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_addresses_of_one_64_are_one_client_and_ipv4_addresses_are_each_their_own() {
        let same =
            |one: &str, other: &str| AddressGroup::of(one.parse().unwrap()) == AddressGroup::of(other.parse().unwrap());
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
