//! Slow work, done outside of requests: durable jobs under bounded concurrency.
//!
//! A request commits a job together with the change that makes it necessary and wakes the runner.
//! Jobs are idempotent and their state is in the store, so whatever dies, the job runs again and
//! finishes once. No slow target holds up anyone else: validations, issuances, deliveries and revocations
//! have slots of their own, and one account cannot take all of them.

mod backlog;
mod caa;
mod cm_watch;
#[cfg(test)]
mod crash_points;
mod damaged_jobs;
mod events;
mod inspect;
mod issue;
mod revoke;
mod runner;
mod sweep;
mod validate;
mod waiters;

pub(crate) use backlog::watch_backlog;
pub(crate) use cm_watch::watch_cm;
pub(crate) use events::follow_events;
#[cfg(test)]
pub(crate) use issue::{confirm_delivery, issue};
pub(crate) use runner::{Runner, Wake};
pub(crate) use sweep::{keep_audit, keep_catalogue, sweep};
pub(crate) use waiters::Waiters;

use store::{Commit, Job, Stored};

use crate::app::App;

/// The job has nothing left to do.
async fn finish(app: &App, job: &Stored<Job>) -> anyhow::Result<()> {
    let mut commit = Commit::new();
    commit.finish_job(job);
    Ok(app.store.commit(commit).await?)
}
