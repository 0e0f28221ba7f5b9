//! Whether an answer about a certificate request is about the one that was sent (CM contract section 7, V11).

use acme::ids::RegistrationId;
use serde::Deserialize;

use super::{
    client::{Answer, decode},
    failure::{Failure, Silence},
    wire::request::RequestIn,
};
use crate::RequestState;

/// The members of a certificate request that judging its answer needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct About {
    pub(super) registration: RegistrationId,
    pub(super) order_ref: String,
}

/// The state of a request that was asked for by something of its own.
pub(super) fn request_state(answer: Answer) -> Result<RequestState, Failure> {
    decode::<RequestIn>(answer.json)?.convert(answer.retry_after).map_err(Failure::Broken)
}

/// The answer to a submission. One that is about another order is none, and what became of this order has to be
/// asked: believed, it would end this order, and the other one's certificate would be reported as wrong.
pub(super) fn submitted(answer: Answer, about: Option<&About>) -> Result<RequestState, Failure> {
    let request = decode::<RequestIn>(answer.json)?;
    if about.is_some_and(|about| !request.is_about(&about.order_ref)) {
        tracing::error!("ALARM: the CM answered a certificate request with what is about another order");
        return Err(Failure::lost(Silence::NotTheCm { status: answer.status.as_u16() }));
    }
    request.convert(answer.retry_after).map_err(Failure::Broken)
}
