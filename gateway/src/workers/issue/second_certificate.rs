//! A second certificate for one request: the CM's idempotency is broken, and nothing more is asked for in the realm (CM
//! contract section 8, duplicated answers).
//!
//! The first one that passed every check is the client's and stays. If the CM was asked more than once, it is asked
//! whether there is another one right before it is told that the first was taken: from then on it may publish what it
//! has.

use acme::{
    certificate::{CertificateId, Check, FailedCheck},
    ids::{CertificateRequestId, OrderId, RealmName},
    order::{Order, Progress},
};
use cm_connector::{Certificate, CmError, RequestState};
use store::{Commit, Job, Stored, Work};

use crate::{app::App, clock, ra::profile_stop, telemetry::metrics::Ending};

/// Another certificate than the one that the order has.
pub(super) struct Second {
    order: Order,
    first: CertificateId,
    certificate: Box<Certificate>,
}

/// Asks the CM once more which certificate the request has.
///
/// # Errors
/// The CM or the store cannot be asked now.
pub(super) async fn look(
    app: &App,
    realm: &RealmName,
    request: &CertificateRequestId,
    order: &OrderId,
) -> anyhow::Result<Option<Second>> {
    let Some(order) = app.store.order(order).await? else { return Ok(None) };
    let Progress::Issued { certificate: first, .. } = &order.value.progress else { return Ok(None) };
    match app.cm.request(realm, request).await {
        Ok(Some(RequestState::Issued { certificate, .. })) if certificate.id != *first => {
            let first = first.clone();
            Ok(Some(Second { order: order.value, first, certificate }))
        }
        Ok(Some(RequestState::Issued { .. })) => Ok(None),
        Err(error @ (CmError::Unavailable { .. } | CmError::RateLimited { .. })) => Err(error.into()),
        // It has the certificate, for it was checked; what the CM says now says nothing of a second one.
        other => {
            tracing::error!(%request, ?other, "ALARM: the CM does not say any more that it has issued what it has issued");
            Ok(None)
        }
    }
}

/// Keeps the second certificate for operators, stops the realm, and has it reported to the CM in place of the first.
pub(super) async fn quarantine(
    app: &App,
    job: &Stored<Job>,
    (realm, request): (&RealmName, &CertificateRequestId),
    second: &Second,
) -> anyhow::Result<()> {
    let (order, certificate, now) = (&second.order, second.certificate.as_ref(), clock::now());
    tracing::error!(order = %order.id, first = %second.first, second = %certificate.id,
        "ALARM: the CM has issued a second certificate for one request; nothing more is asked for in its realm");
    let failed = vec![FailedCheck {
        check: Check::Claims,
        detail: format!("the request was answered with certificate {} before", second.first),
    }];
    let mut commit = Commit::new();
    profile_stop::record_second(app, &mut commit, (realm, order), (request, certificate), &failed, now).await?;
    let (realm, request) = (realm.clone(), request.clone());
    let work = Work::ConfirmDelivery { realm, request, failed, order: Some(order.id.clone()), look_again: false };
    commit.update_job(job, Job { due_at: now, work, ..job.value.clone() });
    app.store.commit(commit).await?;
    app.metrics.certificates_withheld.inc();
    app.metrics.issuance.ended(&order.endpoint, Some(&order.profile), Ending::Withheld(Some(Check::Claims)));
    app.wake.now();
    Ok(profile_stop::show(app).await?)
}
