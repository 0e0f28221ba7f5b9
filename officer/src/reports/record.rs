//! What reports are made of: certificates and registrations as the CM lists them, with their times read.

use std::collections::BTreeMap;

use acme::time::Timestamp;
use serde_json::Value;

use crate::{
    cm::{certificate::Certificate, registration::Registration},
    error::Failure,
};

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) registration: String,
    pub(crate) profile: String,
    pub(crate) serial: String,
    /// Sorted, each once.
    pub(crate) names: Vec<String>,
    /// When it was issued; the beginning of its validity where the CM does not say.
    pub(crate) issued_at: Timestamp,
    pub(crate) not_after: Timestamp,
    /// Revoked or on hold since.
    pub(crate) revoked_at: Option<Timestamp>,
}

impl Issued {
    /// Takes what the CM said.
    ///
    /// # Errors
    /// [`Failure::Broken`] if it lacks what every certificate has.
    pub(crate) fn of(json: Value) -> Result<Self, Failure> {
        let certificate = Certificate::of(json)?;
        let issued_at = certificate.json.get("issuedAt").and_then(Value::as_str);
        let view = &certificate.view;
        let mut names: Vec<_> = view.identifiers.iter().map(|name| name.value.clone()).collect();
        names.sort();
        names.dedup();
        Ok(Self {
            issued_at: time(issued_at.unwrap_or(&view.not_before))?,
            not_after: time(&view.not_after)?,
            revoked_at: view.revocation.as_ref().map(|revocation| time(&revocation.at)).transpose()?,
            id: view.id.clone(),
            status: view.status.clone(),
            registration: view.registration.clone().unwrap_or_default(),
            profile: view.profile.clone().unwrap_or_default(),
            serial: view.serial.clone(),
            names,
        })
    }

    /// Whether relying parties take it now, as far as its record says.
    pub(crate) fn is_in_force(&self, now: Timestamp) -> bool {
        self.status == "good" && self.revoked_at.is_none() && self.not_after > now
    }
}

/// Certificates by their registrations.
pub(crate) fn by_registration(certificates: &[Issued]) -> BTreeMap<&str, Vec<&Issued>> {
    let mut registrations: BTreeMap<&str, Vec<&Issued>> = BTreeMap::new();
    for one in certificates {
        registrations.entry(&one.registration).or_default().push(one);
    }
    registrations
}

/// A registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) owner: String,
    pub(crate) parent: Option<String>,
    pub(crate) created_at: Option<Timestamp>,
    /// Since when the account key it has now has been bound.
    pub(crate) bound_at: Option<Timestamp>,
}

impl Registered {
    /// Takes what the CM said.
    ///
    /// # Errors
    /// [`Failure::Broken`] if it lacks what every registration has.
    pub(crate) fn of(json: Value) -> Result<Self, Failure> {
        let view = Registration::of(json)?.view;
        let bound_at = view.key.and_then(|key| key.since);
        Ok(Self {
            created_at: view.created_at.as_deref().map(time).transpose()?,
            bound_at: bound_at.as_deref().map(time).transpose()?,
            id: view.id,
            status: view.status,
            owner: view.owner.unwrap_or_default(),
            parent: view.parent,
        })
    }
}

/// Registrations by their ids.
pub(crate) type Registry = BTreeMap<String, Registered>;

/// A time of the CM.
///
/// # Errors
/// [`Failure::Broken`] if it is none.
pub(crate) fn time(text: &str) -> Result<Timestamp, Failure> {
    let shown = crate::output::shown(text);
    text.parse().map_err(|reason| Failure::Broken(format!("the CM says {shown} where a time belongs: {reason}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn certificate(more: Value) -> Value {
        let mut json = json!({
            "id": "a.b", "status": "good", "serial": "0a", "sha256": "00", "registration": "reg_1",
            "notBefore": "2026-11-01T00:00:00Z", "notAfter": "2026-12-01T00:00:00Z",
            "identifiers": [{"type": "dns", "value": "b.test"}, {"type": "dns", "value": "a.test"}, {"type": "dns", "value": "b.test"}],
        });
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json
    }

    #[test]
    fn a_certificate_is_issued_when_the_cm_says_or_when_it_begins() {
        let one = Issued::of(certificate(json!({}))).unwrap();
        assert_eq!(
            (one.issued_at.to_string().as_str(), one.names.as_slice()),
            ("2026-11-01T00:00:00Z", &["a.test".to_owned(), "b.test".to_owned()][..])
        );
        let said = Issued::of(certificate(json!({"issuedAt": "2026-11-01T00:01:00.250Z"}))).unwrap();
        assert_eq!(said.issued_at.to_string(), "2026-11-01T00:01:00Z");
        assert_eq!(Issued::of(certificate(json!({"notAfter": "never"}))).unwrap_err().exit_code(), 1);
    }

    #[test]
    fn what_is_revoked_on_hold_unknown_or_over_is_not_in_force() {
        let day: Timestamp = "2026-11-15T00:00:00Z".parse().unwrap();
        let end: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        assert!(Issued::of(certificate(json!({}))).unwrap().is_in_force(day));
        assert!(!Issued::of(certificate(json!({}))).unwrap().is_in_force(end));
        let revocation = json!({"at": "2026-11-02T00:00:00Z", "reason": "superseded"});
        for more in
            [json!({"status": "hold"}), json!({"status": "a-word-of-tomorrow"}), json!({"revocation": revocation})]
        {
            assert!(!Issued::of(certificate(more.clone())).unwrap().is_in_force(day), "{more}");
        }
    }
}
