//! revokeCert (RFC 8555 §7.6): 200 with an empty body once the CM has revoked.

use acme::{
    base64url, certificate::PresentedCertificate, problem::ProblemKind, revocation::RevocationReason,
    wire::revocation::Revocation,
};
use actix_web::HttpResponse;

use crate::{
    clock,
    http::{HttpError, Reply, RevocationSigned},
    ra::revocation::{Request, Requester, revoke},
};

/// `POST /acme/{endpoint}/revoke-cert`
pub(crate) async fn post(request: RevocationSigned) -> Result<HttpResponse, HttpError> {
    match request {
        RevocationSigned::ByAccount(signed) => {
            let (certificate, reason) = decode(&signed.payload)?;
            let requester = Requester::Account(&signed.registration.id);
            let asked = Request { certificate, reason, requester, client: signed.client, proof: signed.proof };
            revoke(&signed.app, &signed.endpoint, asked, clock::now()).await?;
        }
        RevocationSigned::ByKey(signed) => {
            let (certificate, reason) = decode(&signed.payload)?;
            let requester = Requester::Key(&signed.key);
            let asked = Request { certificate, reason, requester, client: signed.client, proof: signed.proof };
            revoke(&signed.app, &signed.endpoint, asked, clock::now()).await?;
        }
    }
    Ok(Reply::ok().empty())
}

fn decode(payload: &Revocation) -> Result<(PresentedCertificate, RevocationReason), HttpError> {
    let der = base64url::decode(&payload.certificate)
        .map_err(|error| HttpError::malformed(format!("certificate is {error}")))?;
    let certificate = PresentedCertificate::parse(&der).map_err(HttpError::malformed)?;
    let reason = RevocationReason::from_code(payload.reason).ok_or_else(|| {
        let detail =
            format!("this reason is not a subscriber's to use; allowed are {}", RevocationReason::ALLOWED_CODES);
        HttpError::new(ProblemKind::BadRevocationReason, detail)
    })?;
    Ok((certificate, reason))
}
