//! Where the CM is and what proves who is who (CM contract section 2).

use std::path::PathBuf;

/// Where the CM is, and how both sides prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `https://…/cm/v1`, as the contract's `servers` entry gives it.
    pub base_url: String,
    /// The CM's infra CA in PEM: the only trust there is.
    pub ca_file: PathBuf,
    /// Our certificate and its issuers in PEM.
    pub certificate_file: PathBuf,
    /// Our private key in PEM. Who may read the file is for the caller to check.
    pub key_file: PathBuf,
}

/// Why the adapter cannot be set up. The texts are for operators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The address is not one of a CM.
    #[error("base_url must be an https URL without query, such as https://cm.example.net:9443/cm/v1")]
    BaseUrl,
    /// A file cannot be used.
    #[error("{field} {path}: {reason}")]
    File {
        /// Which setting.
        field: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
    /// The CM does not accept the new credentials; the old ones stay in use.
    #[error("the CM does not accept the new credentials: {0}")]
    SelfCheck(String),
}

/// Takes the base URL; the final slash is dropped.
pub(crate) fn base_url(text: &str) -> Result<String, SetupError> {
    let url = reqwest::Url::parse(text).map_err(|_| SetupError::BaseUrl)?;
    let plain = url.scheme() == "https"
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(url.as_str().trim_end_matches('/').to_owned()) } else { Err(SetupError::BaseUrl) }
}
