//! Certificates: found, looked at, revoked, and a hold taken away.

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;
use clap::ValueEnum as _;

use super::{
    Console,
    answer::{self, Frame},
    fields::Fields,
    mistakes::Mistakes,
    table::{Cell, Found, Table},
};
use crate::{
    cli::{
        certificates::{self, Reason, Revocation, Search},
        when,
    },
    cm::certificate::Certificate,
    error::Failure,
    output::shown,
};

/// Most certificates of one page.
const ROWS_MAX: usize = 200;
/// What a row tells.
pub(super) const HEADINGS: [&str; 5] = ["Certificate", "Status", "Until", "Registration", "Names"];
/// What can be looked for.
const STATUSES: [&str; 4] = ["good", "revoked", "hold", "expired"];

#[derive(Template)]
#[template(path = "console/certificates.html")]
struct ListPage<'a> {
    frame: Frame<'a>,
    /// What can be looked for, and whether it was.
    statuses: Vec<(&'static str, bool)>,
    registration: &'a str,
    identifier: &'a str,
    serial: &'a str,
    ending_before: &'a str,
    mistakes: Mistakes,
    /// Nothing if the question has a mistake.
    table: Option<Table>,
}

#[derive(Template)]
#[template(path = "console/certificate.html")]
struct OnePage<'a> {
    frame: Frame<'a>,
    id: String,
    status: String,
    registration: Option<String>,
    /// Whether something was just done.
    is_done: bool,
    mistakes: Mistakes,
    /// Why it can be revoked, and which reason was chosen.
    reasons: Vec<(&'static str, bool)>,
    facts: Vec<(&'static str, String)>,
}

/// The certificates that fit.
pub(super) async fn list(console: &Console, query: &Fields) -> Result<HttpResponse, Failure> {
    let text = |name: &str| query.text(name).unwrap_or_default();
    let owned = |name: &str| query.text(name).map(str::to_owned);
    let mut mistakes = Mistakes::default();
    let ending_before = query.text("ending_before").map(when::parse).transpose();
    let ending_before = ending_before.map_err(|reason| mistakes.add("ending_before", shown(&reason)));
    let search = Search {
        registration: owned("registration"),
        parent: None,
        identifier: owned("identifier"),
        status: owned("status"),
        serial: owned("serial"),
        order: None,
        profile: None,
        ending_before: ending_before.unwrap_or_default(),
        limit: ROWS_MAX,
    };
    let is_right = mistakes.is_empty();
    let table = if is_right {
        Some(table(console, "Certificates that fit", certificates::query(search), ROWS_MAX).await)
    } else {
        None
    };
    let page = ListPage {
        frame: Frame::new(console, "certificates", "Certificates"),
        statuses: STATUSES.into_iter().map(|one| (one, one == text("status"))).collect(),
        registration: text("registration"),
        identifier: text("identifier"),
        serial: text("serial"),
        ending_before: text("ending_before"),
        mistakes,
        table,
    };
    Ok(answer::with_status(if is_right { StatusCode::OK } else { StatusCode::BAD_REQUEST }, &page))
}

/// A table of the certificates that fit; `query` is in the contract's words (section 4.5).
pub(super) async fn table(
    console: &Console,
    caption: &'static str,
    query: Vec<(&'static str, String)>,
    rows_max: usize,
) -> Table {
    Table::of(caption, &HEADINGS, "There is none.", rows(console, query, rows_max).await)
}

/// The rows of such a table.
pub(super) async fn rows(console: &Console, query: Vec<(&'static str, String)>, rows_max: usize) -> Found {
    let list = console.cm.certificates(query, rows_max).await?;
    let row = |json| {
        let one = Certificate::of(json)?;
        let registration = one.view.registration.as_deref().map(|id| Cell::link("registrations", id));
        Ok(vec![
            Cell::link("certificates", &one.view.id),
            Cell::plain(&one.view.status),
            Cell::plain(&one.view.not_after),
            registration.unwrap_or_else(|| Cell::plain("")),
            Cell::plain(&one.names()),
        ])
    };
    Ok((list.items.into_iter().map(row).collect::<Result<_, _>>()?, list.complete))
}

/// One certificate, and what can be done.
pub(super) async fn one(console: &Console, id: &str, query: &Fields) -> Result<HttpResponse, Failure> {
    let is_done = query.text("done").is_some();
    Ok(answer::page(&OnePage { is_done, ..made(console, id, query, Mistakes::default()).await? }))
}

async fn made<'a>(console: &'a Console, id: &str, form: &Fields, mistakes: Mistakes) -> Result<OnePage<'a>, Failure> {
    let certificate = console.cm.certificate(id).await?;
    let chosen = form.text("reason").unwrap_or_default();
    let facts = certificates::facts(&certificate).into_iter().filter(|(_, value)| !value.is_empty());
    let facts = facts.map(|(name, value)| (name, shown(&value))).collect();
    let title = format!("Certificate for {}", shown(&certificate.names()));
    let view = certificate.view;
    Ok(OnePage {
        frame: Frame::new(console, "certificates", title),
        id: view.id,
        status: view.status,
        registration: view.registration,
        is_done: false,
        mistakes,
        reasons: Reason::value_variants().iter().map(|reason| (reason.name(), reason.name() == chosen)).collect(),
        facts,
    })
}

/// Revokes it. This cannot be taken back, unless it is a hold, so it has to be said twice.
pub(super) async fn revoke(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    let chosen = form.text("reason").unwrap_or_default();
    let reason = Reason::value_variants().iter().copied().find(|reason| reason.name() == chosen);
    let mut mistakes = Mistakes::default();
    if reason.is_none() {
        mistakes.add("reason", "Please choose a reason.");
    }
    if form.text("sure").is_none() {
        mistakes.add("sure", "Please tick that it is meant.");
    }
    if form.text("block_key").is_some() && reason.is_some_and(|reason| reason != Reason::KeyCompromise) {
        mistakes.add("block_key", "A key is blocked with the reason keyCompromise only.");
    }
    let Some(reason) = reason.filter(|_| mistakes.is_empty()) else {
        let page = made(console, id, form, mistakes).await?;
        return Ok(answer::with_status(StatusCode::BAD_REQUEST, &page));
    };
    let revocation = Revocation {
        id: id.to_owned(),
        reason,
        comment: form.text("comment").map(str::to_owned),
        block_key: form.text("block_key").is_some(),
        invalid_since: None,
    };
    let (certificate, _) = certificates::revoke(revocation, &console.cm).await?;
    Ok(answer::see_other(console, &format!("certificates/{}?done=1", certificate.view.id)))
}

/// Takes a hold away.
pub(super) async fn reinstate(console: &Console, id: &str) -> Result<HttpResponse, Failure> {
    let _ = console.cm.reinstate(id).await?;
    Ok(answer::see_other(console, &format!("certificates/{id}?done=1")))
}
