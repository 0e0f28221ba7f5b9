//! Whether an account may have one more order or authorization now: pauses, then limits, the cheap
//! questions first. Asked when the request is found good in every other way, so that nothing is
//! spent on one that is refused for itself.

use std::time::Duration;

use acme::{identifier::Identifier, registration::Registration, time::Timestamp};

use super::{Error, pause};
use crate::{
    app::{App, Endpoint},
    limits,
};

/// Lets an order be made, or says when to come again. `unproven` is what its account has to prove
/// for it. Keep what it spends once it is made.
///
/// The first order that replaces a certificate (RFC 9773 §5) is not counted: there is one of it for
/// each certificate, and renewing in time is what we ask for.
pub(super) async fn new_order<'a>(
    app: &'a App,
    endpoint: &Endpoint,
    registration: &Registration,
    unproven: &[&Identifier],
    renews: bool,
    now: Timestamp,
) -> Result<Option<limits::NewOrder<'a>>, Error> {
    require_hope(app, endpoint, registration, unproven, now).await?;
    if renews {
        return Ok(None);
    }
    let lifetime = longest_pending(app);
    app.limits.pending_orders.require_room(&app.store, &endpoint.name, &registration.id, lifetime, now).await?;
    Ok(Some(app.limits.new_order(endpoint, registration)?))
}

/// The same for an authorization ahead of any order.
pub(super) async fn new_authorization<'a>(
    app: &'a App,
    endpoint: &Endpoint,
    registration: &Registration,
    unproven: &Identifier,
    now: Timestamp,
) -> Result<limits::NewOrder<'a>, Error> {
    require_hope(app, endpoint, registration, &[unproven], now).await?;
    Ok(app.limits.new_order(endpoint, registration)?)
}

/// Nothing is paused, and nothing has failed too often lately.
async fn require_hope(
    app: &App,
    endpoint: &Endpoint,
    registration: &Registration,
    unproven: &[&Identifier],
    now: Timestamp,
) -> Result<(), Error> {
    for identifier in unproven {
        app.limits.may_validate(&endpoint.name, &registration.id, identifier)?;
    }
    pause::require_none(app, endpoint, &registration.id, unproven, now).await
}

/// How long an order stays pending: the approval of a profile makes it last longer, but it waits for
/// that when it is finalized.
fn longest_pending(app: &App) -> Duration {
    app.settings.orders.lifetime.duration()
}
