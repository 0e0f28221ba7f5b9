//! The end of jobs whose record cannot be read: what they were to do is not known, so nobody may wait for it.

use acme::{
    order::Progress,
    problem::{Problem, ProblemKind},
};
use store::{Commit, DamagedJob};

use crate::{
    app::App,
    audit::{self, Event},
    clock,
    telemetry::metrics::Ending,
};

/// Ends the orders of damaged jobs and forgets the jobs. One that cannot be ended now is found again by the next look.
pub(crate) async fn end_damaged_jobs(app: &App) -> anyhow::Result<()> {
    for damaged in app.store.damaged_jobs(clock::now()).await? {
        if let Err(error) = end(app, &damaged).await {
            tracing::error!(job = %damaged.id, error = format!("{error:#}"), "cannot forget a damaged job");
        }
    }
    Ok(())
}

async fn end(app: &App, damaged: &DamagedJob) -> anyhow::Result<()> {
    let (now, mut commit) = (clock::now(), Commit::new());
    commit.forget_damaged_job(damaged);
    let order = app.store.order_of_issuance(&damaged.id).await?;
    let stored = match &order {
        // An order that is damaged too ends with its time; nobody can be shown it.
        Some(id) => app.store.order(id).await.ok().flatten(),
        None => None,
    };
    let forgotten = Event::JobForgotten { job: &damaged.id, order: order.as_ref(), why: damaged.why.to_string() };
    audit::add(app, &mut commit, now, &forgotten);
    // A revocation leaves nothing by which it could be known again, so it is what nothing else is known to be.
    let may_be_revocation = order.is_none() && !app.store.is_validation(&damaged.id).await?;
    if may_be_revocation {
        let why = "the record of a job that may have been a promised revocation cannot be read";
        let unmade = Event::RevocationFailed { endpoint: None, account: None, certificate: None, reason: None, why };
        audit::add(app, &mut commit, now, &unmade);
    }
    let waiting = stored.filter(|stored| matches!(stored.value.progress, Progress::Finalizing { .. }));
    let failed =
        waiting.and_then(|stored| Some((stored.value.record_failed(lost(app, &stored.value.endpoint))?, stored)));
    if let Some((next, stored)) = &failed {
        audit::add(app, &mut commit, now, &Event::OrderFailed { order: next });
        commit.update_order(stored, next.clone(), app.keep_until(next.expires));
    }
    app.store.commit(commit).await?;
    let why = &damaged.why;
    match order {
        Some(order) => tracing::error!(job = %damaged.id, %order, %why,
            "ALARM: the issuance job of an order cannot be read; the order has ended, and the job is forgotten; if the CM has \
             the request, it is not cancelled, and what it issues is not delivered"),
        None if may_be_revocation => tracing::error!(job = %damaged.id, %why,
            "ALARM: a job cannot be read and is forgotten; it was a report of a delivery, or a revocation that was promised to a \
             client: look for a revocation.requested without an end in the audit log"),
        None => tracing::error!(job = %damaged.id, %why,
            "ALARM: a validation cannot be read and is forgotten; the client has to order again"),
    }
    if may_be_revocation {
        app.metrics.revocations_failed.inc();
    }
    if let Some((next, _)) = failed {
        app.metrics.orders_failed.inc();
        let problem = lost(app, &next.endpoint);
        app.metrics.issuance.ended(&next.endpoint, Some(&next.profile), Ending::Failed(&problem));
        app.waiters.wake(&next.id);
    }
    Ok(())
}

/// What the client is told.
fn lost(app: &App, endpoint: &acme::ids::EndpointName) -> Problem {
    let detail = "this server has lost what the certificate was to be requested with; create a new order";
    let problem = Problem::new(ProblemKind::ServerInternal, detail);
    match app.endpoints.get(endpoint) {
        Some(endpoint) => endpoint.compatibility.told(problem),
        None => problem,
    }
}
