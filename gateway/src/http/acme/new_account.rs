//! newAccount (RFC 8555 §7.3): 201 for a new account, 200 for the one that this key has.

use acme::{problem::Problem, wire};
use actix_web::HttpResponse;

use super::account::encode;
use crate::{
    clock,
    http::{HttpError, Reply, SelfSigned, authenticate::forwarded},
    jws::external_account::ExternalAccount,
    ra,
};

/// `POST /acme/{endpoint}/new-account`
pub(crate) async fn post(request: SelfSigned<wire::account::NewAccount>) -> Result<HttpResponse, HttpError> {
    let SelfSigned { app, endpoint, key, payload, client, proof, url } = request;
    let binding = payload.external_account_binding;
    // An existing account is found whatever binding is repeated with the request, so a bad binding
    // is told only to those who need it.
    let known = app
        .registrations
        .registration_by_key(&endpoint.realm, &key.thumbprint())
        .await
        .map_err(ra::Error::from)?
        .is_some();
    let external_account = match &binding {
        Some(binding) if !known => {
            let checked = ExternalAccount::check(binding, &url, &key).map_err(|error| Problem::from(&error))?;
            Some(forwarded(&checked.binding))
        }
        Some(_) | None => None,
    };
    let bound = external_account.is_some();
    let asked = ra::account::NewAccount {
        key,
        contacts: payload.contact,
        terms_of_service_agreed: payload.terms_of_service_agreed,
        only_return_existing: payload.only_return_existing,
        external_account,
        client,
        proof,
    };
    let account = ra::account::create(&app, &endpoint, asked, clock::now()).await?;
    let verified = binding.filter(|_| account.created && bound && account.registration.external_account.is_some());
    let mut reply = if account.created { Reply::created() } else { Reply::ok() };
    if let Some(terms) = &endpoint.terms_of_service {
        reply = reply.link("terms-of-service", terms);
    }
    let location = endpoint.links.account(&account.registration.id);
    Ok(reply.location(location).json(&encode(&account.registration, &endpoint.links, verified)))
}
