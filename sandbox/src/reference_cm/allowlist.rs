//! Allowed identifiers: the CM's own reading of contract section 4.3.
//!
//! The gateway checks the same early, but this is the check that counts: a gateway that lies gets
//! nothing. Effective policy is realm and parent and own; each of them is one list here.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::identifier::{Identifier, Kind, is_host_name, normal_dns, split_wildcard};
use super::waivers::is_small_enough;

/// Most rules of one list, excluding rules counted apart.
const RULES_MAX: usize = 1_000;
/// Most rules of a waiver.
const WAIVED_RULES_MAX: usize = 20;

/// A list of allowed identifiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum AllowedIdentifiers {
    /// Every name, apart from the excluded ones.
    Any {
        /// What is excluded all the same.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        exclude: Vec<Rule>,
    },
    /// Names that match a rule and no excluding rule.
    Listed {
        /// At least one.
        rules: Vec<Rule>,
        /// What is excluded all the same.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        exclude: Vec<Rule>,
    },
}

/// How a rule compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Match {
    /// The name and everything below it.
    Suffix,
    /// This name or address.
    Exact,
    /// This wildcard identifier and nothing else.
    Wildcard,
    /// Addresses of a block.
    Cidr,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// `dns` or `ip`.
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(rename = "match")]
    comparison: Match,
    value: String,
    /// Whether a suffix rule covers wildcard names too.
    #[serde(default = "yes")]
    wildcards: bool,
    /// The officer's word that a public suffix is meant.
    #[serde(rename = "allowPublicSuffix", default, skip_serializing_if = "std::ops::Not::not")]
    allow_public_suffix: bool,
}

fn yes() -> bool {
    true
}

impl AllowedIdentifiers {
    /// Checks a list that a person wrote and puts it into normal form.
    ///
    /// The error is a pointer into the list and what is wrong there.
    pub(crate) fn normalized(self) -> Result<Self, (String, &'static str)> {
        match self {
            Self::Any { exclude } => Ok(Self::Any { exclude: normalize(exclude, "/exclude", true)? }),
            Self::Listed { rules, exclude } => {
                if rules.is_empty() {
                    return Err((
                        "/rules".to_owned(),
                        "an empty list allows nothing; write mode any to allow all names",
                    ));
                }
                Ok(Self::Listed {
                    rules: normalize(rules, "/rules", false)?,
                    exclude: normalize(exclude, "/exclude", true)?,
                })
            }
        }
    }

    /// Whether the list allows the identifier; the error says which way it does not.
    pub(crate) fn check(&self, identifier: &Identifier) -> Result<(), &'static str> {
        let (covered, exclude) = match self {
            Self::Any { exclude } => (true, exclude),
            Self::Listed { rules, exclude } => (rules.iter().any(|rule| rule.matches(identifier)), exclude),
        };
        if exclude.iter().any(|rule| rule.matches(identifier)) {
            Err("excluded by policy")
        } else if covered {
            Ok(())
        } else {
            Err("not covered by policy")
        }
    }
}

fn normalize(rules: Vec<Rule>, place: &str, excluding: bool) -> Result<Vec<Rule>, (String, &'static str)> {
    if rules.len() > RULES_MAX {
        return Err((place.to_owned(), "at most 1000 rules"));
    }
    rules
        .into_iter()
        .enumerate()
        .map(|(index, rule)| rule.normalized(excluding).map_err(|reason| (format!("{place}/{index}"), reason)))
        .collect()
}

/// Checks the rules of a waiver and puts them into normal form: few, and none that covers what belongs to many.
pub(crate) fn waivable(rules: Vec<Rule>) -> Result<Vec<Rule>, (String, &'static str)> {
    if rules.is_empty() || rules.len() > WAIVED_RULES_MAX {
        return Err((String::new(), "1 to 20 rules"));
    }
    // Public suffixes are refused below, without the advice that lists of registrations get.
    let rules = normalize(rules, "", true)?;
    match rules.iter().position(|rule| !rule.is_waivable()) {
        Some(index) => {
            Err((format!("/{index}"), "covers too much for a waiver: a public suffix, or too large a block"))
        }
        None => Ok(rules),
    }
}

impl Rule {
    fn is_waivable(&self) -> bool {
        let name = self.value.strip_prefix("*.").unwrap_or(&self.value);
        match (self.kind, self.comparison) {
            (Kind::Dns, _) => !self.allow_public_suffix && !is_public_suffix(name),
            (Kind::Ip, Match::Cidr) => canonical_net(&self.value).is_some_and(|block| is_small_enough(&block)),
            (Kind::Ip, Match::Exact | Match::Suffix | Match::Wildcard) => true,
        }
    }

    fn normalized(mut self, excluding: bool) -> Result<Self, &'static str> {
        self.value = match (self.kind, self.comparison) {
            (Kind::Dns, Match::Suffix) => {
                let name = normal_dns(&self.value).ok_or("not a DNS name")?;
                if !excluding && !self.allow_public_suffix && is_public_suffix(&name) {
                    return Err("a public suffix; set allowPublicSuffix if it is meant");
                }
                name
            }
            (Kind::Dns, Match::Exact) => normal_dns(&self.value).ok_or("not a DNS name")?,
            (Kind::Dns, Match::Wildcard) => match split_wildcard(&self.value) {
                (rest, true) => format!("*.{}", normal_dns(rest).ok_or("not a DNS name")?),
                (_, false) => return Err("a wildcard rule begins with *."),
            },
            (Kind::Ip, Match::Exact) => {
                self.value.parse::<IpAddr>().map_err(|_| "not an IP address")?.to_canonical().to_string()
            }
            (Kind::Ip, Match::Cidr) => canonical_net(&self.value).ok_or("not an address block")?.to_string(),
            (Kind::Dns, Match::Cidr) | (Kind::Ip, Match::Suffix | Match::Wildcard) => {
                return Err("this comparison does not fit the type");
            }
        };
        Ok(self)
    }

    /// Whether the rule covers the identifier.
    pub(crate) fn matches(&self, identifier: &Identifier) -> bool {
        match (identifier, self.kind) {
            (Identifier::Dns { name, wildcard }, Kind::Dns) => match self.comparison {
                Match::Suffix => (!wildcard || self.wildcards) && is_at_or_below(name, &self.value),
                Match::Exact => !wildcard && *name == self.value,
                Match::Wildcard => *wildcard && identifier.to_string() == self.value,
                Match::Cidr => false,
            },
            (Identifier::Ip(address), Kind::Ip) => match self.comparison {
                Match::Exact => self.value.parse() == Ok(*address),
                Match::Cidr => canonical_net(&self.value).is_some_and(|block| block.contains(address)),
                Match::Suffix | Match::Wildcard => false,
            },
            (Identifier::Dns { .. }, Kind::Ip) | (Identifier::Ip(_), Kind::Dns) => false,
        }
    }
}

/// On label boundaries, so that `badexample.com` is not below `example.com`.
fn is_at_or_below(name: &str, top: &str) -> bool {
    name == top || name.strip_suffix(top).is_some_and(|rest| rest.ends_with('.'))
}

fn is_public_suffix(name: &str) -> bool {
    debug_assert!(is_host_name(name));
    psl::suffix_str(name) == Some(name)
}

/// A block; one inside ::ffff:0:0/96 is folded to IPv4 like the addresses are.
pub(crate) fn canonical_net(value: &str) -> Option<IpNet> {
    let block = value.parse::<IpNet>().ok()?.trunc();
    match block {
        IpNet::V4(_) => Some(block),
        IpNet::V6(six) => match six.addr().to_ipv4_mapped() {
            Some(four) if six.prefix_len() >= 96 => IpNet::new(IpAddr::V4(four), six.prefix_len() - 96).ok(),
            Some(_) | None => Some(block),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::identifier::WireIdentifier;
    use super::*;

    fn list(json: &str) -> AllowedIdentifiers {
        serde_json::from_str::<AllowedIdentifiers>(json).unwrap().normalized().unwrap()
    }

    fn allows(list: &AllowedIdentifiers, value: &str) -> bool {
        let kind = if value.parse::<IpAddr>().is_ok() { Kind::Ip } else { Kind::Dns };
        let identifier = Identifier::from_wire(&WireIdentifier { kind, value: value.to_owned() }).unwrap();
        list.check(&identifier).is_ok()
    }

    #[test]
    fn the_table_of_the_contract_holds() {
        let suffix = list(r#"{"mode":"listed","rules":[{"type":"dns","match":"suffix","value":"example.com"}]}"#);
        let tame = list(
            r#"{"mode":"listed","rules":[{"type":"dns","match":"suffix","value":"example.com","wildcards":false}]}"#,
        );
        let exact = list(r#"{"mode":"listed","rules":[{"type":"dns","match":"exact","value":"www.example.com"}]}"#);
        let wildcard =
            list(r#"{"mode":"listed","rules":[{"type":"dns","match":"wildcard","value":"*.dev.example.com"}]}"#);
        let address = list(r#"{"mode":"listed","rules":[{"type":"ip","match":"exact","value":"192.0.2.7"}]}"#);
        let block = list(r#"{"mode":"listed","rules":[{"type":"ip","match":"cidr","value":"2001:db8::/32"}]}"#);
        let mapped = list(r#"{"mode":"listed","rules":[{"type":"ip","match":"cidr","value":"::ffff:192.0.2.0/120"}]}"#);
        let table: &[(&AllowedIdentifiers, &str, bool)] = &[
            (&suffix, "example.com", true),
            (&suffix, "a.b.example.com", true),
            (&suffix, "*.example.com", true),
            (&suffix, "*.a.example.com", true),
            (&suffix, "badexample.com", false),
            (&suffix, "example.com.evil.org", false),
            (&suffix, "com", false),
            (&suffix, "*.com", false),
            (&suffix, "192.0.2.7", false),
            (&tame, "a.example.com", true),
            (&tame, "*.example.com", false),
            (&exact, "www.example.com", true),
            (&exact, "*.www.example.com", false),
            (&exact, "a.www.example.com", false),
            (&wildcard, "*.dev.example.com", true),
            (&wildcard, "x.dev.example.com", false),
            (&wildcard, "dev.example.com", false),
            (&wildcard, "*.x.dev.example.com", false),
            (&address, "192.0.2.7", true),
            (&address, "192.0.2.8", false),
            (&block, "2001:db8::7", true),
            (&block, "2001:db9::7", false),
            (&block, "192.0.2.7", false),
            (&mapped, "192.0.2.9", true),
        ];
        for (list, value, expected) in table {
            assert_eq!(allows(list, value), *expected, "{value} by {list:?}");
        }
    }

    #[test]
    fn an_excluding_rule_wins_over_everything_that_covers() {
        let list = list(
            r#"{"mode":"listed","rules":[{"type":"dns","match":"suffix","value":"example.com"}],
                "exclude":[{"type":"dns","match":"suffix","value":"vpn.example.com"}]}"#,
        );
        for (value, expected) in [
            ("www.example.com", true),
            ("*.example.com", true),
            ("vpn.example.com", false),
            ("a.vpn.example.com", false),
            ("*.vpn.example.com", false),
            ("notvpn.example.com", true),
        ] {
            assert_eq!(allows(&list, value), expected, "{value}");
        }
    }

    #[test]
    fn lists_that_open_too_much_or_mean_nothing_are_refused() {
        for json in [
            r#"{"mode":"listed","rules":[]}"#,
            r#"{"mode":"listed","rules":[{"type":"dns","match":"suffix","value":"com"}]}"#,
            r#"{"mode":"listed","rules":[{"type":"dns","match":"suffix","value":"co.uk"}]}"#,
            r#"{"mode":"listed","rules":[{"type":"dns","match":"cidr","value":"10.0.0.0/8"}]}"#,
            r#"{"mode":"listed","rules":[{"type":"ip","match":"suffix","value":"10.0.0.1"}]}"#,
            r#"{"mode":"listed","rules":[{"type":"dns","match":"wildcard","value":"dev.example.com"}]}"#,
            r#"{"mode":"listed","rules":[{"type":"dns","match":"exact","value":"*.example.com"}]}"#,
            r#"{"mode":"listed","rules":[{"type":"dns","match":"suffix","value":".example.com"}]}"#,
        ] {
            let list: AllowedIdentifiers = serde_json::from_str(json).unwrap();
            assert!(list.normalized().is_err(), "{json}");
        }
        for json in [
            r#"{"mode":"listed"}"#,
            r#"{"mode":"any","rules":[]}"#,
            r#"{"mode":"all"}"#,
            r#"{"mode":"listed","rules":[{"type":"dns","match":"suffix","value":"a.example","only":1}]}"#,
        ] {
            assert!(serde_json::from_str::<AllowedIdentifiers>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_public_suffix_is_taken_if_the_officer_says_so() {
        let list: AllowedIdentifiers = serde_json::from_str(
            r#"{"mode":"listed","rules":[{"type":"dns","match":"suffix","value":"Test.","allowPublicSuffix":true}]}"#,
        )
        .unwrap();
        assert!(allows(&list.normalized().unwrap(), "a.test"));
    }
}
