//! Binding an account key to a pre-registration: the transaction of contract section 4.3.
//!
//! The order of the steps is the contract's. Up to the MAC every failure looks the same from
//! outside; who it was is in the audit trail.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ReferenceCm;
use super::call::{Answer, Call};
use super::create::{NEW_ACCOUNT, announce, blank};
use super::directory_link::{self, Token};
use super::external_account_key;
use super::jws::{Jws, MacAlgorithm};
use super::key::PublicKey;
use super::moment::Moment;
use super::problem::{Code, Problem};
use super::proof::{self, Proof};
use super::registrations::{
    BoundKey, Eab, Mode, Registration, Status, Use, by_kid, by_thumbprint, must_not_be_retired, not_active,
};
use super::settings::Realm;
use super::wire::{Client, KeyIn, are_contacts_of, check_contacts};

/// Failures are counted over this time.
const WINDOW_SECS: i64 = 600;
/// The one sentence for everything up to the MAC.
const REJECTED: &str = "the external account binding is not accepted";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BindRequest {
    eab: Option<Jws>,
    directory_token: Option<String>,
    key: KeyIn,
    #[serde(default)]
    contacts: Vec<String>,
    terms_of_service_agreed_at: Option<Moment>,
    #[serde(default)]
    client: Client,
    proof: Option<Proof>,
}

/// What the pre-registration is found by.
enum Means<'a> {
    Binding(Binding<'a>),
    Link(Token),
}

/// The binding JWS, read but not yet verified.
struct Binding<'a> {
    jws: &'a Jws,
    kid: String,
    algorithm: MacAlgorithm,
}

/// `POST …/registrations/bind`
pub(crate) fn bind_registration(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    let request: BindRequest = call.json()?;
    let (realm_name, realm) = cm.realm(call)?;
    request.client.check()?;
    let key = request.key.read()?;
    check_contacts(&request.contacts)?;
    let means = match (&request.eab, &request.directory_token) {
        (Some(eab), None) => {
            let binding = read_binding(realm, &request, eab, &key)?;
            verify_proof(realm, &request, eab, &key)?;
            Means::Binding(binding)
        }
        (None, Some(token)) => {
            directory_link::must_be_offered(cm)?;
            let token = Token::parse(token)?;
            directory_link::verify_proof(realm, request.proof.as_ref(), &key, &request.contacts, &token)?;
            Means::Link(token)
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::malformed("/eab", "exactly one of eab and directoryToken must be there"));
        }
    };
    cm.database.write(|tx| bind(cm, call, tx, realm_name, &request, &key, &means))
}

/// Step 1: what can be seen without any secret.
fn read_binding<'a>(
    realm: &Realm,
    request: &BindRequest,
    eab: &'a Jws,
    key: &PublicKey,
) -> Result<Binding<'a>, Problem> {
    let rejected = |detail: &str| Problem::new(Code::EabRejected, REJECTED).audited(detail);
    let header = eab.header().map_err(rejected)?;
    let algorithm =
        MacAlgorithm::from_name(&header.alg).ok_or_else(|| rejected("the algorithm of the binding is no MAC"))?;
    if header.nonce.is_some() || header.jwk.is_some() {
        return Err(rejected("the binding has a nonce or a jwk"));
    }
    let kid = header.kid.ok_or_else(|| rejected("the binding has no kid"))?;
    let url = header.url.ok_or_else(|| rejected("the binding has no url"))?;
    let is_new_account = realm.acme_bases.iter().any(|base| url.strip_prefix(base.as_str()) == Some(NEW_ACCOUNT));
    if !is_new_account {
        return Err(rejected("the url of the binding is no newAccount URL of the realm"));
    }
    if let Some(proof) = &request.proof {
        let outer = proof.jws.header().map_err(proof::invalid)?;
        if outer.url.as_deref() != Some(url.as_str()) {
            return Err(rejected("binding and proof were sent to different URLs"));
        }
    }
    let payload: Value = eab
        .payload()
        .ok()
        .and_then(|octets| serde_json::from_slice(&octets).ok())
        .ok_or_else(|| rejected("the payload of the binding is not JSON"))?;
    let bound = PublicKey::from_jwk(&payload).map_err(rejected)?;
    if bound.thumbprint() != key.thumbprint() {
        return Err(rejected("the binding is for another account key"));
    }
    Ok(Binding { jws: eab, kid, algorithm })
}

/// Step 2: newAccount by this key, with this very binding in it.
fn verify_proof(realm: &Realm, request: &BindRequest, eab: &Jws, key: &PublicKey) -> Result<(), Problem> {
    let Some(verified) = proof::by_key(realm, request.proof.as_ref(), key, NEW_ACCOUNT)? else {
        return Ok(());
    };
    let payload: Value = verified.read()?;
    let inside: Option<Jws> =
        payload.get("externalAccountBinding").and_then(|binding| serde_json::from_value(binding.clone()).ok());
    if inside.as_ref() != Some(eab) {
        return Err(proof::invalid("the proof does not contain this binding"));
    }
    if !are_contacts_of(&payload, &request.contacts) {
        return Err(proof::invalid("the contacts are not those of the proof"));
    }
    Ok(())
}

fn bind(
    cm: &ReferenceCm,
    call: &Call,
    tx: &Transaction<'_>,
    realm: &str,
    request: &BindRequest,
    key: &PublicKey,
    means: &Means<'_>,
) -> Result<Answer, Problem> {
    let source = request.client.ip.clone().unwrap_or_else(|| call.source.to_string());
    let mut subjects = vec![format!("ip:{source}")];
    if let Means::Binding(binding) = means {
        subjects.push(format!("kid:{}", binding.kid));
    }
    throttle(tx, realm, &subjects, cm.settings.limits.eab_failures, call.now)?;
    let registration = match means {
        Means::Binding(binding) => check_mac(tx, call, realm, binding, &subjects)?,
        Means::Link(token) => check_token(tx, call, realm, token, &subjects)?,
    };
    let Some(eab) = registration.eab.clone() else {
        return Err(Problem::internal("a registration found by kid has no EAB part"));
    };
    match means {
        Means::Binding(_) => must_be_in_window(&eab, call.now)?,
        Means::Link(_) => directory_link::must_be_in_window(&registration, call.now)?,
    }
    must_take_keys(&registration)?;

    // A repeated bind comes before "used up": its key is the one that used it up.
    let thumbprint = key.thumbprint();
    let existing = by_thumbprint(tx, realm, &thumbprint)?;
    if let Some(existing) = existing {
        let is_bound_to_it =
            existing.id == registration.id || existing.parent.as_deref() == Some(registration.id.as_str());
        return if is_bound_to_it {
            existing.answer(200, cm, call, tx)
        } else {
            Err(Problem::new(Code::KeyInUse, "the key has a registration already")
                .with("registration", json!(existing.id)))
        };
    }
    if eab.bindings >= eab.max_bindings || registration.key.is_some() {
        return Err(Problem::new(Code::PreregistrationExhausted, "the pre-registration has been used up"));
    }
    must_not_be_retired(tx, realm, &thumbprint)?;
    consume(cm, call, tx, registration, request, key)
}

/// Step 3, first half: ten failures per kid or source address in ten minutes are enough.
fn throttle(
    tx: &Transaction<'_>,
    realm: &str,
    subjects: &[String],
    failures_max: u32,
    now: Moment,
) -> Result<(), Problem> {
    for subject in subjects {
        let (failures, oldest): (u32, Option<i64>) = tx.query_row(
            "SELECT count(*), min(at) FROM eab_failure WHERE realm = ?1 AND subject = ?2 AND at > ?3",
            params![realm, subject, now.plus_seconds(-WINDOW_SECS).millis()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if failures >= failures_max {
            let free_at = Moment::from_millis(oldest.unwrap_or(0)).plus_seconds(WINDOW_SECS);
            let wait = (free_at.seconds() - now.seconds()).clamp(1, WINDOW_SECS);
            return Err(Problem::new(Code::EabThrottled, "too many failed bindings")
                .retry_after(u32::try_from(wait).unwrap_or(600))
                .audited(format!("throttled by {subject}")));
        }
    }
    Ok(())
}

/// Step 3, second half: an unknown kid takes the same way as a wrong MAC, with a random secret.
fn check_mac(
    tx: &Transaction<'_>,
    call: &Call,
    realm: &str,
    binding: &Binding<'_>,
    subjects: &[String],
) -> Result<Registration, Problem> {
    let registration = by_kid(tx, realm, &binding.kid)?;
    let id = registration.as_ref().map_or("", |found| found.id.as_str());
    let mac = external_account_key::check_mac(tx, id, binding.jws, binding.algorithm, call.now)?;
    let algorithm_is_allowed = registration
        .as_ref()
        .and_then(|registration| registration.eab.as_ref())
        .is_some_and(|eab| eab.algorithms.contains(&binding.algorithm));
    match registration {
        Some(registration) if mac.known && mac.good && algorithm_is_allowed => Ok(registration),
        Some(_) | None => {
            count_failure(tx, realm, subjects, call.now)?;
            let reason = if !mac.known {
                "unknown kid"
            } else if mac.good {
                "MAC algorithm not allowed"
            } else {
                "wrong MAC"
            };
            Err(Problem::new(Code::EabRejected, REJECTED).audited(reason).keeping_effects())
        }
    }
}

/// Step 3 for a link.
fn check_token(
    tx: &Transaction<'_>,
    call: &Call,
    realm: &str,
    token: &Token,
    subjects: &[String],
) -> Result<Registration, Problem> {
    match directory_link::by_token(tx, realm, token, call.now)? {
        Some(registration) => Ok(registration),
        None => {
            count_failure(tx, realm, subjects, call.now)?;
            Err(directory_link::rejected().keeping_effects())
        }
    }
}

fn count_failure(tx: &Transaction<'_>, realm: &str, subjects: &[String], now: Moment) -> Result<(), Problem> {
    tx.execute("DELETE FROM eab_failure WHERE at <= ?1", [now.plus_seconds(-WINDOW_SECS).millis()])?;
    for subject in subjects {
        tx.execute(
            "INSERT INTO eab_failure (realm, subject, at) VALUES (?1, ?2, ?3)",
            params![realm, subject, now.millis()],
        )?;
    }
    Ok(())
}

/// Step 4: only now window and status are told apart.
fn must_be_in_window(eab: &Eab, now: Moment) -> Result<(), Problem> {
    let too_early = eab.not_before.is_some_and(|begin| now < begin);
    let too_late = eab.not_after.is_some_and(|end| now >= end);
    if too_early || too_late {
        return Err(Problem::new(
            Code::PreregistrationNotInWindow,
            if too_early {
                "the pre-registration cannot be used yet"
            } else {
                "the pre-registration can no longer be used"
            },
        ));
    }
    Ok(())
}

/// Step 4, second half.
fn must_take_keys(registration: &Registration) -> Result<(), Problem> {
    match registration.status {
        Status::Pending | Status::Active => Ok(()),
        Status::Suspended | Status::Deactivated | Status::Revoked => {
            Err(not_active(&registration.id, registration.status))
        }
    }
}

/// Step 6: uses up one binding and binds.
fn consume(
    cm: &ReferenceCm,
    call: &Call,
    tx: &Transaction<'_>,
    mut template: Registration,
    request: &BindRequest,
    key: &PublicKey,
) -> Result<Answer, Problem> {
    let usage = match &mut template.eab {
        Some(eab) => {
            eab.bindings += 1;
            eab.usage
        }
        None => return Err(Problem::internal("a pre-registration has no EAB part")),
    };
    let bound = match usage {
        Use::Once => {
            template.status = Status::Active;
            template.status_reason = None;
            template.status_by = call.identity.urn();
            template.status_at = call.now;
            template.key = Some(BoundKey::new(key, call.now));
            template.contacts.clone_from(&request.contacts);
            template.terms_of_service_agreed_at = request.terms_of_service_agreed_at;
            template.update(tx, call.now)?;
            template
        }
        Use::Multi => {
            let child = Registration {
                status: Status::Active,
                key: Some(BoundKey::new(key, call.now)),
                contacts: request.contacts.clone(),
                terms_of_service_agreed_at: request.terms_of_service_agreed_at,
                parent: Some(template.id.clone()),
                allowed_identifiers: template.allowed_identifiers.clone(),
                allowed_profiles: template.allowed_profiles.clone(),
                max_validity: template.max_validity,
                owner: template.owner.clone(),
                officer: template.officer.clone(),
                ..blank(&template.realm, Mode::Preregistered, &call.identity.urn(), call.now)
            };
            template.update(tx, call.now)?;
            child.insert(tx)?;
            announce(tx, call, &template, "registration.updated")?;
            child
        }
    };
    announce(tx, call, &bound, "registration.bound")?;
    bound.answer(201, cm, call, tx)
}

/// The secret of a pre-registration in base64url, for `sandbox.json`.
pub(crate) fn sample_secret(tx: &Transaction<'_>, realm: &str, kid: &str) -> Result<Option<String>, Problem> {
    let secret: Option<Vec<u8>> = tx
        .query_row(
            "SELECT secret FROM eab_secret JOIN registration ON registration.id = registration
             WHERE realm = ?1 AND eab_kid = ?2",
            params![realm, kid],
            |row| row.get(0),
        )
        .optional()?;
    Ok(secret.map(|secret| URL_SAFE_NO_PAD.encode(secret)))
}
