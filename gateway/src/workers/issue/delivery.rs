//! The job that reports to the CM what became of a certificate.

use acme::{
    certificate::FailedCheck,
    ids::{CertificateRequestId, RealmName},
};
use cm_connector::{CmError, Delivery};
use store::{Job, Stored};

use crate::{app::App, workers::finish};

/// Reports to the CM that the certificate passed every check, so that it may publish it, or which it
/// failed (CM contract section 4.4, delivery).
pub(crate) async fn confirm_delivery(
    app: &App,
    job: &Stored<Job>,
    realm: &RealmName,
    request: &CertificateRequestId,
    failed: &[FailedCheck],
) -> anyhow::Result<()> {
    let outcome = if failed.is_empty() { Delivery::Accepted } else { Delivery::Refused(failed.to_vec()) };
    match app.cm.confirm_delivery(realm, request, &outcome).await {
        Err(error @ (CmError::Unavailable { .. } | CmError::RateLimited { .. })) => return Err(error.into()),
        Err(error) => {
            tracing::error!(%request, %error, "ALARM: the CM does not take the report on a certificate")
        }
        Ok(()) => {}
    }
    finish(app, job).await
}
