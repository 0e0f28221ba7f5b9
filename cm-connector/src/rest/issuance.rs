//! Certificate requests: asking, looking what became of one, withdrawing, confirming (CM contract
//! section 4.4). An answer is about the one that was sent, or it is none (section 7, V11).

use std::time::Duration;

use acme::{
    caa::CaaEvidence,
    ids::{AuthorizationId, CertificateRequestId, IdempotencyKey, OrderId, RealmName, RegistrationId},
};
use serde::Deserialize;

use super::{
    JSON, RestCertificateManager, WAIT_SECS_MAX,
    call::{Answer, BODY_OCTETS_MAX, Call, decode},
    failure::{Failure, Silence},
    headers::idempotency_key,
    not_what_was_asked_for, octets, post,
    refusal::{Code, Subject},
    unfit,
    wire::{
        request::{DeliveryOut, RequestIn, RequestOut},
        validation::with_caa,
    },
};
use crate::{
    CertificateRequest, CmError, Delivery, RequestState,
    transport::{deadline::Deadline, lane::Lane},
};

/// The members of a certificate request that judging its answer needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    registration: RegistrationId,
    order_ref: String,
}

pub(crate) fn certificate_request(request: &CertificateRequest) -> Result<Vec<u8>, CmError> {
    not_too_large(octets(&RequestOut::of(request))?)
}

pub(crate) fn renew_caa(request: &[u8], looks: &[(AuthorizationId, CaaEvidence)]) -> Result<Vec<u8>, CmError> {
    not_too_large(with_caa(request, looks).map_err(|error| unfit(error.to_string()))?)
}

pub(super) async fn submit(
    cm: &RestCertificateManager,
    realm: &RealmName,
    key: &IdempotencyKey,
    request: &[u8],
    wait: Duration,
) -> Result<RequestState, CmError> {
    let path = format!("/realms/{realm}/certificate-requests");
    let mut call = Call::post(Lane::Issuance, path, Some((JSON, request.to_vec())), Deadline::SUBMIT);
    call.headers.push(idempotency_key(key)?);
    call.headers.push(("prefer", format!("wait={}", wait.as_secs().min(WAIT_SECS_MAX))));
    // What the octets are about is in the octets: they may come from a journal.
    let about = serde_json::from_slice::<About>(request).ok();
    let state = cm.client.send(&call).await.and_then(|answer| submitted(answer, about.as_ref()));
    match (state, about) {
        (Ok(state), _) => Ok(state),
        (Err(failure), Some(about)) => {
            Err(cm.refused(realm, &about.registration, failure, Subject::Registration).await)
        }
        (Err(failure), None) => Err(failure.into_error(Subject::Registration)),
    }
}

pub(super) async fn request_by_key(
    cm: &RestCertificateManager,
    realm: &RealmName,
    key: &IdempotencyKey,
) -> Result<Option<RequestState>, CmError> {
    let found = async {
        let path = format!("/realms/{realm}/certificate-requests");
        let by = ("idempotencyKey", key.to_string());
        cm.look_up(Lane::Issuance, path, by).await?.map(request_state).transpose()
    };
    found.await.map_err(|failure| failure.into_error(Subject::Request))
}

pub(super) async fn request_by_order(
    cm: &RestCertificateManager,
    realm: &RealmName,
    order: &OrderId,
) -> Result<Option<RequestState>, CmError> {
    let found = async {
        let path = format!("/realms/{realm}/certificate-requests");
        let Some(answer) = cm.look_up(Lane::Issuance, path, ("orderRef", order.to_string())).await? else {
            return Ok(None);
        };
        let request = decode::<RequestIn>(answer.json)?;
        if !request.is_about(order.as_str()) {
            return Err(not_what_was_asked_for());
        }
        request.convert(answer.retry_after).map(Some).map_err(Failure::Broken)
    };
    found.await.map_err(|failure| failure.into_error(Subject::Request))
}

pub(super) async fn request(
    cm: &RestCertificateManager,
    realm: &RealmName,
    id: &CertificateRequestId,
) -> Result<Option<RequestState>, CmError> {
    let state = async {
        let answer = match cm.read(Lane::Issuance, request_path(realm, id), None).await {
            Ok(answer) => answer,
            Err(failure) if failure.is(Code::NotFound) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let state = request_state(answer)?;
        let (RequestState::Issued { id: answered, .. }
        | RequestState::Pending { id: answered, .. }
        | RequestState::Refused { id: answered, .. }) = &state;
        if answered == id { Ok(Some(state)) } else { Err(not_what_was_asked_for()) }
    };
    state.await.map_err(|failure| failure.into_error(Subject::Request))
}

pub(super) async fn cancel(
    cm: &RestCertificateManager,
    realm: &RealmName,
    id: &CertificateRequestId,
) -> Result<(), CmError> {
    let path = format!("{}/cancel", request_path(realm, id));
    let call = Call::post(Lane::Issuance, path, None, Deadline::WRITE_ONCE);
    match cm.client.send(&call).await {
        Ok(_) => Ok(()),
        Err(failure) => Err(failure.into_error(Subject::Request)),
    }
}

pub(super) async fn confirm_delivery(
    cm: &RestCertificateManager,
    realm: &RealmName,
    id: &CertificateRequestId,
    outcome: &Delivery,
) -> Result<(), CmError> {
    let path = format!("{}/delivery", request_path(realm, id));
    let call = post(path, &DeliveryOut::of(outcome), Lane::Issuance, Deadline::WRITE)?;
    match cm.client.send(&call).await {
        Ok(_) => Ok(()),
        Err(failure) => Err(failure.into_error(Subject::Request)),
    }
}

/// The state of a request that was asked for by something of its own.
fn request_state(answer: Answer) -> Result<RequestState, Failure> {
    decode::<RequestIn>(answer.json)?.convert(answer.retry_after).map_err(Failure::Broken)
}

/// The answer to a submission. One that is about another order is none, and what became of this order has to be
/// asked: believed, it would end this order, and the other one's certificate would be reported as wrong.
fn submitted(answer: Answer, about: Option<&About>) -> Result<RequestState, Failure> {
    let request = decode::<RequestIn>(answer.json)?;
    if about.is_some_and(|about| !request.is_about(&about.order_ref)) {
        tracing::error!("ALARM: the CM answered a certificate request with what is about another order");
        return Err(Failure::lost(Silence::NotTheCm { status: answer.status.as_u16() }));
    }
    request.convert(answer.retry_after).map_err(Failure::Broken)
}

fn not_too_large(request: Vec<u8>) -> Result<Vec<u8>, CmError> {
    if request.len() > BODY_OCTETS_MAX {
        return Err(unfit(format!("a certificate request of {} octets is larger than the CM takes", request.len())));
    }
    Ok(request)
}

fn request_path(realm: &RealmName, id: &CertificateRequestId) -> String {
    format!("/realms/{realm}/certificate-requests/{id}")
}
