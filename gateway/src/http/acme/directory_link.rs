//! Directory links: a directory and newAccount for devices that cannot send an external account binding (CM
//! contract section 4.3).
//!
//! The path has a secret in it, which goes to the CM and into the answer that repeats the client's own URL, and
//! nowhere else. The directory is served for every text that can be a token, without asking anybody: nobody learns
//! from it which links there are.

use std::future::{Ready, ready};

use acme::{problem::ProblemKind, wire};
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev};
use cm_connector::{Capability, DirectoryToken};

use super::{directory::directory, new_account};
use crate::{
    app::{App, Endpoint},
    http::{
        AccountSigned, HttpError, Nothing, Reply, SelfSigned,
        authenticate::{app_of, endpoint_of},
    },
    settings::Mode,
};

/// The link that a path names, at an endpoint that has links. What is not there is refused before anything else
/// of a request is looked at.
pub(crate) struct Link(DirectoryToken);

impl FromRequest for Link {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        ready(link_of(request))
    }
}

fn link_of(request: &HttpRequest) -> Result<Link, HttpError> {
    let app = app_of(request)?;
    let endpoint = endpoint_of(&app, request)?;
    if endpoint.mode == Mode::Open {
        let directory = endpoint.links.directory();
        return Err(not_found(format!("accounts of this endpoint need no link; its directory is {directory}")));
    }
    if !app.cm.offers(Capability::DirectoryLinks) {
        return Err(not_found("the certificate authority behind this server has no directory links".to_owned()));
    }
    let token = request.match_info().get("token").unwrap_or_default();
    let token = DirectoryToken::parse(token).map_err(|_| {
        not_found("this cannot be a directory URL; give it exactly as the registration authority did".to_owned())
    })?;
    Ok(Link(token))
}

fn not_found(detail: String) -> HttpError {
    HttpError::new(ProblemKind::NotFound, detail)
}

/// `GET /acme/{endpoint}/r/{token}/directory`
pub(crate) async fn get(link: Link, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let app = app_of(&request)?;
    let endpoint = endpoint_of(&app, &request)?;
    Ok(Reply::ok().json(&below(&link, &app, &endpoint)))
}

/// `POST /acme/{endpoint}/r/{token}/directory`
pub(crate) async fn post(link: Link, request: AccountSigned<Nothing>) -> Result<HttpResponse, HttpError> {
    Ok(Reply::ok().json(&below(&link, &request.app, &request.endpoint)))
}

/// `POST /acme/{endpoint}/r/{token}/new-account`
pub(crate) async fn new_account(
    link: Link,
    request: SelfSigned<wire::account::NewAccount>,
) -> Result<HttpResponse, HttpError> {
    new_account::answer(request, Some(link.0)).await
}

/// The endpoint's directory, but for newAccount: what comes after it is as without a link.
fn below(link: &Link, app: &App, endpoint: &Endpoint) -> wire::directory::Directory {
    let mut below = directory(app, endpoint);
    below.new_account = endpoint.links.new_account_by_link(&link.0);
    below.meta.external_account_required = false;
    below
}
