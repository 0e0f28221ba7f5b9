//! What the operator of the CM changes while it runs: a realm's list, a profile that is retired. A real CM has a
//! console for it; here it is a command of the control server. Changes lie in the database and go before the settings.

use rusqlite::Transaction;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ReferenceCm;
use super::allowlist::AllowedIdentifiers;
use super::database::{meta, set_meta};
use super::events;
use super::moment::Moment;
use super::problem::{Code, Problem};

/// A change.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Change {
    /// What the realm allows to anybody.
    Realm {
        /// Which realm.
        realm: String,
        /// Its list from now on.
        allowed_identifiers: AllowedIdentifiers,
    },
    /// Whether a profile is in use.
    Profile {
        /// Which profile.
        profile: String,
        /// Whether nothing is issued by it any more.
        retired: bool,
    },
}

impl ReferenceCm {
    /// Makes a change, and tells the gateways.
    pub(crate) fn configure(&self, change: Value) -> anyhow::Result<()> {
        let now = Moment::now();
        let done = self.database.write(|tx| match serde_json::from_value(change.clone()) {
            Ok(Change::Realm { realm, allowed_identifiers }) if self.settings.realms.contains_key(&realm) => {
                let list = allowed_identifiers
                    .normalized()
                    .map_err(|(place, reason)| Problem::new(Code::Malformed, format!("{place}: {reason}")))?;
                set_meta(tx, &list_of(&realm), &serde_json::to_string(&list)?)?;
                events::emit(tx, now, &realm, "realm.changed", &realm, None, &json!({}))
            }
            Ok(Change::Profile { profile, retired }) if self.settings.profiles.contains_key(&profile) => {
                set_meta(tx, &retirement_of(&profile), if retired { "retired" } else { "active" })?;
                let with_it = self.settings.realms.iter().filter(|(_, realm)| realm.profiles.contains(&profile));
                for (realm, _) in with_it {
                    events::emit(tx, now, realm, "profile.changed", &profile, None, &json!({}))?;
                }
                Ok(())
            }
            Ok(_) => Err(Problem::new(Code::NotFound, "there is no such realm or profile")),
            Err(error) => Err(Problem::new(Code::Malformed, error.to_string())),
        });
        done.map_err(|problem| anyhow::anyhow!("{}", problem.detail()))
    }

    /// What a realm allows to anybody, now.
    pub(crate) fn realm_list(&self, tx: &Transaction<'_>, realm: &str) -> Result<AllowedIdentifiers, Problem> {
        if let Some(list) = meta(tx, &list_of(realm))? {
            return Ok(serde_json::from_str(&list)?);
        }
        let realm = self.settings.realms.get(realm);
        realm.map(|realm| realm.allowed_identifiers.clone()).ok_or_else(|| Problem::internal("there is no such realm"))
    }
}

/// Whether nothing is issued by a profile any more.
pub(crate) fn is_retired(tx: &Transaction<'_>, profile: &str) -> Result<bool, Problem> {
    Ok(meta(tx, &retirement_of(profile))?.as_deref() == Some("retired"))
}

fn list_of(realm: &str) -> String {
    format!("realm-list:{realm}")
}

fn retirement_of(profile: &str) -> String {
    format!("profile-retirement:{profile}")
}
