//! The job that reports to the CM what became of a certificate.

use acme::{
    certificate::FailedCheck,
    ids::{CertificateRequestId, RealmName, Reference},
};
use cm_connector::{CmError, Delivery, observed};
use store::{Commit, Job, Stored, Work};

use super::second_certificate;
use crate::{
    app::App,
    clock,
    telemetry::metrics::Step,
    transcript::{self, Entry, Subject},
};

/// Attempts at a report on an order that is not known, at most: of an earlier release, some ten days.
const ATTEMPTS_MAX: u32 = 3000;

/// Whether nobody waits for the report any more: what the order was is forgotten, and so is its certificate here.
async fn has_ended(app: &App, job: &Stored<Job>) -> anyhow::Result<bool> {
    let Work::ConfirmDelivery { order, .. } = &job.value.work else { return Ok(false) };
    Ok(match order {
        Some(order) => app.store.order(order).await?.is_none(),
        None => job.value.attempt >= ATTEMPTS_MAX,
    })
}

/// Reports to the CM that the certificate passed every check, so that it may publish it, or which it
/// failed (CM contract section 4.4, delivery).
pub(crate) async fn confirm_delivery(
    app: &App,
    job: &Stored<Job>,
    realm: &RealmName,
    request: &CertificateRequestId,
    failed: &[FailedCheck],
) -> anyhow::Result<()> {
    if let Work::ConfirmDelivery { order: Some(order), look_again: true, .. } = &job.value.work
        && let Some(second) = second_certificate::look(app, realm, request, order).await?
    {
        return second_certificate::quarantine(app, job, (realm, request), &second).await;
    }
    let outcome = if failed.is_empty() { Delivery::Accepted } else { Delivery::Refused(failed.to_vec()) };
    let timer = app.metrics.issuance.begin(Step::Delivery);
    let (reported, calls) = observed(app.cm.confirm_delivery(realm, request, &outcome)).await;
    drop(timer);
    let error = match reported {
        Err(error @ (CmError::Unavailable { .. } | CmError::RateLimited { .. })) if !has_ended(app, job).await? => {
            return Err(error.into());
        }
        Err(error) => {
            tracing::error!(%request, %error, "ALARM: the CM does not take the report on a certificate");
            Some(error.to_string())
        }
        Ok(()) => None,
    };
    let (now, mut commit) = (clock::now(), Commit::new());
    if let Work::ConfirmDelivery { order: Some(order), .. } = &job.value.work {
        let subject = Subject { reference: Reference::from(order), ends: now };
        let failed = failed.iter().map(|failed| failed.check).collect();
        for entry in [Entry::CmAsked { calls }, Entry::DeliveryReported { failed, error }] {
            transcript::tell(app, &mut commit, &subject, now, &entry);
        }
    }
    commit.finish_job(job);
    Ok(app.store.commit(commit).await?)
}
