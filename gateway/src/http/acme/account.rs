//! An account and its orders (RFC 8555 §7.1.2, §7.3.2, §7.3.6).

use acme::{
    account::AccountStatus,
    problem::ProblemKind,
    registration::Registration,
    time::Timestamp,
    wire::account::{Account, AccountUpdate, Orders},
};
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::Value;
use store::OrderCursor;

use crate::{
    app::Endpoint,
    clock,
    http::{AccountSigned, HttpError, JsonOrNothing, Nothing, Reply},
    ra::{self, account::agreement_is_current},
};

/// `POST /acme/{endpoint}/acct/{account}`
pub(crate) async fn post(
    path: web::Path<(String, String)>,
    request: AccountSigned<JsonOrNothing<AccountUpdate>>,
) -> Result<HttpResponse, HttpError> {
    require_own(&path.1, &request.registration)?;
    let AccountSigned { app, endpoint, registration, payload, client, proof, .. } = request;
    let now = clock::now();
    let update = match payload {
        JsonOrNothing::Nothing => return Ok(Reply::ok().json(&encode(&registration, &endpoint, None, now))),
        JsonOrNothing::Json(update) => update,
    };
    let updated = match update.status.as_deref() {
        Some("deactivated") => ra::account::deactivate(&app, &endpoint, &registration, (&client, &proof), now).await?,
        None | Some("valid") => {
            let asked = ra::account::Update {
                contacts: update.contact,
                terms_of_service_agreed: update.terms_of_service_agreed == Some(Value::Bool(true)),
                client: &client,
                proof: &proof,
            };
            ra::account::update(&app, &endpoint, &registration, asked, now).await?
        }
        Some(_) => return Err(HttpError::malformed("the only status an account can be set to is deactivated")),
    };
    Ok(Reply::ok().json(&encode(&updated, &endpoint, None, now)))
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
    let account = &request.registration.id;
    let page = ra::order::list(&request.app, &request.endpoint, account, after.as_ref(), clock::now()).await?;
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
pub(crate) fn encode(
    registration: &Registration,
    endpoint: &Endpoint,
    binding: Option<Value>,
    now: Timestamp,
) -> Account {
    let agreed = registration.terms_of_service_agreed_at.is_some();
    Account {
        status: AccountStatus::of(registration.status),
        contact: registration.contacts.clone(),
        terms_of_service_agreed: (agreed && agreement_is_current(endpoint, registration, now)).then_some(true),
        external_account_binding: binding,
        orders: endpoint.links.orders(&registration.id),
    }
}
