//! Names that somebody may ask for, as the CM lists them: of a registration, a realm or a waiver (CM contract
//! section 4.3). Whether a name is among them is decided in the policies.

use std::net::IpAddr;

use crate::identifier::DnsName;

/// Names that a registration may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedIdentifiers {
    /// Every name but the excluded ones; said out loud, never the meaning of an empty list.
    Any {
        /// What is refused all the same.
        exclude: Vec<IdentifierRule>,
    },
    /// What a rule matches and no exclusion does.
    Listed {
        /// What is allowed.
        rules: Vec<IdentifierRule>,
        /// What is refused all the same.
        exclude: Vec<IdentifierRule>,
    },
}

/// One entry of a list of allowed or excluded names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentifierRule {
    /// The name and everything below it, at label boundaries.
    Suffix {
        /// The top of the subtree.
        name: DnsName,
        /// Whether wildcard names at or below it match too.
        wildcards: bool,
    },
    /// Just this name, no wildcard.
    Exact(DnsName),
    /// Just the wildcard name `*.` + this.
    Wildcard(DnsName),
    /// Just this address.
    Address(IpAddr),
    /// The addresses of a block.
    Network {
        /// Any address of the block.
        address: IpAddr,
        /// Length of the prefix in bits.
        prefix_bits: u8,
    },
}
