//! Responses to challenges (RFC 8555 §7.5.1): the request records the intent, a worker validates.

use acme::{
    account_key::PublicKey,
    authorization::{Authorization, Response},
    challenge::{ChallengeKind, KeyAuthorization},
    ids::{AuthorizationId, RegistrationId},
    problem::ProblemKind,
    time::Timestamp,
};
use store::{Commit, Job};

use super::{Error, again_on_conflict, authorization};
use crate::app::{App, Endpoint};

/// Takes the client's word that a challenge can be validated now.
pub(crate) async fn respond(
    app: &App,
    endpoint: &Endpoint,
    account: (&RegistrationId, &PublicKey),
    id: &AuthorizationId,
    kind: ChallengeKind,
    now: Timestamp,
) -> Result<Authorization, Error> {
    let (account, key) = account;
    again_on_conflict(async || {
        let stored = authorization::read(app, endpoint, account, id).await?;
        let challenge = stored.value.challenge(kind).ok_or_else(|| Error::not_found("challenge"))?;
        let key_authorization = KeyAuthorization::new(&challenge.token, &key.thumbprint());
        let response = stored.value.respond(kind, key_authorization, now);
        match response.map_err(|refused| Error::refused(ProblemKind::Malformed, refused.to_string()))? {
            Response::Unchanged => Ok(stored.value),
            Response::Started(started) => {
                let mut commit = Commit::new();
                commit.update_authorization(&stored, (*started).clone(), app.keep_until(started.expires));
                commit.create_job(Job::validate(id.clone(), kind, now));
                app.store.commit(commit).await?;
                app.wake.now();
                Ok(*started)
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests;
