//! The value of an `issue` or `issuewild` property, and of a dns-persist-01 record: a domain name
//! and parameters (RFC 8659 §4.2).

/// Most parameters that are looked at; what has more is not well-formed here.
const PARAMETERS_MAX: usize = 32;

/// A well-formed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueValue<'a> {
    /// Who may issue, as it was written; `None` if it is left out, which means nobody.
    pub issuer: Option<&'a str>,
    /// Tags and values, as they were written.
    pub parameters: Vec<(&'a str, &'a str)>,
}

/// What is said by a parameter that may occur once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter<'a> {
    /// It does not occur.
    Absent,
    /// It occurs once, with this value.
    Once(&'a str),
    /// It occurs more than once, so it cannot be met (RFC 8657 §3 and §4).
    Repeated,
}

impl<'a> IssueValue<'a> {
    /// Takes the value if it follows the grammar; `None` otherwise.
    #[must_use]
    pub fn parse(octets: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(octets).ok()?;
        let (issuer, parameters) = match text.split_once(';') {
            Some((issuer, parameters)) => (trimmed(issuer), trimmed(parameters)),
            None => (trimmed(text), ""),
        };
        if !issuer.is_empty() && !issuer.split('.').all(is_label) {
            return None;
        }
        let mut found = Vec::new();
        if !parameters.is_empty() {
            for parameter in parameters.split(';') {
                let (tag, value) = parameter.split_once('=')?;
                let (tag, value) = (trimmed(tag), trimmed(value));
                let printable = value.bytes().all(|octet| octet.is_ascii_graphic());
                if !is_label(tag) || !printable || found.len() == PARAMETERS_MAX {
                    return None;
                }
                found.push((tag, value));
            }
        }
        Some(Self { issuer: Some(issuer).filter(|issuer| !issuer.is_empty()), parameters: found })
    }

    /// What a parameter says. Its tag is taken in any case: who writes it means it.
    #[must_use]
    pub fn parameter(&self, tag: &str) -> Parameter<'a> {
        let mut values = self.parameters.iter().filter(|(found, _)| found.eq_ignore_ascii_case(tag));
        match (values.next(), values.next()) {
            (None, _) => Parameter::Absent,
            (Some((_, value)), None) => Parameter::Once(value),
            (Some(_), Some(_)) => Parameter::Repeated,
        }
    }

    /// Whether the issuer goes by one of these names.
    #[must_use]
    pub fn names_one_of(&self, identities: &[String]) -> bool {
        self.issuer.is_some_and(|issuer| identities.iter().any(|identity| identity.eq_ignore_ascii_case(issuer)))
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Letters, digits and hyphens, no hyphen at either end.
fn is_label(text: &str) -> bool {
    let inner = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_the_grammar() {
        type Parameters = &'static [(&'static str, &'static str)];
        let table: [(&str, Option<&str>, Parameters); 12] = [
            ("", None, &[]),
            (";", None, &[]),
            (" \t; ", None, &[]),
            ("ca.example.net", Some("ca.example.net"), &[]),
            ("  CA.Example.net \t", Some("CA.Example.net"), &[]),
            ("ca.example.net;", Some("ca.example.net"), &[]),
            ("ca.example.net; a=b", Some("ca.example.net"), &[("a", "b")]),
            ("ca.example.net;a = b ; c=", Some("ca.example.net"), &[("a", "b"), ("c", "")]),
            ("ca; a=b=c,d:e/f", Some("ca"), &[("a", "b=c,d:e/f")]),
            (";a=b", None, &[("a", "b")]),
            ("x--y.example", Some("x--y.example"), &[]),
            ("ca; a-1=%25%", Some("ca"), &[("a-1", "%25%")]),
        ];
        for (text, issuer, parameters) in table {
            let expected = IssueValue { issuer, parameters: parameters.to_vec() };
            assert_eq!(IssueValue::parse(text.as_bytes()), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn what_does_not_follow_the_grammar_is_no_value() {
        for text in [
            "ca.example.net.",
            "ca..net",
            ".net",
            "-ca.net",
            "ca-.net",
            "ca_1.net",
            "ca example",
            "ca\n",
            "ca.net a=b",
            "ca.net; a",
            "ca.net; =b",
            "ca.net; a b=c",
            "ca.net; a=b c",
            "ca.net; a=b;",
            "ca.net;; a=b",
            "ca.net; -a=b",
            "ca.net; a=b\u{7f}",
            "b\u{fc}cher.example",
        ] {
            assert_eq!(IssueValue::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(IssueValue::parse(b"ca\xff"), None);
        let many = |count| format!("ca{}", "; a=b".repeat(count));
        assert!(IssueValue::parse(many(PARAMETERS_MAX).as_bytes()).is_some());
        assert_eq!(IssueValue::parse(many(PARAMETERS_MAX + 1).as_bytes()), None);
    }

    #[test]
    fn a_parameter_counts_in_any_case_and_only_once() {
        let value = IssueValue::parse(b"ca; AccountURI=x; other=1; other=2").unwrap();
        assert_eq!(value.parameter("accounturi"), Parameter::Once("x"));
        assert_eq!(value.parameter("other"), Parameter::Repeated);
        assert_eq!(value.parameter("none"), Parameter::Absent);
    }
}
