//! An account and its orders (RFC 8555 §7.1.2, §7.3.2, §7.3.6).

use acme::{
    account::AccountStatus,
    problem::ProblemKind,
    registration::Registration,
    wire::account::{Account, AccountUpdate, Orders},
};
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::Value;
use store::OrderCursor;

use crate::{
    clock,
    http::{AccountSigned, HttpError, JsonOrNothing, Nothing, Reply, links::Links},
    ra,
};

/// `POST /acme/{endpoint}/acct/{account}`
pub(crate) async fn post(
    path: web::Path<(String, String)>,
    request: AccountSigned<JsonOrNothing<AccountUpdate>>,
) -> Result<HttpResponse, HttpError> {
    require_own(&path.1, &request.registration)?;
    let links = &request.endpoint.links;
    let update = match &request.payload {
        JsonOrNothing::Nothing => return Ok(Reply::ok().json(&encode(&request.registration, links, None))),
        JsonOrNothing::Json(update) => update,
    };
    let updated = match (update.status.as_deref(), &update.contact) {
        (Some("deactivated"), _) => {
            ra::account::deactivate(
                &request.app,
                &request.endpoint,
                &request.registration,
                &request.proof,
                clock::now(),
            )
            .await?
        }
        (None | Some("valid"), Some(contacts)) => {
            ra::account::update_contacts(
                &request.app,
                &request.endpoint,
                &request.registration,
                contacts,
                &request.proof,
            )
            .await?
        }
        (None | Some("valid"), None) => Registration::clone(&request.registration),
        (Some(_), _) => return Err(HttpError::malformed("the only status an account can be set to is deactivated")),
    };
    Ok(Reply::ok().json(&encode(&updated, links, None)))
}

/// Where a page of orders begins.
#[derive(Deserialize)]
pub(crate) struct Page {
    cursor: Option<String>,
}

/// `POST /acme/{endpoint}/acct/{account}/orders`
pub(crate) async fn orders(
    path: web::Path<(String, String)>,
    page: web::Query<Page>,
    request: AccountSigned<Nothing>,
) -> Result<HttpResponse, HttpError> {
    require_own(&path.1, &request.registration)?;
    let links = &request.endpoint.links;
    let after = page.cursor.as_deref().map(str::parse::<OrderCursor>).transpose();
    let after = after
        .map_err(|_| HttpError::malformed("the cursor is not one of this list; start from the account's orders URL"))?;
    let page = ra::order::list(&request.app, &request.endpoint, &request.registration.id, after.as_ref()).await?;
    let mut reply = Reply::ok();
    if let Some(next) = &page.next {
        reply = reply.link("next", &format!("{}?cursor={next}", links.orders(&request.registration.id)));
    }
    Ok(reply.json(&Orders { orders: page.orders.iter().map(|id| links.order(id)).collect() }))
}

/// An account reads and changes itself only.
fn require_own(account_in_path: &str, registration: &Registration) -> Result<(), HttpError> {
    if account_in_path == registration.id.as_str() {
        Ok(())
    } else {
        Err(HttpError::new(ProblemKind::Unauthorized, "this account belongs to another key"))
    }
}

/// `binding` is the external account binding that was just verified.
pub(crate) fn encode(registration: &Registration, links: &Links, binding: Option<Value>) -> Account {
    Account {
        status: AccountStatus::of(registration.status),
        contact: registration.contacts.clone(),
        terms_of_service_agreed: registration.terms_of_service_agreed_at.map(|_| true),
        external_account_binding: binding,
        orders: links.orders(&registration.id),
    }
}
