//! Entries of a list of allowed identifiers as officers write and read them:
//! `suffix:example.com`, `suffix:example.com,no-wildcards`, `exact:www.example.com`,
//! `wildcard:*.dev.example.com`, `ip:192.0.2.7`, `cidr:192.0.2.0/24` (CM contract section 4.3).
//!
//! What is written is brought into the contract's normal form here, so that the officer sees what
//! will be stored. Nothing is decided here: what a list means is in the policies, and the CM checks
//! it again.

pub(crate) mod example;
pub(crate) mod lint;

use std::{fmt, net::IpAddr, str::FromStr};

use acme::identifier::DnsName;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Bits that an IPv4 address inside IPv6 begins with (RFC 4291 section 2.5.5.2).
const MAPPED_BITS: u8 = 96;
/// What may be written.
const FORMS: &str =
    "write suffix:NAME, suffix:NAME,no-wildcards, exact:NAME, wildcard:*.NAME, ip:ADDRESS or cidr:NETWORK";

/// One entry, in normal form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(rename = "match")]
    matches: Match,
    value: String,
    /// Only a suffix has it to say.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    wildcards: bool,
    #[serde(rename = "allowPublicSuffix", default, skip_serializing_if = "std::ops::Not::not")]
    allow_public_suffix: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Dns,
    Ip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Match {
    Suffix,
    Exact,
    Wildcard,
    Cidr,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_yes(value: &bool) -> bool {
    *value
}

impl Entry {
    /// A suffix under which anybody can register names: `com`, `co.uk`.
    pub(crate) fn is_public_suffix(&self) -> bool {
        self.matches == Match::Suffix && psl::suffix_str(&self.value) == Some(self.value.as_str())
    }

    /// The same with the officer's word that a public suffix is meant.
    #[must_use]
    pub(crate) fn meaning_public_suffix(self) -> Self {
        let allow_public_suffix = self.is_public_suffix();
        Self { allow_public_suffix, ..self }
    }

    /// Whether both cover the same names.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Self { allow_public_suffix: false, ..self.clone() } == Self { allow_public_suffix: false, ..other.clone() }
    }

    /// What it covers, for somebody who does not know our words.
    pub(crate) fn words(&self) -> String {
        let value = &self.value;
        match (self.kind, self.matches) {
            (_, Match::Suffix) if self.wildcards => format!("{value} and every name below it"),
            (_, Match::Suffix) => format!("{value} and every name below it, but no wildcards"),
            (_, Match::Wildcard) => format!("the wildcard {value}"),
            (_, Match::Cidr) => format!("the addresses of {value}"),
            (Kind::Ip, Match::Exact) => format!("the address {value}"),
            (Kind::Dns, Match::Exact) => value.clone(),
        }
    }

    fn new(kind: Kind, matches: Match, value: String) -> Self {
        Self { kind, matches, value, wildcards: true, allow_public_suffix: false }
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (form, value) = text.split_once(':').ok_or_else(|| format!("{text} says not how it is meant; {FORMS}"))?;
        let value = value.trim();
        let read = match form {
            "suffix" => {
                let (name, flag) = value.split_once(',').map_or((value, None), |(name, flag)| (name, Some(flag)));
                if name.starts_with("*.") {
                    return Err(format!(
                        "{text}: a suffix covers wildcards by itself; write suffix:{}",
                        name.trim_start_matches("*.")
                    ));
                }
                match flag {
                    None => dns(name).map(|name| Self::new(Kind::Dns, Match::Suffix, name)),
                    Some("no-wildcards") => {
                        dns(name).map(|name| Self { wildcards: false, ..Self::new(Kind::Dns, Match::Suffix, name) })
                    }
                    Some(other) => {
                        Err(format!("{other} is no word here; write suffix:{name} or suffix:{name},no-wildcards"))
                    }
                }
            }
            "exact" if value.parse::<IpAddr>().is_ok() => ip(value),
            "exact" if value.starts_with("*.") => Err(format!("a wildcard is written wildcard:{value}")),
            "exact" => dns(value).map(|name| Self::new(Kind::Dns, Match::Exact, name)),
            "wildcard" => match value.strip_prefix("*.") {
                Some(base) => dns(base).map(|base| Self::new(Kind::Dns, Match::Wildcard, format!("*.{base}"))),
                None => Err(format!("a wildcard begins with an asterisk; write wildcard:*.{value}")),
            },
            "ip" => ip(value),
            "cidr" => network(value).map(|block| Self::new(Kind::Ip, Match::Cidr, block)),
            _ => Err(format!("{form} is no form of entry; {FORMS}")),
        };
        read.map_err(|reason| format!("{text}: {reason}"))
    }
}

/// A DNS name in the contract's normal form: A-labels, lower case, one final dot removed.
fn dns(text: &str) -> Result<String, String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let name = if text.is_ascii() {
        text.to_owned()
    } else {
        idna::domain_to_ascii_strict(text).map_err(|_| "not a name that IDNA knows".to_owned())?
    };
    DnsName::parse(&name).map(|name| name.to_string()).map_err(|error| error.to_string())
}

fn ip(text: &str) -> Result<Entry, String> {
    let address: IpAddr = text.parse().map_err(|_| "not an IP address".to_owned())?;
    Ok(Entry::new(Kind::Ip, Match::Exact, address.to_canonical().to_string()))
}

/// A block with its host bits cleared; one of IPv4 inside IPv6 is folded to IPv4.
fn network(text: &str) -> Result<String, String> {
    let block: IpNet = text.parse().map_err(|_| "not a network such as 192.0.2.0/24".to_owned())?;
    let folded = match (block.addr().to_canonical(), block.prefix_len().checked_sub(MAPPED_BITS)) {
        (address @ IpAddr::V4(_), Some(bits)) if block.addr().is_ipv6() => IpNet::new(address, bits).unwrap_or(block),
        _ => block,
    };
    Ok(folded.trunc().to_string())
}

impl fmt::Display for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match (self.kind, self.matches) {
            (Kind::Ip, Match::Exact) => "ip",
            (_, Match::Suffix) => "suffix",
            (_, Match::Exact) => "exact",
            (_, Match::Wildcard) => "wildcard",
            (_, Match::Cidr) => "cidr",
        };
        write!(out, "{form}:{}", self.value)?;
        if self.matches == Match::Suffix && !self.wildcards { out.write_str(",no-wildcards") } else { Ok(()) }
    }
}

/// A list in the contract's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct List {
    /// `None` if every name is allowed.
    pub(crate) rules: Option<Vec<Entry>>,
    /// What is refused all the same.
    pub(crate) exclude: Vec<Entry>,
}

impl List {
    /// For the CM.
    pub(crate) fn to_json(&self) -> Value {
        let mut json = match &self.rules {
            None => json!({"mode": "any"}),
            Some(rules) => json!({"mode": "listed", "rules": rules}),
        };
        if let (Some(members), false) = (json.as_object_mut(), self.exclude.is_empty()) {
            members.insert("exclude".to_owned(), json!(self.exclude));
        }
        json
    }

    /// From the CM, if all of it is understood: a list that is changed must not lose what it said.
    pub(crate) fn of(json: &Value) -> Option<Self> {
        let entries = |member: &str| match json.get(member) {
            None => Some(Vec::new()),
            Some(list) => Vec::<Entry>::deserialize(list).ok(),
        };
        let exclude = entries("exclude")?;
        match json.get("mode").and_then(Value::as_str) {
            Some("any") => Some(Self { rules: None, exclude }),
            Some("listed") => Some(Self { rules: Some(entries("rules")?), exclude }),
            _ => None,
        }
    }
}

/// A list as people read it, an entry a line; what is not understood is shown as it stands.
pub(crate) fn lines(json: &Value) -> String {
    let Some(list) = List::of(json) else { return format!("not understood: {json}") };
    let mut lines: Vec<String> = match &list.rules {
        None => vec!["any name".to_owned()],
        Some(rules) if rules.is_empty() => vec!["nothing".to_owned()],
        Some(rules) => rules.iter().map(Entry::to_string).collect(),
    };
    lines.extend(list.exclude.iter().map(|entry| format!("except {entry}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(text: &str) -> Entry {
        text.parse().unwrap_or_else(|reason| panic!("{text}: {reason}"))
    }

    #[test]
    fn every_form_becomes_a_rule_of_the_contract() {
        let table = [
            ("suffix:Example.com.", json!({"type": "dns", "match": "suffix", "value": "example.com"})),
            (
                "suffix:example.com,no-wildcards",
                json!({"type": "dns", "match": "suffix", "value": "example.com", "wildcards": false}),
            ),
            ("exact:www.example.com", json!({"type": "dns", "match": "exact", "value": "www.example.com"})),
            ("exact:b\u{fc}cher.example", json!({"type": "dns", "match": "exact", "value": "xn--bcher-kva.example"})),
            ("exact:192.0.2.7", json!({"type": "ip", "match": "exact", "value": "192.0.2.7"})),
            ("ip:::ffff:192.0.2.7", json!({"type": "ip", "match": "exact", "value": "192.0.2.7"})),
            ("ip:2001:DB8::1", json!({"type": "ip", "match": "exact", "value": "2001:db8::1"})),
            ("wildcard:*.dev.example.com", json!({"type": "dns", "match": "wildcard", "value": "*.dev.example.com"})),
            ("cidr:192.0.2.9/24", json!({"type": "ip", "match": "cidr", "value": "192.0.2.0/24"})),
            ("cidr:::ffff:192.0.2.0/120", json!({"type": "ip", "match": "cidr", "value": "192.0.2.0/24"})),
            ("cidr:2001:db8::/32", json!({"type": "ip", "match": "cidr", "value": "2001:db8::/32"})),
        ];
        for (text, json) in table {
            let entry = entry(text);
            assert_eq!(serde_json::to_value(&entry).unwrap(), json, "{text}");
            assert_eq!(entry.to_string().parse::<Entry>().unwrap(), entry, "{text} is read as it is shown");
            assert_eq!(serde_json::from_value::<Entry>(json).unwrap(), entry, "{text}");
        }
    }

    #[test]
    fn what_is_not_meant_clearly_is_refused_with_the_right_form() {
        let table = [
            ("example.com", "suffix:NAME"),
            ("domain:example.com", "no form of entry"),
            ("suffix:*.example.com", "write suffix:example.com"),
            ("exact:*.example.com", "wildcard:*.example.com"),
            ("wildcard:dev.example.com", "wildcard:*.dev.example.com"),
            ("suffix:example.com,wildcards", "no-wildcards"),
            ("suffix:", "empty"),
            ("suffix:a b", "letters"),
            ("suffix:.example.com", "empty label"),
            ("cidr:192.0.2.0/33", "192.0.2.0/24"),
            ("cidr:192.0.2.0", "192.0.2.0/24"),
            ("ip:300.1.1.1", "not an IP address"),
            ("suffix:192.0.2.1", "IP address"),
        ];
        for (text, part) in table {
            let reason = text.parse::<Entry>().unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn public_suffixes_are_known() {
        for text in ["suffix:com", "suffix:co.uk", "suffix:test"] {
            assert!(entry(text).is_public_suffix(), "{text}");
            let meant = serde_json::to_value(entry(text).meaning_public_suffix()).unwrap();
            assert_eq!(meant["allowPublicSuffix"], true);
        }
        for text in ["suffix:example.com", "exact:com", "suffix:printers.test"] {
            assert!(!entry(text).is_public_suffix(), "{text}");
            assert_eq!(entry(text).meaning_public_suffix(), entry(text));
        }
    }

    #[test]
    fn lists_are_read_and_written_in_the_contracts_words() {
        let listed = json!({"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "a.test"}],
                            "exclude": [{"type": "dns", "match": "exact", "value": "vpn.a.test"}]});
        assert_eq!(List::of(&listed).unwrap().to_json(), listed);
        assert_eq!(lines(&listed), "suffix:a.test\nexcept exact:vpn.a.test");
        assert_eq!(lines(&json!({"mode": "any"})), "any name");
        assert_eq!(List::of(&json!({"mode": "regex", "rules": []})), None);
        assert!(lines(&json!({"mode": "regex"})).starts_with("not understood"));
    }

    proptest! {
        #[test]
        fn no_text_makes_an_entry_that_is_not_in_normal_form(text in "(suffix|exact|wildcard|ip|cidr):[*.a-zA-Z0-9/:-]{0,20}") {
            if let Ok(entry) = text.parse::<Entry>() {
                prop_assert_eq!(entry.to_string().parse::<Entry>(), Ok(entry));
            }
        }
    }
}
