//! Where a redirect may lead (BR 3.2.2.4.19). Pure: a `Location` in, the next URL or a refusal out.
//!
//! To names, and from an address to itself; the two well-known ports only, no credentials. Whether
//! addresses may be dialled is decided anew for each hop, by `egress`.

use std::net::IpAddr;

use acme::identifier::{DnsName, Identifier, IdentifierError};
use reqwest::{StatusCode, Url};

/// Longest `Location`, and longest URL that comes of one.
const CHARACTERS_MAX: usize = 2000;

/// The ports behind `http` and `https`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) https: u16,
}

/// Why a redirect is not followed. The texts are for clients and tell nothing of the header but
/// a host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RedirectRefused {
    #[error("the redirect has no Location header")]
    Missing,
    #[error("the Location of the redirect is not printable ASCII")]
    NotText,
    #[error("the Location of the redirect is longer than {CHARACTERS_MAX} characters")]
    TooLong,
    #[error("the Location of the redirect is not a URL")]
    NotAUrl,
    #[error("the redirect leads to a scheme other than http and https")]
    Scheme,
    #[error("the Location of the redirect carries a user name or a password")]
    Credentials,
    #[error("the redirect leads to port {0}; only {1} is followed for this scheme")]
    Port(u16, u16),
    #[error("the redirect leads to an IP address; redirect to a name instead")]
    AddressLiteral,
    #[error("the redirect leads to a host that is no DNS name: {0}")]
    NotAName(#[from] IdentifierError),
    #[error("the redirect leads to the host {0}: the redirect rule lacks a slash after its host name")]
    MissingSlash(DnsName),
}

/// Whether this status is a redirect that is followed; 303 is not (BR 3.2.2.4.19).
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 307 | 308)
}

/// The URL a redirect leads to, without fragment, and its host: a DNS name, or the address that
/// redirects.
///
/// # Errors
/// [`RedirectRefused`] with the first rule that is broken.
pub(crate) fn follow(from: &Url, location: Option<&[u8]>, ports: Ports) -> Result<(Url, Identifier), RedirectRefused> {
    let location = location.ok_or(RedirectRefused::Missing)?;
    if location.len() > CHARACTERS_MAX {
        return Err(RedirectRefused::TooLong);
    }
    let printable = |octet: &u8| octet.is_ascii_graphic() || *octet == b' ';
    let location = match str::from_utf8(location) {
        Ok(text) if location.iter().all(printable) => text,
        Ok(_) | Err(_) => return Err(RedirectRefused::NotText),
    };
    let mut url = from.join(location).map_err(|_| RedirectRefused::NotAUrl)?;
    url.set_fragment(None);
    if url.as_str().len() > CHARACTERS_MAX {
        return Err(RedirectRefused::TooLong);
    }
    let port = match url.scheme() {
        "http" => ports.http,
        "https" => ports.https,
        _ => return Err(RedirectRefused::Scheme),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(RedirectRefused::Credentials);
    }
    if let Some(asked) = url.port().filter(|asked| *asked != port) {
        return Err(RedirectRefused::Port(asked, port));
    }
    // The parser knows addresses however they were written: 127.1, 2130706433, [::1].
    if let Some(address) = address_of(&url) {
        let is_its_own = address_of(from) == Some(address);
        return if is_its_own { Ok((url, Identifier::Ip(address))) } else { Err(RedirectRefused::AddressLiteral) };
    }
    let name = DnsName::parse(url.domain().ok_or(RedirectRefused::NotAUrl)?)?;
    if name.as_str().ends_with(".well-known") {
        return Err(RedirectRefused::MissingSlash(name));
    }
    Ok((url, Identifier::Dns(name)))
}

/// The address that is the host of a URL.
fn address_of(url: &Url) -> Option<IpAddr> {
    // A host in brackets is an IPv6 address, any other that is no domain an IPv4 address.
    let host = url.host_str().filter(|_| url.domain().is_none())?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Ports = Ports { http: 80, https: 443 };

    fn to(location: &str) -> Result<String, RedirectRefused> {
        let from = Url::parse("http://a.test/.well-known/acme-challenge/token").unwrap();
        follow(&from, Some(location.as_bytes()), USUAL).map(|(url, _)| url.to_string())
    }

    #[test]
    fn absolute_and_relative_redirects_are_followed() {
        let table = [
            ("https://a.test/.well-known/acme-challenge/token", "https://a.test/.well-known/acme-challenge/token"),
            ("http://b.test/x?y=z#fragment", "http://b.test/x?y=z"),
            ("/elsewhere", "http://a.test/elsewhere"),
            ("other", "http://a.test/.well-known/acme-challenge/other"),
            ("//b.test/x", "http://b.test/x"),
            ("http://a.test:80/", "http://a.test/"),
            ("https://a.test:443/", "https://a.test/"),
            ("HTTPS://A.Test/", "https://a.test/"),
            ("", "http://a.test/.well-known/acme-challenge/token"),
        ];
        for (location, url) in table {
            assert_eq!(to(location).as_deref(), Ok(url), "{location}");
        }
    }

    #[test]
    fn redirects_to_anything_but_web_servers_of_names_are_refused() {
        use RedirectRefused as Refused;
        let table = [
            ("ftp://a.test/", Refused::Scheme),
            ("file:///etc/passwd", Refused::Scheme),
            ("gopher://a.test:80/", Refused::Scheme),
            ("javascript:alert(1)", Refused::Scheme),
            ("http://a.test:8080/", Refused::Port(8080, 80)),
            ("http://a.test:443/", Refused::Port(443, 80)),
            ("https://a.test:80/", Refused::Port(80, 443)),
            ("https://a.test:8443/", Refused::Port(8443, 443)),
            ("http://127.0.0.1/", Refused::AddressLiteral),
            ("http://127.1/", Refused::AddressLiteral),
            ("http://2130706433/", Refused::AddressLiteral),
            ("http://0x7f000001/", Refused::AddressLiteral),
            ("http://0177.0.0.1/", Refused::AddressLiteral),
            ("http://169.254.169.254/latest/meta-data/", Refused::AddressLiteral),
            ("http://[::1]/", Refused::AddressLiteral),
            ("http://[::ffff:127.0.0.1]/", Refused::AddressLiteral),
            ("http://user@a.test/", Refused::Credentials),
            ("http://user:password@a.test/", Refused::Credentials),
            ("http://a.test./", Refused::NotAName(IdentifierError::TrailingDot)),
            ("http://a_b.test/", Refused::NotAName(IdentifierError::Character)),
            ("http://*.test/", Refused::NotAName(IdentifierError::Character)),
            ("http://-a.test/", Refused::NotAName(IdentifierError::Hyphen)),
            ("http://", Refused::NotAUrl),
            ("http://a.test:99999/", Refused::NotAUrl),
            ("http://[::1/", Refused::NotAUrl),
            ("http://a.test/\u{e9}", Refused::NotText),
            ("http://a.test/\tx", Refused::NotText),
        ];
        for (location, refused) in table {
            assert_eq!(to(location), Err(refused), "{location}");
        }
        let from = Url::parse("http://a.test/").unwrap();
        assert_eq!(follow(&from, None, USUAL), Err(Refused::Missing));
        assert_eq!(follow(&from, Some(b"http://a.test/\xff"), USUAL), Err(Refused::NotText));
    }

    #[test]
    fn an_address_may_redirect_to_itself_and_to_no_other() {
        let from_address = |location: &str, from: &str| {
            let from = Url::parse(from).unwrap();
            follow(&from, Some(location.as_bytes()), USUAL).map(|(url, host)| (url.to_string(), host.to_string()))
        };
        for (from, location, url, host) in [
            ("http://192.0.2.1/a", "/b", "http://192.0.2.1/b", "192.0.2.1"),
            ("http://192.0.2.1/a", "https://192.0.2.1/a", "https://192.0.2.1/a", "192.0.2.1"),
            ("http://192.0.2.1/a", "http://3221225985/b", "http://192.0.2.1/b", "192.0.2.1"),
            ("http://[2001:db8::1]/a", "https://[2001:DB8:0::1]/b", "https://[2001:db8::1]/b", "2001:db8::1"),
        ] {
            assert_eq!(from_address(location, from), Ok((url.to_owned(), host.to_owned())), "{location}");
        }
        for (location, refused) in [
            ("http://192.0.2.2/", RedirectRefused::AddressLiteral),
            ("http://127.0.0.1/", RedirectRefused::AddressLiteral),
            ("http://[::ffff:192.0.2.1]/", RedirectRefused::AddressLiteral),
            ("http://192.0.2.1:8080/", RedirectRefused::Port(8080, 80)),
            ("http://user@192.0.2.1/", RedirectRefused::Credentials),
        ] {
            assert_eq!(from_address(location, "http://192.0.2.1/a"), Err(refused), "{location}");
        }
    }

    #[test]
    fn a_lost_slash_is_recognised() {
        let refused = to("https://www.a.test.well-known/acme-challenge/token").unwrap_err();
        assert!(matches!(refused, RedirectRefused::MissingSlash(_)));
        assert!(refused.to_string().contains("lacks a slash"));
    }

    #[test]
    fn the_length_is_bounded_before_and_after_joining() {
        assert_eq!(to(&format!("/{}", "a".repeat(2000))), Err(RedirectRefused::TooLong));
        assert_eq!(to(&format!("/{}", "a".repeat(1990))), Err(RedirectRefused::TooLong), "with http://a.test before");
        assert!(to(&format!("/{}", "a".repeat(1900))).is_ok());
    }

    #[test]
    fn configured_ports_take_the_place_of_the_usual_ones() {
        let from = Url::parse("http://a.test/").unwrap();
        let ports = Ports { http: 5002, https: 5003 };
        assert!(follow(&from, Some(b"http://b.test:5002/"), ports).is_ok());
        assert!(follow(&from, Some(b"https://b.test/"), ports).is_ok());
        assert_eq!(follow(&from, Some(b"http://b.test:5003/"), ports), Err(RedirectRefused::Port(5003, 5002)));
    }

    #[test]
    fn only_four_statuses_are_redirects() {
        let followed: Vec<u16> = (100..=599).filter(|code| is_redirect(StatusCode::from_u16(*code).unwrap())).collect();
        assert_eq!(followed, [301, 302, 307, 308]);
    }
}
