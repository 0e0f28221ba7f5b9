//! The job behind a revocation that the CM has not confirmed yet: it is called for until it has
//! (CM contract sections 6 and 8).

use std::time::Duration;

use store::{Commit, Job, RevocationWork, Stored};

use crate::{
    app::App,
    audit::{self, Event},
    clock,
    ra::revocation::Entry,
};

/// Longest pause between two calls.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Calls the CM once more.
pub(super) async fn revoke(app: &App, job: Stored<Job>, work: &RevocationWork) -> anyhow::Result<()> {
    if work.not_after <= clock::now() {
        return match Entry::of(job.clone()) {
            Ok(entry) => Ok(entry.expire(app).await?),
            Err(error) => {
                tracing::error!(certificate = %work.certificate, error = format!("{error:#}"),
                    "ALARM: a certificate expired before it was revoked, and who asked for that cannot be read");
                let why = "the certificate expired before it was revoked, and who asked for that cannot be read";
                let event = Event::RevocationFailed {
                    endpoint: Some(&work.endpoint),
                    account: None,
                    certificate: Some(&work.certificate),
                    reason: None,
                    why,
                };
                let mut commit = Commit::new();
                commit.finish_job(&job);
                audit::add(app, &mut commit, clock::now(), &event);
                app.store.commit(commit).await?;
                app.metrics.revocations_failed.inc();
                Ok(())
            }
        };
    }
    let (id, attempt) = (job.value.id.clone(), job.value.attempt);
    let Err(unconfirmed) = Entry::of(job)?.carry_out(app).await else { return Ok(()) };
    let error = &unconfirmed.error;
    if !unconfirmed.goes_on {
        tracing::info!(certificate = %work.certificate, %error, "a revocation has ended without being done by us");
        return Ok(());
    }
    tracing::error!(certificate = %work.certificate, attempt, %error,
        "ALARM: the CM has not confirmed a revocation; it is called for again");
    let Some(job) = app.store.job(&id).await? else { return Ok(()) };
    let pause = Duration::from_secs(1 << attempt.min(6)).min(PAUSE_MAX);
    let later = Job { due_at: clock::now().plus(pause), attempt: attempt.saturating_add(1), ..job.value.clone() };
    let mut commit = Commit::new();
    commit.update_job(&job, later);
    Ok(app.store.commit(commit).await?)
}

#[cfg(test)]
mod tests;
