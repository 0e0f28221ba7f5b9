//! Which addresses may be dialled. Pure: addresses in, verdicts out.
//!
//! The deny list ([`crate::denied`]) is fixed and always wins; private networks need an explicit allow
//! list; public addresses need to be switched on (RFC 8555 §10.4). An address that passed is a
//! [`Dialable`], and nothing else can be dialled.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use crate::{
    denied::{Rule, denied, is_private},
    settings::Settings,
};

/// An address that passed the policy. Only [`Egress::check`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialable(IpAddr);

/// The rule by which an address may not be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub(crate) struct Refusal(pub(crate) Rule);

/// The address policy of one gateway.
#[derive(Debug)]
pub(crate) struct Egress {
    never: Vec<IpNet>,
    allow: Vec<IpNet>,
    public_addresses: bool,
    allow_loopback: bool,
}

impl Egress {
    pub(crate) fn new(settings: &Settings) -> Self {
        let never = [settings.never.clone(), settings.own.clone()].concat();
        Self { never, ..Self::to_ourselves(settings) }
    }

    /// The same policy, but that this host's own addresses are like others: its own listener answers there.
    pub(crate) fn to_ourselves(settings: &Settings) -> Self {
        Self {
            never: settings.never.clone(),
            allow: settings.allow.clone(),
            public_addresses: settings.public_addresses,
            allow_loopback: settings.danger_allow_loopback,
        }
    }

    /// Decides about one address.
    ///
    /// # Errors
    /// [`Refusal`] with the rule that forbids it.
    pub(crate) fn check(&self, address: IpAddr) -> Result<Dialable, Refusal> {
        if self.never.iter().any(|network| network.contains(&address)) {
            return Err(Refusal(Rule::Own));
        }
        match denied(address) {
            Some(Rule::Loopback) if self.allow_loopback => return Ok(Dialable(address)),
            Some(rule) => return Err(Refusal(rule)),
            None => {}
        }
        if self.allow.iter().any(|network| network.contains(&address)) {
            Ok(Dialable(address))
        } else if is_private(address) {
            Err(Refusal(Rule::Private))
        } else if self.public_addresses {
            Ok(Dialable(address))
        } else {
            Err(Refusal(Rule::Public))
        }
    }
}

impl Dialable {
    /// The address.
    pub(crate) const fn address(self) -> IpAddr {
        self.0
    }
}

impl Refusal {
    fn text(self) -> String {
        let Self(rule) = self;
        match rule {
            Rule::Private => "private addresses are dialled only if their network is on the allow list".to_owned(),
            Rule::Public => "public addresses are not dialled by this server".to_owned(),
            Rule::Own
            | Rule::Unspecified
            | Rule::Loopback
            | Rule::LinkLocal
            | Rule::Metadata
            | Rule::SharedAddressSpace
            | Rule::ProtocolAssignment
            | Rule::Documentation
            | Rule::Benchmarking
            | Rule::Multicast
            | Rule::Broadcast
            | Rule::Reserved
            | Rule::EmbeddedIpv4 => format!("{} addresses are never dialled", rule.name()),
        }
    }
}

impl fmt::Display for Dialable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests;
