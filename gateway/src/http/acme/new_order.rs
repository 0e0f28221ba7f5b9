//! newOrder (RFC 8555 §7.4).

use acme::wire;
use actix_web::HttpResponse;
use policies::waiver::Shown;

use super::order::reply;
use crate::{
    clock,
    http::{AccountSigned, HttpError, Reply},
    ra,
};

/// `POST /acme/{endpoint}/new-order`
pub(crate) async fn post(request: AccountSigned<wire::order::NewOrder>) -> Result<HttpResponse, HttpError> {
    let AccountSigned { app, endpoint, registration, payload, client, client_certificate, .. } = request;
    let now = clock::now();
    // What renews is counted by its account only: it needs a certificate, and each renews once.
    let spent = if payload.replaces.is_none() { app.limits.new_order_from(client.ip)? } else { None };
    let shown = Shown { address: client.ip, client_certificate };
    let view = ra::order::create(&app, &endpoint, &registration, (&payload, Some(shown)), now).await?;
    if let Some(spent) = spent {
        spent.keep();
    }
    Ok(reply(Reply::created(), &app, &endpoint, &view, now))
}
