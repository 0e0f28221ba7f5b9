//! Revocation (RFC 8555 §7.6): by the account that was given the certificate, or by whoever holds
//! its private key. Success is reported when the CM confirmed it, never before.

use acme::{
    account_key::PublicKey, certificate::PresentedCertificate, ids::RegistrationId, problem::ProblemKind,
    revocation::RevocationReason, time::Timestamp,
};
use cm_connector::{Basis, Certificate, Client, Proof, Revocation};

use super::Error;
use crate::{
    app::{App, Endpoint},
    audit::Event,
    random,
};

/// Who asks for a revocation.
pub(crate) enum Requester<'a> {
    /// An account.
    Account(&'a RegistrationId),
    /// The holder of this key.
    Key(&'a PublicKey),
}

/// What a client asks of revokeCert.
pub(crate) struct Request<'a> {
    pub(crate) certificate: PresentedCertificate,
    pub(crate) reason: RevocationReason,
    pub(crate) requester: Requester<'a>,
    pub(crate) client: Client,
    pub(crate) proof: Proof,
}

/// Revokes a certificate.
pub(crate) async fn revoke(app: &App, endpoint: &Endpoint, request: Request<'_>, now: Timestamp) -> Result<(), Error> {
    // The key is compared before the CM is asked: whoever holds the key needs no record of ours.
    let held_key = match request.requester {
        Requester::Account(_) => None,
        Requester::Key(key) if key.to_spki_der() == request.certificate.spki_der => Some(Basis::CertificateKey),
        Requester::Key(_) => {
            return Err(Error::refused(
                ProblemKind::Unauthorized,
                "the request is signed by a key that is not the certificate's",
            ));
        }
    };
    let found = app.cm.find_certificate(&endpoint.realm, &request.certificate.sha256).await?;
    let found = found.ok_or_else(|| Error::refused(ProblemKind::NotFound, "this certificate was not issued here"))?;
    let basis = match (held_key, &request.requester) {
        (Some(basis), _) => basis,
        (None, Requester::Account(account)) if found.registration == **account => {
            Basis::Account { registration: (*account).clone() }
        }
        (None, _) => return Err(Error::not_yours("certificate")),
    };
    if found.revocation.is_some() {
        return Err(Error::refused(ProblemKind::AlreadyRevoked, "the certificate is revoked already"));
    }
    if request.certificate.not_after <= now {
        return Err(Error::refused(
            ProblemKind::Unauthorized,
            "the certificate has expired; there is nothing left to revoke",
        ));
    }
    submit(app, endpoint, request, &found, basis, now).await
}

async fn submit(
    app: &App,
    endpoint: &Endpoint,
    request: Request<'_>,
    found: &Certificate,
    basis: Basis,
    now: Timestamp,
) -> Result<(), Error> {
    let revocation = Revocation {
        certificate: found.id.clone(),
        sha256: request.certificate.sha256,
        reason: request.reason,
        block_key: matches!(basis, Basis::CertificateKey) && request.reason == RevocationReason::KeyCompromise,
        basis,
        client: request.client,
        proof: Some(request.proof),
    };
    app.cm.revoke(&endpoint.realm, &revocation, &random::id()).await?;
    app.metrics.certificates_revoked.inc();
    let event = Event::CertificateRevoked {
        endpoint: &endpoint.name,
        account: match &request.requester {
            Requester::Account(account) => Some(account),
            Requester::Key(_) => None,
        },
        client: revocation.client.ip,
        certificate: &found.id,
        reason: request.reason,
    };
    crate::audit::record(app, now, &event).await;
    Ok(())
}
