//! A certificate has come: nothing reaches the client before it is the one that was asked for.

use std::time::Duration;

use acme::{
    certificate::{self, FailedCheck},
    ids::CertificateRequestId,
    order::Progress,
    problem::{Problem, ProblemKind},
    time::Timestamp,
};
use cm_connector::{Certificate, RequestClaims, RequestState, observed};
use store::{Commit, Issued, Job, SerialClaim, Submission};

use super::{
    Issuance,
    ending::end,
    waiting::{come_back, put_off},
};
use crate::{
    app::App,
    audit::{self, Event},
    clock,
    ra::{certificate::Download, profile_stop},
    telemetry::metrics::{Ending, Step},
    transcript::{Entry, PutOff},
    workers::{
        finish,
        inspect::{Asked, inspect},
    },
};

/// What a certificate says about the request that it answers.
pub(super) fn claims_of(certificate: &Certificate) -> RequestClaims {
    RequestClaims {
        registration: certificate.registration.clone(),
        order_ref: certificate.order_ref.clone(),
        csr_sha256: None,
    }
}

/// Nothing reaches the client before the certificate is the one that was asked for.
pub(super) async fn accept(
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
    let Issuance { realm, order, csr, terms, .. } = issuance;
    let asked = Asked { realm, order: &order.value, csr, terms: terms.as_ref() };
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
        let issued = Issued {
            realm: issuance.realm.clone(),
            account: next.account.clone(),
            certificate: certificate.id.clone(),
            sha256: first.sha256,
        };
        let claim = SerialClaim { order: next.id.clone(), issued: Some(issued) };
        commit.claim_serial(&first.authority_key_id, &first.serial, &claim, keep_until);
    }
    issuance.tale.add(Entry::CertificateChecked { certificate: certificate.id.clone(), failed: Vec::new() });
    issuance.tale.write(app, &mut commit, &next, now);
    let event = Event::CertificateIssued { order: &next, certificate: &certificate.id, request, checked: first };
    audit::add(app, &mut commit, now, &event);
    commit.update_order(&issuance.order, next.clone(), app.keep_issued_until(now, next.expires));
    commit.finish_job(&issuance.job);
    if let Some(request) = request {
        let (realm, request) = (issuance.realm.clone(), request.clone());
        commit.create_job(Job::report_taken(&next.id, realm, request, issuance.may_have_a_second(), now));
    }
    app.store.commit(commit).await?;
    let chains: Vec<String> = checked.into_iter().map(|chain| chain.chain_pem).collect();
    let download = Download { owner: next.account.clone(), chains: chains.into() };
    app.downloads.keep(certificate.id.clone(), download);
    app.metrics.certificates_issued.inc();
    app.metrics.issuance.ended(&next.endpoint, Some(&next.profile), Ending::Issued);
    if let Progress::Finalizing { since, .. } = issuance.order.value.progress {
        app.metrics.issuance.took(Step::Issuance, now.since(since));
    }
    app.waiters.wake(&next.id);
    Ok(())
}

/// The order has its certificate from a request that this gateway does not know. The CM is asked which one that is: it
/// waits to be told what became of its certificate, and may have made another one for ours.
pub(super) async fn accept_earlier(
    app: &App,
    issuance: &mut Issuance,
    certificate: &Certificate,
) -> anyhow::Result<()> {
    let (found, calls) = observed(app.cm.request_by_order(&issuance.realm, &issuance.order.value.id)).await;
    issuance.tale.asked(calls);
    let request = match found {
        Ok(found) => found.map(|state| match state {
            RequestState::Issued { id, .. } | RequestState::Pending { id, .. } | RequestState::Refused { id, .. } => id,
        }),
        Err(error) => return come_back(app, issuance, &error).await,
    };
    if request.is_none() {
        tracing::error!(order = %issuance.order.value.id, certificate = %certificate.id,
            "ALARM: the CM says that the order has a certificate, and knows no request for it; it cannot be told what \
             becomes of it");
    }
    if matches!(issuance.submission, Submission::NotSent) {
        issuance.submission = Submission::MayHaveBeenSent { since: clock::now() };
    }
    accept(app, issuance, request.as_ref(), certificate, &claims_of(certificate)).await
}

/// How long to hold a certificate that begins a little ahead of our clock, until it may be delivered; `None`
/// if it may be now, or begins so much later that it is not held but wrong (CM contract section 8, clock
/// skew).
pub(super) fn begins_later(not_before: Timestamp, now: Timestamp) -> Option<Duration> {
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
        Some(request) => Submission::Accepted { request: request.clone(), since, approval: false },
        None => Submission::MayHaveBeenSent { since },
    };
    put_off(app, issuance, PutOff::Held {}, submission, pause, 0).await
}

/// A wrong certificate is kept for operators, reported to the CM and shown to nobody; its profile is
/// stopped. All of that is written with the end of the order.
async fn quarantine(
    app: &App,
    issuance: &Issuance,
    request: Option<&CertificateRequestId>,
    certificate: &Certificate,
    failed: Vec<FailedCheck>,
) -> anyhow::Result<()> {
    let (order, now) = (&issuance.order.value, clock::now());
    let failed_first = failed.first().map(|failed| failed.check);
    tracing::error!(order = %order.id, certificate = %certificate.id, ?failed,
        "ALARM: the CM returned a certificate that is not the one asked for; it is withheld");
    issuance.tale.add(Entry::CertificateChecked { certificate: certificate.id.clone(), failed: failed.clone() });
    let mut commit = Commit::new();
    issuance.tale.write(app, &mut commit, order, now);
    let (of, what) = ((&issuance.realm, order), (request, certificate));
    profile_stop::record(app, &mut commit, of, what, &failed, now).await?;
    if let Some(request) = request {
        commit.create_job(Job::report_refused(&order.id, issuance.realm.clone(), request.clone(), failed, now));
    }
    let detail = "the certificate authority returned a certificate that is not the one asked for; it was withheld and the operator was told";
    if end(app, issuance, Problem::new(ProblemKind::ServerInternal, detail), commit).await?.is_some() {
        app.metrics.issuance.ended(&order.endpoint, Some(&order.profile), Ending::Withheld(failed_first));
    }
    app.metrics.certificates_withheld.inc();
    Ok(profile_stop::show(app).await?)
}
