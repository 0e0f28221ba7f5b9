//! newNonce (RFC 8555 §7.2). The nonce itself is added in `headers.rs`. HEAD must be answered with
//! 200 and GET with 204: there are clients that insist on each.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};

use crate::http::{
    AccountSigned, HttpError, Nothing, Reply,
    authenticate::{app_of, endpoint_of},
};

/// `HEAD /acme/{endpoint}/new-nonce`
pub(crate) async fn head(request: HttpRequest) -> Result<HttpResponse, HttpError> {
    endpoint_of(&*app_of(&request)?, &request)?;
    Ok(Reply::ok().empty())
}

/// `GET /acme/{endpoint}/new-nonce`
pub(crate) async fn get(request: HttpRequest) -> Result<HttpResponse, HttpError> {
    endpoint_of(&*app_of(&request)?, &request)?;
    Ok(Reply::status(StatusCode::NO_CONTENT).empty())
}

/// `POST /acme/{endpoint}/new-nonce`
pub(crate) async fn post(_request: AccountSigned<Nothing>) -> Result<HttpResponse, HttpError> {
    Ok(Reply::status(StatusCode::NO_CONTENT).empty())
}
