//! newOrder (RFC 8555 §7.4).

use acme::wire;
use actix_web::HttpResponse;

use super::order::reply;
use crate::{
    clock,
    http::{AccountSigned, HttpError, Reply},
    ra,
};

/// `POST /acme/{endpoint}/new-order`
pub(crate) async fn post(request: AccountSigned<wire::order::NewOrder>) -> Result<HttpResponse, HttpError> {
    let AccountSigned { app, endpoint, registration, payload, .. } = request;
    let now = clock::now();
    let view = ra::order::create(&app, &endpoint, &registration, &payload, now).await?;
    Ok(reply(Reply::created(), &app, &endpoint, &view, now))
}
