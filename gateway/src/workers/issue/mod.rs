//! The job behind finalize: one order, one submission to the CM, one certificate or one honest
//! refusal.
//!
//! The octets and the key they are sent under were written down with the order. Before they are
//! sent, for the first time or again, it is judged whether they still may be, and CAA records that were
//! looked at long ago are looked at again. The job notes that the octets, with that look in them, may
//! have been sent; from then on the CM is asked what became of them before anything is sent again, and
//! only ever the same octets under the same key (CM contract sections 3 and 8).

mod acceptance;
mod answer;
mod clearance;
mod delivery;
mod ending;
mod second_certificate;
mod standing;
mod tale;
mod waiting;
mod withdrawal;

use acme::{
    account_key::Thumbprint,
    ids::{IdempotencyKey, RealmName},
    order::{Order, Progress},
    time::Timestamp,
};
use cm_connector::{CmError, Outcome, RequestState, observed};
use store::{CaaLooks, Job, ProfileTerms, Stored, Submission, Work};

pub(crate) use self::delivery::confirm_delivery;
use self::{
    acceptance::{accept, accept_earlier},
    answer::{Asked, look_up, send},
    clearance::{Clearance, may_be_sent},
    ending::{fail, not_taken, over, refuse_evidence},
    standing::{given_up, key_changed_unseen},
    tale::Tale,
    waiting::{come_back, put_off, wait},
    withdrawal::withdraw,
};
use super::finish;
use crate::{app::App, clock};

/// The parts of an issuance job.
struct Issuance {
    job: Stored<Job>,
    order: Stored<Order>,
    realm: RealmName,
    key: IdempotencyKey,
    csr: Vec<u8>,
    octets: Vec<u8>,
    terms: Option<ProfileTerms>,
    /// The account key that the octets rest on, if it was kept.
    signed_by: Option<Thumbprint>,
    submission: Submission,
    caa: CaaLooks,
    /// What is told of this attempt.
    tale: Tale,
}

/// Takes the order one step further.
pub(crate) async fn issue(app: &App, job: Stored<Job>) -> anyhow::Result<()> {
    let work = job.value.work.clone();
    let Work::Issue { order, realm, idempotency_key, csr, request, terms, signed_by, submission, caa } = work else {
        anyhow::bail!("not an issuance job");
    };
    let order = app.store.order(&order).await?;
    let Some(order) = order.filter(|order| matches!(order.value.progress, Progress::Finalizing { .. })) else {
        return finish(app, &job).await;
    };
    let mut issuance = Issuance {
        job,
        order,
        realm,
        key: idempotency_key,
        csr,
        octets: request,
        terms,
        signed_by,
        submission,
        caa,
        tale: Tale::default(),
    };
    let (looked_up, calls) = observed(look_up(app, &issuance)).await;
    issuance.tale.asked(calls);
    let (asked, answer) = match looked_up {
        Some(answer) => (Asked::LookedUp, answer),
        None => match may_be_sent(app, &mut issuance).await? {
            Clearance::Granted(grounds) => (Asked::Submitted, send(app, &mut issuance, &grounds).await?),
            Clearance::NotNow(why, pause) => {
                let (submission, attempt) = (issuance.submission.clone(), issuance.job.value.attempt);
                return put_off(app, &issuance, why, submission, pause, attempt).await;
            }
            Clearance::Refused(problem) => return fail(app, &issuance, problem).await,
        },
    };
    match (answer, asked) {
        (Ok(RequestState::Issued { id, certificate, claims }), _) => {
            accept(app, &issuance, Some(&id), &certificate, &claims).await
        }
        (Ok(RequestState::Pending { id, .. }), _) if issuance.is_over() => withdraw(app, &issuance, &id, over()).await,
        (Ok(RequestState::Pending { id, retry_after, approval }), _) => match given_up(app, &issuance).await {
            Some(problem) => withdraw(app, &issuance, &id, problem).await,
            None => wait(app, &issuance, id, retry_after, approval).await,
        },
        (Ok(RequestState::Refused { refusal, .. }), _) => {
            if refusal.evidence_refused {
                refuse_evidence(app, &issuance, refusal.problem).await
            } else {
                fail(app, &issuance, refusal.problem).await
            }
        }
        // The order has its certificate already, under whatever key (CM contract section 3, rule 7).
        (Err(CmError::AlreadyIssued(certificate)), _) => accept_earlier(app, &mut issuance, &certificate).await,
        // Refused where it was submitted, nothing was and will be issued under this key (section 4.4).
        // The same answer to a look-up says nothing about what was submitted before.
        (Err(CmError::Refused(problem)), Asked::Submitted) => fail(app, &issuance, problem).await,
        (Err(CmError::EvidenceRefused(problem)), Asked::Submitted) => refuse_evidence(app, &issuance, problem).await,
        (Err(error @ CmError::Internal { outcome: Outcome::NotSent, .. }), Asked::Submitted) => {
            if let Some(problem) = key_changed_unseen(app, &issuance).await {
                return fail(app, &issuance, problem).await;
            }
            tracing::error!(order = %issuance.order.value.id, %error, "ALARM: the CM does not take this gateway's request");
            fail(app, &issuance, not_taken()).await
        }
        (Err(error), _) => come_back(app, &issuance, &error).await,
    }
}

impl Issuance {
    /// Whether the order has expired. What the CM has issued by then counts all the same.
    fn is_over(&self) -> bool {
        self.order.value.expires <= clock::now()
    }

    /// Whether the CM was asked more than once. A certificate that came with the only answer there was has no
    /// second one.
    const fn may_have_a_second(&self) -> bool {
        !matches!(self.submission, Submission::NotSent)
    }

    fn job_with(&self, submission: Submission, due_at: Timestamp, attempt: u32) -> Job {
        let work = Work::Issue {
            order: self.order.value.id.clone(),
            realm: self.realm.clone(),
            idempotency_key: self.key.clone(),
            csr: self.csr.clone(),
            request: self.octets.clone(),
            terms: self.terms.clone(),
            signed_by: self.signed_by,
            submission,
            caa: self.caa.clone(),
        };
        Job { id: self.job.value.id.clone(), due_at, attempt, work }
    }
}

#[cfg(test)]
mod tests;
