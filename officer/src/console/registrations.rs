//! Registrations: found, looked at, held and let go on.

use actix_web::HttpResponse;
use askama::Template;

use super::{
    Console,
    answer::{self, Frame},
    certificates,
    fields::Fields,
    table::{Cell, Found, Table},
};
use crate::{
    cli::registrations::{
        show::{facts, find, row},
        status::reason,
    },
    cm::registration::{Registration, Search},
    error::Failure,
    output::shown,
};

/// Most registrations of one page.
const ROWS_MAX: usize = 200;
/// Most certificates on the page of a registration.
const CERTIFICATES_MAX: usize = 50;
/// What can be looked for.
const STATUSES: [&str; 5] = ["pending", "active", "suspended", "deactivated", "revoked"];

#[derive(Template)]
#[template(path = "console/registrations.html")]
struct ListPage<'a> {
    frame: Frame<'a>,
    /// What can be looked for, and whether it was.
    statuses: Vec<(&'static str, bool)>,
    owner: &'a str,
    identifier: &'a str,
    table: Table,
}

#[derive(Template)]
#[template(path = "console/registration.html")]
struct OnePage<'a> {
    frame: Frame<'a>,
    id: String,
    status: String,
    /// Whether something was just done.
    is_done: bool,
    facts: Vec<(&'static str, String)>,
    table: Table,
}

/// The registrations that fit, or the one that was asked for by its id.
pub(super) async fn list(console: &Console, query: &Fields) -> Result<HttpResponse, Failure> {
    if let Some(id) = query.text("id") {
        let found = find(id, &console.cm).await?;
        return Ok(answer::see_other(console, &format!("registrations/{}", found.view.id)));
    }
    let text = |name: &str| query.text(name).unwrap_or_default();
    let search = Search {
        status: query.text("status").map(str::to_owned),
        owner: query.text("owner").map(str::to_owned),
        identifier: query.text("identifier").map(str::to_owned),
        key_id: None,
        parent: None,
    };
    let headings = &["Registration", "Status", "Owner", "Key id", "Allows"];
    let table = Table::of("Registrations that fit", headings, "No registration fits.", rows(console, search).await);
    Ok(answer::page(&ListPage {
        frame: Frame::new(console, "registrations", "Registrations"),
        statuses: STATUSES.into_iter().map(|one| (one, one == text("status"))).collect(),
        owner: text("owner"),
        identifier: text("identifier"),
        table,
    }))
}

async fn rows(console: &Console, search: Search) -> Found {
    let list = console.cm.registrations(search, ROWS_MAX).await?;
    let cells = |json| {
        let view = Registration::of(json)?.view;
        let plain = row(&view).into_iter().skip(1).map(|text| Cell::plain(&text));
        Ok([Cell::link("registrations", &view.id)].into_iter().chain(plain).collect())
    };
    Ok((list.items.into_iter().map(cells).collect::<Result<_, _>>()?, list.complete))
}

/// One registration: everything about it, and what can be done.
pub(super) async fn one(console: &Console, id: &str, query: &Fields) -> Result<HttpResponse, Failure> {
    let view = console.cm.registration(id).await?.view;
    let lines = |text: &str| text.lines().map(shown).collect::<Vec<_>>().join("\n");
    let facts = facts(&view).into_iter().filter(|(_, value)| !value.is_empty());
    let facts = facts.map(|(name, value)| (name, lines(&value))).collect();
    let of_this = vec![("registration", view.id.clone())];
    let table = certificates::table(console, "Its certificates", of_this, CERTIFICATES_MAX).await;
    let owner = view.owner.as_deref().map(|owner| format!(" of {}", shown(owner))).unwrap_or_default();
    Ok(answer::page(&OnePage {
        frame: Frame::new(console, "registrations", format!("Registration{owner}")),
        id: view.id,
        status: view.status,
        is_done: query.text("done").is_some(),
        facts,
        table,
    }))
}

/// Holds it.
pub(super) async fn suspend(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    let reason = reason(form.text("reason").unwrap_or_default()).map_err(Failure::Usage)?;
    set(console, id, "suspended", Some(&reason)).await
}

/// Lets it go on.
pub(super) async fn resume(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    let reason = form.text("reason").map(reason).transpose().map_err(Failure::Usage)?;
    set(console, id, "active", reason.as_deref()).await
}

async fn set(console: &Console, id: &str, status: &str, reason: Option<&str>) -> Result<HttpResponse, Failure> {
    let changed = console.cm.set_status(id, status, reason, false).await?;
    Ok(answer::see_other(console, &format!("registrations/{}?done=1", changed.view.id)))
}
