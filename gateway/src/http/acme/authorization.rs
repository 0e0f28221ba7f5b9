//! An authorization (RFC 8555 §7.1.4, §7.5), and how challenges are written wherever they occur.

use std::time::Duration;

use acme::{
    authorization::{Authorization, AuthorizationStatus},
    challenge::{Challenge, ChallengeState},
    ids::Reference,
    time::Timestamp,
    wire::{self, authorization::AuthorizationUpdate, authorization::ChallengeStatus},
};
use actix_web::{HttpResponse, web};

use super::id_in_path;
use crate::{
    audit::Asked,
    clock,
    http::{AccountSigned, HttpError, JsonOrNothing, Reply, links::Links},
    ra,
};

/// `POST /acme/{endpoint}/authz/{authorization}`
pub(crate) async fn post(
    path: web::Path<(String, String)>,
    request: AccountSigned<JsonOrNothing<AuthorizationUpdate>>,
) -> Result<HttpResponse, HttpError> {
    let AccountSigned { app, endpoint, registration, payload, client, .. } = request;
    let id = id_in_path(&path.1, "authorization")?;
    let now = clock::now();
    let authorization = match payload {
        JsonOrNothing::Nothing => ra::authorization::read(&app, &endpoint, &registration.id, &id).await?.value,
        JsonOrNothing::Json(update) if update.status == "deactivated" => {
            let asked = Asked { registration: &registration, client: Some(client.ip) };
            ra::authorization::deactivate(&app, &endpoint, asked, &id, now).await?
        }
        JsonOrNothing::Json(_) => {
            return Err(HttpError::malformed("the only status an authorization can be set to is deactivated"));
        }
    };
    Ok(reply(Reply::ok(), &authorization, &endpoint.links, now))
}

/// Writes an authorization and, while it is pending, when to look again.
pub(super) fn reply(reply: Reply, authorization: &Authorization, links: &Links, now: Timestamp) -> HttpResponse {
    let pending = authorization.status(now) == AuthorizationStatus::Pending;
    let again = pending.then_some(Duration::from_secs(2));
    reply.retry_after(again).json(&encode(authorization, links, now))
}

fn encode(authorization: &Authorization, links: &Links, now: Timestamp) -> wire::authorization::Authorization {
    wire::authorization::Authorization {
        status: authorization.status(now),
        expires: authorization.expires,
        identifier: authorization.identifier.without_wildcard(),
        wildcard: authorization.identifier.is_wildcard(),
        challenges: shown(authorization).map(|challenge| encode_challenge(authorization, challenge, links)).collect(),
    }
}

/// Once one challenge has decided, it is the only one that matters (RFC 8555 §7.1.4).
fn shown(authorization: &Authorization) -> impl Iterator<Item = &Challenge> {
    let decided = |challenge: &Challenge| match challenge.state {
        ChallengeState::Valid { .. } | ChallengeState::Waived { .. } | ChallengeState::Invalid { .. } => true,
        ChallengeState::Pending | ChallengeState::Processing { .. } => false,
    };
    let any_decided = authorization.challenges.iter().any(decided);
    authorization.challenges.iter().filter(move |challenge| !any_decided || decided(challenge))
}

/// Writes a challenge.
pub(super) fn encode_challenge(
    authorization: &Authorization,
    challenge: &Challenge,
    links: &Links,
) -> wire::authorization::Challenge {
    let (status, validated, error) = match &challenge.state {
        ChallengeState::Pending => (ChallengeStatus::Pending, None, None),
        ChallengeState::Processing { .. } => (ChallengeStatus::Processing, None, None),
        ChallengeState::Valid { evidence } => (ChallengeStatus::Valid, Some(evidence.at), None),
        ChallengeState::Waived { at, .. } => (ChallengeStatus::Valid, Some(*at), None),
        ChallengeState::Invalid { at, problem } => (ChallengeStatus::Invalid, Some(*at), Some(problem)),
    };
    let has_token = challenge.kind.has_token();
    wire::authorization::Challenge {
        kind: challenge.kind.as_str(),
        url: links.challenge(&authorization.id, challenge.kind),
        status,
        token: has_token.then(|| challenge.token.as_str().to_owned()),
        issuer_domain_names: challenge.issuer_domain_names.clone(),
        accounturi: (!has_token).then(|| links.account(&authorization.account)),
        validated,
        error: error.map(|problem| {
            let instance = links.transcript(&Reference::from(&authorization.id));
            wire::problem::Problem { instance: Some(instance), ..wire::problem::Problem::from(problem) }
        }),
    }
}
