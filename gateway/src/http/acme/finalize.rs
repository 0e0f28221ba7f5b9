//! finalize (RFC 8555 §7.4).

use acme::{base64url, wire};
use actix_web::{HttpResponse, web};

use super::{id_in_path, order::reply};
use crate::{
    clock,
    http::{AccountSigned, HttpError, Reply},
    ra,
};

/// `POST /acme/{endpoint}/order/{order}/finalize`
pub(crate) async fn post(
    path: web::Path<(String, String)>,
    request: AccountSigned<wire::order::Finalize>,
) -> Result<HttpResponse, HttpError> {
    let AccountSigned { app, endpoint, registration, payload, client, client_certificate, proof, .. } = request;
    let csr_der = base64url::decode(&payload.csr).map_err(|error| HttpError::malformed(format!("csr is {error}")))?;
    let order = id_in_path(&path.1, "order")?;
    let asked = ra::finalize::Request { order, csr_der, client, client_certificate, proof };
    let view = ra::finalize::finalize(&app, &endpoint, &registration, &asked, clock::now()).await?;
    Ok(reply(Reply::ok(), &app, &endpoint, &view, clock::now()))
}
