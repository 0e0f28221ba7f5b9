//! The routes of the ACME listener: what each line demands is in its handler's argument.

use acme::problem::ProblemKind;
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web::{self, ServiceConfig, get, head, post},
};

use super::{
    acme::*,
    authenticate::{app_of, endpoint_of},
    help,
    problem::HttpError,
};

/// One resource, the methods it knows, and 405 for the others.
macro_rules! resource {
    ($path:literal, $allow:literal: $($method:ident => $handler:path),+) => {
        web::resource($path)$(.route($method().to($handler)))+
            .default_service(web::route().to(|request: HttpRequest| other_method(request, $allow)))
    };
}

/// All routes.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(resource!("/acme/{endpoint}/directory", "GET, HEAD, POST": get => directory::get, head => directory::get, post => directory::post))
        .service(resource!("/acme/{endpoint}/directory/", "GET, HEAD, POST": get => directory::get, head => directory::get, post => directory::post))
        .service(resource!("/acme/{endpoint}", "GET, HEAD, POST": get => directory::get, head => directory::get, post => directory::post))
        .service(resource!("/acme/{endpoint}/", "GET, HEAD, POST": get => directory::get, head => directory::get, post => directory::post))
        .service(resource!("/acme/{endpoint}/new-nonce", "GET, HEAD, POST": head => new_nonce::head, get => new_nonce::get, post => new_nonce::post))
        .service(resource!("/acme/{endpoint}/new-account", "POST": post => new_account::post))
        .service(resource!("/acme/{endpoint}/r/{token}/directory", "GET, HEAD, POST": get => directory_link::get, head => directory_link::get, post => directory_link::post))
        .service(resource!("/acme/{endpoint}/r/{token}/directory/", "GET, HEAD, POST": get => directory_link::get, head => directory_link::get, post => directory_link::post))
        .service(resource!("/acme/{endpoint}/r/{token}", "GET, HEAD, POST": get => directory_link::get, head => directory_link::get, post => directory_link::post))
        .service(resource!("/acme/{endpoint}/r/{token}/", "GET, HEAD, POST": get => directory_link::get, head => directory_link::get, post => directory_link::post))
        .service(resource!("/acme/{endpoint}/r/{token}/new-account", "POST": post => directory_link::new_account))
        .service(resource!("/acme/{endpoint}/new-order", "POST": post => new_order::post))
        .service(resource!("/acme/{endpoint}/new-authz", "POST": post => new_authorization::post))
        .service(resource!("/acme/{endpoint}/renewal-info/{certificate}", "GET, HEAD, POST": get => renewal_info::get, head => renewal_info::get, post => renewal_info::post))
        .service(resource!("/acme/{endpoint}/renewal-info//{certificate}", "GET, HEAD, POST": get => renewal_info::get, head => renewal_info::get, post => renewal_info::post))
        .service(resource!("/acme/{endpoint}/revoke-cert", "POST": post => revoke_certificate::post))
        .service(resource!("/acme/{endpoint}/key-change", "POST": post => key_change::post))
        .service(resource!("/acme/{endpoint}/acct/{account}", "POST": post => account::post))
        .service(resource!("/acme/{endpoint}/acct/{account}/orders", "POST": post => account::orders))
        .service(resource!("/acme/{endpoint}/order/{order}", "POST": post => order::post))
        .service(resource!("/acme/{endpoint}/order/{order}/finalize", "POST": post => finalize::post))
        .service(resource!("/acme/{endpoint}/authz/{authorization}", "POST": post => authorization::post))
        .service(resource!("/acme/{endpoint}/chall/{authorization}/{kind}", "POST": post => challenge::post))
        .service(resource!("/acme/{endpoint}/cert/{certificate}", "POST": post => certificate::post))
        .service(resource!("/acme/{endpoint}/cert/{certificate}/{chain}", "POST": post => certificate::post_alternate))
        .service(resource!("/acme/{endpoint}/unpause/{sealed}", "GET, HEAD, POST": get => unpause::get, head => unpause::get, post => unpause::post))
        .service(resource!("/acme/{endpoint}/transcript/{reference}", "GET, HEAD": get => transcript::get, head => transcript::get))
        .service(resource!("/help", "GET, HEAD": get => help::index, head => help::index))
        .service(resource!("/help/", "GET, HEAD": get => help::index, head => help::index))
        .service(resource!("/help/{error}", "GET, HEAD": get => help::page, head => help::page))
        .default_service(web::route().to(not_found));
}

/// OPTIONS is answered with the methods, to browsers in their words too (CORS); everything else is
/// refused (RFC 9110 §15.5.6).
async fn other_method(request: HttpRequest, allow: &'static str) -> Result<HttpResponse, HttpError> {
    if request.match_info().get("endpoint").is_some() {
        endpoint_of(&*app_of(&request)?, &request)?;
    }
    if request.method() == Method::OPTIONS {
        let mut permission = HttpResponse::NoContent();
        permission.insert_header((header::ALLOW, allow));
        if request.headers().contains_key(header::ORIGIN) {
            permission
                .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, allow))
                .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type"))
                .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"));
        }
        return Ok(permission.finish());
    }
    let mut error = HttpError::new(
        ProblemKind::MethodNotAllowed,
        format!(
            "this resource knows the methods {allow}; resources other than the directory and newNonce are read by POST-as-GET"
        ),
    );
    error.allow = Some(allow);
    Err(error)
}

/// A path that leads nowhere.
async fn not_found() -> Result<HttpResponse, HttpError> {
    Err(HttpError::new(ProblemKind::NotFound, "there is nothing at this URL; start from the directory"))
}
