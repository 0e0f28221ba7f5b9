//! The job behind finalize: one order, one submission to the CM, one certificate or one honest
//! refusal.
//!
//! The octets and the key they are sent under were written down with the order. Before they are
//! sent the job notes that they may have been; from then on the CM is asked what became of them
//! before anything is sent again, and only ever the same octets under the same key
//! (CM contract sections 3 and 8).

use std::{sync::Arc, time::Duration};

use acme::{
    certificate::{self, Check, CheckedCertificate, Expectation, FailedCheck},
    csr::Csr,
    identifier::Identifier,
    ids::{CertificateRequestId, RealmName},
    order::{Order, Progress},
    problem::{Problem, ProblemKind, Subproblem},
    time::Timestamp,
};
use cm_connector::{Certificate, CmError, Delivery, RequestClaims, RequestState};
use policies::identifier::{Verdict, allowed};
use store::{Commit, Job, Stored, Submission, Work};

use crate::{
    app::App,
    audit::Event,
    clock,
    ra::{catalogue::Offer, certificate::Download},
};

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
pub(super) async fn issue(app: &App, job: Stored<Job>) -> anyhow::Result<()> {
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
        note_intent(app, &mut issuance).await?;
    }
    match ask(app, &issuance).await {
        Ok(RequestState::Issued { id, certificate, claims }) => {
            accept(app, &issuance, Some(&id), &certificate, &claims).await
        }
        Ok(RequestState::Pending { id, .. }) if issuance.is_over() => withdraw(app, &issuance, &id).await,
        Ok(RequestState::Pending { id, retry_after, .. }) => wait(app, &issuance, id, retry_after).await,
        Ok(RequestState::Refused { refusal, .. }) => fail(app, &issuance, refusal.problem).await,
        Err(CmError::Refused(problem) | CmError::EvidenceRefused(problem)) => fail(app, &issuance, problem).await,
        // The order has its certificate already, under whatever key (CM contract section 3, rule 7).
        Err(CmError::AlreadyIssued(certificate)) => {
            accept(app, &issuance, None, &certificate, &claims_of(&certificate)).await
        }
        Err(error) => come_back(app, &issuance, &error).await,
    }
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
    app.cm.confirm_delivery(realm, request, &Delivery::Accepted).await?;
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

async fn ask(app: &App, issuance: &Issuance) -> Result<RequestState, CmError> {
    let submit = || app.cm.submit(&issuance.realm, &issuance.key, &issuance.octets, SUBMIT_WAIT);
    match &issuance.submission {
        Submission::NotSent => submit().await,
        Submission::MayHaveBeenSent { .. } => match app.cm.request_by_key(&issuance.realm, &issuance.key).await? {
            Some(state) => Ok(state),
            None if issuance.is_over() => Err(CmError::Refused(over())),
            None => submit().await,
        },
        Submission::Accepted { request, .. } => app.cm.request(&issuance.realm, request).await,
    }
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
    let checked = match check(app, issuance, certificate, claims, now).await? {
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
    commit.update_order(&issuance.order, next.clone(), app.keep_until(next.expires));
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

/// The eleven checks of CM contract section 7 on every chain; chains beside the default one that
/// fail are left out. The outer error is ours, the inner one the certificate's.
async fn check(
    app: &App,
    issuance: &Issuance,
    certificate: &Certificate,
    claims: &RequestClaims,
    now: Timestamp,
) -> anyhow::Result<Result<Vec<CheckedCertificate>, Vec<FailedCheck>>> {
    let order = &issuance.order.value;
    let csr = Csr::parse(&issuance.csr)?;
    let offer = offer(app, &issuance.realm).await?;
    let profile = offer.profiles.iter().find(|profile| profile.name == order.profile);
    let issuer_key_ids: Vec<Vec<u8>> = profile
        .and_then(|profile| offer.issuers.get(&profile.issuer))
        .and_then(|issuer| issuer.subject_key_id.clone())
        .into_iter()
        .collect();
    let expected = Expectation {
        spki_der: csr.spki_der(),
        identifiers: &order.identifiers,
        not_before: order.not_before,
        not_after: order.not_after,
        validity_max: profile.and_then(|profile| profile.validity_max),
        issuer_key_ids: &issuer_key_ids,
        anchors: &app.anchors,
        must_staple: csr.asks_must_staple(),
        now,
    };
    let asked = RequestClaims {
        registration: order.account.clone(),
        order_ref: Some(order.id.clone()),
        csr_sha256: Some(csr.digest().0),
    };
    let mut failed: Vec<_> = claims.check(certificate, &asked).err().into_iter().collect();
    let mut chains: Vec<_> = certificate.chains.iter().collect();
    chains.sort_by_key(|chain| !chain.is_default);
    let mut checked = Vec::new();
    if chains.is_empty() {
        failed.push(FailedCheck { check: Check::Form, detail: String::from("the CM sent no chain") });
    }
    for (index, chain) in chains.into_iter().enumerate() {
        match certificate::check(chain.pem.as_bytes(), &expected, &certificate.claims) {
            Ok(good) => checked.push(good),
            Err(bad) if index == 0 => failed.extend(bad),
            Err(bad) => {
                tracing::warn!(certificate = %certificate.id, chain = %chain.name, ?bad, "an alternate chain is left out")
            }
        }
    }
    if let Some(first) = checked.first() {
        let owner = app.store.serial_owner(&first.authority_key_id, &first.serial).await?;
        if owner.is_some_and(|owner| owner != order.id) {
            failed.push(FailedCheck {
                check: Check::Serial,
                detail: String::from("the serial was issued to another order"),
            });
        }
    }
    Ok(if failed.is_empty() { Ok(checked) } else { Err(failed) })
}

/// What the CM offers, asked for now if it was away since the start: without it nobody knows the
/// issuer (V5) and the longest validity (V6).
async fn offer(app: &App, realm: &RealmName) -> anyhow::Result<Arc<Offer>> {
    if let Ok(offer) = app.catalogue.offer(realm) {
        return Ok(offer);
    }
    app.catalogue.refresh(app.cm.as_ref(), realm).await?;
    Ok(app.catalogue.offer(realm)?)
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

/// The order's time is over and nothing was decided: the CM is told that nobody waits any more
/// (CM contract section 8). It may have decided meanwhile.
async fn withdraw(app: &App, issuance: &Issuance, request: &CertificateRequestId) -> anyhow::Result<()> {
    match app.cm.cancel(&issuance.realm, request).await {
        Ok(()) => fail(app, issuance, over()).await,
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

/// Nothing was decided; come back, asking first what became of the request.
async fn come_back(app: &App, issuance: &Issuance, error: &CmError) -> anyhow::Result<()> {
    let attempt = issuance.job.value.attempt;
    tracing::warn!(order = %issuance.order.value.id, attempt, error = %error, "no answer from the CM; the order stays in processing");
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

async fn finish(app: &App, job: &Stored<Job>) -> anyhow::Result<()> {
    let mut commit = Commit::new();
    commit.finish_job(job);
    Ok(app.store.commit(commit).await?)
}

#[cfg(test)]
mod tests;
