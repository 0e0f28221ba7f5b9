//! Creating registrations: open mode by gateways, pre-registration by officers (contract 4.3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::Transaction;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ReferenceCm;
use super::allowlist::AllowedIdentifiers;
use super::audit::{self, Change};
use super::call::{Answer, Call};
use super::events;
use super::external_account_key;
use super::idempotency::Slot;
use super::ids::new_id;
use super::jws::MacAlgorithm;
use super::moment::{Moment, Span};
use super::operations::Right;
use super::problem::{Code, Problem};
use super::proof::{self, Proof};
use super::registrations::{
    BoundKey, Eab, Mode, Registration, Status, Use, by_kid, by_thumbprint, must_not_be_retired,
};
use super::settings::RealmMode;
use super::wire::{Client, KeyIn, are_contacts_of, check_contacts, check_text};

/// Where account keys are announced, behind the base URL.
pub(crate) const NEW_ACCOUNT: &str = "/new-account";
/// Bindings of a multi-use pre-registration that says no number.
const BINDINGS_DEFAULT: u32 = 1_000;

#[derive(Deserialize)]
struct ModeOnly {
    mode: Mode,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateOpen {
    #[serde(rename = "mode")]
    _mode: Mode,
    key: KeyIn,
    #[serde(default)]
    contacts: Vec<String>,
    terms_of_service_agreed_at: Option<Moment>,
    #[serde(default)]
    client: Client,
    proof: Option<Proof>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EabIn {
    kid: String,
    algorithms: Option<Vec<MacAlgorithm>>,
    #[serde(rename = "use")]
    usage: Use,
    max_bindings: Option<u32>,
    not_before: Option<Moment>,
    not_after: Option<Moment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreatePreregistered {
    #[serde(rename = "mode")]
    _mode: Mode,
    eab: EabIn,
    allowed_identifiers: AllowedIdentifiers,
    #[serde(default)]
    allowed_profiles: Vec<String>,
    max_validity: Option<Span>,
    owner: Option<String>,
    comment: Option<String>,
}

/// `POST …/registrations`
pub(crate) fn create_registration(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    // The mode decides the right, and the right comes before everything else that is wrong.
    let ModeOnly { mode } = call.json()?;
    match mode {
        Mode::Open => {
            call.require(Right::CreateOpen)?;
            let slot = Slot::of(call)?;
            cm.database.write(|tx| slot.once(tx, call, |tx| create_open(cm, call, tx)))
        }
        Mode::Preregistered => {
            call.require(Right::Preregister)?;
            cm.database.write(|tx| preregister(cm, call, tx))
        }
    }
}

fn create_open(cm: &ReferenceCm, call: &Call, tx: &Transaction<'_>) -> Result<Answer, Problem> {
    let request: CreateOpen = call.json()?;
    let (realm_name, realm) = cm.realm(call)?;
    if realm.mode == RealmMode::Preregistered {
        return Err(Problem::new(Code::Forbidden, "this realm has no open mode; registrations come from officers"));
    }
    request.client.check()?;
    let key = request.key.read()?;
    check_contacts(&request.contacts)?;
    if let Some(verified) = proof::by_key(realm, request.proof.as_ref(), &key, NEW_ACCOUNT)? {
        let payload: Value = verified.read()?;
        if !are_contacts_of(&payload, &request.contacts) {
            return Err(proof::invalid("the contacts are not those of the proof"));
        }
        if payload.get("onlyReturnExisting") == Some(&json!(true)) {
            return Err(proof::invalid("the proof asks for an existing account only"));
        }
    }
    let thumbprint = key.thumbprint();
    if let Some(existing) = by_thumbprint(tx, realm_name, &thumbprint)? {
        return existing.answer(200, cm, call, tx);
    }
    must_not_be_retired(tx, realm_name, &thumbprint)?;
    let registration = Registration {
        status: Status::Active,
        key: Some(BoundKey::new(&key, call.now)),
        contacts: request.contacts,
        terms_of_service_agreed_at: request.terms_of_service_agreed_at,
        ..blank(realm_name, Mode::Open, &call.identity.urn(), call.now)
    };
    registration.insert(tx)?;
    announce(tx, call, &registration, "registration.created")?;
    registration.answer(201, cm, call, tx)
}

fn preregister(cm: &ReferenceCm, call: &Call, tx: &Transaction<'_>) -> Result<Answer, Problem> {
    let request: CreatePreregistered = call.json()?;
    let (realm_name, realm) = cm.realm(call)?;
    if realm.mode == RealmMode::Open {
        return Err(Problem::new(Code::Forbidden, "this realm is open; it has no pre-registrations"));
    }
    check_text("/owner", request.owner.as_ref(), 2_000)?;
    check_text("/comment", request.comment.as_ref(), 2_000)?;
    check_profiles(realm, &request.allowed_profiles)?;
    let allowed_identifiers = check_list(request.allowed_identifiers)?;
    let eab = read_eab(request.eab, call.now)?;
    if let Some(existing) = by_kid(tx, realm_name, &eab.kid)? {
        return Err(Problem::new(Code::KeyInUse, "this kid belongs to another pre-registration of the realm")
            .with("registration", json!(existing.id)));
    }
    let registration = Registration {
        eab: Some(eab),
        allowed_identifiers,
        allowed_profiles: request.allowed_profiles,
        max_validity: request.max_validity,
        owner: request.owner,
        comment: request.comment,
        officer: Some(call.identity.urn()),
        ..blank(realm_name, Mode::Preregistered, &call.identity.urn(), call.now)
    };
    registration.insert(tx)?;
    let secret = external_account_key::draw(&registration);
    external_account_key::keep(tx, &registration.id, &secret)?;
    announce(tx, call, &registration, "registration.created")?;
    external_account_key::with_secret(201, &registration, &secret, cm, call, tx)
}

/// Pre-registers in the name of an officer without a request, for the first `init`.
///
/// Gives kid and secret; the registration is like one that came over the API.
pub(crate) fn preregister_sample(
    tx: &Transaction<'_>,
    realm: &str,
    kid: &str,
    allowed_identifiers: AllowedIdentifiers,
    allowed_profiles: Vec<String>,
    now: Moment,
) -> Result<String, Problem> {
    let officer = "urn:cm:officer:anna";
    let registration = Registration {
        eab: Some(Eab {
            kid: kid.to_owned(),
            algorithms: vec![MacAlgorithm::HS256, MacAlgorithm::HS384],
            usage: Use::Multi,
            max_bindings: BINDINGS_DEFAULT,
            bindings: 0,
            not_before: None,
            not_after: None,
            secret_set_at: now,
            previous_until: None,
        }),
        allowed_identifiers,
        allowed_profiles,
        owner: Some("Sample owner".to_owned()),
        comment: Some("made by acme-sandbox init".to_owned()),
        officer: Some(officer.to_owned()),
        ..blank(realm, Mode::Preregistered, officer, now)
    };
    registration.insert(tx)?;
    let secret = external_account_key::draw(&registration);
    external_account_key::keep(tx, &registration.id, &secret)?;
    events::emit(
        tx,
        now,
        realm,
        "registration.created",
        &registration.id,
        Some(registration.version),
        &json!({"status": registration.status.name()}),
    )?;
    audit::own(tx, now, realm, "createRegistration", &registration.id)?;
    Ok(URL_SAFE_NO_PAD.encode(secret))
}

/// A registration with nothing in it yet.
pub(crate) fn blank(realm: &str, mode: Mode, by: &str, now: Moment) -> Registration {
    Registration {
        id: new_id("reg_", now),
        version: 1,
        realm: realm.to_owned(),
        mode,
        status: Status::Pending,
        created_at: now,
        updated_at: now,
        key: None,
        previous_keys: Vec::new(),
        contacts: Vec::new(),
        terms_of_service_agreed_at: None,
        eab: None,
        directory_link: None,
        parent: None,
        allowed_identifiers: AllowedIdentifiers::Any { exclude: Vec::new() },
        allowed_profiles: Vec::new(),
        max_validity: None,
        owner: None,
        comment: None,
        officer: None,
        status_reason: None,
        status_by: by.to_owned(),
        status_at: now,
        status_before: None,
    }
}

/// Records event and audit entry of a change to a registration.
pub(crate) fn announce(
    tx: &Transaction<'_>,
    call: &Call,
    registration: &Registration,
    kind: &str,
) -> Result<(), Problem> {
    events::emit(
        tx,
        call.now,
        &registration.realm,
        kind,
        &registration.id,
        Some(registration.version),
        &json!({"status": registration.status.name()}),
    )?;
    audit::effect(
        tx,
        call,
        &registration.id,
        Change {
            before: None,
            after: Some(json!({
                "version": registration.version,
                "status": registration.status.name(),
                "thumbprint": registration.key.as_ref().map(|key| &key.thumbprint),
            })),
        },
    )
}

/// Refuses profiles that the realm does not have.
pub(crate) fn check_profiles(realm: &super::settings::Realm, profiles: &[String]) -> Result<(), Problem> {
    match profiles.iter().find(|profile| !realm.profiles.contains(profile)) {
        Some(profile) => Err(Problem::new(Code::ProfileNotAllowed, format!("the realm has no profile {profile}"))),
        None => Ok(()),
    }
}

/// Normalizes a list of allowed identifiers or says what is wrong with it.
pub(crate) fn check_list(list: AllowedIdentifiers) -> Result<AllowedIdentifiers, Problem> {
    list.normalized().map_err(|(place, reason)| Problem::malformed(&format!("/allowedIdentifiers{place}"), reason))
}

fn read_eab(eab: EabIn, now: Moment) -> Result<Eab, Problem> {
    let plain = (1..=64).contains(&eab.kid.len())
        && eab.kid.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'_' | b'-'));
    if !plain {
        return Err(Problem::malformed("/eab/kid", "must be 1 to 64 characters of A-Z a-z 0-9 . _ -"));
    }
    let max_bindings = match (eab.usage, eab.max_bindings) {
        (_, Some(0)) => return Err(Problem::malformed("/eab/maxBindings", "at least 1")),
        (Use::Once, Some(1) | None) => 1,
        (Use::Once, Some(_)) => {
            return Err(Problem::malformed("/eab/maxBindings", "use once binds once"));
        }
        (Use::Multi, number) => number.unwrap_or(BINDINGS_DEFAULT),
    };
    let mut algorithms = eab.algorithms.unwrap_or_else(|| vec![MacAlgorithm::HS256]);
    algorithms.dedup();
    if algorithms.is_empty() {
        return Err(Problem::malformed("/eab/algorithms", "at least one"));
    }
    let eab = Eab {
        kid: eab.kid,
        algorithms,
        usage: eab.usage,
        max_bindings,
        bindings: 0,
        not_before: eab.not_before,
        not_after: eab.not_after,
        secret_set_at: now,
        previous_until: None,
    };
    eab.check_window()?;
    Ok(eab)
}
