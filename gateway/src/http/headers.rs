//! What every answer of an endpoint carries: a nonce, the way back to the directory, no caching
//! (RFC 8555 §6.5, §7.1), and with a problem the way to its help page. And what no route may see:
//! requests that are refused whatever they ask for.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use acme::problem::ProblemKind;
use actix_web::{
    Error, HttpMessage, HttpResponse, ResponseError as _,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        Method,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use futures_util::FutureExt as _;

use super::{
    admission::admit,
    connection::RefusedHead,
    help,
    problem::{HttpError, Sent},
    trace::{Asked, Told, leave_trace},
};
use crate::{
    app::{App, Current},
    clock,
};

/// The nonce header (RFC 8555 §6.5.1).
const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// Wraps every request of the ACME listener.
pub(crate) async fn dress<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let Some(app) = request.app_data::<web::Data<Current>>().map(|current| current.app()) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    request.extensions_mut().insert(Arc::clone(&app));
    let asked = Asked::of(&request);
    if let Some(refused) = refusal(&request).or_else(|| admit(&app, &request).err()) {
        let mut response = request.error_response(refused);
        add_headers(&app, &asked, response.response_mut());
        leave_trace(&app, &asked, &Told::by_response(&response), started);
        return Ok(response);
    }
    let Ok(answered) = AssertUnwindSafe(next.call(request)).catch_unwind().await else {
        let mut response = after_panic(&app);
        add_headers(&app, &asked, &mut response);
        leave_trace(&app, &asked, &Told::without_request(&response), started);
        return Err(InternalError::from_response("panic", response).into());
    };
    let mut response = answered?.map_into_boxed_body();
    add_headers(&app, &asked, response.response_mut());
    leave_trace(&app, &asked, &Told::by_response(&response), started);
    Ok(response)
}

/// A head that is no sound HTTP, and a URL that is spelt in another way than this server does: no id
/// or name needs percent signs, no resource but lists has a query, and what is signed is compared
/// octet by octet (RFC 8555 §6.4).
fn refusal(request: &ServiceRequest) -> Option<HttpError> {
    if let Some(refused) = request.extensions().get::<RefusedHead>() {
        return Some(HttpError::malformed(refused.why.to_string()));
    }
    let (path, query) = (request.uri().path(), request.uri().query());
    let odd_query = query.is_some() && request.method() == Method::POST && !path.ends_with("/orders");
    (path.contains('%') || odd_query).then(|| {
        let detail = "there is nothing at this URL; use URLs exactly as this server gave them out";
        HttpError::new(ProblemKind::NotFound, detail)
    })
}

/// A panic ends one request and nothing else; its client is told so and can go on.
fn after_panic(app: &App) -> HttpResponse {
    app.metrics.panics.inc();
    HttpError::internal(&anyhow::anyhow!("a request handler panicked")).error_response()
}

fn add_headers(app: &App, asked: &Asked, response: &mut HttpResponse) {
    let ok = response.status().is_success();
    let index = index_link(app, &asked.path, ok);
    let help = response.extensions().get::<Sent>().and_then(|sent| help_link(app, sent.kind));
    let headers = response.headers_mut();
    let wants_nonce = asked.method == Method::POST || (ok && asked.path.ends_with("/new-nonce"));
    // A nonce is for one client, so what carries one is kept by nobody.
    if wants_nonce || !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if wants_nonce && let Ok(nonce) = HeaderValue::from_str(&app.nonces.issue(clock::now())) {
        headers.insert(REPLAY_NONCE, nonce);
    }
    for link in [index, help].into_iter().flatten() {
        headers.append(header::LINK, link);
    }
    if asked.with_origin {
        allow_browsers(headers);
    }
}

/// On everything but the directory itself. What comes after a directory link leads to the directory without it.
fn index_link(app: &App, path: &str, ok: bool) -> Option<HeaderValue> {
    let mut segments = path.split('/').skip(1);
    let (Some("acme"), Some(name), resource) = (segments.next(), segments.next(), segments.next()) else { return None };
    let endpoint = app.endpoints.get(&name.parse().ok()?)?;
    let is_directory = match resource {
        None | Some("" | "directory") => true,
        Some("r") => !path.ends_with("/new-account"),
        Some(_) => false,
    };
    if ok && is_directory {
        return None;
    }
    HeaderValue::from_str(&format!("<{}>;rel=\"index\"", endpoint.links.directory())).ok()
}

/// On every problem: the page that explains it to people.
fn help_link(app: &App, kind: ProblemKind) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("<{}>;rel=\"help\"", help::url(app, kind))).ok()
}

/// CORS, and only for browsers: shell clients search for `location` in all headers.
fn allow_browsers(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let exposed = HeaderValue::from_static("Link, Replay-Nonce, Location, Retry-After");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}

#[cfg(test)]
mod tests;
