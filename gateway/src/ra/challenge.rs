//! Responses to challenges (RFC 8555 §7.5.1): the request records the intent, a worker validates.

use acme::{
    account_key::PublicKey,
    authorization::{Authorization, Response, ResponseRefused},
    challenge::{ChallengeKind, KeyAuthorization},
    identifier::Identifier,
    ids::AuthorizationId,
    problem::{Problem, ProblemKind},
    registration::Registration,
    time::Timestamp,
};
use store::{Commit, Job};

use super::{Error, again_on_conflict, authorization};
use crate::{
    app::{App, Endpoint},
    audit::{self, Act, Asked},
    settings::Switch,
    transcript::{self, Entry, Subject},
};

/// Takes the client's word that a challenge can be validated now.
pub(crate) async fn respond(
    app: &App,
    endpoint: &Endpoint,
    (asked, key): (Asked<'_>, &PublicKey),
    id: &AuthorizationId,
    kind: ChallengeKind,
    now: Timestamp,
) -> Result<Authorization, Error> {
    let registration = asked.registration;
    let account = &registration.id;
    let repeatable = endpoint.compatibility.has(Switch::RepeatFailedChallenges);
    again_on_conflict(async || {
        let stored = authorization::read(app, endpoint, account, id).await?;
        let challenge = stored.value.challenge(kind).ok_or_else(|| Error::not_found("challenge"))?;
        let key_authorization = KeyAuthorization::new(&challenge.token, &key.thumbprint());
        match stored.value.respond(kind, key_authorization, now) {
            Ok(Response::Unchanged) => Ok(stored.value),
            Err(ResponseRefused::AuthorizationFinal) if repeatable => Ok(stored.value),
            Err(refused) => Err(Error::refused(ProblemKind::Malformed, refused.to_string())),
            Ok(Response::Started(started)) => {
                // A refusal here leaves the authorization as it is: the officer may think better of it.
                may_prove(app, endpoint, &started.identifier, registration)?;
                audit::require(app, Act::Change)?;
                app.limits.may_validate(&endpoint.name, account, &started.identifier)?;
                let mut commit = Commit::new();
                commit.update_authorization(&stored, (*started).clone(), app.keep_until(started.expires));
                let subject = Subject::from(&*started);
                let answered = Entry::ChallengeAnswered { method: kind };
                transcript::tell_of(app, &mut commit, &subject, now, &answered, (&endpoint.name, &asked));
                commit.create_job(Job::validate(id.clone(), kind, now));
                app.store.commit(commit).await?;
                app.wake.now();
                Ok(*started)
            }
        }
    })
    .await
}

/// Only names that the registration may have now are ever contacted, whatever it was when the order was made.
pub(crate) fn may_prove(
    app: &App,
    endpoint: &Endpoint,
    identifier: &Identifier,
    registration: &Registration,
) -> Result<(), Problem> {
    let offer = app.catalogue.offer(&endpoint.realm).ok();
    policies::authority::may_prove(identifier, registration, offer.as_ref().map(|offer| offer.profiles.as_slice()))
}

#[cfg(test)]
mod tests;
