//! What people decide about waivers: propose, approve with four eyes, reject, withdraw (contract sections 2 and 4.3).

use http::header;
use rusqlite::{Transaction, params};
use serde::Deserialize;
use serde_json::json;

use super::ReferenceCm;
use super::allowlist::{self, Rule};
use super::audit::{self, Change};
use super::call::{Answer, Call};
use super::events;
use super::idempotency::Slot;
use super::ids::new_id;
use super::moment::Moment;
use super::paging;
use super::problem::{Code, Problem};
use super::registrations::{self, Mode, Registration, Status, not_active};
use super::settings::Capability;
use super::waivers::{self, Evidence, Waiver, WaiverStatus};
use super::wire::check_text;

/// Longest time that a waiver is in force.
const LIFE_DAYS_MAX: i64 = 398;
/// Most waivers of a registration that are proposed or in force.
const OPEN_MAX: usize = 20;
/// Most characters of a reason.
const REASON_CHARS_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WaiverCreate {
    identifiers: Vec<Rule>,
    evidence: Evidence,
    not_after: Moment,
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    reason: Option<String>,
}

/// `POST …/registrations/{id}/waivers`
pub(crate) fn propose_waiver(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    must_be_offered(cm)?;
    let slot = Slot::of(call)?;
    let (realm, _) = cm.realm(call)?;
    cm.database.write(|tx| slot.once(tx, call, |tx| propose(call, tx, realm)))
}

fn propose(call: &Call, tx: &Transaction<'_>, realm: &str) -> Result<Answer, Problem> {
    let wish: WaiverCreate = call.json()?;
    let registration = registrations::load(tx, realm, call.parameter("id"))?;
    must_take_waivers(&registration)?;
    must_have_text("/reason", Some(&wish.reason))?;
    let identifiers = allowlist::waivable(wish.identifiers)
        .map_err(|(place, reason)| Problem::malformed(&format!("/identifiers{place}"), reason))?;
    let evidence = wish
        .evidence
        .normalized()
        .map_err(|(place, reason)| Problem::malformed(&format!("/evidence{place}"), reason))?;
    if wish.not_after <= call.now {
        return Err(Problem::new(Code::ValidityNotAllowed, "/notAfter: this time is over"));
    }
    if wish.not_after > call.now.plus_seconds(LIFE_DAYS_MAX * 86_400) {
        return Err(Problem::new(Code::ValidityNotAllowed, "/notAfter: at most 398 days ahead"));
    }
    let open = waivers::of(tx, &registration.id)?.iter().filter(|waiver| waiver.is_open(call.now)).count();
    if open >= OPEN_MAX {
        return Err(Problem::malformed("", "20 waivers of the registration are proposed or in force; withdraw one"));
    }
    let waiver = Waiver {
        id: new_id("wav_", call.now),
        registration: registration.id.clone(),
        status: WaiverStatus::Proposed,
        identifiers,
        evidence,
        not_after: wish.not_after,
        reason: wish.reason,
        proposed_by: call.identity.urn(),
        proposed_at: call.now,
        decided_by: None,
        decided_at: None,
        decision_reason: None,
    };
    waiver.save(tx, realm)?;
    tell(call, tx, registration, None, &waiver)?;
    Ok(Answer::json(201, &waiver.view()?).with(header::LOCATION, waiver.location(realm)))
}

/// `POST …/registrations/{id}/waivers/{waiver}/approve`
pub(crate) fn approve_waiver(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    decide(cm, call, WaiverStatus::Approved)
}

/// `POST …/registrations/{id}/waivers/{waiver}/reject`
pub(crate) fn reject_waiver(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    decide(cm, call, WaiverStatus::Rejected)
}

/// `POST …/registrations/{id}/waivers/{waiver}/withdraw`
pub(crate) fn withdraw_waiver(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    decide(cm, call, WaiverStatus::Withdrawn)
}

fn decide(cm: &ReferenceCm, call: &Call, wanted: WaiverStatus) -> Result<Answer, Problem> {
    must_be_offered(cm)?;
    let decision: Decision = if call.body.is_empty() { Decision::default() } else { call.json()? };
    match wanted {
        WaiverStatus::Proposed | WaiverStatus::Approved => {
            check_text("/reason", decision.reason.as_ref(), REASON_CHARS_MAX)?;
        }
        WaiverStatus::Rejected | WaiverStatus::Withdrawn => must_have_text("/reason", decision.reason.as_ref())?,
    }
    let (realm, _) = cm.realm(call)?;
    cm.database.write(|tx| {
        let registration = registrations::load(tx, realm, call.parameter("id"))?;
        let mut waiver = waivers::load(tx, &registration, call.parameter("waiver"))?;
        if wanted != WaiverStatus::Withdrawn {
            must_have_four_eyes(call, &registration, &waiver)?;
        }
        if waiver.status == wanted {
            return Ok(Answer::json(200, &waiver.view()?));
        }
        must_be_possible(&waiver, wanted, call.now)?;
        if wanted == WaiverStatus::Approved {
            must_take_waivers(&registration)?;
        }
        let before = waiver.status;
        waiver.status = wanted;
        waiver.decided_by = Some(call.identity.urn());
        waiver.decided_at = Some(call.now);
        waiver.decision_reason = decision.reason;
        waiver.save(tx, realm)?;
        tell(call, tx, registration, Some(before), &waiver)?;
        Ok(Answer::json(200, &waiver.view()?))
    })
}

/// `GET …/registrations/{id}/waivers`: its own, whatever became of them.
pub(crate) fn list_waivers_of_registration(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    must_be_offered(cm)?;
    call.only_query(&["limit", "cursor"])?;
    let (realm, _) = cm.realm(call)?;
    cm.database.read(|tx| {
        let registration = registrations::load(tx, realm, call.parameter("id"))?;
        page(call, tx, realm, Some(&registration.id))
    })
}

/// `GET …/waivers`
pub(crate) fn list_waivers(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    must_be_offered(cm)?;
    call.only_query(&["status", "id", "limit", "cursor"])?;
    paging::only_status(call, &["proposed", "approved", "rejected", "withdrawn"])?;
    let (realm, _) = cm.realm(call)?;
    cm.database.read(|tx| page(call, tx, realm, None))
}

fn page(call: &Call, tx: &Transaction<'_>, realm: &str, registration: Option<&str>) -> Result<Answer, Problem> {
    let limit = paging::limit(call)?;
    let after = paging::start(call)?;
    let mut statement = tx.prepare(
        "SELECT document FROM waiver
         WHERE realm = ?1 AND id > ?2 AND (?3 IS NULL OR registration = ?3) AND (?4 IS NULL OR status = ?4)
           AND (?5 IS NULL OR id = ?5)
         ORDER BY id LIMIT ?6",
    )?;
    let one_more = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
    let rows = statement
        .query_map(params![realm, after, registration, call.query("status"), call.query("id"), one_more], |row| {
            row.get::<_, String>(0)
        })?;
    let mut found: Vec<Waiver> = Vec::new();
    for document in rows {
        found.push(serde_json::from_str(&document?)?);
    }
    let (found, next) = paging::cut(found, limit, call.now, |waiver| waiver.id.clone());
    Ok(Answer::page(found.iter().map(Waiver::view).collect::<Result<_, _>>()?, next))
}

fn must_be_offered(cm: &ReferenceCm) -> Result<(), Problem> {
    if cm.settings.lacks.contains(&Capability::Waivers) {
        Err(Problem::new(Code::CapabilityMissing, "this CM has no waivers"))
    } else {
        Ok(())
    }
}

/// An open registration is nobody's but its client's: there is no officer's word to rest a waiver on.
fn must_take_waivers(registration: &Registration) -> Result<(), Problem> {
    if registration.mode != Mode::Preregistered {
        return Err(Problem::new(Code::Forbidden, "only a registration that an officer made can have waivers"));
    }
    match registration.status {
        Status::Pending | Status::Active | Status::Suspended => Ok(()),
        Status::Deactivated | Status::Revoked => Err(not_active(&registration.id, registration.status)),
    }
}

fn must_have_text(pointer: &str, text: Option<&String>) -> Result<(), Problem> {
    check_text(pointer, text, REASON_CHARS_MAX)?;
    if text.is_none_or(|text| text.trim().is_empty()) {
        return Err(Problem::malformed(pointer, "say why"));
    }
    Ok(())
}

/// Whoever made the registration or proposed the waiver does not decide about it, whatever role their certificates
/// say.
fn must_have_four_eyes(call: &Call, registration: &Registration, waiver: &Waiver) -> Result<(), Problem> {
    let is_caller = |urn: &str| urn.rsplit(':').next() == Some(call.identity.name.as_str());
    if registration.officer.as_deref().is_some_and(is_caller) {
        return Err(Problem::new(Code::Forbidden, "who created the registration may not decide about its waivers"));
    }
    if is_caller(&waiver.proposed_by) {
        return Err(Problem::new(Code::Forbidden, "who proposed the waiver may not decide about it"));
    }
    Ok(())
}

/// The table of contract section 4.3.
fn must_be_possible(waiver: &Waiver, wanted: WaiverStatus, now: Moment) -> Result<(), Problem> {
    let refused = |detail: String| Err(Problem::new(Code::WaiverDecided, detail));
    match (waiver.status, wanted) {
        (WaiverStatus::Proposed, WaiverStatus::Approved) if waiver.not_after <= now => {
            refused(format!("the waiver {} has ended; propose another one", waiver.id))
        }
        (WaiverStatus::Proposed, WaiverStatus::Approved | WaiverStatus::Rejected | WaiverStatus::Withdrawn)
        | (WaiverStatus::Approved, WaiverStatus::Withdrawn) => Ok(()),
        (WaiverStatus::Approved | WaiverStatus::Rejected | WaiverStatus::Withdrawn, _)
        | (_, WaiverStatus::Proposed) => {
            refused(format!("the waiver {} is {} already", waiver.id, waiver.status.name()))
        }
    }
}

/// A new version of the registration, event and audit entry. What children are seen as depends on it too.
fn tell(
    call: &Call,
    tx: &Transaction<'_>,
    mut registration: Registration,
    before: Option<WaiverStatus>,
    waiver: &Waiver,
) -> Result<(), Problem> {
    let children = registrations::children(tx, &registration.id)?;
    registration.update(tx, call.now)?;
    announce(tx, call, &registration)?;
    for mut child in children {
        child.update(tx, call.now)?;
        announce(tx, call, &child)?;
    }
    let decided = |status: WaiverStatus| json!({"waiver": waiver.id, "status": status.name()});
    let after = match before {
        None => waiver.view()?,
        Some(_) => json!({"waiver": waiver.id, "status": waiver.status.name(), "reason": waiver.decision_reason}),
    };
    let before = before.map(decided);
    audit::effect(tx, call, &registration.id, Change { before, after: Some(after) })
}

fn announce(tx: &Transaction<'_>, call: &Call, registration: &Registration) -> Result<(), Problem> {
    let (realm, id) = (&registration.realm, &registration.id);
    events::emit(tx, call.now, realm, "registration.updated", id, Some(registration.version), &json!({}))
}
