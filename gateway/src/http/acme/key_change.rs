//! keyChange (RFC 8555 §7.3.5): 200 with the account, or 409 with the URL of the account that has the
//! new key.

use acme::problem::{Problem, ProblemKind};
use actix_web::HttpResponse;

use super::account::encode;
use crate::{
    clock,
    http::{AccountSigned, HttpError, Reply},
    jws::key_change::{KeyChange, Outer},
    ra::key_change::{KeyChanged, Request, change_key},
};

/// `POST /acme/{endpoint}/key-change`
pub(crate) async fn post(request: AccountSigned<KeyChange>) -> Result<HttpResponse, HttpError> {
    let AccountSigned { app, endpoint, registration, key, payload, client, proof, url, .. } = request;
    let links = &endpoint.links;
    // There is one way to write an account URL, so this is the kid of the request.
    let account = links.account(&registration.id);
    let outer = Outer { url: &url, account: &account, key: &key };
    let new_key = payload.prove(&outer).map_err(|error| Problem::from(&error))?;
    let asked = Request { new_key, client: &client, proof: &proof };
    let now = clock::now();
    match change_key(&app, &endpoint, &registration, &asked, now).await? {
        KeyChanged::Done(changed) => Ok(Reply::ok().json(&encode(&changed, &endpoint, None, now))),
        KeyChanged::InUse(owner) => {
            let mut error = HttpError::new(
                ProblemKind::Conflict,
                "the new key belongs to an account already (RFC 8555 section 7.3.5); make a new key, or use that account",
            );
            error.location = Some(links.account(&owner));
            Err(error)
        }
    }
}
