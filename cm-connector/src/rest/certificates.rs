//! Certificates: found, revoked, when to be renewed (CM contract sections 4.5 to 4.7).

use acme::{
    certificate::CertificateId,
    ids::{IdempotencyKey, RealmName},
    problem::{Problem, ProblemKind},
};

use super::{
    JSON, RestCertificateManager,
    call::{Answer, Call, decode},
    failure::Failure,
    headers::idempotency_key,
    not_what_was_asked_for, octets,
    refusal::Subject,
    wire::{
        certificate::CertificateIn,
        renewal_info::RenewalInfoIn,
        revocation::{RevocationOut, RevokedIn},
    },
};
use crate::{
    Capability, Certificate, CmError, RenewalInfo, Revocation, Revoked,
    transport::{deadline::Deadline, lane::Lane},
};

pub(super) async fn certificate(
    cm: &RestCertificateManager,
    realm: &RealmName,
    id: &CertificateId,
) -> Result<Option<Certificate>, CmError> {
    let found = async {
        let path = format!("/realms/{realm}/certificates/{id}");
        let Some(answer) = cm.find(Lane::Rest, path).await? else { return Ok(None) };
        let certificate = certificate_of(answer)?;
        if certificate.id == *id { Ok(Some(certificate)) } else { Err(not_what_was_asked_for()) }
    };
    found.await.map_err(|failure| failure.into_error(Subject::Certificate))
}

pub(super) async fn find_certificate(
    cm: &RestCertificateManager,
    realm: &RealmName,
    sha256: &[u8; 32],
) -> Result<Option<Certificate>, CmError> {
    let found = async {
        let path = format!("/realms/{realm}/certificates");
        let by = ("sha256", data_encoding::HEXLOWER.encode(sha256));
        let Some(answer) = cm.look_up(Lane::Revocation, path, by).await? else { return Ok(None) };
        let certificate = certificate_of(answer)?;
        if certificate.claims.sha256 == *sha256 { Ok(Some(certificate)) } else { Err(not_what_was_asked_for()) }
    };
    found.await.map_err(|failure| failure.into_error(Subject::Certificate))
}

pub(super) async fn renewal_info(
    cm: &RestCertificateManager,
    realm: &RealmName,
    id: &CertificateId,
) -> Result<Option<RenewalInfo>, CmError> {
    if !cm.standing.offers(Capability::RenewalInfo) {
        return Err(no_renewal_info());
    }
    let found = async {
        let path = format!("/realms/{realm}/certificates/{id}/renewal-info");
        let Some(Answer { json, retry_after, .. }) = cm.find(Lane::Rest, path).await? else { return Ok(None) };
        decode::<RenewalInfoIn>(json)?.convert(retry_after).map(Some).map_err(Failure::Broken)
    };
    found.await.map_err(|failure| failure.into_error(Subject::Certificate))
}

pub(crate) fn revocation_request(revocation: &Revocation) -> Result<Vec<u8>, CmError> {
    octets(&RevocationOut::of(revocation))
}

pub(super) async fn revoke(
    cm: &RestCertificateManager,
    realm: &RealmName,
    certificate: &CertificateId,
    key: &IdempotencyKey,
    request: &[u8],
) -> Result<Revoked, CmError> {
    let path = format!("/realms/{realm}/certificates/{certificate}/revoke");
    let mut call = Call::post(Lane::Revocation, path, Some((JSON, request.to_vec())), Deadline::REVOKE);
    call.headers.push(idempotency_key(key)?);
    let revoked = async {
        let answer = cm.client.send(&call).await?;
        decode::<RevokedIn>(answer.json)?.convert(certificate).map_err(Failure::Broken)
    };
    revoked.await.map_err(|failure| failure.into_error(Subject::Certificate))
}

fn no_renewal_info() -> CmError {
    CmError::Refused(Problem::new(
        ProblemKind::NotFound,
        "this certificate authority does not say when certificates should be renewed",
    ))
}

fn certificate_of(answer: Answer) -> Result<Certificate, Failure> {
    decode::<CertificateIn>(answer.json)?.convert().map_err(Failure::Broken)
}
