//! The directory (RFC 8555 §7.1.1), by GET and by POST-as-GET.

use std::collections::BTreeMap;

use acme::wire::directory::{Directory, Meta};
use actix_web::{HttpRequest, HttpResponse};
use cm_connector::Capability;

use crate::{
    app::{App, Endpoint},
    http::{
        AccountSigned, HttpError, Nothing, Reply,
        authenticate::{app_of, endpoint_of},
    },
    settings::Mode,
};

/// `GET /acme/{endpoint}/directory`
pub(crate) async fn get(request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let app = app_of(&request)?;
    let endpoint = endpoint_of(&app, &request)?;
    Ok(Reply::ok().json(&directory(&app, &endpoint)))
}

/// `POST /acme/{endpoint}/directory`
pub(crate) async fn post(request: AccountSigned<Nothing>) -> Result<HttpResponse, HttpError> {
    Ok(Reply::ok().json(&directory(&request.app, &request.endpoint)))
}

/// While the CM has not been reached the directory lacks the profiles and nothing else. Renewal information it lacks
/// where the CM has none.
pub(super) fn directory(app: &App, endpoint: &Endpoint) -> Directory {
    let links = &endpoint.links;
    let offer = app.catalogue.offer(&endpoint.realm).ok();
    let profiles: BTreeMap<_, _> = offer
        .iter()
        .flat_map(|offer| &offer.profiles)
        .map(|profile| (profile.name.to_string(), profile.description.clone()))
        .collect();
    Directory {
        new_nonce: links.new_nonce(),
        new_account: links.new_account(),
        new_order: links.new_order(),
        revoke_cert: links.revoke_certificate(),
        key_change: links.key_change(),
        new_authz: endpoint.pre_authorization.then(|| links.new_authorization()),
        renewal_info: app.cm.offers(Capability::RenewalInfo).then(|| links.renewal_info()),
        meta: Meta {
            terms_of_service: endpoint.terms_of_service.clone(),
            website: endpoint.website.clone(),
            caa_identities: offer.map(|offer| offer.caa_identities()).unwrap_or_default(),
            external_account_required: endpoint.mode == Mode::Registered,
            profiles,
        },
    }
}
