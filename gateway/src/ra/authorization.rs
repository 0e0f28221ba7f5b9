//! Authorizations: reading and giving up (RFC 8555 §7.5, §7.5.2).

use acme::{
    authorization::Authorization,
    ids::{AuthorizationId, RegistrationId},
    problem::ProblemKind,
    time::Timestamp,
};
use store::{Commit, Stored};

use super::{Error, again_on_conflict};
use crate::{
    app::{App, Endpoint},
    audit::{self, Act, Asked, Event},
};

/// Reads an authorization of this endpoint for its owner.
pub(crate) async fn read(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    id: &AuthorizationId,
) -> Result<Stored<Authorization>, Error> {
    let found = app.store.authorization(id).await?.filter(|found| found.value.endpoint == endpoint.name);
    let found = found.ok_or_else(|| Error::not_found("authorization"))?;
    if found.value.account == *account { Ok(found) } else { Err(Error::not_yours("authorization")) }
}

/// Gives an authorization up. Orders that rest on it become invalid by that (RFC 8555 §7.1.6).
pub(crate) async fn deactivate(
    app: &App,
    endpoint: &Endpoint,
    asked: Asked<'_>,
    id: &AuthorizationId,
    now: Timestamp,
) -> Result<Authorization, Error> {
    again_on_conflict(async || {
        let stored = read(app, endpoint, &asked.registration.id, id).await?;
        let Some(given_up) = stored.value.deactivate(now) else {
            return Err(Error::refused(
                ProblemKind::Malformed,
                "only a pending or valid authorization can be deactivated",
            ));
        };
        audit::require(app, Act::Ending)?;
        let mut commit = Commit::new();
        commit.update_authorization(&stored, given_up.clone(), app.keep_until(given_up.expires));
        let event = Event::AuthorizationDeactivated { authorization: &given_up, asked };
        audit::add(app, &mut commit, now, &event);
        app.store.commit(commit).await?;
        Ok(given_up)
    })
    .await
}
