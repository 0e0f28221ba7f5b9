//! An order (RFC 8555 §7.1.3, §7.4), and how orders are written wherever they occur.

use std::time::Duration;

use acme::{
    ids::Reference,
    order::{OrderStatus, Progress},
    time::Timestamp,
    wire,
};
use actix_web::{HttpResponse, web};

use super::id_in_path;
use crate::{
    app::{App, Endpoint},
    clock,
    http::{AccountSigned, HttpError, Nothing, Reply, reply::poll_again},
    ra::{self, order::OrderView},
};

/// `POST /acme/{endpoint}/order/{order}`
pub(crate) async fn post(
    path: web::Path<(String, String)>,
    request: AccountSigned<Nothing>,
) -> Result<HttpResponse, HttpError> {
    let id = id_in_path(&path.1, "order")?;
    let view = ra::order::read(&request.app, &request.endpoint, &request.registration.id, &id).await?;
    Ok(reply(Reply::ok(), &request.app, &request.endpoint, &view, clock::now()))
}

/// Writes an order with its URL and, while it is worked on, when to look again: some clients poll
/// the `Location` of whatever answer they got.
pub(super) fn reply(reply: Reply, app: &App, endpoint: &Endpoint, view: &OrderView, now: Timestamp) -> HttpResponse {
    let status = view.order.status(&view.authorizations, now);
    let again = match (status, &view.order.progress) {
        (OrderStatus::Processing, Progress::Finalizing { since, .. }) => Some(poll_again(*since, now)),
        (OrderStatus::Pending, _) => Some(Duration::from_secs(2)),
        (OrderStatus::Processing | OrderStatus::Ready | OrderStatus::Valid | OrderStatus::Invalid, _) => None,
    };
    reply
        .location(endpoint.links.order(&view.order.id))
        .retry_after(again)
        .json(&encode(app, endpoint, view, status, now))
}

fn encode(app: &App, endpoint: &Endpoint, view: &OrderView, status: OrderStatus, now: Timestamp) -> wire::order::Order {
    let order = &view.order;
    let links = &endpoint.links;
    let certificate = match &order.progress {
        Progress::Issued { certificate, .. } => {
            Some(links.certificate(&ra::certificate::seal(&app.sealer, certificate)))
        }
        Progress::Open | Progress::Finalizing { .. } | Progress::Failed { .. } => None,
    };
    wire::order::Order {
        status,
        expires: order.expires,
        identifiers: order.identifiers.clone(),
        not_before: order.not_before,
        not_after: order.not_after,
        profile: order.profile.to_string(),
        replaces: order.replaces.as_ref().map(ToString::to_string),
        authorizations: order.authorizations.iter().map(|id| links.authorization(id)).collect(),
        finalize: links.finalize(&order.id),
        certificate,
        error: order.error(&view.authorizations, now).map(|problem| {
            let instance = links.transcript(&Reference::from(&order.id));
            wire::problem::Problem { instance: Some(instance), ..wire::problem::Problem::from(&problem) }
        }),
    }
}
