//! The life of a registration: deactivate, suspend, resume, revoke (contract section 4.3).

use rusqlite::Transaction;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ReferenceCm;
use super::audit::{self, Change};
use super::call::{Answer, Call};
use super::events;
use super::operations::Right;
use super::problem::Problem;
use super::proof::{self, Proof};
use super::registrations::{self, Registration, Status, not_active};
use super::requests;
use super::revocation;
use super::wire::check_text;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StatusChange {
    status: Status,
    reason: Option<String>,
    #[serde(default)]
    revoke_certificates: bool,
    proof: Option<Proof>,
}

/// `POST …/registrations/{id}/status`
pub(crate) fn set_registration_status(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    let request: StatusChange = call.json()?;
    match request.status {
        Status::Deactivated => call.require(Right::ActForAccount)?,
        Status::Active | Status::Suspended | Status::Revoked => {
            call.require(Right::GovernRegistration)?;
        }
        Status::Pending => {
            return Err(Problem::malformed("/status", "pending cannot be set"));
        }
    }
    let version = call.if_match()?;
    check_text("/reason", request.reason.as_ref(), 500)?;
    if request.revoke_certificates && request.status != Status::Revoked {
        return Err(Problem::malformed("/revokeCertificates", "goes with status revoked only"));
    }
    let (realm_name, _) = cm.realm(call)?;
    cm.database.write(|tx| {
        let mut registration = registrations::load(tx, realm_name, call.parameter("id"))?;
        if request.status == Status::Deactivated {
            check_deactivation(cm, call, &registration, request.proof.as_ref())?;
        }
        // A repeat is harmless even if its If-Match has become stale by the first time.
        let resumed = request.status == Status::Active && registration.status == Status::Pending;
        if registration.status == request.status || resumed {
            return registration.answer(200, cm, call, tx);
        }
        registration.must_match(version)?;
        let next = transition(&registration, request.status)?;
        let before = registration.status;
        registration.status_before = (next == Status::Suspended).then_some(before);
        registration.status = next;
        registration.status_reason.clone_from(&request.reason);
        registration.status_by = call.identity.urn();
        registration.status_at = call.now;
        registration.update(tx, call.now)?;
        tell(tx, call, &registration)?;
        audit::effect(
            tx,
            call,
            &registration.id,
            Change {
                before: Some(json!({"status": before.name()})),
                after: Some(json!({"status": next.name(), "reason": request.reason})),
            },
        )?;
        touch_children(tx, call, &registration)?;
        if matches!(next, Status::Deactivated | Status::Revoked) {
            requests::cancel_all_of(tx, call, &registration.id)?;
        }
        if request.revoke_certificates {
            revocation::revoke_all_of(tx, call, &registration.id)?;
            for child in registrations::children(tx, &registration.id)? {
                revocation::revoke_all_of(tx, call, &child.id)?;
            }
        }
        registration.answer(200, cm, call, tx)
    })
}

/// The table of contract section 4.3; 403 for what it does not have.
fn transition(registration: &Registration, wanted: Status) -> Result<Status, Problem> {
    let refused = || Err(not_active(&registration.id, registration.status));
    match (registration.status, wanted) {
        (Status::Active, Status::Deactivated)
        | (Status::Pending | Status::Active, Status::Suspended)
        | (Status::Pending | Status::Active | Status::Suspended | Status::Deactivated, Status::Revoked) => Ok(wanted),
        (Status::Suspended, Status::Active) => Ok(registration.status_before.unwrap_or(Status::Active)),
        (Status::Pending | Status::Suspended | Status::Revoked, Status::Deactivated)
        | (Status::Suspended | Status::Deactivated | Status::Revoked, Status::Suspended)
        | (Status::Pending | Status::Active | Status::Deactivated | Status::Revoked, Status::Active)
        | (Status::Revoked, Status::Revoked | Status::Pending)
        | (Status::Pending | Status::Active | Status::Suspended | Status::Deactivated, Status::Pending)
        | (Status::Deactivated, Status::Deactivated) => refused(),
    }
}

fn check_deactivation(
    cm: &ReferenceCm,
    call: &Call,
    registration: &Registration,
    proof: Option<&Proof>,
) -> Result<(), Problem> {
    let (_, realm) = cm.realm(call)?;
    let Some(verified) = proof::by_account(realm, proof, registration, None)? else {
        return Ok(());
    };
    let payload: Value = verified.read()?;
    if payload.get("status") == Some(&json!("deactivated")) {
        Ok(())
    } else {
        Err(proof::invalid("the proof does not ask for deactivation"))
    }
}

fn tell(tx: &Transaction<'_>, call: &Call, registration: &Registration) -> Result<(), Problem> {
    events::emit(
        tx,
        call.now,
        &registration.realm,
        "registration.status",
        &registration.id,
        Some(registration.version),
        &json!({"status": registration.effective_status(tx)?.name()}),
    )
}

/// What children are seen as depends on the parent, so their copies outside are stale now.
fn touch_children(tx: &Transaction<'_>, call: &Call, registration: &Registration) -> Result<(), Problem> {
    for mut child in registrations::children(tx, &registration.id)? {
        child.update(tx, call.now)?;
        tell(tx, call, &child)?;
    }
    Ok(())
}
