//! Identifiers: what a certificate is asked for (RFC 8555 §7.1.4, RFC 8738).
//!
//! Case, trailing dots and IDNA are settled once, in [`DnsName::parse`]; past it nobody compares
//! names in any other form. What a *registration* may ask for is not decided here but in the
//! policies.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest DNS name without its final dot, in octets (RFC 1035 §2.3.4).
const NAME_OCTETS_MAX: usize = 253;
/// Longest label, in octets.
const LABEL_OCTETS_MAX: usize = 63;

/// A DNS name in certificate form: lowercase LDH labels, IDNA as A-labels, no wildcard, no final
/// dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(Box<str>);

/// What a certificate can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identifier {
    /// One DNS name.
    Dns(DnsName),
    /// `*.` and this name: all names exactly one label below it.
    Wildcard(DnsName),
    /// One IP address (RFC 8738).
    Ip(IpAddr),
}

/// Why a text is no identifier. The texts are for ACME clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// A type other than `dns` and `ip`.
    #[error("identifiers of this type are not supported; use dns or ip")]
    UnsupportedType,
    /// No name at all.
    #[error("the name is empty")]
    Empty,
    /// More than 253 octets.
    #[error("the name is longer than 253 octets")]
    TooLong,
    /// A dot at the end.
    #[error("the name ends in a dot; write it without")]
    TrailingDot,
    /// `a..b` or `.a`.
    #[error("the name has an empty label")]
    EmptyLabel,
    /// A label of more than 63 octets.
    #[error("a label is longer than 63 octets")]
    LabelTooLong,
    /// A label that begins or ends with a hyphen.
    #[error("a label begins or ends with a hyphen")]
    Hyphen,
    /// Anything but letters, digits, hyphens and dots.
    #[error(
        "only the letters a to z, digits, hyphens and dots may occur; write international names as A-labels (xn--)"
    )]
    Character,
    /// Hyphens at the third and fourth place of a label that is no A-label.
    #[error("a label has hyphens in third and fourth place but is no valid A-label")]
    NotAnALabel,
    /// The last label is numeric, so the name could be read as an address.
    #[error("the name reads as an IP address; use an identifier of type ip")]
    LooksLikeAddress,
    /// An asterisk anywhere but as the whole first label.
    #[error("an asterisk may only be the whole first label, as in *.example.com")]
    WildcardPosition,
    /// The text is no IP address in canonical form.
    #[error("not an IP address in canonical form (RFC 8738: dotted decimal, or RFC 5952)")]
    NotAnAddress,
}

impl DnsName {
    /// Takes a DNS name in certificate form; upper case is folded, everything else is refused
    /// rather than mended, so that what a client reads back is what it asked for.
    ///
    /// # Errors
    /// [`IdentifierError`] with the first rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        if text.is_empty() {
            return Err(IdentifierError::Empty);
        }
        if text.len() > NAME_OCTETS_MAX {
            return Err(IdentifierError::TooLong);
        }
        if text.parse::<IpAddr>().is_ok() {
            return Err(IdentifierError::LooksLikeAddress);
        }
        if text.len() > 1 && text.ends_with('.') {
            return Err(IdentifierError::TrailingDot);
        }
        let name = text.to_ascii_lowercase();
        name.split('.').try_for_each(check_label)?;
        if name.rsplit('.').next().is_some_and(is_numeric) {
            return Err(IdentifierError::LooksLikeAddress);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if this name is `ancestor` or lies below it, at a label boundary:
    /// `evilexample.com` is not under `example.com`.
    #[must_use]
    pub fn is_same_or_under(&self, ancestor: &Self) -> bool {
        match self.0.strip_suffix(ancestor.as_str()) {
            Some(rest) => rest.is_empty() || rest.ends_with('.'),
            None => false,
        }
    }
}

impl Identifier {
    /// Takes the `type` and `value` members of an ACME identifier object.
    ///
    /// # Errors
    /// [`IdentifierError`] with the first rule the text breaks.
    pub fn parse(kind: &str, value: &str) -> Result<Self, IdentifierError> {
        match kind {
            "dns" => Self::parse_dns(value),
            "ip" => Self::parse_ip(value),
            _ => Err(IdentifierError::UnsupportedType),
        }
    }

    /// Takes a DNS name or a wildcard name.
    ///
    /// # Errors
    /// [`IdentifierError`] with the first rule the text breaks.
    pub fn parse_dns(value: &str) -> Result<Self, IdentifierError> {
        let base = value.strip_prefix("*.");
        if base.unwrap_or(value).contains('*') {
            return Err(IdentifierError::WildcardPosition);
        }
        match base {
            Some(base) => Ok(Self::Wildcard(DnsName::parse(base)?)),
            None => Ok(Self::Dns(DnsName::parse(value)?)),
        }
    }

    /// Takes an IP address in its one canonical spelling (RFC 8738 §3, RFC 5952).
    ///
    /// # Errors
    /// [`IdentifierError::NotAnAddress`] for any other spelling, and for IPv4 inside IPv6.
    pub fn parse_ip(value: &str) -> Result<Self, IdentifierError> {
        let address: IpAddr = value.parse().map_err(|_| IdentifierError::NotAnAddress)?;
        if address.to_string() == value && address.to_canonical() == address {
            Ok(Self::Ip(address))
        } else {
            Err(IdentifierError::NotAnAddress)
        }
    }

    /// The `type` member: `dns` or `ip`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) | Self::Wildcard(_) => "dns",
            Self::Ip(_) => "ip",
        }
    }

    /// True for `*.` names.
    #[must_use]
    pub const fn is_wildcard(&self) -> bool {
        matches!(self, Self::Wildcard(_))
    }

    /// The identifier that is proven to prove this one: the base name of a wildcard, else itself
    /// (RFC 8555 §7.1.4: an authorization's identifier never has the asterisk).
    #[must_use]
    pub fn without_wildcard(&self) -> Self {
        match self {
            Self::Dns(name) | Self::Wildcard(name) => Self::Dns(name.clone()),
            Self::Ip(address) => Self::Ip(*address),
        }
    }
}

fn check_label(label: &str) -> Result<(), IdentifierError> {
    if label.is_empty() {
        return Err(IdentifierError::EmptyLabel);
    }
    if label.len() > LABEL_OCTETS_MAX {
        return Err(IdentifierError::LabelTooLong);
    }
    if !label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
        return Err(IdentifierError::Character);
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(IdentifierError::Hyphen);
    }
    if label.get(2..4) == Some("--") && !is_a_label(label) {
        return Err(IdentifierError::NotAnALabel);
    }
    Ok(())
}

/// A label that decodes, is valid under IDNA and comes back the same: anything else could show a
/// person another name than the one that is compared (RFC 5890 §2.3.2.1).
fn is_a_label(label: &str) -> bool {
    let (unicode, decoded) = idna::domain_to_unicode(label);
    decoded.is_ok() && !unicode.is_ascii() && idna::domain_to_ascii_strict(&unicode).is_ok_and(|again| again == label)
}

fn is_numeric(label: &str) -> bool {
    label.bytes().all(|octet| octet.is_ascii_digit())
        || label.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|octet| octet.is_ascii_hexdigit()))
}

impl fmt::Display for DnsName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for DnsName {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, IdentifierError> {
        Self::parse(text)
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(out),
            Self::Wildcard(base) => write!(out, "*.{base}"),
            Self::Ip(address) => address.fmt(out),
        }
    }
}

/// The form in JSON, here and with the CM: `{"type": "dns", "value": "*.example.com"}`.
#[derive(Serialize, Deserialize)]
struct Form {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

impl Serialize for Identifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Form { kind: self.kind().to_owned(), value: self.to_string() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Identifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = Form::deserialize(deserializer)?;
        Self::parse(&form.kind, &form.value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        assert_eq!(Identifier::parse_dns("WWW.Example.COM").unwrap().to_string(), "www.example.com");
        assert_eq!(Identifier::parse_dns("*.a.test").unwrap(), Identifier::Wildcard(DnsName::parse("a.test").unwrap()));
        assert!(DnsName::parse("xn--bcher-kva.example").is_ok());
        assert!(DnsName::parse("printer-7").is_ok(), "single labels are legal in private networks");
    }

    #[test]
    fn names_that_are_not_in_certificate_form_are_refused() {
        let table = [
            ("", IdentifierError::Empty),
            (".", IdentifierError::EmptyLabel),
            ("a..b", IdentifierError::EmptyLabel),
            (".a.org", IdentifierError::EmptyLabel),
            ("a.org.", IdentifierError::TrailingDot),
            ("-a.org", IdentifierError::Hyphen),
            ("a_b.org", IdentifierError::Character),
            ("https://a.org/", IdentifierError::Character),
            ("a.org:443", IdentifierError::Character),
            ("bücher.example", IdentifierError::Character),
            ("ab--cd.org", IdentifierError::NotAnALabel),
            ("xn--a.org", IdentifierError::NotAnALabel),
            ("xn--zzzzzzzz99.org", IdentifierError::NotAnALabel),
            ("192.0.2.1", IdentifierError::LooksLikeAddress),
            ("2130706433", IdentifierError::LooksLikeAddress),
            ("127.1", IdentifierError::LooksLikeAddress),
            ("0x7f000001", IdentifierError::LooksLikeAddress),
            ("::1", IdentifierError::LooksLikeAddress),
            ("*", IdentifierError::WildcardPosition),
            ("*.*.a.org", IdentifierError::WildcardPosition),
            ("a.*.org", IdentifierError::WildcardPosition),
            ("w*.a.org", IdentifierError::WildcardPosition),
        ];
        for (text, error) in table {
            assert_eq!(Identifier::parse_dns(text), Err(error), "{text:?}");
        }
        assert_eq!(DnsName::parse(&format!("{}.org", "a".repeat(64))), Err(IdentifierError::LabelTooLong));
        assert_eq!(DnsName::parse(&"a.".repeat(130)), Err(IdentifierError::TooLong));
    }

    #[test]
    fn addresses_have_one_spelling() {
        assert!(Identifier::parse_ip("192.0.2.7").is_ok());
        assert!(Identifier::parse_ip("2001:db8::7").is_ok());
        for text in ["::0001", "2001:DB8::7", "fe80::1%eth0", "10.0.0.1/8", "010.0.0.1", "::ffff:192.0.2.7", "[::1]"] {
            assert_eq!(Identifier::parse_ip(text), Err(IdentifierError::NotAnAddress), "{text:?}");
        }
    }

    #[test]
    fn a_name_lies_under_another_only_at_a_label_boundary() {
        let name = |text| DnsName::parse(text).unwrap();
        assert!(name("example.com").is_same_or_under(&name("example.com")));
        assert!(name("a.b.example.com").is_same_or_under(&name("example.com")));
        assert!(!name("evilexample.com").is_same_or_under(&name("example.com")));
        assert!(!name("example.com.evil.test").is_same_or_under(&name("example.com")));
        assert!(!name("com").is_same_or_under(&name("example.com")));
    }

    #[test]
    fn json_goes_there_and_back() {
        for text in [r#"{"type":"dns","value":"*.a.test"}"#, r#"{"type":"ip","value":"2001:db8::1"}"#] {
            let identifier: Identifier = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&identifier).unwrap(), text);
        }
    }
}
