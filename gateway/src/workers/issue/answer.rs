//! What became of the request: asked in the way that can never lead to two certificates.

use std::time::Duration;

use cm_connector::{CmError, Outcome, RequestState};
use store::{Commit, Submission};

use super::{Issuance, ending::over, waiting::STOPPED_PAUSE};
use crate::{
    app::App,
    clock,
    ra::profile_stop::is_stopped,
    workers::caa::{self, Standing},
};

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
pub(super) async fn note_intent(app: &App, issuance: &mut Issuance) -> anyhow::Result<()> {
    let submission = Submission::MayHaveBeenSent { since: clock::now() };
    let next = issuance.job_with(submission.clone(), issuance.job.value.due_at, issuance.job.value.attempt);
    let mut commit = Commit::new();
    commit.update_job(&issuance.job, next);
    app.store.commit(commit).await?;
    let Some(job) = app.store.job(&issuance.job.value.id).await? else { anyhow::bail!("the job is gone") };
    issuance.job = job;
    Ok(())
}

pub(super) async fn ask(app: &App, issuance: &Issuance) -> anyhow::Result<(Asked, Result<RequestState, CmError>)> {
    let submit = || app.cm.submit(&issuance.realm, &issuance.key, &issuance.octets, SUBMIT_WAIT);
    Ok(match &issuance.submission {
        Submission::NotSent => (Asked::Submitted, submit().await),
        Submission::MayHaveBeenSent { .. } => match app.cm.request_by_key(&issuance.realm, &issuance.key).await {
            Ok(Some(state)) => (Asked::LookedUp, Ok(state)),
            Ok(None) if issuance.is_over() => (Asked::Submitted, Err(CmError::Refused(over()))),
            // The CM does not have it, and must not get it now.
            Ok(None) if is_stopped(app, &issuance.realm, &issuance.order.value.profile).await? => {
                let stopped = CmError::Unavailable { retry_after: Some(STOPPED_PAUSE), outcome: Outcome::NotSent };
                (Asked::LookedUp, Err(stopped))
            }
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
