//! What every answer of an endpoint carries: a nonce, the way back to the directory, no caching
//! (RFC 8555 §6.5, §7.1), and with a problem the way to its help page; and what every request
//! leaves behind: one log line.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use acme::problem::ProblemKind;
use actix_web::{
    Error, HttpMessage, ResponseError as _,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use futures_util::FutureExt as _;

use super::{
    help,
    problem::{HttpError, Sent},
};
use crate::{app::App, clock};

/// The nonce header (RFC 8555 §6.5.1).
const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// Facts about a request that its log line shows; handlers add to them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Noted {
    pub(crate) account: Option<String>,
}

/// Wraps every request of the ACME listener.
pub(crate) async fn dress<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let started = Instant::now();
    let Some(app) = request.app_data::<web::Data<App>>().map(|data| Arc::clone(data)) else {
        return next.call(request).await;
    };
    let method = request.method().clone();
    let with_origin = request.headers().contains_key(header::ORIGIN);
    let answered = AssertUnwindSafe(next.call(request)).catch_unwind().await;
    let mut response = match answered {
        Ok(answered) => answered?,
        Err(_panic) => return Err(after_panic(&app)),
    };
    let issue_nonce = method == Method::POST || is_new_nonce(&response);
    let index = index_link(&app, &response);
    let help = help_link(&app, &response);
    let headers = response.headers_mut();
    if issue_nonce && let Ok(nonce) = HeaderValue::from_str(&app.nonces.issue(clock::now())) {
        headers.insert(REPLAY_NONCE, nonce);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(index) = index {
        headers.append(header::LINK, index);
    }
    if let Some(help) = help {
        headers.append(header::LINK, help);
    }
    if with_origin {
        allow_browsers(headers);
    }
    leave_trace(&app, &method, &response, started);
    Ok(response)
}

fn is_new_nonce<B>(response: &ServiceResponse<B>) -> bool {
    response.status().is_success() && response.request().path().ends_with("/new-nonce")
}

/// A panic ends one request and nothing else; its client is told so and can go on.
fn after_panic(app: &App) -> Error {
    app.metrics.panics.inc();
    let mut response = HttpError::internal(&anyhow::anyhow!("a request handler panicked")).error_response();
    if let Ok(nonce) = HeaderValue::from_str(&app.nonces.issue(clock::now())) {
        response.headers_mut().insert(REPLAY_NONCE, nonce);
    }
    if let Some(help) = help_value(app, ProblemKind::ServerInternal) {
        response.headers_mut().append(header::LINK, help);
    }
    InternalError::from_response("panic", response).into()
}

/// On everything but the directory itself.
fn index_link<B>(app: &App, response: &ServiceResponse<B>) -> Option<HeaderValue> {
    let mut segments = response.request().path().split('/').skip(1);
    let (Some("acme"), Some(name), resource) = (segments.next(), segments.next(), segments.next()) else { return None };
    let endpoint = app.endpoints.get(&name.parse().ok()?)?;
    if response.status().is_success() && matches!(resource, None | Some("" | "directory")) {
        return None;
    }
    HeaderValue::from_str(&format!("<{}>;rel=\"index\"", endpoint.links.directory())).ok()
}

/// On every problem: the page that explains it to people.
fn help_link<B>(app: &App, response: &ServiceResponse<B>) -> Option<HeaderValue> {
    let kind = response.response().extensions().get::<Sent>()?.kind;
    help_value(app, kind)
}

fn help_value(app: &App, kind: ProblemKind) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("<{}>;rel=\"help\"", help::url(app, kind))).ok()
}

/// CORS, and only for browsers: shell clients search for `location` in all headers.
fn allow_browsers(headers: &mut header::HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let exposed = HeaderValue::from_static("Link, Replay-Nonce, Location, Retry-After");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}

/// One line a request; what clients sent is quoted.
fn leave_trace<B>(app: &App, method: &Method, response: &ServiceResponse<B>, started: Instant) {
    let request = response.request();
    let seconds = started.elapsed().as_secs_f64();
    let resource = request.match_pattern().unwrap_or_else(|| String::from("none"));
    app.metrics.answered(&resource, response.status().as_u16(), seconds);
    let sent = response.response().extensions().get::<Sent>().cloned();
    if let Some(sent) = &sent {
        app.metrics.problem(sent.kind);
    }
    let noted = request.extensions().get::<Noted>().cloned().unwrap_or_default();
    let created = created(response);
    let account = noted.account.as_deref().or(created.filter(|_| resource.ends_with("/new-account")));
    let order = request.match_info().get("order").or(created.filter(|_| resource.ends_with("/new-order")));
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    tracing::info!(
        target: "request",
        %method,
        path = cut(request.path()),
        status = response.status().as_u16(),
        millis = started.elapsed().as_millis(),
        client = request.peer_addr().map(|address| tracing::field::display(address.ip())),
        account,
        order,
        problem = sent.as_ref().map(|sent| sent.kind.name_and_status().0),
        detail = sent.as_ref().map(|sent| sent.detail.as_str()),
        agent = cut(agent),
    );
}

/// The id of the account or order that a request made: the last segment of its URL.
fn created<B>(response: &ServiceResponse<B>) -> Option<&str> {
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    (response.status() == StatusCode::CREATED).then(|| location.rsplit('/').next())?
}

/// Strangers choose these texts, so the log takes no more than so much of them.
fn cut(text: &str) -> &str {
    const OCTETS_MAX: usize = 256;
    text.get(..OCTETS_MAX).unwrap_or(if text.len() > OCTETS_MAX { "(not text)" } else { text })
}
