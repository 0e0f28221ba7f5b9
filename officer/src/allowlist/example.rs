//! A name to show as an example: one that a list allows, and no other, so that what is shown with it works.

use acme::identifier::Identifier;
use cm_connector::rest::door;
use policies::identifier::{Verdict, allowed};
use serde_json::Value;

use super::{Entry, Kind, List, Match};

/// Labels that are tried below a suffix.
const LABELS: [&str; 3] = ["www", "host", "host-1"];

/// Something to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Example {
    /// A name, proven by any challenge.
    Name(String),
    /// A wildcard name, proven in DNS only (RFC 8555 section 8.4).
    Wildcard(String),
    /// An address (RFC 8738).
    Address(String),
    /// None was found.
    Unknown,
}

impl Example {
    /// The first that the list allows: a name if there is one, else an address, else a wildcard.
    pub(crate) fn of(json: &Value) -> Self {
        let rules = List::of(json).and_then(|list| list.rules).unwrap_or_default();
        let list = door::allowed_identifiers(json.clone());
        let is_allowed = |example: &Self| {
            let identifier = match example {
                Self::Address(text) => Identifier::parse_ip(text),
                Self::Name(text) | Self::Wildcard(text) => Identifier::parse_dns(text),
                Self::Unknown => return false,
            };
            identifier.is_ok_and(|identifier| matches!(allowed(&identifier, &list), Verdict::Allowed { .. }))
        };
        let found: Vec<Self> = rules.iter().filter_map(|rule| candidates(rule).into_iter().find(is_allowed)).collect();
        let rank = |example: &&Self| match example {
            Self::Name(_) => 0,
            Self::Address(_) => 1,
            Self::Wildcard(_) | Self::Unknown => 2,
        };
        found.iter().min_by_key(rank).cloned().unwrap_or(Self::Unknown)
    }

    /// As it is typed; a word in its place if there is none.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Name(text) | Self::Wildcard(text) | Self::Address(text) => text,
            Self::Unknown => "NAME",
        }
    }
}

/// What an entry covers, as far as an example goes.
fn candidates(entry: &Entry) -> Vec<Example> {
    let value = &entry.value;
    match (entry.kind, entry.matches) {
        // Nobody is given a certificate for all of com.
        (_, Match::Suffix) if entry.is_public_suffix() => Vec::new(),
        (_, Match::Suffix) => {
            let below = LABELS.iter().map(|label| Example::Name(format!("{label}.{value}")));
            std::iter::once(Example::Name(value.clone())).chain(below).collect()
        }
        (_, Match::Wildcard) => vec![Example::Wildcard(value.clone())],
        (_, Match::Cidr) => {
            let hosts = value.parse::<ipnet::IpNet>().map(|network| network.hosts());
            let first = hosts.into_iter().flatten().take(LABELS.len());
            first.map(|address| Example::Address(address.to_string())).collect()
        }
        (Kind::Ip, Match::Exact) => vec![Example::Address(value.clone())],
        (Kind::Dns, Match::Exact) => vec![Example::Name(value.clone())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(allow: &str, exclude: &str) -> Example {
        let entries = |text: &str| text.split_whitespace().map(|entry| entry.parse().unwrap()).collect::<Vec<Entry>>();
        let rules = (allow != "any").then(|| entries(allow));
        Example::of(&List { rules, exclude: entries(exclude) }.to_json())
    }

    #[test]
    fn an_example_is_something_that_the_list_allows() {
        let name = |text: &str| Example::Name(text.to_owned());
        let address = |text: &str| Example::Address(text.to_owned());
        let table = [
            ("suffix:a.test", "", name("a.test")),
            ("suffix:a.test", "exact:a.test", name("www.a.test")),
            ("suffix:a.test", "exact:a.test exact:www.a.test", name("host.a.test")),
            ("suffix:a.test", "suffix:a.test", Example::Unknown),
            ("wildcard:*.a.test exact:b.test", "", name("b.test")),
            ("wildcard:*.a.test", "", Example::Wildcard("*.a.test".to_owned())),
            ("cidr:192.0.2.0/24", "", address("192.0.2.1")),
            ("cidr:192.0.2.0/24", "ip:192.0.2.1", address("192.0.2.2")),
            ("ip:192.0.2.7", "", address("192.0.2.7")),
            ("suffix:com", "", Example::Unknown),
            ("any", "", Example::Unknown),
        ];
        for (allow, exclude, expected) in table {
            assert_eq!(example(allow, exclude), expected, "{allow} except {exclude}");
        }
    }
}
