//! Issuing: accept a request, plan it on the disk, sign, settle (contract section 4.4).
//!
//! Rule 6 of idempotency: the request with its serial number is written as `processing` before
//! anything is signed, and the certificate leaves only with the transaction that settles it. After
//! a crash in between, what was planned is signed again under the same serial number; the first
//! signature never left the process.

use rusqlite::Transaction;
use serde_json::json;

use super::ReferenceCm;
use super::audit::{self, Change};
use super::authority::Authority;
use super::call::{Answer, Call};
use super::certificates::Certificate;
use super::events;
use super::idempotency::{self, Known, Slot};
use super::ids::new_id;
use super::judgement::{self, CertificateRequestCreate};
use super::moment::Moment;
use super::operations::Operation;
use super::problem::{Code, Problem};
use super::requests::{self, CertificateRequest, RequestStatus};
use super::settings::ApprovalMode;
use crate::faults::Fault;

/// What the first transaction leads to.
enum Accepted {
    /// The answer is known.
    Answer(Answer),
    /// The certificate of this request is to be signed now.
    Sign(String),
}

/// `POST …/certificate-requests`
pub(crate) fn request_certificate(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    let slot = Slot::of(call)?;
    let (realm, _) = cm.realm(call)?;
    let accepted = cm.database.write(|tx| match slot.look_up(tx)? {
        Known::Answer(answer) => Ok(Accepted::Answer(answer)),
        Known::Subject(id) => {
            let request = requests::load(tx, realm, &id)?;
            let answer = request.created(cm, tx, call.now)?;
            Ok(Accepted::Answer(idempotency::replayed(answer)))
        }
        Known::Nothing => match accept(cm, call, tx, &slot) {
            Ok(accepted) => Ok(accepted),
            Err(problem) => Err(slot.refuse(tx, call, problem)?),
        },
    })?;
    match accepted {
        Accepted::Answer(answer) => Ok(answer),
        Accepted::Sign(id) => {
            sign_and_settle(cm, realm, &id, call.now)?;
            cm.database.read(|tx| requests::load(tx, realm, &id)?.created(cm, tx, call.now))
        }
    }
}

fn accept(cm: &ReferenceCm, call: &Call, tx: &Transaction<'_>, slot: &Slot) -> Result<Accepted, Problem> {
    let body: CertificateRequestCreate = call.json()?;
    let (realm, _) = cm.realm(call)?;
    let judged = judgement::judge(cm, call, tx, &body)?;
    let profile =
        cm.settings.profiles.get(&body.profile).ok_or_else(|| Problem::internal("a judged profile is gone"))?;
    let mut request = CertificateRequest {
        id: new_id("req_", call.now),
        realm: realm.to_owned(),
        registration: judged.registration.id,
        order_ref: body.order_ref,
        idempotency_key: slot.key().to_owned(),
        status: RequestStatus::Processing,
        profile: body.profile,
        received_at: call.now,
        finished_at: None,
        decide_by: None,
        csr_sha256: judged.csr_sha256,
        plan: judged.plan,
        problem: None,
        certificate: None,
    };
    slot.begin(tx, call.now, &request.id)?;
    let mut sign_now = false;
    match (&call.fault, profile.approval) {
        (Some(Fault::Rejected), _) => {
            request.insert(tx)?;
            let problem = Problem::new(Code::RequestRejected, "the request was rejected");
            request.end(tx, RequestStatus::Rejected, Some(problem.document(&call.request_id)), call.now)?;
        }
        (_, ApprovalMode::Manual) => {
            request.status = RequestStatus::PendingApproval;
            request.decide_by = Some(call.now.plus_seconds(profile.approval_timeout.seconds()));
            request.insert(tx)?;
            settle_key(tx, &request)?;
        }
        (Some(Fault::Pending { millis }), ApprovalMode::Auto) => {
            let millis = i64::try_from(*millis).unwrap_or(i64::MAX);
            request.plan.release_at = Some(call.now.plus_millis(millis));
            request.plan.serial = Some(Authority::draw_serial());
            request.insert(tx)?;
            settle_key(tx, &request)?;
        }
        (fault, ApprovalMode::Auto) => {
            request.plan.fault.clone_from(fault);
            request.plan.serial = Some(Authority::draw_serial());
            request.insert(tx)?;
            sign_now = true;
        }
    }
    audit::effect(
        tx,
        call,
        &request.id,
        Change {
            before: None,
            after: Some(json!({"status": request.status.name(), "orderRef": request.order_ref,
                               "registration": request.registration, "csrSha256": request.csr_sha256,
                               "waivers": request.plan.waivers})),
        },
    )?;
    if sign_now { Ok(Accepted::Sign(request.id)) } else { Ok(Accepted::Answer(request.created(cm, tx, call.now)?)) }
}

fn settle_key(tx: &Transaction<'_>, request: &CertificateRequest) -> Result<(), Problem> {
    idempotency::settle(tx, &request.realm, Operation::RequestCertificate.name(), &request.idempotency_key)
}

/// Signs the certificate of a request that is `processing` and settles it. A request that was
/// cancelled meanwhile stays cancelled, and its certificate is thrown away unseen.
pub(crate) fn sign_and_settle(cm: &ReferenceCm, realm: &str, id: &str, now: Moment) -> Result<(), Problem> {
    let request = cm.database.read(|tx| requests::load(tx, realm, id))?;
    let signed = cm.authority.issue(&request.plan).map_err(Problem::internal)?;
    cm.database.write(|tx| {
        let mut request = requests::load(tx, realm, id)?;
        if request.status != RequestStatus::Processing {
            return Ok(());
        }
        let plan = &request.plan;
        let certificate = Certificate {
            id: signed.id.clone(),
            realm: realm.to_owned(),
            request: request.id.clone(),
            registration: request.registration.clone(),
            order_ref: request.order_ref.clone(),
            profile: request.profile.clone(),
            serial: plan.serial.clone().unwrap_or_default(),
            sha256: signed.sha256,
            spki_sha256: signed.spki_sha256,
            not_before: plan.not_before,
            not_after: plan.not_after,
            issued_at: now,
            der: signed.der,
            issuers_pem: signed.issuers_pem,
            identifiers: serde_json::to_value(&plan.identifiers)?,
            revoked: None,
            publication: "waiting-for-delivery".to_owned(),
            published_at: None,
            replaces: plan.replaces.clone(),
            replaced_by: None,
        };
        certificate.insert(tx)?;
        if let Some(replaced) = &certificate.replaces {
            tx.execute("UPDATE certificate SET replaced_by = ?2 WHERE id = ?1", [replaced, &certificate.order_ref])?;
        }
        request.certificate = Some(certificate.id.clone());
        request.end(tx, RequestStatus::Issued, None, now)?;
        let facts = json!({"registration": certificate.registration,
                           "orderRef": certificate.order_ref, "certificate": certificate.id});
        for (kind, subject) in [("certificate-request.issued", &request.id), ("certificate.issued", &certificate.id)] {
            events::emit(tx, now, realm, kind, subject, None, &facts)?;
        }
        audit::own(tx, now, realm, "issueCertificate", &certificate.id)
    })
}

/// Requests that were being signed when the process ended.
pub(crate) fn settle_after_crash(cm: &ReferenceCm, now: Moment) -> Result<usize, Problem> {
    let open = cm.database.read(|tx| processing(tx, "json_extract(document, '$.plan.releaseAt') IS NULL"))?;
    for request in &open {
        sign_and_settle(cm, &request.realm, &request.id, now)?;
    }
    Ok(open.len())
}

/// Requests that a test told to be pending and whose time has come.
pub(crate) fn sign_released(cm: &ReferenceCm, now: Moment) -> Result<(), Problem> {
    let waiting = cm.database.read(|tx| processing(tx, "json_extract(document, '$.plan.releaseAt') IS NOT NULL"))?;
    for request in waiting {
        if request.plan.release_at.is_some_and(|at| at <= now) {
            sign_and_settle(cm, &request.realm, &request.id, now)?;
        }
    }
    Ok(())
}

fn processing(tx: &Transaction<'_>, which: &str) -> Result<Vec<CertificateRequest>, Problem> {
    let mut statement =
        tx.prepare(&format!("SELECT document FROM certificate_request WHERE status = 'processing' AND {which}"))?;
    let documents = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    documents.iter().map(|document| Ok(serde_json::from_str(document)?)).collect()
}
