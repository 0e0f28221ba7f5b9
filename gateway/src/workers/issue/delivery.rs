//! The job that reports to the CM what became of a certificate.

use acme::ids::{CertificateRequestId, RealmName};
use cm_connector::{CmError, Delivery};
use store::{Job, Stored};

use crate::{app::App, workers::finish};

/// Reports to the CM that the certificate passed every check, so that it may publish it
/// (CM contract section 4.4, delivery).
pub(in crate::workers) async fn confirm_delivery(
    app: &App,
    job: &Stored<Job>,
    realm: &RealmName,
    request: &CertificateRequestId,
) -> anyhow::Result<()> {
    match app.cm.confirm_delivery(realm, request, &Delivery::Accepted).await {
        Err(error @ (CmError::Unavailable { .. } | CmError::RateLimited { .. })) => return Err(error.into()),
        Err(error) => {
            tracing::error!(%request, %error, "ALARM: the CM does not take the report on a delivered certificate")
        }
        Ok(()) => {}
    }
    finish(app, job).await
}
