//! newAuthz (RFC 8555 §7.4.1).

use acme::wire;
use actix_web::HttpResponse;

use super::authorization::reply;
use crate::{
    audit::Asked,
    clock,
    http::{AccountSigned, HttpError, Reply},
    ra,
};

/// `POST /acme/{endpoint}/new-authz`
pub(crate) async fn post(
    request: AccountSigned<wire::authorization::NewAuthorization>,
) -> Result<HttpResponse, HttpError> {
    let AccountSigned { app, endpoint, registration, payload, client, .. } = request;
    let now = clock::now();
    let spent = app.limits.new_order_from(client.ip)?;
    let asked = Asked { registration: &registration, client: Some(client.ip) };
    let made = ra::new_authorization::create(&app, &endpoint, asked, &payload.identifier, now).await?;
    if let Some(spent) = spent {
        spent.keep();
    }
    let created = Reply::created().location(endpoint.links.authorization(&made.id));
    Ok(reply(created, &made, &endpoint.links, now))
}
