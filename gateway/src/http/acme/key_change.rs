//! keyChange (RFC 8555 §7.3.5). The directory must name it, because there are clients that do not
//! start without it; this server refuses the operation.

use acme::problem::ProblemKind;
use actix_web::HttpResponse;
use serde::de::IgnoredAny;

use crate::http::{AccountSigned, HttpError, JsonOrNothing};

/// `POST /acme/{endpoint}/key-change`
pub(crate) async fn post(_request: AccountSigned<JsonOrNothing<IgnoredAny>>) -> Result<HttpResponse, HttpError> {
    Err(HttpError::new(
        ProblemKind::Unauthorized,
        "this server does not change account keys; create a new account with the new key, then deactivate this one",
    ))
}
