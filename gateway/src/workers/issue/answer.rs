//! What became of the request: asked in the way that can never lead to two certificates.

use std::time::Duration;

use cm_connector::{CmError, RequestState, observed};
use store::{Commit, Submission};

use super::Issuance;
use crate::{app::App, clock};

/// How long the CM may keep a submission before it answers that it is pending.
pub(super) const SUBMIT_WAIT: Duration = Duration::from_secs(20);

/// How the CM was asked: what a refusal means depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    /// The request was sent, for the first time or again.
    Submitted,
    /// Only what became of it was asked.
    LookedUp,
}

/// From here on the octets may have reached the CM, whatever happens to us.
async fn note_intent(app: &App, issuance: &mut Issuance) -> anyhow::Result<()> {
    let submission = Submission::MayHaveBeenSent { since: clock::now() };
    let next = issuance.job_with(submission.clone(), issuance.job.value.due_at, issuance.job.value.attempt);
    let mut commit = Commit::new();
    issuance.tale.write(app, &mut commit, &issuance.order.value, clock::now());
    commit.update_job(&issuance.job, next);
    app.store.commit(commit).await?;
    let Some(job) = app.store.job(&issuance.job.value.id).await? else { anyhow::bail!("the job is gone") };
    issuance.job = job;
    Ok(())
}

/// What became of the request; `None` if the CM does not have it.
pub(super) async fn look_up(app: &App, issuance: &Issuance) -> Option<Result<RequestState, CmError>> {
    match &issuance.submission {
        Submission::NotSent => None,
        Submission::MayHaveBeenSent { .. } => app.cm.request_by_key(&issuance.realm, &issuance.key).await.transpose(),
        Submission::Accepted { request, .. } => Some(app.cm.request(&issuance.realm, request).await),
    }
}

/// Sends what was cleared. The octets are fixed once they may have been sent, and say when CAA was
/// looked at last; the CM may find that too long ago.
pub(super) async fn send(app: &App, issuance: &mut Issuance) -> anyhow::Result<Result<RequestState, CmError>> {
    if matches!(issuance.submission, Submission::NotSent) {
        if !issuance.caa.permitted.is_empty() {
            issuance.octets = app.cm.renew_caa(&issuance.octets, &issuance.caa.permitted)?;
        }
        note_intent(app, issuance).await?;
    }
    let submit = app.cm.submit(&issuance.realm, &issuance.key, &issuance.octets, SUBMIT_WAIT);
    let (answer, calls) = observed(submit).await;
    issuance.tale.asked(calls);
    Ok(answer)
}
