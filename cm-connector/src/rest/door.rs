//! The door for another program of ours that speaks with the CM in a role of its own: the same
//! trust in the same files, and the same reading of what the CM says.
//!
//! What is asked, how often, and what a refusal means is that program's business: circuit, lanes,
//! proofs and the translation of problems for ACME clients belong to the gateway's role.

use acme::{
    ids::{RealmName, RegistrationId},
    profile::Profile,
    registration::{AllowedIdentifiers, Registration},
};
use serde_json::Value;

use super::{
    client::CONNECT_MAX,
    wire::{self, allowed_identifiers, profile::ProfileIn, read, registration::RegistrationIn},
};
use crate::transport::{self, Settings, SetupError, http, tls};

/// An answer that breaks the contract; the text is for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotUnderstood(String);

/// An HTTP client over mutual TLS as the contract wants it (section 2): no trust but the CA file's,
/// no redirects, no proxies. Also the base URL that paths are put behind. Its `User-Agent` is the
/// gateway's: another program sends its own with each request.
///
/// # Errors
/// [`SetupError`] names the setting that does not do.
pub fn http_client(settings: &Settings) -> Result<(reqwest::Client, String), SetupError> {
    let base_url = transport::settings::base_url(&settings.base_url)?;
    Ok((http::client(tls::client_config(settings)?, CONNECT_MAX)?, base_url))
}

/// True if a connection failed because one side did not accept the other's certificate.
#[must_use]
pub fn is_refused_certificate(error: &reqwest::Error) -> bool {
    tls::is_refused_certificate(error)
}

/// A registration as it stands in the CM's answer, its parent left aside, and that parent.
///
/// # Errors
/// [`NotUnderstood`] if it cannot be one of this realm.
pub fn registration(realm: &RealmName, json: Value) -> Result<(Registration, Option<RegistrationId>), NotUnderstood> {
    match read::<RegistrationIn>(json).and_then(|answer| answer.convert(realm)) {
        Ok(answered) => Ok((answered.registration, answered.parent)),
        Err(broken) => Err(NotUnderstood(broken.to_string())),
    }
}

/// A child as it may be used under its parent: what the gateway decides by. `None` stands for a
/// parent that the CM does not know.
#[must_use]
pub fn under(child: Registration, parent: Option<Registration>) -> Registration {
    wire::registration::under(child, parent)
}

/// A profile; `None` if it is not in use.
///
/// # Errors
/// [`NotUnderstood`] if it is no profile.
pub fn profile(json: Value) -> Result<Option<Profile>, NotUnderstood> {
    read::<ProfileIn>(json).and_then(ProfileIn::convert).map_err(|broken| NotUnderstood(broken.to_string()))
}

/// A span such as `P90D`: the subset of ISO 8601 that the contract names.
///
/// # Errors
/// [`NotUnderstood`] if it is none.
pub fn duration(text: &str) -> Result<std::time::Duration, NotUnderstood> {
    wire::duration(text).map_err(|broken| NotUnderstood(broken.to_string()))
}

/// A list of allowed identifiers; what is not understood allows nothing.
#[must_use]
pub fn allowed_identifiers(json: Value) -> AllowedIdentifiers {
    allowed_identifiers::convert(json)
}

/// The names that both lists allow.
#[must_use]
pub fn narrowed(own: AllowedIdentifiers, parent: AllowedIdentifiers) -> AllowedIdentifiers {
    allowed_identifiers::narrowed(own, parent)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::examples, *};

    #[test]
    fn the_contracts_examples_are_read_as_the_gateway_reads_them() {
        let (read, parent) = registration(&"tls".parse().unwrap(), examples::registration()).unwrap();
        assert_eq!((read.id.as_str(), parent), ("reg_01KANM3T9V5R8YFZ2Q6W4XH7CE", None));
        assert_eq!(
            read.allowed_identifiers,
            allowed_identifiers(examples::registration()["allowedIdentifiers"].take())
        );
        assert_eq!(profile(examples::profile()).unwrap().unwrap().name.as_str(), "tls-server");
    }

    #[test]
    fn what_is_not_understood_allows_nothing() {
        assert!(registration(&"other".parse().unwrap(), examples::registration()).is_err());
        assert!(profile(json!({})).is_err());
        let nothing = AllowedIdentifiers::Listed { rules: vec![], exclude: vec![] };
        assert_eq!(allowed_identifiers(json!({"mode": "all"})), nothing);
    }
}
