//! Identifiers of certificates and their one normal form (contract sections 3 and 4.3).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What kind of identifier it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A DNS name.
    Dns,
    /// An IP address.
    Ip,
}

/// An identifier as it stands in a request, not yet looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireIdentifier {
    /// `dns` or `ip`.
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    /// Its text.
    pub(crate) value: String,
}

/// An identifier in normal form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Identifier {
    /// A DNS name of lowercase A-labels; `*.` is stripped and remembered.
    Dns {
        /// The name without `*.`.
        name: String,
        /// Whether it was `*.name`.
        wildcard: bool,
    },
    /// An address; IPv4-mapped IPv6 is folded to IPv4.
    Ip(IpAddr),
}

impl Identifier {
    /// Reads an identifier of a request, which must already be in normal form.
    pub(crate) fn from_wire(wire: &WireIdentifier) -> Option<Self> {
        let identifier = match wire.kind {
            Kind::Dns => {
                let (rest, wildcard) = split_wildcard(&wire.value);
                is_host_name(rest).then(|| Self::Dns { name: rest.to_owned(), wildcard })?
            }
            Kind::Ip => Self::Ip(wire.value.parse::<IpAddr>().ok()?.to_canonical()),
        };
        (identifier.to_string() == wire.value).then_some(identifier)
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Dns { .. } => Kind::Dns,
            Self::Ip(_) => Kind::Ip,
        }
    }

    /// The form of the wire.
    pub(crate) fn to_json(&self) -> Value {
        json!({"type": self.kind(), "value": self.to_string()})
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns { name, wildcard: true } => write!(f, "*.{name}"),
            Self::Dns { name, wildcard: false } => f.write_str(name),
            Self::Ip(address) => write!(f, "{address}"),
        }
    }
}

/// Splits `*.` off.
pub(crate) fn split_wildcard(value: &str) -> (&str, bool) {
    match value.strip_prefix("*.") {
        Some(rest) => (rest, true),
        None => (value, false),
    }
}

/// The normal form of a DNS name that a person typed: A-labels, lowercase, one final dot removed.
pub(crate) fn normal_dns(value: &str) -> Option<String> {
    let value = value.strip_suffix('.').unwrap_or(value);
    let ascii = idna::domain_to_ascii(value).ok()?;
    is_host_name(&ascii).then_some(ascii)
}

/// Whether a label with hyphens at its third and fourth place is what such labels are reserved for (RFC 5890 section
/// 2.3.1): a name in other letters, written in the one way it can be.
fn is_a_label(label: &str) -> bool {
    let (unicode, decoded) = idna::domain_to_unicode(label);
    decoded.is_ok() && !unicode.is_ascii() && idna::domain_to_ascii(&unicode).is_ok_and(|again| again == label)
}

/// Whether a text is a host name in normal form: LDH labels, not a number at the end (so that no
/// spelling of an IP address passes as a name).
pub(crate) fn is_host_name(name: &str) -> bool {
    let labels_are_good = name.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
            && (label.get(2..4) != Some("--") || is_a_label(label))
    });
    let last_is_numeric = name.rsplit('.').next().is_some_and(|label| {
        label.bytes().all(|octet| octet.is_ascii_digit())
            || label.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|octet| octet.is_ascii_hexdigit()))
    });
    name.len() <= 253 && labels_are_good && !last_is_numeric
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, value: &str) -> Option<Identifier> {
        Identifier::from_wire(&WireIdentifier { kind, value: value.to_owned() })
    }

    #[test]
    fn only_the_normal_form_of_an_identifier_is_read() {
        for value in ["www.example.com", "*.example.com", "xn--mnchen-3ya.example"] {
            assert_eq!(read(Kind::Dns, value).unwrap().to_string(), value);
        }
        for value in [
            "WWW.example.com",
            "example.com.",
            "*.*.example.com",
            "a.*.example.com",
            "*",
            "",
            "..",
            "-a.example",
            "a_b.example",
            "192.0.2.1",
            "example.0x7f",
            "münchen.example",
            "a b.example",
        ] {
            assert_eq!(read(Kind::Dns, value), None, "{value}");
        }
        for value in ["192.0.2.7", "2001:db8::1"] {
            assert_eq!(read(Kind::Ip, value).unwrap().to_string(), value);
        }
        for value in ["192.0.2.007", "2001:DB8::1", "::ffff:192.0.2.7", "192.0.2.7/32", "fe80::1%1"] {
            assert_eq!(read(Kind::Ip, value), None, "{value}");
        }
    }

    #[test]
    fn a_typed_name_becomes_a_labels_in_lowercase_without_the_final_dot() {
        assert_eq!(normal_dns("Bücher.Example.").unwrap(), "xn--bcher-kva.example");
        assert_eq!(normal_dns("exa mple.com"), None);
        assert_eq!(normal_dns("example.com.."), None);
    }
}
