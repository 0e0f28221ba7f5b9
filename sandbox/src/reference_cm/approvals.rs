//! Approval by people, with four eyes (contract sections 2 and 4.4).

use rusqlite::Transaction;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ReferenceCm;
use super::audit::{self, Change};
use super::authority::Authority;
use super::call::{Answer, Call};
use super::events;
use super::issuance::sign_and_settle;
use super::judgement::is_blocked;
use super::moment::Moment;
use super::policy::Policy;
use super::problem::{Code, Problem};
use super::registrations;
use super::requests::{self, CertificateRequest, RequestStatus, expired_problem};
use super::validity::validity;
use super::waivers;
use super::wire::check_text;

/// The body may say why; it may also be missing.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    reason: Option<String>,
    comment: Option<String>,
}

impl Decision {
    fn of(call: &Call) -> Result<Self, Problem> {
        if call.body.is_empty() {
            return Ok(Self::default());
        }
        let decision: Self = call.json()?;
        check_text("/reason", decision.reason.as_ref(), 500)?;
        check_text("/comment", decision.comment.as_ref(), 2_000)?;
        Ok(decision)
    }
}

/// `POST …/certificate-requests/{id}/approve`
pub(crate) fn approve_request(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    let decision = Decision::of(call)?;
    let (realm, _) = cm.realm(call)?;
    let id = call.parameter("id");
    let to_sign = cm.database.write(|tx| {
        let mut request = requests::load(tx, realm, id)?;
        must_have_four_eyes(call, tx, &request)?;
        if !is_to_be_decided(&request, call.now, RequestStatus::Issued)? {
            return Ok(false);
        }
        let registration = registrations::load(tx, realm, &request.registration)?;
        registration.must_be_active(tx)?;
        if is_blocked(tx, &request.plan.spki_sha256)? {
            return Err(Problem::new(Code::CsrKeyBlocked, "this key was reported as compromised"));
        }
        // A request may have waited for days: what it rests on must still hold.
        let in_force = waivers::in_force(cm, tx, &registration, call.now)?;
        if let Some(gone) = request.plan.waivers.iter().find(|id| !in_force.iter().any(|waiver| waiver.id == **id)) {
            let detail =
                format!("the waiver {gone} that the request rests on is no longer in force; reject the request");
            return Err(Problem::new(Code::EvidenceRejected, detail));
        }
        // A request may have waited for days: it is judged by what holds now.
        let policy = Policy::of(cm, tx, &registration)?;
        policy.check_names(&request.plan.names())?;
        let profile = policy.profile(cm, tx, realm, &request.profile)?;
        // What was not asked for begins now.
        let wanted_not_before = request.plan.wanted_not_before.filter(|wanted| *wanted > call.now);
        (request.plan.not_before, request.plan.not_after) =
            validity(cm, profile, policy.max_validity, wanted_not_before, request.plan.wanted_not_after, call.now)?;
        request.plan.serial = Some(Authority::draw_serial());
        request.status = RequestStatus::Processing;
        request.decide_by = None;
        request.update(tx)?;
        tell(tx, call, &request, "certificate-request.approved", &decision)?;
        Ok(true)
    })?;
    if to_sign {
        sign_and_settle(cm, realm, id, call.now)?;
    }
    cm.database.read(|tx| requests::load(tx, realm, id)?.shown(cm, tx, call.now))
}

/// `POST …/certificate-requests/{id}/reject`
pub(crate) fn reject_request(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    let decision = Decision::of(call)?;
    let (realm, _) = cm.realm(call)?;
    cm.database.write(|tx| {
        let mut request = requests::load(tx, realm, call.parameter("id"))?;
        must_have_four_eyes(call, tx, &request)?;
        if is_to_be_decided(&request, call.now, RequestStatus::Rejected)? {
            let detail = decision.reason.as_deref().unwrap_or("an approver rejected the request").replace('"', "'");
            let problem = Problem::new(Code::RequestRejected, detail).document(&call.request_id);
            request.end(tx, RequestStatus::Rejected, Some(problem), call.now)?;
            tell(tx, call, &request, "certificate-request.rejected", &decision)?;
        }
        request.shown(cm, tx, call.now)
    })
}

/// The approver must not be the person who created the registration, whatever role their
/// certificates say.
fn must_have_four_eyes(call: &Call, tx: &Transaction<'_>, request: &CertificateRequest) -> Result<(), Problem> {
    let registration = registrations::load(tx, &request.realm, &request.registration)?;
    let creator = registration.officer.as_deref().and_then(|urn| urn.rsplit(':').next());
    if creator == Some(call.identity.name.as_str()) {
        return Err(Problem::new(Code::Forbidden, "who created the registration may not approve its requests"));
    }
    Ok(())
}

/// Whether there is still something to decide; a repeated decision is harmless, another is not.
fn is_to_be_decided(request: &CertificateRequest, now: Moment, wanted: RequestStatus) -> Result<bool, Problem> {
    match request.status_at(now) {
        RequestStatus::PendingApproval => Ok(true),
        status if status == wanted => Ok(false),
        RequestStatus::Issued => Err(Problem::new(Code::AlreadyIssued, "the certificate was issued already")),
        RequestStatus::Expired => Err(Problem::new(Code::RequestExpired, "the time to decide is over")),
        RequestStatus::Processing => {
            Err(Problem::new(Code::RequestInProgress, "the request is being worked on").retry_after(1))
        }
        RequestStatus::Rejected | RequestStatus::Cancelled | RequestStatus::Failed => {
            Err(Problem::new(Code::RequestRejected, format!("the request is {}", request.status.name())))
        }
    }
}

fn tell(
    tx: &Transaction<'_>,
    call: &Call,
    request: &CertificateRequest,
    kind: &str,
    decision: &Decision,
) -> Result<(), Problem> {
    events::emit(tx, call.now, &request.realm, kind, &request.id, None, &json!({"orderRef": request.order_ref}))?;
    let after: Value = json!({"status": request.status.name(), "reason": decision.reason,
                              "comment": decision.comment, "registration": request.registration,
                              "profile": request.profile, "identifiers": request.plan.identifiers});
    audit::effect(tx, call, &request.id, Change { before: None, after: Some(after) })
}

/// Ends the requests that nobody decided in time, and tells of it.
pub(crate) fn expire_undecided(cm: &ReferenceCm, now: Moment) -> Result<(), Problem> {
    let late = cm.database.read(|tx| {
        let mut statement = tx.prepare(
            "SELECT document FROM certificate_request
             WHERE status = 'pending-approval' AND decide_by <= ?1",
        )?;
        let rows = statement.query_map([now.millis()], |row| row.get::<_, String>(0))?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?)
    })?;
    for document in late {
        let id = serde_json::from_str::<CertificateRequest>(&document)?;
        cm.database.write(|tx| {
            let mut request = requests::load(tx, &id.realm, &id.id)?;
            if request.status != RequestStatus::PendingApproval {
                return Ok(());
            }
            let ended = request.decide_by.unwrap_or(now);
            request.end(tx, RequestStatus::Expired, Some(expired_problem()), ended)?;
            events::emit(
                tx,
                now,
                &request.realm,
                "certificate-request.expired",
                &request.id,
                None,
                &json!({"orderRef": request.order_ref}),
            )?;
            audit::own(tx, now, &request.realm, "expireRequest", &request.id)
        })?;
    }
    Ok(())
}
