//! A challenge: reading it, and responding to it (RFC 8555 §7.5.1).

use std::time::Duration;

use acme::{
    challenge::{ChallengeKind, ChallengeState},
    wire::authorization::ChallengeResponse,
};
use actix_web::{HttpResponse, web};

use super::{authorization::encode_challenge, id_in_path};
use crate::{
    audit::Asked,
    clock,
    http::{AccountSigned, HttpError, JsonOrNothing, Reply},
    ra,
};

/// `POST /acme/{endpoint}/chall/{authorization}/{kind}`
pub(crate) async fn post(
    path: web::Path<(String, String, String)>,
    request: AccountSigned<JsonOrNothing<ChallengeResponse>>,
) -> Result<HttpResponse, HttpError> {
    let AccountSigned { app, endpoint, registration, key, payload, client, .. } = request;
    let (_, id, kind) = path.into_inner();
    let id = id_in_path(&id, "challenge")?;
    let kind = ChallengeKind::ALL.into_iter().find(|known| known.as_str() == kind);
    let kind = kind.ok_or_else(|| ra::Error::not_found("challenge"))?;
    let authorization = match payload {
        JsonOrNothing::Nothing => ra::authorization::read(&app, &endpoint, &registration.id, &id).await?.value,
        JsonOrNothing::Json(ChallengeResponse {}) => {
            let asked = Asked { registration: &registration, client: Some(client.ip) };
            ra::challenge::respond(&app, &endpoint, (asked, &key), &id, kind, clock::now()).await?
        }
    };
    let challenge = authorization.challenge(kind).ok_or_else(|| ra::Error::not_found("challenge"))?;
    let processing = matches!(challenge.state, ChallengeState::Processing { .. });
    let reply = Reply::ok()
        .location(endpoint.links.challenge(&id, kind))
        .link("up", &endpoint.links.authorization(&id))
        .retry_after(processing.then_some(Duration::from_secs(2)));
    Ok(reply.json(&encode_challenge(&authorization, challenge, &endpoint.links)))
}
