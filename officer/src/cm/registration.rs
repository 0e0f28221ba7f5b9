//! Registrations as officers see and change them (CM contract section 4.3).

use std::fmt;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Call, Cm, JSON, List, MERGE_PATCH};
use crate::error::Failure;

/// How often a change of status is decided again when the registration changed meanwhile.
const ATTEMPTS: usize = 3;

/// A registration: what tables show of it, and all that the CM said.
///
/// Its `Debug` form shows nothing of what the CM said, for that can have a key in it.
#[derive(Clone, PartialEq)]
pub(crate) struct Registration {
    /// What is understood.
    pub(crate) view: View,
    /// As the CM said it.
    pub(crate) json: Value,
}

/// The members of a registration that people look at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    pub(crate) id: String,
    pub(crate) version: u64,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) mode: String,
    #[serde(default)]
    pub(crate) owner: Option<String>,
    #[serde(default)]
    pub(crate) comment: Option<String>,
    #[serde(default)]
    pub(crate) officer: Option<String>,
    #[serde(default)]
    pub(crate) created_at: Option<String>,
    #[serde(default)]
    pub(crate) updated_at: Option<String>,
    #[serde(default)]
    pub(crate) status_reason: Option<String>,
    #[serde(default)]
    pub(crate) status_by: Option<String>,
    #[serde(default)]
    pub(crate) status_at: Option<String>,
    #[serde(default)]
    pub(crate) eab: Option<Eab>,
    #[serde(default)]
    pub(crate) eab_secret: Option<EabSecret>,
    #[serde(default)]
    pub(crate) directory_link: Option<DirectoryLink>,
    #[serde(default)]
    pub(crate) directory_token: Option<DirectoryToken>,
    #[serde(default)]
    pub(crate) key: Option<Key>,
    #[serde(default)]
    pub(crate) contacts: Vec<String>,
    #[serde(default)]
    pub(crate) parent: Option<String>,
    #[serde(default)]
    pub(crate) allowed_identifiers: Value,
    #[serde(default)]
    pub(crate) allowed_profiles: Vec<String>,
    #[serde(default)]
    pub(crate) max_validity: Option<String>,
    /// The waivers in force, its parent's among them.
    #[serde(default)]
    pub(crate) waivers: Vec<Value>,
}

/// How a key can be bound to it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Eab {
    pub(crate) kid: String,
    #[serde(rename = "use", default)]
    pub(crate) usage: String,
    #[serde(default)]
    pub(crate) algorithms: Vec<String>,
    #[serde(default)]
    pub(crate) bindings: u64,
    #[serde(default)]
    pub(crate) max_bindings: Option<u64>,
    #[serde(default)]
    pub(crate) not_before: Option<String>,
    #[serde(default)]
    pub(crate) not_after: Option<String>,
    #[serde(default)]
    pub(crate) secret_set_at: Option<String>,
    /// Until when the key before goes on.
    #[serde(default)]
    pub(crate) previous_until: Option<String>,
}

/// The external account key, in the one answer that has it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EabSecret {
    pub(crate) hmac_key: String,
}

/// What is known of a link once it was drawn.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DirectoryLink {
    pub(crate) since: String,
    #[serde(default)]
    pub(crate) not_after: Option<String>,
    #[serde(default)]
    pub(crate) previous_until: Option<String>,
}

/// The secret of a link, in the one answer that has it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct DirectoryToken(String);

impl DirectoryToken {
    /// The directory URL below this base URL (`https://HOST/acme/NAME`).
    pub(crate) fn directory_url(&self, base: &str) -> String {
        format!("{}/r/{}/directory", base.trim_end_matches('/'), self.0)
    }
}

impl fmt::Debug for DirectoryToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[secret]")
    }
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.view.fmt(out)
    }
}

impl std::fmt::Debug for EabSecret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("[secret]")
    }
}

/// The bound account key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Key {
    pub(crate) thumbprint: String,
    #[serde(default)]
    pub(crate) since: Option<String>,
}

/// What a list is narrowed by; all of it must fit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    pub(crate) status: Option<String>,
    pub(crate) owner: Option<String>,
    /// A name or address that the registration's own list allows.
    pub(crate) identifier: Option<String>,
    /// The id of its external account key.
    pub(crate) key_id: Option<String>,
    /// The registration that they came from.
    pub(crate) parent: Option<String>,
}

impl Registration {
    /// Takes what the CM said.
    ///
    /// # Errors
    /// [`Failure::Broken`] if it lacks what every registration has.
    pub(crate) fn of(json: Value) -> Result<Self, Failure> {
        let view = View::deserialize(&json)
            .map_err(|error| Failure::Broken(format!("the CM's registration is not understood: {error}")))?;
        Ok(Self { view, json })
    }
}

impl Cm {
    /// The registrations that fit, oldest first.
    pub(crate) async fn registrations(&self, search: Search, limit: usize) -> Result<List, Failure> {
        let members = [
            ("status", search.status),
            ("owner", search.owner),
            ("identifier", search.identifier),
            ("eabKid", search.key_id),
            ("parent", search.parent),
        ];
        let query = members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.list("registrations", query, limit).await
    }

    /// One registration.
    pub(crate) async fn registration(&self, id: &str) -> Result<Registration, Failure> {
        Registration::of(self.read(self.registration_path(id, "")?).await?)
    }

    /// The pre-registration with this external account key, if there is one.
    pub(crate) async fn registration_of_key_id(&self, key_id: &str) -> Result<Option<Registration>, Failure> {
        let search = Search { key_id: Some(key_id.to_owned()), ..Search::default() };
        self.registrations(search, 1).await?.items.pop().map(Registration::of).transpose()
    }

    /// Pre-registers a client. The answer is the only one that has the external account key.
    pub(crate) async fn preregister(&self, body: &Value) -> Result<Registration, Failure> {
        let call = Call::new(Method::POST, self.of_realm("registrations")).with_body(JSON, body);
        Registration::of(self.send(&call).await?.json()?)
    }

    /// Changes members of the version that was looked at.
    pub(crate) async fn update_registration(&self, before: &View, patch: &Value) -> Result<Registration, Failure> {
        let path = self.registration_path(&before.id, "")?;
        let call = Call::new(Method::PATCH, path).with_body(MERGE_PATCH, patch).if_match(before.version);
        Registration::of(self.send(&call).await?.json()?)
    }

    /// Sets the status, whatever else changed meanwhile. A repeat is harmless, so an answer that
    /// was lost is asked for again.
    pub(crate) async fn set_status(
        &self,
        id: &str,
        status: &str,
        reason: Option<&str>,
        revoke_certificates: bool,
    ) -> Result<Registration, Failure> {
        let mut body = json!({"status": status});
        if let (Some(members), Some(reason)) = (body.as_object_mut(), reason) {
            members.insert("reason".to_owned(), reason.into());
        }
        if let (Some(members), true) = (body.as_object_mut(), revoke_certificates) {
            members.insert("revokeCertificates".to_owned(), true.into());
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            let version = self.registration(id).await?.view.version;
            let path = self.registration_path(id, "/status")?;
            let mut call = Call::new(Method::POST, path).with_body(JSON, &body).if_match(version);
            call.repeatable = true;
            match self.send(&call).await {
                Err(Failure::Changed(_)) if attempts < ATTEMPTS => {}
                Err(failure) => return Err(failure),
                Ok(raw) => return Registration::of(raw.json()?),
            }
        }
    }

    pub(super) fn registration_path(&self, id: &str, rest: &str) -> Result<String, Failure> {
        let id: acme::ids::RegistrationId =
            id.parse().map_err(|reason| Failure::Usage(format!("the id of a registration {reason}")))?;
        Ok(self.of_realm(&format!("registrations/{id}{rest}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_show_when_a_registration_is_printed() {
        let json =
            json!({"id": "reg_1", "version": 1, "status": "pending", "eabSecret": {"kid": "k", "hmacKey": "c2VjcmV0"}});
        let shown = format!("{:?}", Registration::of(json).unwrap());
        assert!(shown.contains("reg_1") && !shown.contains("c2VjcmV0"), "{shown}");
    }
}
