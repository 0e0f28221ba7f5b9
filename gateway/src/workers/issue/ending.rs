//! The end of an order without a certificate, and what follows from it.

use acme::{
    order::Order,
    problem::{Problem, ProblemKind},
};
use store::Commit;

use super::{Issuance, standing::refused_by_a_clock_behind};
use crate::{
    app::App,
    audit::{self, Event},
    clock,
    telemetry::metrics::Ending,
    workers::finish,
};

pub(super) async fn fail(app: &App, issuance: &Issuance, problem: Problem) -> anyhow::Result<()> {
    if let Some(problem) = end(app, issuance, problem, Commit::new()).await? {
        let Order { endpoint, profile, .. } = &issuance.order.value;
        app.metrics.issuance.ended(endpoint, Some(profile), Ending::Failed(&problem));
    }
    Ok(())
}

/// Ends the order in a commit that has more in it, and gives back with which problem; `None` if it had ended before.
pub(super) async fn end(
    app: &App,
    issuance: &Issuance,
    problem: Problem,
    mut commit: Commit,
) -> anyhow::Result<Option<Problem>> {
    let (now, order) = (clock::now(), &issuance.order.value);
    let endpoint = app.endpoints.get(&order.endpoint);
    let problem = endpoint.map_or(problem.clone(), |endpoint| endpoint.compatibility.told(problem));
    let Some(next) = order.record_failed(problem.clone()) else {
        finish(app, &issuance.job).await?;
        return Ok(None);
    };
    issuance.tale.write(app, &mut commit, &next, now);
    audit::add(app, &mut commit, now, &Event::OrderFailed { order: &next });
    commit.update_order(&issuance.order, next.clone(), app.keep_until(next.expires));
    commit.finish_job(&issuance.job);
    app.store.commit(commit).await?;
    app.metrics.orders_failed.inc();
    app.waiters.wake(&next.id);
    Ok(Some(problem))
}

/// The CM does not believe the evidence. If its clock explains that, the proofs stay: another order may rest on them.
pub(super) async fn refuse_evidence(app: &App, issuance: &Issuance, problem: Problem) -> anyhow::Result<()> {
    if refused_by_a_clock_behind(app, issuance).await? {
        tracing::error!(order = %issuance.order.value.id,
            "ALARM: the CM refused evidence, and its clock is so far behind ours that it lies in its future; nothing \
             newly proven is sent until it does not; compare both clocks with NTP");
        return fail(app, issuance, clocks_differ()).await;
    }
    drop_proofs(app, &issuance.order.value).await?;
    fail(app, issuance, problem).await
}

/// The CM does not take these proofs, so no other order may rest on them (CM contract section 5,
/// `evidence-…`). Done before the order ends, because a job that is still there does it again after
/// a crash; a proof that is dropped already stays so.
pub(super) async fn drop_proofs(app: &App, order: &Order) -> anyhow::Result<()> {
    /// Each is a record, a place in an index, an audit entry, and an entry of a transcript with the time for
    /// which it is kept.
    const PROOFS_PER_COMMIT: usize = 24;
    let now = clock::now();
    for ids in order.authorizations.chunks(PROOFS_PER_COMMIT) {
        let mut commit = Commit::new();
        for stored in app.store.authorizations(ids).await? {
            if let Some(revoked) = stored.value.revoke(now) {
                audit::add(app, &mut commit, now, &Event::AuthorizationRevoked { authorization: &revoked });
                commit.update_authorization(&stored, revoked, app.keep_until(stored.value.expires));
            }
        }
        app.store.commit(commit).await?;
    }
    Ok(())
}

pub(super) fn over() -> Problem {
    let detail = "the certificate authority did not issue before the order expired; create a new order";
    Problem::new(ProblemKind::ServerInternal, detail)
}

pub(super) fn not_taken() -> Problem {
    let detail = "the certificate authority does not take requests from this server; the operator was told";
    Problem::new(ProblemKind::ServerInternal, detail)
}

fn clocks_differ() -> Problem {
    let detail = "the clocks of this server and of the certificate authority differ, so that what was just proven was not \
                  believed; the operator was told; create a new order in some minutes";
    Problem::new(ProblemKind::ServerInternal, detail)
}
