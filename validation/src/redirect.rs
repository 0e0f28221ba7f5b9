//! Where a redirect may lead (BR 3.2.2.4.19). Pure: a `Location` in, the next URL or a refusal out.
//!
//! Names only, the two well-known ports only, no credentials; whether the name's addresses may be
//! dialled is decided anew for each hop, by `egress`.

use acme::identifier::{DnsName, IdentifierError};
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

/// The URL a redirect leads to, without fragment and always with a DNS name as its host.
///
/// # Errors
/// [`RedirectRefused`] with the first rule that is broken.
pub(crate) fn follow(from: &Url, location: Option<&[u8]>, ports: Ports) -> Result<(Url, DnsName), RedirectRefused> {
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
    let host = match url.host_str() {
        // `domain` is none for addresses, however they were written: 127.1, 2130706433, [::1].
        Some(_) => url.domain().ok_or(RedirectRefused::AddressLiteral)?,
        None => return Err(RedirectRefused::NotAUrl),
    };
    let name = DnsName::parse(host)?;
    if name.as_str().ends_with(".well-known") {
        return Err(RedirectRefused::MissingSlash(name));
    }
    Ok((url, name))
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
