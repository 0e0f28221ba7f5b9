//! Which names a registration may ask for (CM contract section 4.3, Allowed identifiers) and a
//! profile issues for (section 4.2).
//!
//! Names come in normal form, which [`acme::identifier`] sees to; so comparing is all there is.
//! Effective policy is that of the realm, the parent and the registration: each must allow. A parent's is in the
//! registration's list already.

pub mod explain;

use std::net::IpAddr;

use acme::{
    identifier::Identifier,
    problem::{Problem, ProblemKind, Subproblem},
    profile::Profile,
    registration::{AllowedIdentifiers, IdentifierRule, Registration},
};
use ipnet::IpNet;

use crate::rule::{Refusal, Rule};

/// What the list of allowed identifiers says about one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be asked for.
    Allowed {
        /// The entry that covers it, such as `suffix example.com`; `any` if every name is allowed.
        rule: String,
    },
    /// It may not.
    Refused(Refusal),
}

/// Judges one name: allowed if an entry covers it and no exclusion does.
///
/// A wildcard name needs an entry that covers wildcards; `Exact` never does, a suffix only with
/// `wildcards`. IPv4 inside IPv6 is judged as IPv4, in names and in entries; a block covers
/// addresses of its own family only.
///
/// Exclusions cover names by the very same table, and that has an edge worth knowing: excluding
/// the suffix `vpn.example.com` refuses that name, all below it and `*.vpn.example.com`, but
/// **not** `*.example.com`, although TLS clients take such a certificate for `vpn.example.com`
/// too. The CM decides by this table as well, and a gateway that read it otherwise would refuse
/// what an officer sees allowed. Whoever means to close that door excludes the wildcard as well,
/// or allows the suffix without wildcards.
///
/// Where every name is allowed, wildcards right below a top-level label (`*.com`, `*.lan`) are
/// refused all the same: they need an officer who lists them.
#[must_use]
pub fn allowed(identifier: &Identifier, allowed: &AllowedIdentifiers) -> Verdict {
    let (rules, exclude) = match allowed {
        AllowedIdentifiers::Any { exclude } => (None, exclude),
        AllowedIdentifiers::Listed { rules, exclude } => (Some(rules), exclude),
    };
    if let Some(entry) = exclude.iter().find(|entry| covers(entry, identifier)) {
        return Verdict::Refused(excluded(entry));
    }
    match rules.map(|rules| rules.iter().find(|entry| covers(entry, identifier))) {
        None if is_top_level_wildcard(identifier) => Verdict::Refused(top_level_wildcard()),
        None => Verdict::Allowed { rule: String::from("any") },
        Some(Some(entry)) => Verdict::Allowed { rule: describe(entry) },
        Some(None) => Verdict::Refused(not_listed()),
    }
}

/// Judges one name by the realm's list and the registration's: both must allow it, and a wildcard right below a
/// top-level label must be listed by one of them.
#[must_use]
pub fn allowed_to(identifier: &Identifier, registration: &Registration) -> Verdict {
    let own = allowed(identifier, &registration.allowed_identifiers);
    let Some(realm) = registration.realm.as_deref() else { return own };
    let is_unlisted = |refusal: &Refusal| refusal.rule == Rule::IdentifierTopLevelWildcard;
    match (allowed(identifier, realm), own) {
        (Verdict::Refused(refusal), _) if !is_unlisted(&refusal) => Verdict::Refused(not_in_realm(identifier)),
        (Verdict::Allowed { rule }, Verdict::Refused(refusal)) if is_unlisted(&refusal) => Verdict::Allowed { rule },
        (Verdict::Allowed { .. } | Verdict::Refused(_), own) => own,
    }
}

/// The refusal of what the realm's list does not allow, whoever asks.
#[must_use]
pub fn not_in_realm(identifier: &Identifier) -> Refusal {
    let kind = if matches!(identifier, Identifier::Ip(_)) { "address" } else { "name" };
    let what = format!("this {kind} is certified for nobody in this realm");
    Refusal::new(
        Rule::IdentifierNotInRealm,
        what,
        "ask for another one, or ask the operator of the certificate authority",
    )
}

/// What profile and registration together say about one name of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It may be ordered.
    Allowed {
        /// As in [`Verdict::Allowed`].
        rule: String,
    },
    /// It may not.
    Refused {
        /// The error type.
        kind: ProblemKind,
        /// Every rule that refuses it.
        rules: Vec<Rule>,
        /// The refusals in words; made for clients.
        detail: String,
    },
}

/// Judges one name of an order. Whoever reads a refusal should not have to come twice, so both are
/// named if profile and registration both refuse it.
#[must_use]
pub fn judge(identifier: &Identifier, registration: &Registration, profile: &Profile) -> Judgement {
    let in_general = refused_as_onion(identifier).or_else(|| refused_by_profile(identifier, profile));
    match (in_general, allowed_to(identifier, registration)) {
        (None, Verdict::Allowed { rule }) => Judgement::Allowed { rule },
        (Some((kind, refusal)), Verdict::Allowed { .. }) => {
            Judgement::Refused { kind, rules: vec![refusal.rule], detail: refusal.detail }
        }
        (None, Verdict::Refused(refusal)) => Judgement::Refused {
            kind: ProblemKind::RejectedIdentifier,
            rules: vec![refusal.rule],
            detail: refusal.detail,
        },
        (Some((kind, first)), Verdict::Refused(second)) => {
            Judgement::Refused { kind, rules: vec![first.rule, second.rule], detail: format!("{first}; and {second}") }
        }
    }
}

/// Judges the identifiers of a new order, each once: their number, what the profile issues for,
/// and what the registration may ask for. `identifiers_max` is the endpoint's limit.
///
/// # Errors
/// One problem about all identifiers that are refused, with a subproblem for each
/// (RFC 8555 §6.7.1): `unsupportedIdentifier` if the profile does not issue for their type, else
/// `rejectedIdentifier`. `malformed` if there are none or too many.
pub fn check_order(
    identifiers: &[Identifier],
    registration: &Registration,
    profile: &Profile,
    identifiers_max: usize,
) -> Result<(), Problem> {
    check_number(identifiers.len(), profile, identifiers_max)
        .map_err(|refusal| refusal.into_problem(ProblemKind::Malformed))?;
    let refused: Vec<_> =
        identifiers.iter().filter_map(|identifier| subproblem(identifier, registration, profile)).collect();
    if refused.is_empty() { Ok(()) } else { Err(Problem::about_identifiers(refused, identifiers.len())) }
}

/// Whether an entry of a list is about this name.
pub(crate) fn covers(entry: &IdentifierRule, identifier: &Identifier) -> bool {
    match (entry, identifier) {
        (IdentifierRule::Suffix { name: top, .. }, Identifier::Dns(name)) => name.is_same_or_under(top),
        (IdentifierRule::Suffix { name: top, wildcards }, Identifier::Wildcard(base)) => {
            *wildcards && base.is_same_or_under(top)
        }
        (IdentifierRule::Exact(only), Identifier::Dns(name)) => only == name,
        (IdentifierRule::Wildcard(only), Identifier::Wildcard(base)) => only == base,
        (IdentifierRule::Address(only), Identifier::Ip(address)) => only.to_canonical() == address.to_canonical(),
        (IdentifierRule::Network { address: block, prefix_bits }, Identifier::Ip(address)) => {
            network(*block, *prefix_bits).contains(&address.to_canonical())
        }
        (IdentifierRule::Suffix { .. }, Identifier::Ip(_))
        | (IdentifierRule::Exact(_), Identifier::Wildcard(_) | Identifier::Ip(_))
        | (IdentifierRule::Wildcard(_), Identifier::Dns(_) | Identifier::Ip(_))
        | (IdentifierRule::Address(_) | IdentifierRule::Network { .. }, Identifier::Dns(_) | Identifier::Wildcard(_)) => {
            false
        }
    }
}

/// The block of an entry. A block of IPv4 inside IPv6 is a block of IPv4; a prefix longer than
/// the family has means the one address, so that such an exclusion still excludes something.
fn network(address: IpAddr, prefix_bits: u8) -> IpNet {
    const MAPPED_BITS: u8 = 96; // of ::ffff:0:0/96, RFC 4291 section 2.5.5.2
    let (address, prefix_bits) = match (address, address.to_canonical(), prefix_bits.checked_sub(MAPPED_BITS)) {
        (IpAddr::V6(_), inner @ IpAddr::V4(_), Some(inner_bits)) => (inner, inner_bits),
        (as_written, _, _) => (as_written, prefix_bits),
    };
    IpNet::new(address, prefix_bits).unwrap_or_else(|_| IpNet::from(address))
}

fn is_top_level_wildcard(identifier: &Identifier) -> bool {
    matches!(identifier, Identifier::Wildcard(base) if !base.as_str().contains('.'))
}

fn describe(entry: &IdentifierRule) -> String {
    match entry {
        IdentifierRule::Suffix { name, wildcards: true } => format!("suffix {name}"),
        IdentifierRule::Suffix { name, wildcards: false } => format!("suffix {name} without wildcards"),
        IdentifierRule::Exact(name) => format!("exact {name}"),
        IdentifierRule::Wildcard(base) => format!("wildcard *.{base}"),
        IdentifierRule::Address(address) => format!("address {address}"),
        IdentifierRule::Network { address, prefix_bits } => format!("network {address}/{prefix_bits}"),
    }
}

fn excluded(entry: &IdentifierRule) -> Refusal {
    let what = format!("excluded from what this registration may ask for, by the entry {}", describe(entry));
    Refusal::new(Rule::IdentifierExcluded, what, "ask for another name, or ask the registration authority")
}

fn not_listed() -> Refusal {
    Refusal::new(
        Rule::IdentifierNotListed,
        "not covered by the list of allowed identifiers of this registration",
        "ask the registration authority to add it",
    )
}

fn top_level_wildcard() -> Refusal {
    Refusal::new(
        Rule::IdentifierTopLevelWildcard,
        "a wildcard right below a top-level label covers everybody's names",
        "ask for names below a domain, or ask the registration authority to list this one",
    )
}

fn check_number(found: usize, profile: &Profile, identifiers_max: usize) -> Result<(), Refusal> {
    let cure = "split the order";
    if found == 0 {
        return Err(Refusal::new(Rule::OrderEmpty, "the order has no identifiers", "name at least one"));
    }
    if found > identifiers_max {
        let what = format!("the order has {found} identifiers and {identifiers_max} is the most taken here");
        return Err(Refusal::new(Rule::OrderTooManyIdentifiers, what, cure));
    }
    if found > profile.identifiers_max {
        let (name, most) = (&profile.name, profile.identifiers_max);
        let what = format!("the order has {found} identifiers and {most} is the most the profile {name} takes");
        return Err(Refusal::new(Rule::ProfileTooManyIdentifiers, what, cure));
    }
    Ok(())
}

/// What the profile does not issue for this identifier, whoever asks.
fn refused_by_profile(identifier: &Identifier, profile: &Profile) -> Option<(ProblemKind, Refusal)> {
    let refusal = |kind, rule, things: &str| {
        let what = format!("the profile {} issues no certificates for {things}", profile.name);
        Some((kind, Refusal::new(rule, what, "ask for another profile or leave it out")))
    };
    match identifier {
        Identifier::Ip(_) if !profile.ip => {
            refusal(ProblemKind::UnsupportedIdentifier, Rule::ProfileNoIp, "IP addresses")
        }
        Identifier::Dns(_) | Identifier::Wildcard(_) if !profile.dns => {
            refusal(ProblemKind::UnsupportedIdentifier, Rule::ProfileNoDns, "DNS names")
        }
        Identifier::Wildcard(_) if !profile.wildcards => {
            refusal(ProblemKind::RejectedIdentifier, Rule::ProfileNoWildcards, "wildcard names")
        }
        Identifier::Dns(_) | Identifier::Wildcard(_) | Identifier::Ip(_) => None,
    }
}

/// Onion services are reached and proven through Tor alone (RFC 9799), whatever the list says; the
/// DNS must never be asked for them (RFC 7686 §2).
fn refused_as_onion(identifier: &Identifier) -> Option<(ProblemKind, Refusal)> {
    let (Identifier::Dns(name) | Identifier::Wildcard(name)) = identifier else { return None };
    let is_onion = name.as_str().rsplit('.').next() == Some("onion");
    let what = "the name of an onion service can only be proven through Tor, which is not offered here";
    let refusal = || Refusal::new(Rule::IdentifierOnion, what, "leave it out");
    is_onion.then(|| (ProblemKind::RejectedIdentifier, refusal()))
}

/// One subproblem for one identifier.
fn subproblem(identifier: &Identifier, registration: &Registration, profile: &Profile) -> Option<Subproblem> {
    match judge(identifier, registration, profile) {
        Judgement::Allowed { .. } => None,
        Judgement::Refused { kind, rules, detail } => {
            let subproblem = Subproblem::new(kind, identifier, detail);
            Some(match rules.first() {
                Some(rule) => subproblem.by(rule.name()),
                None => subproblem,
            })
        }
    }
}

#[cfg(test)]
mod tests;
