//! Where OpenBao is, who we are to it, and below which path the realms lie.

use std::{path::PathBuf, time::Duration};

use crate::transport::SetupError;

/// Where OpenBao is, how both sides prove who they are, and where things are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The nodes of one cluster, such as `https://bao-1.example.net:8200`; they are tried in this order.
    pub addresses: Vec<String>,
    /// The CA of OpenBao's server certificates in PEM: the only trust there is.
    pub ca_file: PathBuf,
    /// Our certificate and its issuers in PEM.
    pub certificate_file: PathBuf,
    /// Our private key in PEM. Who may read the file is for the caller to check.
    pub key_file: PathBuf,
    /// Where the auth method `cert` is mounted.
    pub login_mount: String,
    /// Its role that we log in with.
    pub login_role: String,
    /// The path below which each realm has its mounts (`layout`).
    pub mount: String,
    /// How long OpenBao works on a request at most, its `max_request_duration`. A sign whose answer was lost can still
    /// issue as long, so nothing is signed again before.
    pub request_duration_max: Duration,
}

/// Takes the addresses; the final slash is dropped.
pub(super) fn base_urls(addresses: &[String]) -> Result<Vec<String>, SetupError> {
    let urls = addresses.iter().map(|address| base_url(address)).collect::<Result<Vec<_>, _>>()?;
    if urls.is_empty() { Err(SetupError::BaseUrl) } else { Ok(urls) }
}

fn base_url(text: &str) -> Result<String, SetupError> {
    let url = reqwest::Url::parse(text).map_err(|_| SetupError::BaseUrl)?;
    let plain = url.scheme() == "https"
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.path() == "/";
    if plain { Ok(url.as_str().trim_end_matches('/').to_owned()) } else { Err(SetupError::BaseUrl) }
}

/// Whether this can be a mount or a role: segments of letters, digits, `-`, `_` and `.`, between slashes.
#[must_use]
pub fn is_path(text: &str) -> bool {
    const OCTETS_MAX: usize = 200;
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    let is_segment = |segment: &str| {
        segment.bytes().all(allowed) && segment.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
    };
    text.len() <= OCTETS_MAX && text.split('/').all(is_segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_and_nothing_but_host_and_port() {
        let addresses = |text: &str| base_urls(&[text.to_owned()]);
        assert_eq!(addresses("https://bao.example.net:8200/").unwrap(), ["https://bao.example.net:8200"]);
        for refused in ["http://bao:8200", "https://bao/v1", "https://a@bao", "https://bao?x", "bao:8200", ""] {
            assert!(addresses(refused).is_err(), "{refused}");
        }
        assert!(base_urls(&[]).is_err());
    }

    #[test]
    fn a_path_is_made_of_plain_segments() {
        assert!(is_path("acme") && is_path("teams/a.b/acme-1"));
        for refused in ["", "/acme", "acme/", "a//b", "../x", "a b", "a%2f", "ä", ".a"] {
            assert!(!is_path(refused), "{refused}");
        }
    }
}
