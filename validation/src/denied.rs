//! Networks that are dialled for nobody, by rule (IANA special-purpose address registries, RFC 6890).
//! What else may be dialled is decided in [`crate::egress`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Each reason not to dial an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// One of our own networks, the certificate manager's or the store's.
    Own,
    /// 0.0.0.0/8 and `::`.
    Unspecified,
    /// 127.0.0.0/8 and `::1`.
    Loopback,
    /// 169.254.0.0/16 and fe80::/10.
    LinkLocal,
    /// Where clouds hand out credentials to whoever asks.
    Metadata,
    /// 100.64.0.0/10, carrier-grade NAT.
    SharedAddressSpace,
    /// 192.0.0.0/24, 2001::/23 and other assignments to protocols.
    ProtocolAssignment,
    /// Examples in documents.
    Documentation,
    /// Benchmarks of network devices.
    Benchmarking,
    /// Groups of hosts.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// Not assigned for use, or no longer.
    Reserved,
    /// IPv6 that stands for an IPv4 address, which would get past every rule above.
    EmbeddedIpv4,
    /// RFC 1918 and RFC 4193, unless allowed.
    Private,
    /// All others, unless switched on.
    Public,
}

impl Rule {
    /// The rule's name, for texts and logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Metadata => "cloud-metadata",
            Self::SharedAddressSpace => "shared-address-space",
            Self::ProtocolAssignment => "protocol-assignment",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Reserved => "reserved",
            Self::EmbeddedIpv4 => "embedded-IPv4",
            Self::Private => "private",
            Self::Public => "public",
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: [u16; 4], prefix: u8) -> Ipv6Net {
    let [a, b, c, d] = first;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// Never dialled; the first match names the rule.
const DENIED_V4: &[(Ipv4Net, Rule)] = &[
    (v4(0, 0, 0, 0, 8), Rule::Unspecified),
    (v4(127, 0, 0, 0, 8), Rule::Loopback),
    (v4(169, 254, 169, 254, 32), Rule::Metadata),
    (v4(169, 254, 170, 2, 32), Rule::Metadata),
    (v4(169, 254, 0, 0, 16), Rule::LinkLocal),
    (v4(100, 100, 100, 200, 32), Rule::Metadata),
    (v4(100, 64, 0, 0, 10), Rule::SharedAddressSpace),
    (v4(192, 0, 0, 192, 32), Rule::Metadata),
    (v4(192, 0, 0, 0, 24), Rule::ProtocolAssignment),
    // A public address that one large cloud answers inside every guest.
    (v4(168, 63, 129, 16, 32), Rule::Metadata),
    (v4(192, 0, 2, 0, 24), Rule::Documentation),
    (v4(198, 51, 100, 0, 24), Rule::Documentation),
    (v4(203, 0, 113, 0, 24), Rule::Documentation),
    (v4(198, 18, 0, 0, 15), Rule::Benchmarking),
    // The relays of 6to4, withdrawn by RFC 7526.
    (v4(192, 88, 99, 0, 24), Rule::Reserved),
    (v4(224, 0, 0, 0, 4), Rule::Multicast),
    (v4(255, 255, 255, 255, 32), Rule::Broadcast),
    (v4(240, 0, 0, 0, 4), Rule::Reserved),
];

/// Never dialled; the first match names the rule.
const DENIED_V6: &[(Ipv6Net, Rule)] = &[
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), Rule::Unspecified),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), Rule::Loopback),
    (v6([0xfe80, 0, 0, 0], 10), Rule::LinkLocal),
    (Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128), Rule::Metadata),
    (Ipv6Net::new_assert(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128), Rule::Metadata),
    (v6([0xff00, 0, 0, 0], 8), Rule::Multicast),
    // Compatible, mapped, translated (RFC 4291 §2.5.5, RFC 2765); `::` and `::1` are above.
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 96), Rule::EmbeddedIpv4),
    (Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96), Rule::EmbeddedIpv4),
    (Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96), Rule::EmbeddedIpv4),
    // NAT64 (RFC 6052, RFC 8215), Teredo (RFC 4380), 6to4 (RFC 3056).
    (v6([0x64, 0xff9b, 0, 0], 96), Rule::EmbeddedIpv4),
    (v6([0x64, 0xff9b, 1, 0], 48), Rule::EmbeddedIpv4),
    (v6([0x2001, 0, 0, 0], 32), Rule::EmbeddedIpv4),
    (v6([0x2002, 0, 0, 0], 16), Rule::EmbeddedIpv4),
    (v6([0x2001, 2, 0, 0], 48), Rule::Benchmarking),
    (v6([0x2001, 0, 0, 0], 23), Rule::ProtocolAssignment),
    (v6([0x2001, 0xdb8, 0, 0], 32), Rule::Documentation),
    (v6([0x3fff, 0, 0, 0], 20), Rule::Documentation),
];

const PRIVATE_V4: &[Ipv4Net] = &[v4(10, 0, 0, 0, 8), v4(172, 16, 0, 0, 12), v4(192, 168, 0, 0, 16)];
const PRIVATE_V6: Ipv6Net = v6([0xfc00, 0, 0, 0], 7);
/// The only part of IPv6 that is assigned as global unicast (RFC 4291 §2.4).
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0], 3);

/// The rule that denies every address of a network, if one does.
pub(crate) fn denied_as_a_whole(network: &IpNet) -> Option<Rule> {
    match network {
        IpNet::V4(network) => DENIED_V4.iter().find(|(denied, _)| denied.contains(network)).map(|(_, rule)| *rule),
        IpNet::V6(network) => DENIED_V6.iter().find(|(denied, _)| denied.contains(network)).map(|(_, rule)| *rule),
    }
}

/// The rule that denies an address whatever is configured, if one does.
pub(crate) fn denied(address: IpAddr) -> Option<Rule> {
    match address {
        IpAddr::V4(address) => DENIED_V4.iter().find(|(denied, _)| denied.contains(&address)).map(|(_, rule)| *rule),
        IpAddr::V6(address) => match DENIED_V6.iter().find(|(denied, _)| denied.contains(&address)) {
            Some((_, rule)) => Some(*rule),
            None if GLOBAL_V6.contains(&address) || PRIVATE_V6.contains(&address) => None,
            None => Some(Rule::Reserved),
        },
    }
}

/// Whether an address is of a private network (RFC 1918, RFC 4193).
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => PRIVATE_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => PRIVATE_V6.contains(&address),
    }
}
