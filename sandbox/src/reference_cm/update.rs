//! Changing registrations by PATCH, and reading them (contract section 4.3).

use rusqlite::params;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ReferenceCm;
use super::allowlist::AllowedIdentifiers;
use super::audit::{self, Change};
use super::call::{Answer, Call, parse_etag};
use super::create::{check_list, check_profiles};
use super::events;
use super::identifier::{Identifier, Kind, WireIdentifier};
use super::moment::{Moment, Span};
use super::operations::Right;
use super::paging;
use super::problem::{Code, Problem};
use super::proof::{self, Proof};
use super::registrations::{self, Registration, by_kid, by_thumbprint};
use super::wire::{are_contacts_of, check_contacts, check_text};

/// Members that nobody patches; naming one is forbidden rather than unknown.
const FIXED: &[&str] = &[
    "id",
    "version",
    "realm",
    "mode",
    "status",
    "createdAt",
    "updatedAt",
    "key",
    "previousKeys",
    "directoryLink",
    "waivers",
    "parent",
    "officer",
    "statusReason",
    "statusBy",
    "statusAt",
];
const BY_GATEWAY: &[&str] = &["contacts", "termsOfServiceAgreedAt"];
const BY_OFFICER: &[&str] = &["allowedIdentifiers", "allowedProfiles", "maxValidity", "owner", "comment", "eab"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GatewayPatch {
    #[serde(default, deserialize_with = "irremovable")]
    contacts: Option<Vec<String>>,
    #[serde(default, deserialize_with = "irremovable")]
    terms_of_service_agreed_at: Option<Moment>,
    #[serde(default, deserialize_with = "irremovable")]
    proof: Option<Proof>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfficerPatch {
    #[serde(default, deserialize_with = "irremovable")]
    allowed_identifiers: Option<AllowedIdentifiers>,
    #[serde(default, deserialize_with = "irremovable")]
    allowed_profiles: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    max_validity: Option<Option<Span>>,
    #[serde(default, deserialize_with = "present")]
    owner: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    comment: Option<Option<String>>,
    #[serde(default, deserialize_with = "irremovable")]
    eab: Option<EabPatch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EabPatch {
    #[serde(default, deserialize_with = "present")]
    not_before: Option<Option<Moment>>,
    #[serde(default, deserialize_with = "present")]
    not_after: Option<Option<Moment>>,
    #[serde(default, deserialize_with = "irremovable")]
    max_bindings: Option<u32>,
}

/// For members that cannot be removed: null would ask for that, and must not be taken for nothing.
fn irremovable<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Tells an absent member (keep) from null (remove), as RFC 7396 does.
fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// `PATCH …/registrations/{id}`
pub(crate) fn update_registration(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    let version = call.if_match()?;
    check_members(call)?;
    let (realm_name, _) = cm.realm(call)?;
    cm.database.write(|tx| {
        let mut registration = registrations::load(tx, realm_name, call.parameter("id"))?;
        let before = registration.clone();
        registration.must_match(version)?;
        if call.is_gateway() {
            call.require(Right::ActForAccount)?;
            registration.must_be_active(tx)?;
            patch_by_gateway(cm, call, &mut registration)?;
        } else {
            call.require(Right::GovernRegistration)?;
            patch_by_officer(cm, call, &mut registration)?;
        }
        if registration == before {
            return registration.answer(200, cm, call, tx);
        }
        registration.update(tx, call.now)?;
        events::emit(
            tx,
            call.now,
            realm_name,
            "registration.updated",
            &registration.id,
            Some(registration.version),
            &json!({}),
        )?;
        let change = difference(&before, &registration)?;
        audit::effect(tx, call, &registration.id, change)?;
        registration.answer(200, cm, call, tx)
    })
}

fn check_members(call: &Call) -> Result<(), Problem> {
    let body: Value = call.json()?;
    let Some(members) = body.as_object() else {
        return Err(Problem::new(Code::Malformed, "the patch must be an object"));
    };
    for member in members.keys().map(String::as_str) {
        let (own, other) = if call.is_gateway() { (BY_GATEWAY, BY_OFFICER) } else { (BY_OFFICER, BY_GATEWAY) };
        if own.contains(&member) || (call.is_gateway() && member == "proof") {
            continue;
        }
        return Err(if other.contains(&member) || FIXED.contains(&member) {
            Problem::new(Code::Forbidden, format!("the role {} may not change {member}", call.identity.role.name()))
        } else {
            Problem::malformed(&format!("/{member}"), "unknown member")
        });
    }
    Ok(())
}

fn patch_by_gateway(cm: &ReferenceCm, call: &Call, registration: &mut Registration) -> Result<(), Problem> {
    let patch: GatewayPatch = call.json()?;
    let (_, realm) = cm.realm(call)?;
    if let Some(verified) = proof::by_account(realm, patch.proof.as_ref(), registration, None)? {
        let payload: Value = verified.read()?;
        if patch.contacts.as_ref().is_some_and(|contacts| !are_contacts_of(&payload, contacts)) {
            return Err(proof::invalid("the contacts are not those of the proof"));
        }
        if patch.terms_of_service_agreed_at.is_some() && payload.get("termsOfServiceAgreed") != Some(&json!(true)) {
            return Err(proof::invalid("the proof does not agree to the terms"));
        }
    }
    if let Some(contacts) = patch.contacts {
        check_contacts(&contacts)?;
        registration.contacts = contacts;
    }
    if let Some(time) = patch.terms_of_service_agreed_at {
        registration.terms_of_service_agreed_at = Some(time);
    }
    Ok(())
}

fn patch_by_officer(cm: &ReferenceCm, call: &Call, registration: &mut Registration) -> Result<(), Problem> {
    let patch: OfficerPatch = call.json()?;
    let (_, realm) = cm.realm(call)?;
    if let Some(list) = patch.allowed_identifiers {
        registration.allowed_identifiers = check_list(list)?;
    }
    if let Some(profiles) = patch.allowed_profiles {
        check_profiles(realm, &profiles)?;
        registration.allowed_profiles = profiles;
    }
    if let Some(span) = patch.max_validity {
        registration.max_validity = span;
    }
    if let Some(owner) = patch.owner {
        check_text("/owner", owner.as_ref(), 2_000)?;
        registration.owner = owner;
    }
    if let Some(comment) = patch.comment {
        check_text("/comment", comment.as_ref(), 2_000)?;
        registration.comment = comment;
    }
    if let Some(change) = patch.eab {
        let Some(eab) = &mut registration.eab else {
            return Err(Problem::malformed("/eab", "the registration has no EAB part"));
        };
        if let Some(not_before) = change.not_before {
            eab.not_before = not_before;
        }
        if let Some(not_after) = change.not_after {
            eab.not_after = not_after;
        }
        eab.check_window()?;
        if let Some(number) = change.max_bindings {
            if number == 0 || (eab.usage == registrations::Use::Once && number != 1) {
                return Err(Problem::malformed("/eab/maxBindings", "at least 1, and 1 if use is once"));
            }
            eab.max_bindings = number;
        }
    }
    Ok(())
}

fn difference(before: &Registration, after: &Registration) -> Result<Change, Problem> {
    let (old, new) = (serde_json::to_value(before)?, serde_json::to_value(after)?);
    let pick = |from: &Value, other: &Value| {
        let members = from.as_object().map(|members| {
            members
                .iter()
                .filter(|(name, value)| other.get(name.as_str()) != Some(value))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        });
        Value::Object(members.unwrap_or_default())
    };
    Ok(Change { before: Some(pick(&old, &new)), after: Some(pick(&new, &old)) })
}

/// `GET …/registrations/{id}`
pub(crate) fn read_registration(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&[])?;
    let (realm_name, _) = cm.realm(call)?;
    cm.database.read(|tx| {
        let registration = registrations::load(tx, realm_name, call.parameter("id"))?;
        let unchanged = call.header("if-none-match").is_some_and(|value| {
            value.split(',').any(|tag| parse_etag(tag) == Some(registration.version) || tag.trim() == "*")
        });
        if unchanged {
            return Ok(Answer::empty(304).with_version(registration.version));
        }
        registration.answer(200, cm, call, tx)
    })
}

/// `GET …/registrations`: by key or kid for everybody, by other members for those who may search.
pub(crate) fn find_registrations(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&["key", "eabKid", "status", "owner", "identifier", "parent", "limit", "cursor"])?;
    paging::only_status(call, &["pending", "active", "suspended", "deactivated", "revoked"])?;
    // Said here for look-ups too, which need neither.
    let (limit, after) = (paging::limit(call)?, paging::start(call)?);
    let (realm_name, _) = cm.realm(call)?;
    match (call.query("key"), call.query("eabKid")) {
        (Some(_), Some(_)) => Err(Problem::new(Code::Malformed, "look up by key or by eabKid, not both")),
        (Some(thumbprint), None) => cm.database.read(|tx| {
            let found = by_thumbprint(tx, realm_name, thumbprint)?;
            one_or_none(found, cm, call, tx)
        }),
        (None, Some(kid)) => cm.database.read(|tx| {
            let found = by_kid(tx, realm_name, kid)?;
            one_or_none(found, cm, call, tx)
        }),
        (None, None) => {
            call.require(Right::SearchRegistrations)?;
            search(cm, call, realm_name, limit, &after)
        }
    }
}

fn one_or_none(
    found: Option<Registration>,
    cm: &ReferenceCm,
    call: &Call,
    tx: &rusqlite::Transaction<'_>,
) -> Result<Answer, Problem> {
    let items = match found {
        Some(registration) => vec![registration.view(cm, call, tx)?],
        None => Vec::new(),
    };
    Ok(Answer::page(items, None))
}

fn search(cm: &ReferenceCm, call: &Call, realm: &str, limit: usize, after: &str) -> Result<Answer, Problem> {
    let identifier = call.query("identifier").map(read_identifier).transpose()?;
    cm.database.read(|tx| {
        let mut statement = tx.prepare(
            "SELECT document FROM registration
             WHERE realm = ?1 AND id > ?2 AND (?3 IS NULL OR status = ?3)
               AND (?4 IS NULL OR owner = ?4) AND (?5 IS NULL OR parent = ?5)
             ORDER BY id",
        )?;
        let (status, owner, parent) = (call.query("status"), call.query("owner"), call.query("parent"));
        let mut rows = statement.query(params![realm, after, status, owner, parent])?;
        let mut found: Vec<Registration> = Vec::new();
        while found.len() <= limit
            && let Some(row) = rows.next()?
        {
            let registration: Registration = serde_json::from_str(&row.get::<_, String>(0)?)?;
            let fits =
                identifier.as_ref().is_none_or(|identifier| registration.allowed_identifiers.check(identifier).is_ok());
            if fits {
                found.push(registration);
            }
        }
        let (found, next) = paging::cut(found, limit, call.now, |registration| registration.id.clone());
        let mut items = Vec::new();
        for registration in found {
            items.push(registration.view(cm, call, tx)?);
        }
        Ok(Answer::page(items, next))
    })
}

/// An identifier in a query, its type told by its form.
pub(crate) fn read_identifier(value: &str) -> Result<Identifier, Problem> {
    let kind = if value.parse::<std::net::IpAddr>().is_ok() { Kind::Ip } else { Kind::Dns };
    Identifier::from_wire(&WireIdentifier { kind, value: value.to_owned() })
        .ok_or_else(|| Problem::new(Code::Malformed, "identifier must be a DNS name or an IP address in normal form"))
}
