//! Registrations: the record, where it is kept, how it is shown (contract section 4.3).
//!
//! This is the record only; what changes it lies in `create`, `bind`, `update`, `status`,
//! `key_change`, `external_account_key` and `directory_link`.

use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ReferenceCm;
use super::allowlist::AllowedIdentifiers;
use super::call::{Answer, Call};
use super::directory_link::DirectoryLink;
use super::jws::MacAlgorithm;
use super::key::PublicKey;
use super::moment::{Moment, Span};
use super::problem::{Code, Problem};
use super::settings::Capability;
use super::waivers;

/// How a registration came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// By newAccount.
    Open,
    /// By an officer.
    Preregistered,
}

/// Where a registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Pre-registered, no key yet.
    Pending,
    /// In use.
    Active,
    /// Held by an officer; may come back.
    Suspended,
    /// Ended by the account holder; final.
    Deactivated,
    /// Ended by an officer; final.
    Revoked,
}

impl Status {
    /// The word on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
            Self::Revoked => "revoked",
        }
    }
}

/// Whether a pre-registration binds one key or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Use {
    /// One key; the registration itself becomes active.
    Once,
    /// Many keys; each gets a registration of its own.
    Multi,
}

/// The bound key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BoundKey {
    /// Public members.
    pub(crate) jwk: Value,
    /// RFC 7638.
    pub(crate) thumbprint: String,
    /// Since when.
    pub(crate) since: Moment,
}

impl BoundKey {
    /// Binds a key from now on.
    pub(crate) fn new(key: &PublicKey, since: Moment) -> Self {
        Self { jwk: key.jwk(), thumbprint: key.thumbprint(), since }
    }
}

/// A key that was bound before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreviousKey {
    /// RFC 7638.
    pub(crate) thumbprint: String,
    /// Since when it was bound.
    pub(crate) from: Moment,
    /// Until when.
    pub(crate) to: Moment,
}

/// The EAB part of a pre-registration; the secret lies elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Eab {
    /// Key id, unique in the realm.
    pub(crate) kid: String,
    /// MACs that are accepted.
    pub(crate) algorithms: Vec<MacAlgorithm>,
    /// One key or many.
    #[serde(rename = "use")]
    pub(crate) usage: Use,
    /// Most keys.
    pub(crate) max_bindings: u32,
    /// Keys bound so far.
    pub(crate) bindings: u32,
    /// Binding begins.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) not_before: Option<Moment>,
    /// Binding ends.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) not_after: Option<Moment>,
    /// When the secret was drawn.
    pub(crate) secret_set_at: Moment,
    /// Until when the secret before it is taken too.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) previous_until: Option<Moment>,
}

impl Eab {
    /// Refuses a window that ends before it begins.
    pub(crate) fn check_window(&self) -> Result<(), Problem> {
        match (self.not_before, self.not_after) {
            (Some(begin), Some(end)) if begin >= end => {
                Err(Problem::malformed("/eab/notAfter", "must be after notBefore"))
            }
            _ => Ok(()),
        }
    }
}

/// A registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Registration {
    /// `reg_…`
    pub(crate) id: String,
    /// Grows with every change.
    pub(crate) version: i64,
    /// Its realm.
    pub(crate) realm: String,
    /// How it came to be.
    pub(crate) mode: Mode,
    /// Where it stands, its parent left aside.
    pub(crate) status: Status,
    /// When it was made.
    pub(crate) created_at: Moment,
    /// When it was changed last.
    pub(crate) updated_at: Moment,
    /// The bound key.
    pub(crate) key: Option<BoundKey>,
    /// Keys before it.
    pub(crate) previous_keys: Vec<PreviousKey>,
    /// `mailto:` URIs.
    pub(crate) contacts: Vec<String>,
    /// When the terms were agreed to.
    pub(crate) terms_of_service_agreed_at: Option<Moment>,
    /// EAB part.
    pub(crate) eab: Option<Eab>,
    /// The link that binds to it; its token lies elsewhere.
    #[serde(default)]
    pub(crate) directory_link: Option<DirectoryLink>,
    /// The multi-use pre-registration it came from.
    pub(crate) parent: Option<String>,
    /// Names it may have certified.
    pub(crate) allowed_identifiers: AllowedIdentifiers,
    /// Profiles it may use; empty means the realm's default.
    pub(crate) allowed_profiles: Vec<String>,
    /// Longest life of its certificates.
    pub(crate) max_validity: Option<Span>,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) owner: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) comment: Option<String>,
    /// Who pre-registered it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) officer: Option<String>,
    /// Why it has its status.
    pub(crate) status_reason: Option<String>,
    /// Who set the status.
    pub(crate) status_by: String,
    /// When.
    pub(crate) status_at: Moment,
    /// The status to go back to when it is resumed; not shown.
    pub(crate) status_before: Option<Status>,
}

impl Registration {
    /// The bound key, if there is one.
    pub(crate) fn public_key(&self) -> Option<PublicKey> {
        self.key.as_ref().and_then(|key| PublicKey::from_jwk(&key.jwk).ok())
    }

    /// Writes a new record.
    pub(crate) fn insert(&self, tx: &Transaction<'_>) -> Result<(), Problem> {
        tx.execute(
            "INSERT INTO registration (id, realm, status, thumbprint, eab_kid, parent, owner, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                self.id,
                self.realm,
                self.status.name(),
                self.key.as_ref().map(|key| &key.thumbprint),
                self.eab.as_ref().map(|eab| &eab.kid),
                self.parent,
                self.owner,
                serde_json::to_string(self)?
            ],
        )?;
        Ok(())
    }

    /// Writes a changed record under its next version.
    pub(crate) fn update(&mut self, tx: &Transaction<'_>, now: Moment) -> Result<(), Problem> {
        let version = self.version;
        self.version += 1;
        self.updated_at = now;
        let changed = tx.execute(
            "UPDATE registration SET status = ?2, thumbprint = ?3, owner = ?4, document = ?5
             WHERE id = ?1 AND json_extract(document, '$.version') = ?6",
            params![
                self.id,
                self.status.name(),
                self.key.as_ref().map(|key| &key.thumbprint),
                self.owner,
                serde_json::to_string(self)?,
                version
            ],
        )?;
        if changed == 1 { Ok(()) } else { Err(Problem::internal("a registration changed under its lock")) }
    }

    /// Where it stands if its parent is looked at too.
    pub(crate) fn effective_status(&self, tx: &Transaction<'_>) -> Result<Status, Problem> {
        if self.status == Status::Active
            && let Some(parent) = &self.parent
            && matches!(
                load_any(tx, parent)?.map(|parent| parent.status),
                Some(Status::Suspended | Status::Revoked) | None
            )
        {
            return Ok(Status::Suspended);
        }
        Ok(self.status)
    }

    /// Refuses registrations that are not active, by themselves or by their parent.
    pub(crate) fn must_be_active(&self, tx: &Transaction<'_>) -> Result<(), Problem> {
        match self.effective_status(tx)? {
            Status::Active => Ok(()),
            status @ (Status::Pending | Status::Suspended | Status::Deactivated | Status::Revoked) => {
                Err(not_active(&self.id, status))
            }
        }
    }

    /// Refuses a write whose `If-Match` is stale.
    pub(crate) fn must_match(&self, version: i64) -> Result<(), Problem> {
        if self.version == version {
            Ok(())
        } else {
            Err(Problem::new(Code::PreconditionFailed, format!("the registration is at version {}", self.version))
                .current_version(self.version))
        }
    }

    /// As the caller may see it.
    pub(crate) fn view(&self, cm: &ReferenceCm, call: &Call, tx: &Transaction<'_>) -> Result<Value, Problem> {
        let mut view = serde_json::to_value(self)?;
        let hidden = call.is_gateway() && !cm.settings.realms.get(&self.realm).is_some_and(|realm| realm.show_owner);
        if let Some(members) = view.as_object_mut() {
            members.remove("statusBefore");
            members.insert("status".to_owned(), json!(self.effective_status(tx)?.name()));
            if !cm.settings.lacks.contains(&Capability::Waivers) {
                members.insert("waivers".to_owned(), waivers::show(cm, tx, self, call.now)?);
            }
            if hidden {
                for member in ["owner", "comment", "officer"] {
                    members.remove(member);
                }
            }
        }
        Ok(view)
    }

    /// An answer that shows it, with its `ETag`.
    pub(crate) fn answer(
        &self,
        status: u16,
        cm: &ReferenceCm,
        call: &Call,
        tx: &Transaction<'_>,
    ) -> Result<Answer, Problem> {
        let answer = Answer::json(status, &self.view(cm, call, tx)?).with_version(self.version);
        Ok(if status == 201 { answer.with(http::header::LOCATION, self.location()) } else { answer })
    }

    /// Its path.
    pub(crate) fn location(&self) -> String {
        format!("/cm/v1/realms/{}/registrations/{}", self.realm, self.id)
    }
}

/// The refusal of a registration that is not active.
pub(crate) fn not_active(id: &str, status: Status) -> Problem {
    Problem::new(Code::RegistrationNotActive, format!("registration {id} is {}", status.name()))
        .with("registration", json!(id))
        .with("registrationStatus", json!(status.name()))
        .scoped(super::problem::Scope::Registration)
}

/// A registration of the realm, or 404.
pub(crate) fn load(tx: &Transaction<'_>, realm: &str, id: &str) -> Result<Registration, Problem> {
    load_any(tx, id)?
        .filter(|registration| registration.realm == realm)
        .ok_or_else(|| Problem::new(Code::NotFound, "there is no such registration"))
}

fn load_any(tx: &Transaction<'_>, id: &str) -> Result<Option<Registration>, Problem> {
    one(tx, "SELECT document FROM registration WHERE id = ?1", &[id])
}

/// The registration of the realm that has this key.
pub(crate) fn by_thumbprint(
    tx: &Transaction<'_>,
    realm: &str,
    thumbprint: &str,
) -> Result<Option<Registration>, Problem> {
    one(tx, "SELECT document FROM registration WHERE realm = ?1 AND thumbprint = ?2", &[realm, thumbprint])
}

/// The pre-registration of the realm with this kid.
pub(crate) fn by_kid(tx: &Transaction<'_>, realm: &str, kid: &str) -> Result<Option<Registration>, Problem> {
    one(tx, "SELECT document FROM registration WHERE realm = ?1 AND eab_kid = ?2", &[realm, kid])
}

/// Registrations that came from this one.
pub(crate) fn children(tx: &Transaction<'_>, id: &str) -> Result<Vec<Registration>, Problem> {
    let mut statement = tx.prepare("SELECT document FROM registration WHERE parent = ?1")?;
    let rows = statement.query_map([id], |row| row.get::<_, String>(0))?;
    let mut children = Vec::new();
    for document in rows {
        children.push(serde_json::from_str(&document?)?);
    }
    Ok(children)
}

fn one(tx: &Transaction<'_>, query: &str, arguments: &[&str]) -> Result<Option<Registration>, Problem> {
    let document: Option<String> =
        tx.query_row(query, rusqlite::params_from_iter(arguments), |row| row.get(0)).optional()?;
    Ok(match document {
        Some(document) => Some(serde_json::from_str(&document)?),
        None => None,
    })
}

/// Refuses a key that the realm may not take on: it was retired once.
pub(crate) fn must_not_be_retired(tx: &Transaction<'_>, realm: &str, thumbprint: &str) -> Result<(), Problem> {
    let retired: bool = tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM retired_key WHERE realm = ?1 AND thumbprint = ?2)",
        params![realm, thumbprint],
        |row| row.get(0),
    )?;
    if retired {
        Err(Problem::new(Code::KeyRetired, "this key was replaced by another one and is not accepted again"))
    } else {
        Ok(())
    }
}
