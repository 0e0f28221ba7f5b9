//! The rules of a registration about names (CM contract section 4.3, Allowed identifiers).
//!
//! What is not understood must never widen: such a rule is dropped, and one such exclusion makes
//! the whole registration allow nothing. A child's rules are narrowed by its parent's.

use std::net::IpAddr;

use acme::{
    identifier::DnsName,
    registration::{AllowedIdentifiers, IdentifierRule},
};
use serde::Deserialize;
use serde_json::Value;

/// Most rules that come of narrowing one list by another (section 3, Limits).
const RULES_MAX: usize = 1000;
/// Allows no name at all: what a list that is not understood is taken for.
const NOTHING: AllowedIdentifiers = AllowedIdentifiers::Listed { rules: Vec::new(), exclude: Vec::new() };

#[derive(Debug, Deserialize)]
struct Allowed {
    mode: String,
    #[serde(default)]
    rules: Vec<Value>,
    #[serde(default)]
    exclude: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "match")]
    matches: String,
    value: String,
    #[serde(default = "yes")]
    wildcards: bool,
}

const fn yes() -> bool {
    true
}

/// Takes the member `allowedIdentifiers`.
pub(in crate::rest) fn convert(json: Value) -> AllowedIdentifiers {
    let Ok(allowed) = serde_json::from_value::<Allowed>(json) else { return NOTHING };
    let Some(exclude) = allowed.exclude.into_iter().map(rule).collect::<Option<Vec<_>>>() else { return NOTHING };
    match allowed.mode.as_str() {
        "any" => AllowedIdentifiers::Any { exclude },
        "listed" => AllowedIdentifiers::Listed { rules: allowed.rules.into_iter().filter_map(rule).collect(), exclude },
        _ => NOTHING,
    }
}

/// Takes one rule; `None` if it is not understood.
pub(super) fn rule(json: Value) -> Option<IdentifierRule> {
    let rule = serde_json::from_value::<Rule>(json).ok()?;
    match (rule.kind.as_str(), rule.matches.as_str()) {
        ("dns", "suffix") => Some(IdentifierRule::Suffix { name: name(&rule.value)?, wildcards: rule.wildcards }),
        ("dns", "exact") => Some(IdentifierRule::Exact(name(&rule.value)?)),
        ("dns", "wildcard") => Some(IdentifierRule::Wildcard(name(rule.value.strip_prefix("*.")?)?)),
        ("ip", "exact") => Some(IdentifierRule::Address(rule.value.parse::<IpAddr>().ok()?.to_canonical())),
        ("ip", "cidr") => network(&rule.value),
        _ => None,
    }
}

/// The contract's normal form: one final dot is dropped.
fn name(text: &str) -> Option<DnsName> {
    DnsName::parse(text.strip_suffix('.').unwrap_or(text)).ok()
}

/// A block inside `::ffff:0:0/96` is the block of IPv4 that it stands for.
fn network(text: &str) -> Option<IdentifierRule> {
    const MAPPED_BITS: u8 = 96;
    let (address, bits) = text.split_once('/')?;
    let address = address.parse::<IpAddr>().ok()?;
    let bits = bits.parse::<u8>().ok()?;
    let canonical = address.to_canonical();
    let (address, prefix_bits) = match (address.is_ipv6() && canonical.is_ipv4(), bits.checked_sub(MAPPED_BITS)) {
        (true, Some(folded)) => (canonical, folded),
        (true, None) | (false, _) => (address, bits),
    };
    (prefix_bits <= address_bits(address)).then_some(IdentifierRule::Network { address, prefix_bits })
}

const fn address_bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// What both allow: a child's own policy under its parent's.
pub(in crate::rest) fn narrowed(own: AllowedIdentifiers, parent: AllowedIdentifiers) -> AllowedIdentifiers {
    use AllowedIdentifiers::{Any, Listed};
    let both = |mut own: Vec<IdentifierRule>, parent: Vec<IdentifierRule>| {
        own.extend(parent);
        own
    };
    match (own, parent) {
        (Any { exclude }, Any { exclude: more }) => Any { exclude: both(exclude, more) },
        (Any { exclude }, Listed { rules, exclude: more }) | (Listed { rules, exclude }, Any { exclude: more }) => {
            Listed { rules, exclude: both(exclude, more) }
        }
        (Listed { rules, exclude }, Listed { rules: bounds, exclude: more }) => {
            // Cut at the limit: fewer rules allow less.
            let pairs = rules.iter().flat_map(|rule| bounds.iter().filter_map(move |bound| common(rule, bound)));
            Listed { rules: pairs.take(RULES_MAX).collect(), exclude: both(exclude, more) }
        }
    }
}

/// The names that two rules both match, as a rule.
fn common(one: &IdentifierRule, other: &IdentifierRule) -> Option<IdentifierRule> {
    use IdentifierRule::{Address, Exact, Network, Suffix, Wildcard};
    match (one, other) {
        (Suffix { name, wildcards }, Suffix { name: top, wildcards: too }) => {
            let lower = if name.is_same_or_under(top) { name } else { top };
            let nested = name.is_same_or_under(top) || top.is_same_or_under(name);
            nested.then(|| Suffix { name: lower.clone(), wildcards: *wildcards && *too })
        }
        (Exact(name), Suffix { name: top, .. }) | (Suffix { name: top, .. }, Exact(name)) => {
            name.is_same_or_under(top).then(|| Exact(name.clone()))
        }
        (Wildcard(base), Suffix { name: top, wildcards }) | (Suffix { name: top, wildcards }, Wildcard(base)) => {
            (*wildcards && base.is_same_or_under(top)).then(|| Wildcard(base.clone()))
        }
        (Exact(name), Exact(same)) => (name == same).then(|| Exact(name.clone())),
        (Wildcard(base), Wildcard(same)) => (base == same).then(|| Wildcard(base.clone())),
        (Address(address), Address(same)) => (address == same).then_some(Address(*address)),
        (Address(address), Network { address: block, prefix_bits })
        | (Network { address: block, prefix_bits }, Address(address)) => {
            is_within(*address, *block, *prefix_bits).then_some(Address(*address))
        }
        (Network { address, prefix_bits }, Network { address: block, prefix_bits: bits }) => {
            let smaller = *prefix_bits.max(bits);
            let inner = if prefix_bits >= bits { *address } else { *block };
            is_within(*address, *block, *prefix_bits.min(bits))
                .then_some(Network { address: inner, prefix_bits: smaller })
        }
        (Exact(_), Wildcard(_))
        | (Wildcard(_), Exact(_))
        | (Suffix { .. } | Exact(_) | Wildcard(_), Address(_) | Network { .. })
        | (Address(_) | Network { .. }, Suffix { .. } | Exact(_) | Wildcard(_)) => None,
    }
}

fn is_within(address: IpAddr, block: IpAddr, prefix_bits: u8) -> bool {
    let differing = match (address, block) {
        (IpAddr::V4(address), IpAddr::V4(block)) => (address.to_bits() ^ block.to_bits()).leading_zeros(),
        (IpAddr::V6(address), IpAddr::V6(block)) => (address.to_bits() ^ block.to_bits()).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    differing >= u32::from(prefix_bits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn suffix(text: &str, wildcards: bool) -> IdentifierRule {
        IdentifierRule::Suffix { name: DnsName::parse(text).unwrap(), wildcards }
    }

    fn exact(text: &str) -> IdentifierRule {
        IdentifierRule::Exact(DnsName::parse(text).unwrap())
    }

    fn block(text: &str) -> IdentifierRule {
        network(text).unwrap()
    }

    #[test]
    fn every_kind_of_rule_is_understood() {
        let wildcard = IdentifierRule::Wildcard(DnsName::parse("dev.example.com").unwrap());
        let table = [
            (json!({"type": "dns", "match": "suffix", "value": "Example.com."}), suffix("example.com", true)),
            (
                json!({"type": "dns", "match": "suffix", "value": "example.com", "wildcards": false}),
                suffix("example.com", false),
            ),
            (json!({"type": "dns", "match": "exact", "value": "www.example.com"}), exact("www.example.com")),
            (json!({"type": "dns", "match": "wildcard", "value": "*.dev.example.com"}), wildcard),
            (
                json!({"type": "ip", "match": "exact", "value": "::ffff:192.0.2.7"}),
                IdentifierRule::Address("192.0.2.7".parse().unwrap()),
            ),
            (
                json!({"type": "ip", "match": "cidr", "value": "2001:db8::/32"}),
                IdentifierRule::Network { address: "2001:db8::".parse().unwrap(), prefix_bits: 32 },
            ),
            (json!({"type": "ip", "match": "cidr", "value": "::ffff:192.0.2.0/120"}), block("192.0.2.0/24")),
        ];
        for (json, expected) in table {
            assert_eq!(rule(json.clone()), Some(expected), "{json}");
        }
    }

    #[test]
    fn a_rule_that_is_not_understood_allows_nothing() {
        let good = json!({"type": "dns", "match": "exact", "value": "a.example"});
        let strange = [
            json!({"type": "email", "match": "suffix", "value": "example.com"}),
            json!({"type": "dns", "match": "regex", "value": ".*"}),
            json!({"type": "dns", "match": "suffix", "value": ""}),
            json!({"type": "dns", "match": "wildcard", "value": "example.com"}),
            json!({"type": "dns", "match": "suffix", "value": "example.com", "wildcards": "no"}),
            json!({"type": "ip", "match": "cidr", "value": "192.0.2.0/33"}),
            json!({"type": "ip", "match": "cidr", "value": "192.0.2.0"}),
            json!("example.com"),
        ];
        for rule in strange {
            let listed = convert(json!({"mode": "listed", "rules": [rule, good]}));
            let only_good = AllowedIdentifiers::Listed { rules: vec![exact("a.example")], exclude: vec![] };
            assert_eq!(listed, only_good, "{rule}");
            for mode in ["any", "listed"] {
                assert_eq!(convert(json!({"mode": mode, "rules": [good], "exclude": [rule]})), NOTHING, "{rule}");
            }
        }
    }

    #[test]
    fn a_list_that_is_not_understood_allows_nothing() {
        for json in [json!(null), json!({}), json!([]), json!({"mode": "all"}), json!({"mode": "any", "exclude": 1})] {
            assert_eq!(convert(json.clone()), NOTHING, "{json}");
        }
        assert_eq!(convert(json!({"mode": "any"})), AllowedIdentifiers::Any { exclude: vec![] });
    }

    #[test]
    fn a_child_may_do_only_what_its_parent_may() {
        let listed = |rules: Vec<IdentifierRule>| AllowedIdentifiers::Listed { rules, exclude: vec![] };
        let own = listed(vec![
            suffix("a.example.com", true),
            suffix("com", true),
            exact("www.example.com"),
            exact("www.other.test"),
            block("192.0.2.0/25"),
            block("10.0.0.0/8"),
        ]);
        let parent = listed(vec![suffix("example.com", false), block("192.0.2.0/24")]);
        let expected = listed(vec![
            suffix("a.example.com", false),
            suffix("example.com", false),
            exact("www.example.com"),
            block("192.0.2.0/25"),
        ]);
        assert_eq!(narrowed(own, parent), expected);
    }

    #[test]
    fn exclusions_of_parent_and_child_add_up() {
        let any = |name: &str| AllowedIdentifiers::Any { exclude: vec![exact(name)] };
        let both = AllowedIdentifiers::Any { exclude: vec![exact("a.test"), exact("b.test")] };
        assert_eq!(narrowed(any("a.test"), any("b.test")), both);
        assert_eq!(
            narrowed(NOTHING, any("b.test")),
            AllowedIdentifiers::Listed { rules: vec![], exclude: vec![exact("b.test")] }
        );
    }
}
