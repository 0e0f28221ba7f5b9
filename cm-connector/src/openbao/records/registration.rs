//! Who may ask for what: the realm, what officers made and said, and the clients' accounts and keys.

use acme::{
    account_key::Thumbprint,
    ids::{ProfileName, RegistrationId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a realm is. Written by whoever sets it up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Realm {
    /// Who may make accounts.
    pub mode: Mode,
    /// The names that anybody in the realm may ask for, as in the CM contract section 4.3.
    pub allowed_identifiers: Value,
    /// The roles of the realm's `pki` that are profiles.
    pub profiles: Vec<ProfileName>,
    /// The one that orders get which name none.
    pub default_profile: ProfileName,
    /// What registrations made in open mode may use beside the default.
    #[serde(default)]
    pub open_profiles: Vec<ProfileName>,
    /// Certificates that begin before this are to be renewed at once, from that time on: mass replacement, for whatever
    /// reason. For whoever sets realms up.
    #[serde(default)]
    pub renew_issued_before: Option<Timestamp>,
    /// What CAA records permit the CA by.
    #[serde(default)]
    pub caa_identities: Vec<String>,
    /// What the profiles want to see of validations, as in the CM contract section 4.2.
    #[serde(default)]
    pub validation: Value,
}

/// Who may make accounts in a realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Anybody.
    Open,
    /// Holders of an external account key.
    Preregistered,
    /// Both.
    Both,
}

/// What an officer made for a client that is to come. The secret is in transit, under the same kid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreRegistration {
    /// The registration; if it can be used several times, what its children have in common.
    pub registration: RegistrationId,
    /// `active`, `suspended` or `revoked`; anything else is taken for suspended.
    pub status: String,
    /// Whether it can be used once or several times.
    #[serde(rename = "use")]
    pub uses: Uses,
    /// How often.
    pub max_bindings: u32,
    /// The versions of the secret in transit, the newest first: it binds, and until `previous_until` the one after it.
    #[serde(default = "first_version")]
    pub secret_versions: Vec<u32>,
    /// Until when the secret before goes on beside the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<Timestamp>,
    /// Of a key for one use, how many uses an officer has ended: those with numbers up to this. An account that came
    /// by one of them has lost its key, and the next use has the next number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uses_ended: u32,
    /// From when on a client may bind its key.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// And until when.
    #[serde(default)]
    pub not_after: Option<Timestamp>,
    /// The names that it may ask for.
    pub allowed_identifiers: Value,
    /// The profiles; none means the default one.
    #[serde(default)]
    pub allowed_profiles: Vec<ProfileName>,
    /// Longest validity of its certificates.
    #[serde(default)]
    pub validity_max_secs: Option<u64>,
    /// Free text.
    #[serde(default)]
    pub owner: Option<String>,
    /// Free text.
    #[serde(default)]
    pub comment: Option<String>,
    /// Who made it.
    #[serde(default)]
    pub officer: Option<String>,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// Since when the secret is the one that it is.
    #[serde(default)]
    pub secret_set_at: Option<Timestamp>,
    /// Why it has its status.
    #[serde(default)]
    pub status_reason: Option<String>,
    /// Who gave it.
    #[serde(default)]
    pub status_by: Option<String>,
    /// When.
    #[serde(default)]
    pub status_at: Option<Timestamp>,
}

fn first_version() -> Vec<u32> {
    vec![1]
}

/// An earlier release does not take a record with a member that it does not know.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl PreRegistration {
    /// The versions of the secret that bind now: always two, so that whoever counts questions learns nothing.
    #[must_use]
    pub fn binding_versions(&self, now: Timestamp) -> [u32; 2] {
        let newest = self.secret_versions.first().copied().unwrap_or(1);
        let former = self.secret_versions.get(1).filter(|_| self.previous_until.is_some_and(|until| now < until));
        [newest, former.copied().unwrap_or(newest)]
    }
}

/// How often a pre-registration can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Uses {
    /// Once.
    Once,
    /// So often as `max_bindings` says, each time for another child.
    Multi,
}

/// An officer's word about one registration, whatever it came from. Without a record there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hold {
    /// `active`, `suspended` or `revoked`; anything else is taken for suspended.
    pub status: String,
    /// Narrows the names that the registration may ask for.
    #[serde(default)]
    pub allowed_identifiers: Option<Value>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who.
    #[serde(default)]
    pub officer: Option<String>,
    /// When.
    #[serde(default)]
    pub at: Option<Timestamp>,
}

/// The client's side of a registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// `active` or `deactivated`.
    pub status: String,
    /// The account key as a JWK.
    pub jwk: Value,
    /// Its thumbprint.
    pub thumbprint: Thumbprint,
    /// Since when it is bound.
    pub key_since: Timestamp,
    /// Keys before it, the oldest first.
    #[serde(default)]
    pub previous_keys: Vec<PreviousKey>,
    /// Contact URIs.
    #[serde(default)]
    pub contacts: Vec<String>,
    /// When the client agreed to the terms of service.
    #[serde(default)]
    pub terms_of_service_agreed_at: Option<Timestamp>,
    /// The kid that it was bound by; `None` in open mode.
    #[serde(default)]
    pub kid: Option<String>,
    /// The number of the use of that kid that its key came by.
    #[serde(default = "first_use")]
    pub use_number: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

const fn first_use() -> u32 {
    1
}

impl Account {
    /// Whether an officer has taken its key away, so that another client can be bound: nothing rests on it any more.
    #[must_use]
    pub const fn is_withdrawn(&self, pre_registration: &PreRegistration) -> bool {
        match pre_registration.uses {
            Uses::Once => self.use_number != pre_registration.uses_ended.saturating_add(1),
            Uses::Multi => false,
        }
    }
}

/// An account key that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousKey {
    /// Its thumbprint.
    pub thumbprint: Thumbprint,
    /// Until when it was bound.
    pub until: Timestamp,
}

/// Whose account key it is, for ever. The registration says whether it still is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Whose.
    pub registration: RegistrationId,
    /// By which kid it came.
    #[serde(default)]
    pub kid: Option<String>,
}

/// One use of a pre-registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The registration that came of it.
    pub registration: RegistrationId,
    /// The key that was bound.
    pub thumbprint: Thumbprint,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_that_an_officer_wrote_and_nobody_understands_is_not_passed_over() {
        let good = json!({"status": "active"});
        assert!(serde_json::from_value::<Hold>(good.clone()).is_ok());
        let mut strange = good;
        strange["allowedCountries"] = json!(["NO"]);
        assert!(serde_json::from_value::<Hold>(strange).is_err());
        let prereg = json!({"registration": "reg_1", "status": "active", "use": "once", "maxBindings": 1,
                            "allowedIdentifiers": {"mode": "any"}});
        assert!(serde_json::from_value::<PreRegistration>(prereg.clone()).is_ok());
        let mut strange = prereg;
        strange["maxValidity"] = json!("P1D");
        assert!(serde_json::from_value::<PreRegistration>(strange).is_err());
    }

    #[test]
    fn the_secret_before_goes_on_until_its_end_and_no_longer() {
        let (until, before): (Timestamp, Timestamp) =
            ("2026-11-22T08:00:00Z".parse().unwrap(), "2026-11-22T07:59:59Z".parse().unwrap());
        let versions = |versions: &[u32], end: Option<Timestamp>, now| {
            let json = json!({"registration": "reg_1", "status": "active", "use": "once", "maxBindings": 1,
                              "allowedIdentifiers": {"mode": "any"}, "secretVersions": versions, "previousUntil": end});
            serde_json::from_value::<PreRegistration>(json).unwrap().binding_versions(now)
        };
        assert_eq!(versions(&[3], None, before), [3, 3]);
        assert_eq!(versions(&[3, 2], Some(until), before), [3, 2]);
        assert_eq!(versions(&[3, 2], Some(until), until), [3, 3]);
        assert_eq!(versions(&[3, 2], None, before), [3, 3], "no end is no overlap");
    }

    #[test]
    fn an_account_lives_by_the_use_that_is_not_ended() {
        let is_withdrawn = |uses: &str, ended: u32, number: Option<u32>| {
            let mut account = json!({"status": "active", "jwk": {}, "createdAt": "2026-11-22T00:00:00Z",
                "thumbprint": "ahIyRbwOXzMFPMuEDVyIX3geBBhi9oEWKOEyg1TMZ4s", "keySince": "2026-11-22T00:00:00Z"});
            if let Some(number) = number {
                account["useNumber"] = json!(number);
            }
            let pre = json!({"registration": "reg_1", "status": "active", "use": uses, "maxBindings": 9,
                             "usesEnded": ended, "allowedIdentifiers": {"mode": "any"}});
            let pre: PreRegistration = serde_json::from_value(pre).unwrap();
            serde_json::from_value::<Account>(account).unwrap().is_withdrawn(&pre)
        };
        assert!(
            !is_withdrawn("once", 0, None) && !is_withdrawn("once", 0, Some(1)) && !is_withdrawn("once", 1, Some(2))
        );
        assert!(is_withdrawn("once", 1, None) && is_withdrawn("once", 2, Some(2)), "its use is ended");
        assert!(is_withdrawn("once", 0, Some(2)), "a use that nobody can have");
        assert!(!is_withdrawn("multi", 0, Some(7)));
    }

    #[test]
    fn what_a_later_gateway_adds_is_passed_over() {
        let binding =
            json!({"registration": "reg_1", "thumbprint": "ahIyRbwOXzMFPMuEDVyIX3geBBhi9oEWKOEyg1TMZ4s", "by": "x"});
        assert!(serde_json::from_value::<Binding>(binding).is_ok());
    }
}
