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

/// A change: of a realm's list, or of whether a profile is in use.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// What the realm allows to anybody from now on.
    realm: Option<String>,
    allowed_identifiers: Option<AllowedIdentifiers>,
    /// Whether nothing is issued by the profile any more.
    profile: Option<String>,
    retired: Option<bool>,
}

impl ReferenceCm {
    /// Makes a change, and tells the gateways.
    pub(crate) fn configure(&self, change: Value) -> anyhow::Result<()> {
        let now = Moment::now();
        let Change { realm, allowed_identifiers, profile, retired } = serde_json::from_value(change)?;
        let done = self.database.write(|tx| {
            if let (Some(realm), Some(list)) = (&realm, &allowed_identifiers)
                && self.settings.realms.contains_key(realm)
            {
                let list = list.clone().normalized();
                let list =
                    list.map_err(|(place, reason)| Problem::new(Code::Malformed, format!("{place}: {reason}")))?;
                set_meta(tx, &list_of(realm), &serde_json::to_string(&list)?)?;
                return events::emit(tx, now, realm, "realm.changed", realm, None, &json!({}));
            }
            if let (Some(profile), Some(retired)) = (&profile, retired)
                && self.settings.profiles.contains_key(profile)
            {
                set_meta(tx, &retirement_of(profile), if retired { "retired" } else { "active" })?;
                for (realm, _) in self.settings.realms.iter().filter(|(_, realm)| realm.profiles.contains(profile)) {
                    events::emit(tx, now, realm, "profile.changed", profile, None, &json!({}))?;
                }
                return Ok(());
            }
            Err(Problem::new(Code::NotFound, "name a realm with its list, or a profile and whether it is retired"))
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
