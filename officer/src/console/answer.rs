//! What a browser is answered: pages by their templates, and the headers of every answer.
//!
//! Templates escape whatever they are given, so no text becomes markup. Nothing is fetched but
//! from here, nothing runs, nobody frames a page, and nothing is kept in the browser's cache.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    middleware::DefaultHeaders,
};
use askama::Template;

use super::{Console, session::Refused};
use crate::error::Failure;

/// Pages have one style sheet and one icon, and their forms go to where they came from.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";
const STYLE: &str = include_str!("../../templates/console/style.css");
const ICON: &str = include_str!("../../templates/console/icon.svg");

/// The pages of the navigation: path and name.
const PAGES: [(&str, &str); 7] = [
    ("", "Overview"),
    ("registrations", "Registrations"),
    ("approvals", "Approvals"),
    ("certificates", "Certificates"),
    ("orders", "Orders"),
    ("reports", "Reports"),
    ("audit", "Audit"),
];

/// What stands around every page.
pub(super) struct Frame<'a> {
    console: &'a Console,
    pub(super) title: String,
    /// The path in the navigation that the page belongs to.
    pub(super) here: &'static str,
}

impl<'a> Frame<'a> {
    pub(super) fn new(console: &'a Console, here: &'static str, title: impl Into<String>) -> Self {
        Self { console, title: title.into(), here }
    }

    pub(super) fn at(&self) -> &str {
        self.console.session.at()
    }

    #[expect(clippy::unused_self, reason = "templates call methods")]
    pub(super) fn pages(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        PAGES.into_iter()
    }

    pub(super) fn form_token(&self) -> &str {
        self.console.session.form_token()
    }

    pub(super) fn realm(&self) -> &str {
        self.console.cm.realm().as_str()
    }

    pub(super) fn cm_url(&self) -> &str {
        &self.console.settings.cm.base_url
    }
}

#[derive(Template)]
#[template(path = "console/failure.html")]
struct FailurePage<'a> {
    frame: Frame<'a>,
    text: String,
}

#[derive(Template)]
#[template(path = "console/refused.html")]
struct RefusedPage {
    text: &'static str,
}

#[derive(Template)]
#[template(path = "console/enter.html")]
struct EnterPage<'a> {
    at: &'a str,
}

/// For every answer, also for those that the library makes by itself. Forms are told by their
/// `Origin`, and browsers send none if the referrer policy is stricter than this one.
pub(super) fn headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, POLICY))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
        .add((header::REFERRER_POLICY, "same-origin"))
        .add((header::CACHE_CONTROL, "no-store"))
        .add(("Cross-Origin-Opener-Policy", "same-origin"))
        .add(("Cross-Origin-Resource-Policy", "same-origin"))
}

/// A page.
pub(super) fn page(page: &impl Template) -> HttpResponse {
    with_status(StatusCode::OK, page)
}

/// A page that says what is wrong with what was sent.
pub(super) fn with_status(status: StatusCode, page: &impl Template) -> HttpResponse {
    match page.render() {
        Ok(html) => HttpResponse::build(status).content_type("text/html; charset=utf-8").body(html),
        Err(error) => HttpResponse::InternalServerError().body(format!("the page cannot be made: {error}")),
    }
}

/// Elsewhere, after a form was carried out: loading that page again repeats nothing.
pub(super) fn see_other(console: &Console, path: &str) -> HttpResponse {
    let url = format!("{}/{path}", console.session.at());
    HttpResponse::SeeOther().insert_header((header::LOCATION, url)).finish()
}

/// The first page of a browser that came by the link. No redirect: to the browser that would be
/// the request of whoever showed the link, and it would keep the cookie back.
pub(super) fn enter(console: &Console, cookie: String) -> HttpResponse {
    let mut answer = page(&EnterPage { at: console.session.at() });
    if let Ok(cookie) = header::HeaderValue::try_from(cookie) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}

/// To somebody who may see nothing here.
pub(super) fn refused(refused: Refused) -> HttpResponse {
    with_status(StatusCode::FORBIDDEN, &RefusedPage { text: refused.text() })
}

/// Why a page cannot be shown or a form not be carried out.
pub(super) fn failure(console: &Console, failure: &Failure) -> HttpResponse {
    let status = match failure {
        Failure::Usage(_) => StatusCode::BAD_REQUEST,
        Failure::Refused(_) => StatusCode::FORBIDDEN,
        Failure::NotFound(_) => StatusCode::NOT_FOUND,
        Failure::Changed(_) => StatusCode::CONFLICT,
        Failure::File(_) | Failure::Unanswered(_) | Failure::Broken(_) => StatusCode::BAD_GATEWAY,
    };
    let frame = Frame::new(console, "none", "This was not possible");
    with_status(status, &FailurePage { frame, text: failure.to_string() })
}

/// The style sheet.
pub(super) fn style() -> HttpResponse {
    HttpResponse::Ok().content_type("text/css; charset=utf-8").body(STYLE)
}

/// The icon.
pub(super) fn icon() -> HttpResponse {
    HttpResponse::Ok().content_type("image/svg+xml").body(ICON)
}
