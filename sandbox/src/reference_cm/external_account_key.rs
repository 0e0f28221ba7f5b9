//! External account keys: drawn, kept, exchanged, and taken away from a client with its account key
//! (contract section 4.3, "A new secret" and "Rebinding").

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, header};
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Deserialize;
use serde_json::json;

use super::ReferenceCm;
use super::audit::{self, Change};
use super::call::{Answer, Call};
use super::create::announce;
use super::directory_link;
use super::events;
use super::ids::random_octets;
use super::jws::{Jws, MacAlgorithm};
use super::moment::{Moment, Span};
use super::problem::{Code, Problem};
use super::registrations::{self, PreviousKey, Registration, Status, Use, not_active};
use super::requests;
use super::settings::Capability;
use super::wire::check_text;

/// Longest time that a former secret is taken beside the new one.
const OVERLAP_SECS_MAX: i64 = 30 * 86_400;
/// Longest reason, in characters.
const REASON_MAX: usize = 500;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewSecret {
    overlap: Option<Span>,
    not_after: Option<Moment>,
    #[serde(default)]
    rebind: bool,
    reason: Option<String>,
}

/// `POST …/registrations/{id}/eab`: exchanges a secret, or begins a registration anew whose client
/// has lost its account key.
pub(crate) fn new_eab_secret(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    let version = call.if_match()?;
    let (realm, _) = cm.realm(call)?;
    let wish: NewSecret = if call.body.is_empty() { NewSecret::default() } else { call.json()? };
    check(cm, call, &wish)?;
    cm.database.write(|tx| {
        let mut registration = registrations::load(tx, realm, call.parameter("id"))?;
        registration.must_match(version)?;
        if wish.rebind {
            rebind(tx, call, &mut registration, &wish)
        } else {
            exchange(tx, call, &mut registration, &wish)
        }?;
        let secret = draw(&registration);
        keep(tx, &registration.id, &secret)?;
        with_secret(201, &registration, &secret, cm, call, tx)
    })
}

fn check(cm: &ReferenceCm, call: &Call, wish: &NewSecret) -> Result<(), Problem> {
    let lacks = |capability| cm.settings.lacks.contains(&capability);
    if wish.overlap.is_some() && lacks(Capability::EabOverlap) {
        return Err(Problem::new(Code::CapabilityMissing, "this CM takes one secret at a time"));
    }
    if wish.rebind && lacks(Capability::Rebind) {
        return Err(Problem::new(Code::CapabilityMissing, "this CM does not take account keys away"));
    }
    check_text("/reason", wish.reason.as_ref(), REASON_MAX)?;
    if wish.overlap.is_some_and(|overlap| overlap.seconds() > OVERLAP_SECS_MAX) {
        return Err(Problem::malformed("/overlap", "at most P30D"));
    }
    if wish.rebind && wish.overlap.is_some() {
        return Err(Problem::malformed("/overlap", "a rebinding leaves nothing of what was before"));
    }
    if wish.rebind != wish.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty()) {
        return Err(Problem::malformed("/reason", "goes with rebind, and rebind with it"));
    }
    if wish.not_after.is_some_and(|end| end <= call.now) {
        return Err(Problem::new(Code::ValidityNotAllowed, "/notAfter: this time is over"));
    }
    Ok(())
}

/// The secret before stays for the overlap, if there is one.
fn exchange(
    tx: &Transaction<'_>,
    call: &Call,
    registration: &mut Registration,
    wish: &NewSecret,
) -> Result<(), Problem> {
    if matches!(registration.status, Status::Revoked | Status::Deactivated) {
        return Err(not_active(&registration.id, registration.status));
    }
    let until = wish.overlap.map(Span::seconds).filter(|seconds| *seconds > 0).map(|secs| call.now.plus_seconds(secs));
    let Some(eab) = &mut registration.eab else {
        return Err(Problem::new(Code::NotFound, "the registration is no pre-registration"));
    };
    eab.secret_set_at = call.now;
    eab.previous_until = until;
    set_end(registration, wish.not_after)?;
    registration.update(tx, call.now)?;
    replace_former(tx, &registration.id, until)?;
    announce(tx, call, registration, "registration.updated")
}

/// Retires the account key and begins anew; all that could bind before is dead.
fn rebind(tx: &Transaction<'_>, call: &Call, registration: &mut Registration, wish: &NewSecret) -> Result<(), Problem> {
    let refused =
        |detail: String| Problem::new(Code::CannotRebind, detail).with("registration", json!(registration.id));
    let status = registration.status;
    if status != Status::Active {
        return Err(refused(format!(
            "only an active registration can be bound anew, and this one is {}",
            status.name()
        )));
    }
    let (Some(eab), Some(key)) = (registration.eab.clone(), registration.key.clone()) else {
        return Err(refused("this registration was not bound by an external account key of its own".to_owned()));
    };
    if eab.usage == Use::Multi {
        return Err(refused(
            "its key binds many clients: the client simply binds again, with a new account key".to_owned(),
        ));
    }
    let is_over = wish.not_after.is_none() && eab.not_after.is_some_and(|end| end <= call.now);
    if is_over {
        return Err(Problem::new(Code::ValidityNotAllowed, "/notAfter: the window is over, so a new end is needed"));
    }
    tx.execute(
        "INSERT INTO retired_key (realm, thumbprint, registration) VALUES (?1, ?2, ?3)",
        params![registration.realm, key.thumbprint, registration.id],
    )?;
    let thumbprint = key.thumbprint.clone();
    registration.previous_keys.push(PreviousKey { thumbprint: key.thumbprint, from: key.since, to: call.now });
    registration.key = None;
    registration.eab = Some(registrations::Eab { bindings: 0, secret_set_at: call.now, previous_until: None, ..eab });
    set_end(registration, wish.not_after)?;
    registration.status = Status::Pending;
    registration.status_reason.clone_from(&wish.reason);
    registration.status_by = call.identity.urn();
    registration.status_at = call.now;
    registration.directory_link = None;
    registration.update(tx, call.now)?;
    replace_former(tx, &registration.id, None)?;
    directory_link::forget_tokens(tx, &registration.id)?;
    // They rest on the word of the key that is gone.
    requests::cancel_all_of(tx, call, &registration.id)?;
    let (kind, version) = ("registration.status", Some(registration.version));
    let data = json!({"status": registration.status.name()});
    events::emit(tx, call.now, &registration.realm, kind, &registration.id, version, &data)?;
    let after = json!({"status": registration.status.name(), "thumbprint": null, "withdrawnThumbprint": thumbprint,
                       "reason": wish.reason});
    let change =
        Change { before: Some(json!({"status": status.name(), "thumbprint": thumbprint})), after: Some(after) };
    audit::effect_named(tx, call, "rebindRegistration", &registration.id, change)
}

fn set_end(registration: &mut Registration, not_after: Option<Moment>) -> Result<(), Problem> {
    let (Some(eab), Some(end)) = (&mut registration.eab, not_after) else { return Ok(()) };
    eab.not_after = Some(end);
    eab.check_window()
}

/// Draws a secret as strong as the strongest MAC allowed, and again until its base64url has no
/// `-` and no `_`: some clients and people lose a leading `-` or double-click only half.
pub(crate) fn draw(registration: &Registration) -> Vec<u8> {
    let octets = registration
        .eab
        .iter()
        .flat_map(|eab| &eab.algorithms)
        .map(|algorithm| algorithm.key_octets())
        .max()
        .unwrap_or(32);
    loop {
        let secret: Vec<u8> = random_octets::<64>().into_iter().take(octets).collect();
        if !URL_SAFE_NO_PAD.encode(&secret).contains(['-', '_']) {
            return secret;
        }
    }
}

/// Puts the secret in the place of the one before.
pub(crate) fn keep(tx: &Transaction<'_>, id: &str, secret: &[u8]) -> Result<(), Problem> {
    tx.execute(
        "INSERT INTO eab_secret (registration, secret) VALUES (?1, ?2)
         ON CONFLICT (registration) DO UPDATE SET secret = excluded.secret",
        params![id, secret],
    )?;
    Ok(())
}

/// Before the secret is replaced: it becomes the former one until then, or nothing. What was the
/// former one is dead in either case.
fn replace_former(tx: &Transaction<'_>, id: &str, until: Option<Moment>) -> Result<(), Problem> {
    tx.execute("DELETE FROM eab_former_secret WHERE registration = ?1", [id])?;
    if let Some(until) = until {
        tx.execute(
            "INSERT INTO eab_former_secret (registration, secret, until)
             SELECT registration, secret, ?2 FROM eab_secret WHERE registration = ?1",
            params![id, until.millis()],
        )?;
    }
    Ok(())
}

/// What is known of a MAC.
pub(crate) struct MacCheck {
    /// Whether there is a secret at all.
    pub(crate) known: bool,
    /// Whether it was made with the secret, or with the one before while that is taken.
    pub(crate) good: bool,
}

/// Checks a MAC. Whatever there is and whatever fits, two MACs are made and compared: the time it
/// takes tells neither that a registration exists nor which of its secrets was used.
pub(crate) fn check_mac(
    tx: &Transaction<'_>,
    id: &str,
    jws: &Jws,
    algorithm: MacAlgorithm,
    now: Moment,
) -> Result<MacCheck, Problem> {
    let secret: Option<Vec<u8>> =
        tx.query_row("SELECT secret FROM eab_secret WHERE registration = ?1", [id], |row| row.get(0)).optional()?;
    let former: Option<Vec<u8>> = tx
        .query_row(
            "SELECT secret FROM eab_former_secret WHERE registration = ?1 AND until > ?2",
            params![id, now.millis()],
            |row| row.get(0),
        )
        .optional()?;
    let fits = |secret: &Option<Vec<u8>>| {
        let drawn = random_octets::<32>();
        jws.verify_mac(algorithm, secret.as_deref().unwrap_or(&drawn)) & secret.is_some()
    };
    Ok(MacCheck { known: secret.is_some(), good: fits(&secret) | fits(&former) })
}

/// An answer that shows the secret, the only one that does.
pub(crate) fn with_secret(
    status: u16,
    registration: &Registration,
    secret: &[u8],
    cm: &ReferenceCm,
    call: &Call,
    tx: &Transaction<'_>,
) -> Result<Answer, Problem> {
    let mut view = registration.view(cm, call, tx)?;
    if let (Some(members), Some(eab)) = (view.as_object_mut(), &registration.eab) {
        members.insert("eabSecret".to_owned(), json!({"kid": eab.kid, "hmacKey": URL_SAFE_NO_PAD.encode(secret)}));
    }
    Ok(Answer::json(status, &view)
        .with_version(registration.version)
        .with(header::LOCATION, registration.location())
        .with(HeaderName::from_static("cache-control"), "no-store".to_owned()))
}
