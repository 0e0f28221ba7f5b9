//! Certificate requests: the record, how it is shown, found and cancelled (contract section 4.4).

use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ReferenceCm;
use super::audit::{self, Change};
use super::authority::Authority;
use super::call::{Answer, Call, Pending};
use super::certificates;
use super::idempotency;
use super::identifier::{Identifier, WireIdentifier};
use super::moment::Moment;
use super::operations::Operation;
use super::paging;
use super::problem::{Code, Problem};
use crate::faults::Fault;

/// What clients are told to wait for a person, and for the machine.
const RETRY_APPROVAL_SECS: u32 = 60;
const RETRY_PROCESSING_SECS: u32 = 2;

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RequestStatus {
    /// Being worked on.
    Processing,
    /// A person decides.
    PendingApproval,
    /// It has its certificate.
    Issued,
    /// Refused by a person.
    Rejected,
    /// Withdrawn by the gateway.
    Cancelled,
    /// Nobody decided in time.
    Expired,
    /// The CM gave up.
    Failed,
}

impl RequestStatus {
    /// The word on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::PendingApproval => "pending-approval",
            Self::Issued => "issued",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }

    fn is_open(self) -> bool {
        match self {
            Self::Processing | Self::PendingApproval => true,
            Self::Issued | Self::Rejected | Self::Cancelled | Self::Expired | Self::Failed => false,
        }
    }
}

/// What is to be signed. It is on the disk, serial number and all, before anything is signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan {
    /// Hex; drawn when signing begins.
    pub(crate) serial: Option<String>,
    /// DER in base64url.
    pub(crate) spki: String,
    /// Hex.
    pub(crate) spki_sha256: String,
    /// Names.
    pub(crate) identifiers: Vec<WireIdentifier>,
    /// What the client asked for.
    pub(crate) wanted_not_before: Option<Moment>,
    /// What the client asked for.
    pub(crate) wanted_not_after: Option<Moment>,
    /// What it gets.
    pub(crate) not_before: Moment,
    /// What it gets.
    pub(crate) not_after: Moment,
    /// TLS feature extension.
    pub(crate) must_staple: bool,
    /// Certificate that this one replaces.
    pub(crate) replaces: Option<String>,
    /// Waivers in place of proofs.
    #[serde(default)]
    pub(crate) waivers: Vec<String>,
    /// Ordered by a test.
    pub(crate) fault: Option<Fault>,
    /// Not to be signed before.
    pub(crate) release_at: Option<Moment>,
}

impl Plan {
    /// The names as they are judged.
    pub(crate) fn names(&self) -> Vec<Identifier> {
        self.identifiers.iter().filter_map(Identifier::from_wire).collect()
    }
}

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CertificateRequest {
    /// `req_…`
    pub(crate) id: String,
    /// Its realm.
    pub(crate) realm: String,
    /// Whose it is.
    pub(crate) registration: String,
    /// The gateway's order.
    pub(crate) order_ref: String,
    /// The key it came under.
    pub(crate) idempotency_key: String,
    /// Where it stands as far as anything was written.
    pub(crate) status: RequestStatus,
    /// Profile.
    pub(crate) profile: String,
    /// When it came.
    pub(crate) received_at: Moment,
    /// When it ended.
    pub(crate) finished_at: Option<Moment>,
    /// When the approval times out.
    pub(crate) decide_by: Option<Moment>,
    /// SHA-256 of the CSR, hex.
    pub(crate) csr_sha256: String,
    /// What is to be signed.
    pub(crate) plan: Plan,
    /// Why there is no certificate.
    pub(crate) problem: Option<Value>,
    /// Its certificate.
    pub(crate) certificate: Option<String>,
}

impl CertificateRequest {
    /// Where it stands now: a decision that was not taken in time has expired by itself.
    pub(crate) fn status_at(&self, now: Moment) -> RequestStatus {
        let late = self.decide_by.is_some_and(|until| until <= now);
        if self.status == RequestStatus::PendingApproval && late { RequestStatus::Expired } else { self.status }
    }

    /// Writes a new record.
    pub(crate) fn insert(&self, tx: &Transaction<'_>) -> Result<(), Problem> {
        tx.execute(
            "INSERT INTO certificate_request
                 (id, realm, registration, order_ref, idempotency_key, status, decide_by, certificate, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                self.id,
                self.realm,
                self.registration,
                self.order_ref,
                self.idempotency_key,
                self.status.name(),
                self.decide_by.map(Moment::millis),
                self.certificate,
                serde_json::to_string(self)?
            ],
        )?;
        Ok(())
    }

    /// Writes a changed record.
    pub(crate) fn update(&self, tx: &Transaction<'_>) -> Result<(), Problem> {
        tx.execute(
            "UPDATE certificate_request
             SET status = ?2, decide_by = ?3, certificate = ?4, document = ?5 WHERE id = ?1",
            params![
                self.id,
                self.status.name(),
                self.decide_by.map(Moment::millis),
                self.certificate,
                serde_json::to_string(self)?
            ],
        )?;
        Ok(())
    }

    /// Ends the request without a certificate.
    pub(crate) fn end(
        &mut self,
        tx: &Transaction<'_>,
        status: RequestStatus,
        problem: Option<Value>,
        now: Moment,
    ) -> Result<(), Problem> {
        self.status = status;
        self.problem = problem;
        self.finished_at = Some(now);
        self.update(tx)?;
        idempotency::settle(tx, &self.realm, Operation::RequestCertificate.name(), &self.idempotency_key)
    }

    fn view(&self, cm: &ReferenceCm, tx: &Transaction<'_>, now: Moment) -> Result<Value, Problem> {
        let status = self.status_at(now);
        let certificate = match &self.certificate {
            Some(id) => {
                certificates::find(tx, &self.realm, id)?.map(|certificate| certificate.view(cm, now)).transpose()?
            }
            None => None,
        };
        let problem = if status == RequestStatus::Expired && self.problem.is_none() {
            Some(expired_problem())
        } else {
            self.problem.clone()
        };
        let finished_at = match (status, self.finished_at) {
            (RequestStatus::Expired, None) => self.decide_by,
            (_, finished_at) => finished_at,
        };
        Ok(json!({
            "id": self.id, "status": status.name(), "registration": self.registration,
            "orderRef": self.order_ref, "profile": self.profile,
            "identifiers": self.plan.identifiers, "spkiSha256": self.plan.spki_sha256,
            "notBefore": self.plan.wanted_not_before, "notAfter": self.plan.wanted_not_after,
            "replaces": self.plan.replaces, "waivers": self.plan.waivers, "decideBy": self.decide_by,
            "receivedAt": self.received_at, "finishedAt": finished_at,
            "csrSha256": self.csr_sha256, "retryAfter": retry_after(status),
            "problem": problem, "certificate": certificate,
        }))
    }

    /// Its path.
    pub(crate) fn location(&self) -> String {
        format!("/cm/v1/realms/{}/certificate-requests/{}", self.realm, self.id)
    }

    /// The answer to a GET.
    pub(crate) fn shown(&self, cm: &ReferenceCm, tx: &Transaction<'_>, now: Moment) -> Result<Answer, Problem> {
        let answer = Answer::json(200, &self.view(cm, tx, now)?);
        Ok(self.with_retry_after(answer, now))
    }

    /// As [`Self::shown`], with a certificate that is signed for this answer only, in place of the one that it has.
    fn shown_with_another(&self, cm: &ReferenceCm, tx: &Transaction<'_>, now: Moment) -> Result<Answer, Problem> {
        let Some(id) = &self.certificate else { return self.shown(cm, tx, now) };
        let Some(first) = certificates::find(tx, &self.realm, id)? else { return self.shown(cm, tx, now) };
        let serial = Authority::draw_serial();
        let plan = Plan { serial: Some(serial.clone()), ..self.plan.clone() };
        let signed = cm.authority.issue(&plan).map_err(Problem::internal)?;
        let another = certificates::Certificate {
            id: signed.id,
            serial,
            sha256: signed.sha256,
            spki_sha256: signed.spki_sha256,
            der: signed.der,
            issuers_pem: signed.issuers_pem,
            ..first
        };
        let mut view = self.view(cm, tx, now)?;
        if let Some(members) = view.as_object_mut() {
            members.insert("certificate".to_owned(), another.view(cm, now)?);
        }
        Ok(self.with_retry_after(Answer::json(200, &view), now))
    }

    /// The answer to the POST that made it: 201 once it is issued, else 202.
    pub(crate) fn created(&self, cm: &ReferenceCm, tx: &Transaction<'_>, now: Moment) -> Result<Answer, Problem> {
        let status = if self.status == RequestStatus::Issued { 201 } else { 202 };
        let mut answer = Answer::json(status, &self.view(cm, tx, now)?).with(http::header::LOCATION, self.location());
        if self.status == RequestStatus::Processing {
            answer.pending = Some(Pending::Request(self.id.clone()));
        }
        Ok(self.with_retry_after(answer, now))
    }

    fn with_retry_after(&self, answer: Answer, now: Moment) -> Answer {
        match retry_after(self.status_at(now)) {
            Some(seconds) => answer.with(http::header::RETRY_AFTER, seconds.to_string()),
            None => answer,
        }
    }
}

fn retry_after(status: RequestStatus) -> Option<u32> {
    match status {
        RequestStatus::PendingApproval => Some(RETRY_APPROVAL_SECS),
        RequestStatus::Processing => Some(RETRY_PROCESSING_SECS),
        RequestStatus::Issued
        | RequestStatus::Rejected
        | RequestStatus::Cancelled
        | RequestStatus::Expired
        | RequestStatus::Failed => None,
    }
}

/// The problem in a request that nobody decided.
pub(crate) fn expired_problem() -> Value {
    Problem::new(Code::RequestExpired, "nobody approved the request in time").document("")
}

/// A request of the realm, or 404.
pub(crate) fn load(tx: &Transaction<'_>, realm: &str, id: &str) -> Result<CertificateRequest, Problem> {
    one(tx, "SELECT document FROM certificate_request WHERE realm = ?1 AND id = ?2", realm, id)?
        .ok_or_else(|| Problem::new(Code::NotFound, "there is no such certificate request"))
}

/// The request of an order.
pub(crate) fn by_order(
    tx: &Transaction<'_>,
    realm: &str,
    order_ref: &str,
) -> Result<Option<CertificateRequest>, Problem> {
    one(tx, "SELECT document FROM certificate_request WHERE realm = ?1 AND order_ref = ?2", realm, order_ref)
}

fn one(tx: &Transaction<'_>, query: &str, realm: &str, key: &str) -> Result<Option<CertificateRequest>, Problem> {
    let document: Option<String> = tx.query_row(query, [realm, key], |row| row.get(0)).optional()?;
    Ok(match document {
        Some(document) => Some(serde_json::from_str(&document)?),
        None => None,
    })
}

/// `GET …/certificate-requests/{id}`
pub(crate) fn get_request(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&[])?;
    let (realm, _) = cm.realm(call)?;
    cm.database.read(|tx| {
        let request = load(tx, realm, call.parameter("id"))?;
        match call.fault {
            Some(Fault::SecondCertificate) => request.shown_with_another(cm, tx, call.now),
            _ => request.shown(cm, tx, call.now),
        }
    })
}

/// `GET …/certificate-requests?idempotencyKey=` or `?orderRef=` or `?status=`
pub(crate) fn find_requests(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&["idempotencyKey", "orderRef", "status", "limit", "cursor"])?;
    paging::only_status(
        call,
        &["processing", "pending-approval", "issued", "rejected", "cancelled", "expired", "failed"],
    )?;
    let (realm, _) = cm.realm(call)?;
    let limit = paging::limit(call)?;
    let after = paging::start(call)?;
    cm.database.read(|tx| {
        let mut statement = tx.prepare(
            "SELECT document FROM certificate_request
             WHERE realm = ?1 AND id > ?2 AND (?3 IS NULL OR idempotency_key = ?3)
               AND (?4 IS NULL OR order_ref = ?4)
             ORDER BY id",
        )?;
        let mut rows = statement.query(params![realm, after, call.query("idempotencyKey"), call.query("orderRef")])?;
        let mut found: Vec<CertificateRequest> = Vec::new();
        while found.len() <= limit
            && let Some(row) = rows.next()?
        {
            let request: CertificateRequest = serde_json::from_str(&row.get::<_, String>(0)?)?;
            let fits = call.query("status").is_none_or(|status| request.status_at(call.now).name() == status);
            if fits {
                found.push(request);
            }
        }
        let (found, next) = paging::cut(found, limit, call.now, |request| request.id.clone());
        let mut items = Vec::new();
        for request in found {
            items.push(request.view(cm, tx, call.now)?);
        }
        Ok(Answer::page(items, next))
    })
}

/// `POST …/certificate-requests/{id}/cancel`
pub(crate) fn cancel_request(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    let (realm, _) = cm.realm(call)?;
    cm.database.write(|tx| {
        let mut request = load(tx, realm, call.parameter("id"))?;
        if request.status == RequestStatus::Issued {
            let mut problem = Problem::new(Code::AlreadyIssued, "the certificate was issued already");
            if let Some(id) = &request.certificate
                && let Some(certificate) = certificates::find(tx, realm, id)?
            {
                problem = problem.with("certificate", certificate.view(cm, call.now)?);
            }
            return Err(problem);
        }
        if request.status_at(call.now).is_open() {
            cancel(tx, call, &mut request)?;
        }
        request.shown(cm, tx, call.now)
    })
}

fn cancel(tx: &Transaction<'_>, call: &Call, request: &mut CertificateRequest) -> Result<(), Problem> {
    let before = request.status;
    request.end(tx, RequestStatus::Cancelled, None, call.now)?;
    audit::effect(
        tx,
        call,
        &request.id,
        Change {
            before: Some(json!({"status": before.name()})),
            after: Some(json!({"status": request.status.name()})),
        },
    )
}

/// Withdraws all open requests of a registration that has ended.
pub(crate) fn cancel_all_of(tx: &Transaction<'_>, call: &Call, registration: &str) -> Result<(), Problem> {
    let mut statement = tx.prepare(
        "SELECT document FROM certificate_request
         WHERE registration = ?1 AND status IN ('processing', 'pending-approval')",
    )?;
    let documents =
        statement.query_map([registration], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    for document in documents {
        let mut request: CertificateRequest = serde_json::from_str(&document)?;
        cancel(tx, call, &mut request)?;
    }
    Ok(())
}
