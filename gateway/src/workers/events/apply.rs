//! What an event means for what is remembered here, and for what waits.

use std::{sync::Arc, time::Duration};

use acme::{
    ids::{OrderId, RealmName},
    time::Timestamp,
};
use cm_connector::Event;
use store::{Commit, CommitError, Job, Submission, Work};

use crate::{app::App, clock};

/// Looks at a job that is being worked on, and the pause between two of them.
const LOOKS: u32 = 8;
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Orders that wait, looked at after a gap.
const WAITING_MAX: usize = 1000;
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Applies one event. Doing it again does no harm.
pub(super) async fn apply(app: &Arc<App>, realm: &RealmName, event: &Event) {
    match event {
        // What we have changed ourselves we know: it must not be gone when the CM is.
        Event::Registration { id, version: Some(version) } => app.registrations.invalidate_before(id, *version),
        Event::Registration { id, version: None } => app.registrations.invalidate(id),
        // Its chains do not change: they can be downloaded while the CM is away.
        Event::Certificate(id) => app.renewal_infos.forget(realm, id),
        Event::CertificateRequest(order) => {
            // The feed does not wait for one order.
            let (app, order) = (app.clone(), order.clone());
            tokio::spawn(async move {
                if let Err(error) = hasten(&app, &order, clock::now()).await {
                    tracing::warn!(%order, error = format!("{error:#}"), "an order waits for its next look at the CM");
                }
            });
        }
        Event::Realm => {
            // Each registration was read under what the realm allowed then.
            app.registrations.forget_all(realm);
            refresh_offer(app, realm).await;
        }
        Event::Offer => refresh_offer(app, realm).await,
    }
}

async fn refresh_offer(app: &App, realm: &RealmName) {
    if let Err(error) = app.catalogue.refresh(app.cm.as_ref(), realm).await {
        tracing::warn!(%realm, %error, "cannot read what the CM offers now");
    }
}

/// Forgets everything that the CM may have changed unseen.
pub(super) async fn forget_everything(app: &App, realm: &RealmName) {
    app.registrations.forget_all(realm);
    app.renewal_infos.forget_all();
    app.downloads.forget_all();
    refresh_offer(app, realm).await;
    look_again(app, realm, Duration::ZERO).await;
}

/// Has every request of this realm that waits for the CM looked at within this time, spread over it.
pub(super) async fn look_again(app: &App, realm: &RealmName, within: Duration) {
    let waiting = match app.store.due_jobs(clock::now().plus(YEAR), WAITING_MAX).await {
        Ok(jobs) => jobs,
        Err(error) => return tracing::warn!(%error, "orders wait for their next look at the CM"),
    };
    for job in waiting {
        let by = clock::now().plus(within.mul_f64(rand::random()));
        if let Work::Issue { order, realm: of, submission: Submission::Accepted { .. }, .. } = &job.value.work
            && of == realm
            && job.value.due_at > by
            && let Err(error) = hasten(app, order, by).await
        {
            tracing::warn!(%order, error = format!("{error:#}"), "an order waits for its next look at the CM");
        }
    }
}

/// Makes the issuance job of an order due by this time. One that is being worked on may have asked just before
/// this happened, so it is looked at again when it has been put off.
async fn hasten(app: &App, order: &OrderId, by: Timestamp) -> anyhow::Result<()> {
    let id = Job::issuance_id(order);
    for _ in 0..LOOKS {
        let Some(job) = app.store.job(&id).await? else { return Ok(()) };
        if job.value.due_at > by {
            let mut commit = Commit::new();
            commit.update_job(&job, Job { due_at: by, ..job.value.clone() });
            match app.store.commit(commit).await {
                Err(CommitError::Conflict) => continue,
                outcome => outcome?,
            }
            app.wake.now();
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}
