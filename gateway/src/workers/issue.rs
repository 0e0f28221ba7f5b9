//! The job behind finalize: one order, one submission to the CM, one certificate or one honest
//! refusal.
//!
//! The octets and the key they are sent under were written down with the order. Before they are
//! sent CAA records that were looked at long ago are looked at again, and the job notes that the
//! octets, with that look in them, may have been sent; from then on the CM is asked what became of them
//! before anything is sent again, and only ever the same octets under the same key
//! (CM contract sections 3 and 8).

use std::time::Duration;

use acme::{
    account::AccountStatus,
    certificate::{self, FailedCheck},
    identifier::Identifier,
    ids::{CertificateRequestId, RealmName},
    order::{Order, Progress},
    problem::{Problem, ProblemKind, Subproblem},
    time::Timestamp,
};
use cm_connector::{Certificate, CmError, Delivery, Outcome, RequestClaims, RequestState};
use policies::identifier::{Verdict, allowed};
use store::{Commit, Job, Stored, Submission, Work};

use super::{
    caa::{self, Standing},
    finish,
    inspect::inspect,
};
use crate::{app::App, audit::Event, clock, ra::certificate::Download};

/// How long the CM may keep a submission before it answers that it is pending.
const SUBMIT_WAIT: Duration = Duration::from_secs(20);
/// Between two looks at a request that waits for a person or for the CM.
const PENDING_FIRST: Duration = Duration::from_secs(2);
const PENDING_MAX: Duration = Duration::from_secs(900);
/// Between two tries while the CM is away.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// The parts of an issuance job.
struct Issuance {
    job: Stored<Job>,
    order: Stored<Order>,
    realm: RealmName,
    key: acme::ids::IdempotencyKey,
    csr: Vec<u8>,
    octets: Vec<u8>,
    submission: Submission,
}

/// Takes the order one step further.
pub(crate) async fn issue(app: &App, job: Stored<Job>) -> anyhow::Result<()> {
    let Work::Issue { order, realm, idempotency_key, csr, request, submission } = job.value.work.clone() else {
        anyhow::bail!("not an issuance job");
    };
    let order = app.store.order(&order).await?;
    let Some(order) = order.filter(|order| matches!(order.value.progress, Progress::Finalizing { .. })) else {
        return finish(app, &job).await;
    };
    let mut issuance = Issuance { job, order, realm, key: idempotency_key, csr, octets: request, submission };
    if matches!(issuance.submission, Submission::NotSent) {
        if issuance.is_over() {
            return fail(app, &issuance, over()).await;
        }
        if let Some(problem) = refused_meanwhile(app, &issuance.realm, &issuance.order.value).await {
            return fail(app, &issuance, problem).await;
        }
        if let Some(problem) = withdrawn(app, &issuance.order.value).await {
            return fail(app, &issuance, problem).await;
        }
        match caa::before_submission(app, &issuance.order.value).await? {
            Standing::Permitted(looks) if looks.is_empty() => {}
            Standing::Permitted(looks) => issuance.octets = app.cm.renew_caa(&issuance.octets, &looks)?,
            Standing::Refused { retry: true, .. } if issuance.job.value.attempt < caa_retries(app) => {
                return look_again_later(app, &issuance).await;
            }
            Standing::Refused { problem, .. } => return fail(app, &issuance, problem).await,
        }
        note_intent(app, &mut issuance).await?;
    }
    let (asked, answer) = ask(app, &issuance).await?;
    match (answer, asked) {
        (Ok(RequestState::Issued { id, certificate, claims }), _) => {
            accept(app, &issuance, Some(&id), &certificate, &claims).await
        }
        (Ok(RequestState::Pending { id, .. }), _) if issuance.is_over() => withdraw(app, &issuance, &id, over()).await,
        (Ok(RequestState::Pending { id, retry_after, .. }), _) => match given_up(app, &issuance).await {
            Some(problem) => withdraw(app, &issuance, &id, problem).await,
            None => wait(app, &issuance, id, retry_after).await,
        },
        (Ok(RequestState::Refused { refusal, .. }), _) => {
            if refusal.evidence_refused {
                drop_proofs(app, &issuance.order.value).await?;
            }
            fail(app, &issuance, refusal.problem).await
        }
        // The order has its certificate already, under whatever key (CM contract section 3, rule 7).
        (Err(CmError::AlreadyIssued(certificate)), _) => {
            accept(app, &issuance, None, &certificate, &claims_of(&certificate)).await
        }
        // Refused where it was submitted, nothing was and will be issued under this key (section 4.4).
        // The same answer to a look-up says nothing about what was submitted before.
        (Err(CmError::Refused(problem)), Asked::Submitted) => fail(app, &issuance, problem).await,
        (Err(CmError::EvidenceRefused(problem)), Asked::Submitted) => {
            drop_proofs(app, &issuance.order.value).await?;
            fail(app, &issuance, problem).await
        }
        (Err(error @ CmError::Internal { outcome: Outcome::NotSent, .. }), Asked::Submitted) => {
            if let Some(problem) = signed_by_an_old_key(app, &issuance).await {
                return fail(app, &issuance, problem).await;
            }
            tracing::error!(order = %issuance.order.value.id, %error, "ALARM: the CM does not take this gateway's request");
            fail(app, &issuance, not_taken()).await
        }
        (Err(error), _) => come_back(app, &issuance, &error).await,
    }
}

/// How the CM was asked: what a refusal means depends on it.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// The request was sent, for the first time or again.
    Submitted,
    /// Only what became of it was asked.
    LookedUp,
}

/// What a certificate says about the request that it answers.
fn claims_of(certificate: &Certificate) -> RequestClaims {
    RequestClaims {
        registration: certificate.registration.clone(),
        order_ref: certificate.order_ref.clone(),
        csr_sha256: None,
    }
}

/// Reports to the CM that the certificate passed every check, so that it may publish it
/// (CM contract section 4.4, delivery).
pub(super) async fn confirm_delivery(
    app: &App,
    job: &Stored<Job>,
    realm: &RealmName,
    request: &CertificateRequestId,
) -> anyhow::Result<()> {
    match app.cm.confirm_delivery(realm, request, &Delivery::Accepted).await {
        Err(error @ (CmError::Unavailable { .. } | CmError::RateLimited { .. })) => return Err(error.into()),
        Err(error) => {
            tracing::error!(%request, %error, "ALARM: the CM does not take the report on a delivered certificate")
        }
        Ok(()) => {}
    }
    finish(app, job).await
}

/// The registration may have been suspended, or its list narrowed, since finalize. While the CM is
/// away its last word holds: it judges again when the request arrives.
async fn refused_meanwhile(app: &App, realm: &RealmName, order: &Order) -> Option<Problem> {
    let Some(registration) = app.registrations.registration(realm, &order.account).await.ok()? else {
        return Some(Problem::new(ProblemKind::AccountDoesNotExist, "this account does not exist any more"));
    };
    if let Err(problem) = policies::registration::may_order(registration.status) {
        return Some(problem);
    }
    let refused = |identifier: &Identifier| match allowed(identifier, &registration.allowed_identifiers) {
        Verdict::Allowed { .. } => None,
        Verdict::Refused(refusal) => Some(Subproblem::new(ProblemKind::RejectedIdentifier, identifier, refusal.detail)),
    };
    let refused: Vec<_> = order.identifiers.iter().filter_map(refused).collect();
    (!refused.is_empty()).then(|| Problem::about_identifiers(refused, order.identifiers.len()))
}

/// The CM takes a request only on the word of the key that the account has when it arrives. One that
/// was finalized before a key change and arrives after it is nobody's fault.
async fn signed_by_an_old_key(app: &App, issuance: &Issuance) -> Option<Problem> {
    let Progress::Finalizing { since, .. } = issuance.order.value.progress else { return None };
    let account = &issuance.order.value.account;
    // It may have been changed by way of another node.
    app.registrations.invalidate(account);
    let registration = app.registrations.registration(&issuance.realm, account).await.ok()??;
    let bound_since = registration.key.as_ref()?.since?;
    let detail = "the key of the account was changed before the certificate authority had the request, which the \
                  old key had signed; create a new order";
    (bound_since >= since).then(|| Problem::new(ProblemKind::Unauthorized, detail))
}

/// From here on the octets may have reached the CM, whatever happens to us.
async fn note_intent(app: &App, issuance: &mut Issuance) -> anyhow::Result<()> {
    let submission = Submission::MayHaveBeenSent { since: clock::now() };
    let next = issuance.job_with(submission.clone(), issuance.job.value.due_at, issuance.job.value.attempt);
    let mut commit = Commit::new();
    commit.update_job(&issuance.job, next);
    app.store.commit(commit).await?;
    let Some(job) = app.store.job(&issuance.job.value.id).await? else { anyhow::bail!("the job is gone") };
    issuance.job = job;
    Ok(())
}

async fn ask(app: &App, issuance: &Issuance) -> anyhow::Result<(Asked, Result<RequestState, CmError>)> {
    let submit = || app.cm.submit(&issuance.realm, &issuance.key, &issuance.octets, SUBMIT_WAIT);
    Ok(match &issuance.submission {
        Submission::NotSent => (Asked::Submitted, submit().await),
        Submission::MayHaveBeenSent { .. } => match app.cm.request_by_key(&issuance.realm, &issuance.key).await {
            Ok(Some(state)) => (Asked::LookedUp, Ok(state)),
            Ok(None) if issuance.is_over() => (Asked::Submitted, Err(CmError::Refused(over()))),
            // The octets are fixed by now and say when CAA was looked at last; the CM may find that too
            // long ago, but what is forbidden since is not asked for again.
            Ok(None) => match caa::before_submission(app, &issuance.order.value).await? {
                Standing::Permitted(_) => (Asked::Submitted, submit().await),
                Standing::Refused { problem, .. } => (Asked::Submitted, Err(CmError::Refused(problem))),
            },
            Err(error) => (Asked::LookedUp, Err(error)),
        },
        Submission::Accepted { request, .. } => (Asked::LookedUp, app.cm.request(&issuance.realm, request).await),
    })
}

/// A resolver that does not answer may do so soon; so long the order waits, and no longer.
fn caa_retries(app: &App) -> u32 {
    app.settings.validation.attempts_max.saturating_sub(1)
}

async fn look_again_later(app: &App, issuance: &Issuance) -> anyhow::Result<()> {
    let attempt = issuance.job.value.attempt.saturating_add(1);
    let pause = Duration::from_secs(1 << attempt.min(6));
    put_off(app, issuance, Submission::NotSent, pause, attempt).await
}

/// Nothing reaches the client before the certificate is the one that was asked for.
async fn accept(
    app: &App,
    issuance: &Issuance,
    request: Option<&CertificateRequestId>,
    certificate: &Certificate,
    claims: &RequestClaims,
) -> anyhow::Result<()> {
    let now = clock::now();
    if let Some(pause) = begins_later(certificate.not_before, now)
        && !issuance.is_over()
    {
        return hold(app, issuance, request, pause).await;
    }
    let asked = (&issuance.realm, &issuance.order.value, issuance.csr.as_slice());
    let checked = match inspect(app, asked, (certificate, claims), now).await? {
        Ok(checked) => checked,
        Err(failed) => return quarantine(app, issuance, request, certificate, failed).await,
    };
    let Some(next) = issuance.order.value.record_issued(certificate.id.clone()) else {
        return finish(app, &issuance.job).await;
    };
    let first = checked.first();
    let mut commit = Commit::new();
    if let Some(first) = first {
        let keep_until = app.keep_until(first.not_after);
        commit.claim_serial(&first.authority_key_id, &first.serial, &next.id, keep_until);
    }
    commit.audit(now, Event::CertificateIssued { order: &next, certificate: &certificate.id }.to_json());
    commit.update_order(&issuance.order, next.clone(), app.keep_issued_until(now, next.expires));
    commit.finish_job(&issuance.job);
    if let Some(request) = request {
        commit.create_job(Job::confirm_delivery(issuance.realm.clone(), request.clone(), now));
    }
    app.store.commit(commit).await?;
    let chains: Vec<String> = checked.into_iter().map(|chain| chain.chain_pem).collect();
    let download = Download { owner: next.account.clone(), chains: chains.into() };
    app.downloads.keep(certificate.id.clone(), download);
    app.metrics.certificates_issued.inc();
    app.waiters.wake(&next.id);
    Ok(())
}

/// How long to hold a certificate that begins a little ahead of our clock, until it may be delivered; `None`
/// if it may be now, or begins so much later that it is not held but wrong (CM contract section 8, clock
/// skew).
fn begins_later(not_before: Timestamp, now: Timestamp) -> Option<Duration> {
    const AHEAD_MAX: Duration = Duration::from_secs(3600);
    let pause = not_before.since(now.plus(certificate::START_AHEAD_MAX));
    (!pause.is_zero() && not_before <= now.plus(AHEAD_MAX)).then_some(pause)
}

/// Comes back for a certificate that exists.
async fn hold(
    app: &App,
    issuance: &Issuance,
    request: Option<&CertificateRequestId>,
    pause: Duration,
) -> anyhow::Result<()> {
    tracing::warn!(order = %issuance.order.value.id, pause_secs = pause.as_secs(),
        "the certificate begins ahead of our clock and is held; compare the clocks of CM and gateway");
    let since = clock::now();
    let submission = match request {
        Some(request) => Submission::Accepted { request: request.clone(), since },
        None => Submission::MayHaveBeenSent { since },
    };
    put_off(app, issuance, submission, pause, 0).await
}

/// A wrong certificate is reported to the CM and shown to nobody.
async fn quarantine(
    app: &App,
    issuance: &Issuance,
    request: Option<&CertificateRequestId>,
    certificate: &Certificate,
    failed: Vec<FailedCheck>,
) -> anyhow::Result<()> {
    tracing::error!(order = %issuance.order.value.id, certificate = %certificate.id, ?failed,
        "ALARM: the CM returned a certificate that is not the one asked for; it is withheld");
    app.metrics.certificates_withheld.inc();
    if let Some(request) = request {
        let report = Delivery::Refused(failed);
        if let Err(error) = app.cm.confirm_delivery(&issuance.realm, request, &report).await {
            tracing::error!(error = %error, "cannot report the withheld certificate to the CM");
        }
    }
    let detail = "the certificate authority returned a certificate that is not the one asked for; it was withheld and the operator was told";
    fail(app, issuance, Problem::new(ProblemKind::ServerInternal, detail)).await
}

async fn fail(app: &App, issuance: &Issuance, problem: Problem) -> anyhow::Result<()> {
    let now = clock::now();
    let Some(next) = issuance.order.value.record_failed(problem) else { return finish(app, &issuance.job).await };
    let mut commit = Commit::new();
    commit.audit(now, Event::OrderFailed { order: &next }.to_json());
    commit.update_order(&issuance.order, next.clone(), app.keep_until(next.expires));
    commit.finish_job(&issuance.job);
    app.store.commit(commit).await?;
    app.metrics.orders_failed.inc();
    app.waiters.wake(&next.id);
    Ok(())
}

/// The CM does not take these proofs, so no other order may rest on them (CM contract section 5,
/// `evidence-…`). Done before the order ends, because a job that is still there does it again after
/// a crash; a proof that is dropped already stays so.
async fn drop_proofs(app: &App, order: &Order) -> anyhow::Result<()> {
    /// Each is a record, a place in an index and an audit entry.
    const PROOFS_PER_COMMIT: usize = 40;
    let now = clock::now();
    for ids in order.authorizations.chunks(PROOFS_PER_COMMIT) {
        let mut commit = Commit::new();
        for stored in app.store.authorizations(ids).await? {
            if let Some(revoked) = stored.value.revoke(now) {
                commit.audit(now, Event::AuthorizationRevoked { authorization: &revoked }.to_json());
                commit.update_authorization(&stored, revoked, app.keep_until(stored.value.expires));
            }
        }
        app.store.commit(commit).await?;
    }
    Ok(())
}

/// The CM has the request and will decide: look again later, for days if a person decides.
async fn wait(
    app: &App,
    issuance: &Issuance,
    request: CertificateRequestId,
    retry_after: Option<Duration>,
) -> anyhow::Result<()> {
    let since = match issuance.submission {
        Submission::Accepted { since, .. } => since,
        Submission::NotSent | Submission::MayHaveBeenSent { .. } => clock::now(),
    };
    let waited = clock::now().since(since);
    let pause = retry_after.unwrap_or(waited / 4).clamp(PENDING_FIRST, PENDING_MAX);
    // The first looks come soon: most pending requests are slow ones, not ones that wait for people.
    let pause = if waited < Duration::from_secs(60) { pause.min(Duration::from_secs(5)) } else { pause };
    put_off(app, issuance, Submission::Accepted { request, since }, pause, 0).await
}

/// Nothing is issued on a proof that its account has given up (RFC 8555 §7.5.2). While the store
/// cannot be read nothing is known.
async fn withdrawn(app: &App, order: &Order) -> Option<Problem> {
    let authorizations = app.store.authorizations(&order.authorizations).await.ok()?;
    let authorizations: Vec<_> = authorizations.into_iter().map(|stored| stored.value).collect();
    order.withdrawn(&authorizations, clock::now())
}

/// An account that has ended waits for no certificate (RFC 8555 §7.3.6, CM contract section 4.4). One
/// that is suspended may come back; and while the CM cannot be asked, nothing is given up.
async fn given_up(app: &App, issuance: &Issuance) -> Option<Problem> {
    if let Some(problem) = withdrawn(app, &issuance.order.value).await {
        return Some(problem);
    }
    let account = &issuance.order.value.account;
    let registration = app.registrations.registration(&issuance.realm, account).await.ok()??;
    match AccountStatus::of(registration.status) {
        AccountStatus::Valid => None,
        AccountStatus::Deactivated | AccountStatus::Revoked => {
            policies::registration::may_order(registration.status).err()
        }
    }
}

/// Nobody waits any more and nothing was decided: the CM is told (CM contract sections 4.4 and 8). It
/// may have decided meanwhile, and what it has issued stays.
async fn withdraw(
    app: &App,
    issuance: &Issuance,
    request: &CertificateRequestId,
    problem: Problem,
) -> anyhow::Result<()> {
    match app.cm.cancel(&issuance.realm, request).await {
        Ok(()) => fail(app, issuance, problem).await,
        Err(CmError::AlreadyIssued(certificate)) => {
            accept(app, issuance, Some(request), &certificate, &claims_of(&certificate)).await
        }
        Err(error) => come_back(app, issuance, &error).await,
    }
}

fn over() -> Problem {
    let detail = "the certificate authority did not issue before the order expired; create a new order";
    Problem::new(ProblemKind::ServerInternal, detail)
}

fn not_taken() -> Problem {
    let detail = "the certificate authority does not take requests from this server; the operator was told";
    Problem::new(ProblemKind::ServerInternal, detail)
}

/// Nothing was decided; come back, asking first what became of the request.
async fn come_back(app: &App, issuance: &Issuance, error: &CmError) -> anyhow::Result<()> {
    let attempt = issuance.job.value.attempt;
    let order = &issuance.order.value.id;
    if matches!(error, CmError::Unavailable { .. } | CmError::RateLimited { .. }) {
        tracing::warn!(%order, attempt, %error, "the CM has not decided; the order stays in processing");
    } else {
        tracing::error!(%order, attempt, %error, "ALARM: the CM's answer is of no use; the order stays in processing");
    }
    let wanted = match error {
        CmError::Unavailable { retry_after, .. } | CmError::RateLimited { retry_after, .. } => {
            retry_after.unwrap_or_default()
        }
        CmError::Internal { .. }
        | CmError::Refused(_)
        | CmError::EvidenceRefused(_)
        | CmError::KeyInUse { .. }
        | CmError::AlreadyRevoked
        | CmError::AlreadyIssued(_) => AWAY_MAX,
    };
    let backoff = Duration::from_secs(1 << attempt.min(6)).min(AWAY_MAX);
    let submission = match &issuance.submission {
        Submission::NotSent => Submission::MayHaveBeenSent { since: clock::now() },
        other @ (Submission::MayHaveBeenSent { .. } | Submission::Accepted { .. }) => other.clone(),
    };
    put_off(app, issuance, submission, wanted.max(backoff), attempt.saturating_add(1)).await
}

async fn put_off(
    app: &App,
    issuance: &Issuance,
    submission: Submission,
    pause: Duration,
    attempt: u32,
) -> anyhow::Result<()> {
    let mut commit = Commit::new();
    commit.update_job(&issuance.job, issuance.job_with(submission, clock::now().plus(pause), attempt));
    Ok(app.store.commit(commit).await?)
}

impl Issuance {
    /// Whether the order has expired. What the CM has issued by then counts all the same.
    fn is_over(&self) -> bool {
        self.order.value.expires <= clock::now()
    }

    fn job_with(&self, submission: Submission, due_at: Timestamp, attempt: u32) -> Job {
        let work = Work::Issue {
            order: self.order.value.id.clone(),
            realm: self.realm.clone(),
            idempotency_key: self.key.clone(),
            csr: self.csr.clone(),
            request: self.octets.clone(),
            submission,
        };
        Job { id: self.job.value.id.clone(), due_at, attempt, work }
    }
}

#[cfg(test)]
mod tests;
