//! What became of the request: asked in the way that can never lead to two certificates.

use std::time::Duration;

use cm_connector::{CmError, RequestState, observed};
use store::{Commit, Submission};

use super::{Issuance, standing::Grounds};
use crate::{
    app::App,
    audit::{self, Event},
    clock,
    telemetry::metrics::Step,
};

/// How long the CM may keep a submission before it answers that it is pending.
pub(super) const SUBMIT_WAIT: Duration = Duration::from_secs(20);

/// How long it is enough that the CM does not know the key: it is asked for the order too after that, for one restored from a backup may have lost the key and not the
/// order (CM contract section 8).
const KEY_TRUSTED: Duration = Duration::from_secs(600);

/// How the CM was asked: what a refusal means depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    /// The request was sent, for the first time or again.
    Submitted,
    /// Only what became of it was asked.
    LookedUp,
}

/// From here on the octets may have reached the CM, whatever happens to us. A proof that was given up since it was
/// judged makes this a conflict, and so does a stop of the profile: what comes later, comes while the CM decides.
async fn note_intent(app: &App, issuance: &mut Issuance, grounds: &Grounds) -> anyhow::Result<()> {
    let submission = match issuance.submission {
        Submission::MayHaveBeenSent { since } => Submission::MayHaveBeenSent { since },
        Submission::NotSent | Submission::Accepted { .. } => Submission::MayHaveBeenSent { since: clock::now() },
    };
    let next = issuance.job_with(submission, issuance.job.value.due_at, issuance.job.value.attempt);
    let mut commit = Commit::new();
    grounds.0.iter().for_each(|authorization| commit.unchanged_authorization(authorization));
    commit.not_stopped(&issuance.realm, &issuance.order.value.profile);
    let (order, now) = (&issuance.order.value, clock::now());
    if matches!(issuance.submission, Submission::NotSent) {
        issuance.tale.write(app, &mut commit, order, now);
        audit::add(app, &mut commit, now, &Event::CertificateRequested { order, key: &issuance.key });
    }
    commit.update_job(&issuance.job, next);
    app.store.commit(commit).await?;
    let Some(job) = app.store.job(&issuance.job.value.id).await? else { anyhow::bail!("the job is gone") };
    issuance.job = job;
    Ok(())
}

/// What became of the request; `None` if the CM does not have it.
pub(super) async fn look_up(app: &App, issuance: &Issuance) -> Option<Result<RequestState, CmError>> {
    let found = match &issuance.submission {
        Submission::NotSent => Ok(None),
        Submission::MayHaveBeenSent { since } => {
            look_up_by_key(app, issuance, clock::now().since(*since) > KEY_TRUSTED).await
        }
        Submission::Accepted { request, .. } => match app.cm.request(&issuance.realm, request).await {
            Ok(None) => {
                tracing::error!(order = %issuance.order.value.id, %request,
                    "ALARM: the CM has lost a request that it had accepted; it is asked for the order, and the request is \
                     sent again if it has none");
                look_up_by_key(app, issuance, true).await
            }
            known => known,
        },
    };
    found.transpose()
}

/// The same by its key, and if that is unknown and not to be trusted, by its order.
async fn look_up_by_key(app: &App, issuance: &Issuance, by_order_too: bool) -> Result<Option<RequestState>, CmError> {
    match app.cm.request_by_key(&issuance.realm, &issuance.key).await {
        Ok(None) if by_order_too => app.cm.request_by_order(&issuance.realm, &issuance.order.value.id).await,
        by_key => by_key,
    }
}

/// Sends what was cleared. The octets are fixed once they may have been sent, and say when CAA was
/// looked at last; the CM may find that too long ago.
pub(super) async fn send(
    app: &App,
    issuance: &mut Issuance,
    grounds: &Grounds,
) -> anyhow::Result<Result<RequestState, CmError>> {
    if matches!(issuance.submission, Submission::NotSent) && !issuance.caa.permitted.is_empty() {
        issuance.octets = app.cm.renew_caa(&issuance.octets, &issuance.caa.permitted)?;
    }
    note_intent(app, issuance, grounds).await?;
    if matches!(issuance.submission, Submission::Accepted { .. }) {
        // The CM has lost what it had accepted: it may have the request now, and not under that name.
        issuance.submission = Submission::MayHaveBeenSent { since: clock::now() };
    }
    let submit = app.cm.submit(&issuance.realm, &issuance.key, &issuance.octets, SUBMIT_WAIT);
    let timer = app.metrics.issuance.begin(Step::Submission);
    let (answer, calls) = observed(submit).await;
    drop(timer);
    issuance.tale.asked(calls);
    Ok(answer)
}
