//! Values inside settings that are more than a number or a string.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use acme::{identifier::DnsName, time::Timestamp};
use serde::{Deserialize, Deserializer, de::Error as _};

/// A span of whole seconds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seconds(Duration);

impl Seconds {
    pub(crate) const fn duration(self) -> Duration {
        self.0
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const TEN_YEARS_SECS: u64 = 315_360_000;
        match u64::deserialize(deserializer)? {
            seconds @ 1..=TEN_YEARS_SECS => Ok(Self(Duration::from_secs(seconds))),
            other => {
                Err(D::Error::custom(format!("{other} is out of range; give whole seconds from 1 to {TEN_YEARS_SECS}")))
            }
        }
    }
}

/// The URL under which clients reach this gateway: scheme, host, port if it is not 443, no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExternalUrl(String);

impl ExternalUrl {
    /// Without a final slash.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host without brackets.
    pub(crate) fn host(&self) -> &str {
        let authority = self.0.strip_prefix("https://").unwrap_or_default();
        match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => authority.split_once(':').map_or(authority, |(host, _)| host),
        }
    }
}

impl ExternalUrl {
    /// What is wrong with it. Judged after everything was read, so that a misspelt table is told
    /// before the setting that is missing because of it.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let Some(authority) = self.0.strip_prefix("https://") else {
            return Err("it must begin with https:// (RFC 8555 section 6.1) and have a host");
        };
        let Ok(uri) = http::Uri::from_str(&self.0) else { return Err("it is not a URL") };
        if authority.is_empty() || authority.contains('/') || uri.query().is_some() {
            return Err("it must have a host and no path");
        }
        if authority.ends_with(':') {
            return Err("the port is missing");
        }
        if authority.contains('@') || authority.bytes().any(|octet| octet.is_ascii_uppercase()) {
            return Err("the host must be in lower case and without a user name");
        }
        let host = uri.host().unwrap_or_default();
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if !is_address && DnsName::parse(host).is_err() {
            return Err("the host is neither a DNS name nor an address");
        }
        let port_is_given = authority.len() > host.len();
        if port_is_given && uri.port_u16().is_none_or(|port| port == 0) {
            return Err("the port is not one");
        }
        if uri.port_u16() == Some(443) {
            return Err("port 443 is understood; leave it out");
        }
        Ok(())
    }
}

/// What is wrong with an address of the CM: scheme and host, perhaps a port and a path.
pub(super) fn check_cm_url(text: &str) -> Result<(), String> {
    const EXAMPLE: &str = "such as https://cm.example.net:9443";
    let Some(rest) = text.strip_prefix("https://") else {
        return Err(format!("it must begin with https://, {EXAMPLE}"));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.starts_with(':') {
        return Err(format!("{text} has no host; give one, {EXAMPLE}"));
    }
    if text.contains(['?', '#', '@']) {
        return Err(format!("{text} has more than a host, a port and a path; give it without the rest, {EXAMPLE}"));
    }
    let Ok(uri) = http::Uri::from_str(text) else { return Err(format!("{text} is not a URL; give one, {EXAMPLE}")) };
    let port_is_given = authority.len() > uri.host().unwrap_or_default().len();
    if port_is_given && uri.port_u16().is_none_or(|port| port == 0) {
        return Err(format!("the port of {text} is not one; give 1 to 65535"));
    }
    match text.trim_end_matches('/').strip_suffix("/cm/v1") {
        Some(short) => Err(format!("leave out /cm/v1, which is added here; give {short}")),
        None => Ok(()),
    }
}

/// Whether this is a web address with a host.
pub(super) fn is_web_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with(['/', ':', '?', '#']) && !rest.contains(char::is_whitespace)
    })
}

/// What is wrong with a filter of log lines. A word that is no level would be taken for the name of a module: then
/// nothing is logged, alarms included.
pub(super) fn check_log_level(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    const FIX: &str = "give error, warn, info, debug, trace or off; or per module: info,gateway::workers=debug";
    let is_level = |word: &str| LEVELS.iter().any(|level| word.trim().eq_ignore_ascii_case(level));
    if let Some(word) = text.split(',').find(|word| !word.contains('=') && !is_level(word)) {
        return Err(format!("{word:?} is no level; {FIX}"));
    }
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{text:?}: {error}; {FIX}")),
    }
}

impl<'de> Deserialize<'de> for ExternalUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(text.strip_suffix('/').unwrap_or(&text).to_owned()))
    }
}

impl fmt::Display for ExternalUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Reads a text in which the empty one means "not given".
pub(super) fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(deserializer)?).filter(|text| !text.is_empty()))
}

/// Reads a path of which the empty one means "not given".
pub(super) fn optional_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(optional_text(deserializer)?.map(PathBuf::from))
}

/// Reads a time (RFC 3339) of which the empty text means "not given".
pub(super) fn optional_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
}

/// Reads an id of which the empty one means "not given".
pub(super) fn optional_id<'de, D, Kind>(deserializer: D) -> Result<Option<acme::ids::Id<Kind>>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Ok(None) } else { acme::ids::Id::parse(&text).map(Some).map_err(D::Error::custom) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_the_cm_has_a_host_perhaps_a_port_and_no_path_of_the_contract() {
        for good in
            ["https://cm.example.net", "https://cm.example.net:9443/", "https://[2001:db8::1]:9443", "https://a/b"]
        {
            assert_eq!(check_cm_url(good), Ok(()), "{good}");
        }
        for (text, reason) in [
            ("http://cm.example.net", "it must begin with https://, such as https://cm.example.net:9443"),
            ("https://", "https:// has no host; give one, such as https://cm.example.net:9443"),
            ("https://:9443", "https://:9443 has no host; give one, such as https://cm.example.net:9443"),
            ("https://localhost:234811", "the port of https://localhost:234811 is not one; give 1 to 65535"),
            ("https://localhost:", "the port of https://localhost: is not one; give 1 to 65535"),
            ("https://cm/cm/v1/", "leave out /cm/v1, which is added here; give https://cm"),
            (
                "https://me@cm",
                "https://me@cm has more than a host, a port and a path; give it without the rest, such as \
                 https://cm.example.net:9443",
            ),
        ] {
            assert_eq!(check_cm_url(text).unwrap_err(), reason);
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_no_filter_that_lets_nothing_through() {
        for good in ["info", "WARN", "off", "info,gateway::workers=debug", "info,gateway::jws=warn,request=off"] {
            assert_eq!(check_log_level(good), Ok(()), "{good}");
        }
        for (text, word) in [
            ("warning", "\"warning\""),
            ("", "\"\""),
            ("info,", "\"\""),
            ("info,x=debgu", "debgu"),
            ("gateway", "\"gateway\""),
        ] {
            let reason = check_log_level(text).unwrap_err();
            assert!(reason.contains(word) && reason.contains("give error, warn, info"), "{reason}");
        }
    }

    #[test]
    fn a_web_address_has_a_host() {
        for (text, good) in [
            ("https://pki.example.com/terms?v=2", true),
            ("http://pki", true),
            ("https://", false),
            ("https:///terms", false),
            ("ftp://pki.example.com", false),
        ] {
            assert_eq!(is_web_url(text), good, "{text}");
        }
    }

    #[test]
    fn an_external_url_has_a_host_perhaps_a_port_and_nothing_else() {
        let check = |text: &str| ExternalUrl(text.to_owned()).check();
        for good in
            ["https://acme.example.com", "https://localhost:14000", "https://192.0.2.1", "https://[2001:db8::1]:8443"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (url, host) in [
            ("https://acme.example.com", "acme.example.com"),
            ("https://localhost:14000", "localhost"),
            ("https://[2001:db8::1]:8443", "2001:db8::1"),
        ] {
            assert_eq!(ExternalUrl(url.to_owned()).host(), host);
        }
        let bad = [
            "http://acme.example.com",
            "https://",
            "https:",
            "https://:8443",
            "https://.",
            "https://a..b",
            "https://acme.example.com:",
            "https://acme.example.com:0",
            "https://acme.example.com:443",
            "https://acme.example.com:99999",
            "https://ACME.example.com",
            "https://me@acme.example.com",
            "https://acme.example.com/acme",
            "https://acme.example.com?x",
        ];
        for text in bad {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
