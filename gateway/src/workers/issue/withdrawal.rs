//! A request that is taken back, because its order is over.

use acme::{ids::CertificateRequestId, problem::Problem};
use cm_connector::{CmError, observed};

use super::{
    Issuance,
    acceptance::{accept, claims_of},
    ending::fail,
    waiting::come_back,
};
use crate::{app::App, transcript::Entry};

/// Nobody waits any more and nothing was decided: the CM is told (CM contract sections 4.4 and 8). It
/// may have decided meanwhile, and what it has issued stays.
pub(super) async fn withdraw(
    app: &App,
    issuance: &Issuance,
    request: &CertificateRequestId,
    problem: Problem,
) -> anyhow::Result<()> {
    let (cancelled, calls) = observed(app.cm.cancel(&issuance.realm, request)).await;
    issuance.tale.asked(calls);
    match cancelled {
        Ok(()) => {
            issuance.tale.add(Entry::RequestWithdrawn { request: request.clone() });
            fail(app, issuance, problem).await
        }
        Err(CmError::AlreadyIssued(certificate)) => {
            accept(app, issuance, Some(request), &certificate, &claims_of(&certificate)).await
        }
        Err(error) => come_back(app, issuance, &error).await,
    }
}
