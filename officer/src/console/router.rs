//! Every request: first whether it may be here, then all pages and all forms, one line each.
//!
//! Pages are read with GET and change nothing; whatever changes something is a POST and has passed
//! the check of its form.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web,
};

use super::{
    Console, allowlist, answer, approvals, audit, certificates, ending, fields::Fields, keys, orders, overview,
    registrations, reports, secret, session::Refused, waivers, wizard,
};
use crate::{cm::waiver::Decision, error::Failure};

/// The name of the form token in every form.
const FORM_TOKEN: &str = "form_token";

/// Answers a request, whatever it is.
pub(super) async fn answer(request: HttpRequest, body: web::Bytes, console: web::Data<Console>) -> HttpResponse {
    match pass(&request, &body, &console).await {
        Ok(answer) => answer,
        Err(refused) => answer::refused(refused),
    }
}

async fn pass(request: &HttpRequest, body: &[u8], console: &Console) -> Result<HttpResponse, Refused> {
    let session = &console.session;
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    session.check_host(header(header::HOST))?;
    let is_get = request.method() == Method::GET;
    // Looking at the link by HEAD, as some programs do with links that they are sent, must not use it up.
    if is_get && let Some(entered) = session.enter(request.path()) {
        return Ok(answer::enter(console, entered?));
    }
    // Strangers are told why they see nothing on a page too. What it looks like tells nothing.
    match request.path() {
        "/style.css" if is_get => return Ok(answer::style()),
        "/icon.svg" | "/favicon.ico" if is_get => return Ok(answer::icon()),
        _ => {}
    }
    let cookies = request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    session.check_cookie(cookies)?;
    let path = request.path().strip_prefix(session.at()).unwrap_or("/nowhere").trim_start_matches('/');
    let segments: Vec<&str> = path.split('/').collect();
    let answered = if is_get {
        Box::pin(show(console, &segments, &Fields::parse(request.query_string()))).await
    } else if request.method() == Method::POST {
        let form = Fields::parse(std::str::from_utf8(body).unwrap_or_default());
        session.check_form(header(header::ORIGIN), form.raw(FORM_TOKEN))?;
        Box::pin(change(console, &segments, &form)).await
    } else {
        return Ok(HttpResponse::MethodNotAllowed().insert_header((header::ALLOW, "GET, POST")).finish());
    };
    Ok(answered.unwrap_or_else(|failure| answer::failure(console, &failure)))
}

/// All pages.
async fn show(console: &Console, path: &[&str], query: &Fields) -> Result<HttpResponse, Failure> {
    match path {
        [""] => overview::page(console).await,
        ["registrations"] => registrations::list(console, query).await,
        ["registrations", "new"] => Ok(wizard::begin(console)),
        ["registrations", id] => registrations::one(console, id, query).await,
        ["registrations", id, "list"] => allowlist::edit(console, id, query).await,
        ["registrations", id, "key"] => keys::page(console, id, query).await,
        ["registrations", id, "revoke"] => ending::page(console, id, query).await,
        ["registrations", id, "waive"] => waivers::propose(console, id, query).await,
        ["waivers", id] => waivers::one(console, id, query).await,
        ["certificates"] => certificates::list(console, query).await,
        ["certificates", id] => certificates::one(console, id, query).await,
        ["orders"] => orders::page(console, query).await,
        ["reports"] => Ok(reports::list(console)),
        ["reports", name] => reports::one(console, name, query).await,
        ["audit"] => audit::page(console, query).await,
        ["approvals"] => approvals::list(console, query).await,
        ["style.css"] => Ok(answer::style()),
        ["icon.svg"] => Ok(answer::icon()),
        _ => Err(nowhere()),
    }
}

/// All forms that change something.
async fn change(console: &Console, path: &[&str], form: &Fields) -> Result<HttpResponse, Failure> {
    match path {
        ["certificates", id, "revoke"] => certificates::revoke(console, id, form).await,
        ["certificates", id, "reinstate"] => certificates::reinstate(console, id).await,
        ["approvals", id, "approve"] => approvals::approve(console, id, form).await,
        ["approvals", id, "reject"] => approvals::reject(console, id, form).await,
        ["registrations", "new"] => wizard::go_on(console, form).await,
        ["registrations", id, "sheet"] => secret::sheet(console, id, form).await,
        ["registrations", id, "suspend"] => registrations::suspend(console, id, form).await,
        ["registrations", id, "resume"] => registrations::resume(console, id, form).await,
        ["registrations", id, "revoke"] => ending::revoke(console, id, form).await,
        ["registrations", id, "key", "rotate"] => keys::rotate(console, id, form).await,
        ["registrations", id, "key", "rebind"] => keys::rebind(console, id, form).await,
        ["registrations", id, "link"] => keys::draw_link(console, id, form).await,
        ["registrations", id, "unlink"] => keys::end_link(console, id, form).await,
        ["registrations", id, "waive"] => waivers::proposed(console, id, form).await,
        ["waivers", id, "approve"] => waivers::decide(console, id, Decision::Approve, form).await,
        ["waivers", id, "reject"] => waivers::decide(console, id, Decision::Reject, form).await,
        ["waivers", id, "withdraw"] => waivers::decide(console, id, Decision::Withdraw, form).await,
        ["registrations", id, "list"] => allowlist::save(console, id, form).await,
        ["registrations", id, "list", "preview"] => allowlist::preview(console, id, form).await,
        _ => Err(nowhere()),
    }
}

fn nowhere() -> Failure {
    Failure::NotFound("there is no such page; begin with the overview".to_owned())
}
