//! What is known of a certificate that is to be revoked: from the store if it was issued here, else from the CM.
//!
//! The store knows the fingerprint of each certificate that it has claimed a serial for, because anybody can make a
//! certificate that carries the serial of another. What the store does not know says nothing: another gateway of the same
//! realm may have issued it, or an earlier release, or the store was lost.

use acme::{
    certificate::{CertificateId, PresentedCertificate},
    ids::RegistrationId,
    problem::ProblemKind,
};
use cm_connector::{CertificateStatus, RevocationRecord};
use store::Issued;

use crate::{
    app::{App, Endpoint},
    ra::Error,
};

/// A certificate of the endpoint's realm.
pub(super) struct Known {
    /// The CM's name of it.
    pub(super) certificate: CertificateId,
    /// The account that it was issued to.
    pub(super) owner: RegistrationId,
    /// That it is revoked for good, as far as the CM was asked. If it was not, its answer to the revocation tells.
    pub(super) revocation: Option<RevocationRecord>,
}

/// Looks a certificate up, without the CM if possible.
pub(super) async fn certificate(
    app: &App,
    endpoint: &Endpoint,
    presented: &PresentedCertificate,
) -> Result<Known, Error> {
    if let Some(Issued { certificate, account: owner, .. }) = issued_here(app, endpoint, presented).await {
        return Ok(Known { certificate, owner, revocation: None });
    }
    let found = app.cm.find_certificate(&endpoint.realm, &presented.sha256).await?;
    let found = found.ok_or_else(|| Error::refused(ProblemKind::NotFound, "this certificate was not issued here"))?;
    Ok(Known {
        certificate: found.id,
        owner: found.registration,
        revocation: found.revocation.filter(|_| found.status != CertificateStatus::Hold),
    })
}

/// What the store knows of a certificate. A store that cannot be read knows nothing, and keeps nobody from revoking.
async fn issued_here(app: &App, endpoint: &Endpoint, presented: &PresentedCertificate) -> Option<Issued> {
    let claim = match app.store.serial_claim(&presented.authority_key_id, &presented.serial).await {
        Ok(claim) => claim,
        Err(error) => {
            tracing::warn!(%error, "whether a certificate was issued here cannot be read; the CM is asked");
            None
        }
    };
    claim?.issued.filter(|issued| issued.sha256 == presented.sha256 && issued.realm == endpoint.realm)
}

#[cfg(test)]
mod tests;
