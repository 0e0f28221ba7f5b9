//! newAccount (RFC 8555 §7.3): 201 for a new account, 200 for the one that this key has.

use acme::wire;
use actix_web::HttpResponse;
use cm_connector::DirectoryToken;

use super::account::encode;
use crate::{
    clock,
    http::{HttpError, Reply, SelfSigned},
    ra,
};

/// `POST /acme/{endpoint}/new-account`
pub(crate) async fn post(request: SelfSigned<wire::account::NewAccount>) -> Result<HttpResponse, HttpError> {
    answer(request, None).await
}

/// The same for a client that may have come by a directory link.
pub(super) async fn answer(
    request: SelfSigned<wire::account::NewAccount>,
    directory_token: Option<DirectoryToken>,
) -> Result<HttpResponse, HttpError> {
    let SelfSigned { app, endpoint, key, payload, client, proof, url } = request;
    let asked = ra::account::NewAccount {
        key,
        contacts: payload.contact,
        terms_of_service_agreed: payload.terms_of_service_agreed,
        only_return_existing: payload.only_return_existing,
        external_account_binding: payload.external_account_binding.clone(),
        directory_token,
        url,
        client,
        proof,
    };
    let now = clock::now();
    let account = ra::account::create(&app, &endpoint, asked, now).await?;
    let mut reply = if account.created { Reply::created() } else { Reply::ok() };
    if let Some(terms) = &endpoint.terms_of_service {
        reply = reply.link("terms-of-service", terms);
    }
    let location = endpoint.links.account(&account.registration.id);
    let binding = payload.external_account_binding.filter(|_| account.bound_by.is_some());
    Ok(reply.location(location).json(&encode(&account.registration, &endpoint, binding, now)))
}
