//! Effective policy of a registration: realm and parent and own (contract section 4.3), as it is at this moment.

use rusqlite::Transaction;
use serde_json::{Value, json};

use super::ReferenceCm;
use super::allowlist::AllowedIdentifiers;
use super::configuration::is_retired;
use super::identifier::Identifier;
use super::moment::Span;
use super::problem::{Code, Problem, Scope};
use super::registrations::{self, Registration};
use super::settings::Profile;

/// What a registration may have.
pub(crate) struct Policy {
    registration: String,
    /// Of the realm, the parent and the registration: each must allow.
    lists: Vec<AllowedIdentifiers>,
    /// Of the parent and the registration; an empty one stands for the default profile.
    profiles: Vec<Vec<String>>,
    /// The shorter of the parent's and the registration's.
    pub(crate) max_validity: Option<Span>,
}

impl Policy {
    /// Reads it.
    pub(crate) fn of(cm: &ReferenceCm, tx: &Transaction<'_>, registration: &Registration) -> Result<Self, Problem> {
        let parent = match &registration.parent {
            Some(id) => Some(registrations::load(tx, &registration.realm, id)?),
            None => None,
        };
        let both = || parent.iter().chain([registration]);
        let mut lists = vec![cm.realm_list(tx, &registration.realm)?];
        lists.extend(both().map(|one| one.allowed_identifiers.clone()));
        Ok(Self {
            registration: registration.id.clone(),
            lists,
            profiles: both().map(|one| one.allowed_profiles.clone()).collect(),
            max_validity: both().filter_map(|one| one.max_validity).min(),
        })
    }

    /// Refuses names that one of the lists does not allow, each with the reason.
    pub(crate) fn check_names(&self, identifiers: &[Identifier]) -> Result<(), Problem> {
        let mut subproblems: Vec<Value> = Vec::new();
        let mut errors: Vec<Value> = Vec::new();
        for (index, identifier) in identifiers.iter().enumerate() {
            if let Err(detail) = self.check(identifier) {
                subproblems.push(json!({"code": Code::IdentifierNotAllowed.name(),
                    "identifier": identifier.to_json(), "detail": detail}));
                errors.push(json!({"pointer": format!("/identifiers/{index}"), "detail": detail}));
            }
        }
        if subproblems.is_empty() {
            return Ok(());
        }
        Err(Problem::new(
            Code::IdentifierNotAllowed,
            format!(
                "{} of {} identifiers not covered by registration {}",
                subproblems.len(),
                identifiers.len(),
                self.registration
            ),
        )
        .with("subproblems", json!(subproblems))
        .with("errors", json!(errors))
        .scoped(Scope::Registration))
    }

    fn check(&self, identifier: &Identifier) -> Result<(), &'static str> {
        if let Some(detail) = self.lists.iter().find_map(|list| list.check(identifier).err()) {
            return Err(detail);
        }
        let is_listed = self.lists.iter().any(|list| matches!(list, AllowedIdentifiers::Listed { .. }));
        if !is_listed && matches!(identifier, Identifier::Dns { name, wildcard: true } if !name.contains('.')) {
            return Err("a wildcard right below a top-level label must be listed");
        }
        Ok(())
    }

    /// The profile, if it may be used.
    pub(crate) fn profile<'a>(
        &self,
        cm: &'a ReferenceCm,
        tx: &Transaction<'_>,
        realm: &str,
        name: &str,
    ) -> Result<&'a Profile, Problem> {
        let refused = || Problem::new(Code::ProfileNotAllowed, "the registration may not use this profile");
        let realm = cm.settings.realms.get(realm).ok_or_else(refused)?;
        let permits = |allowed: &Vec<String>| {
            if allowed.is_empty() { *name == realm.default_profile } else { allowed.iter().any(|one| one == name) }
        };
        if !realm.profiles.iter().any(|one| one == name) || !self.profiles.iter().all(permits) || is_retired(tx, name)?
        {
            return Err(refused());
        }
        cm.settings.profiles.get(name).ok_or_else(refused)
    }
}
