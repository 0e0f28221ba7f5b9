//! Registrations: found, looked at, held and let go on.

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;

use super::{
    Console,
    answer::{self, Frame},
    certificates,
    fields::Fields,
    mistakes::Mistakes,
    table::{Cell, Found, Table},
    waivers,
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
/// Most accounts on the page of the registration that they came from.
const CHILDREN_MAX: usize = 50;
/// What a row tells.
const HEADINGS: [&str; 5] = ["Registration", "Status", "Owner", "Key id", "Allows"];
/// The use of a key that many accounts can come from.
const MULTI: &str = "multi";
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
    parent: &'a str,
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
    mistakes: Mistakes,
    parent: Option<String>,
    facts: Vec<(&'static str, String)>,
    tables: Vec<Table>,
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
        parent: query.text("parent").map(str::to_owned),
    };
    let found = rows(console, search, ROWS_MAX).await;
    let table = Table::of("Registrations that fit", &HEADINGS, "No registration fits.", found);
    Ok(answer::page(&ListPage {
        frame: Frame::new(console, "registrations", "Registrations"),
        statuses: STATUSES.into_iter().map(|one| (one, one == text("status"))).collect(),
        owner: text("owner"),
        identifier: text("identifier"),
        parent: text("parent"),
        table,
    }))
}

async fn rows(console: &Console, search: Search, rows_max: usize) -> Found {
    let list = console.cm.registrations(search, rows_max).await?;
    let cells = |json| {
        let view = Registration::of(json)?.view;
        let plain = row(&view).into_iter().skip(1).map(|text| Cell::plain(&text));
        Ok([Cell::link("registrations", &view.id)].into_iter().chain(plain).collect())
    };
    Ok((list.items.into_iter().map(cells).collect::<Result<_, _>>()?, list.complete))
}

/// One registration: everything about it, and what can be done.
pub(super) async fn one(console: &Console, id: &str, query: &Fields) -> Result<HttpResponse, Failure> {
    let is_done = query.text("done").is_some();
    Ok(answer::page(&OnePage { is_done, ..Box::pin(made(console, id)).await? }))
}

async fn made<'a>(console: &'a Console, id: &str) -> Result<OnePage<'a>, Failure> {
    let view = console.cm.registration(id).await?.view;
    let lines = |text: &str| text.lines().map(shown).collect::<Vec<_>>().join("\n");
    let facts = facts(&view).into_iter().filter(|(_, value)| !value.is_empty());
    let facts = facts.map(|(name, value)| (name, lines(&value))).collect();
    let of_this = vec![("registration", view.id.clone())];
    let mut tables = vec![certificates::table(console, "Its certificates", of_this, CERTIFICATES_MAX).await];
    if view.eab.as_ref().is_some_and(|eab| eab.usage == MULTI) {
        let search = Search { parent: Some(view.id.clone()), ..Search::default() };
        let found = rows(console, search, CHILDREN_MAX).await;
        let empty = "No client has bound an account key by it yet.";
        tables.push(
            Table::of("Accounts that came from it", &HEADINGS, empty, found)
                .further(format!("registrations?parent={}", view.id), "Search among them"),
        );
        let of_children = vec![("parent", view.id.clone())];
        let caption = "Certificates of accounts that came from it";
        tables.push(certificates::table(console, caption, of_children, CERTIFICATES_MAX).await);
    }
    let of_this = waivers::table(console, "Its waivers of challenges", Some(&view.id), None).await;
    let propose = format!("registrations/{}/waive", view.id);
    tables.extend(of_this.map(|table| table.further(propose, "Propose a waiver")));
    let owner = view.owner.as_deref().map(|owner| format!(" of {}", shown(owner))).unwrap_or_default();
    Ok(OnePage {
        frame: Frame::new(console, "registrations", format!("Registration{owner}")),
        parent: view.parent,
        id: view.id,
        status: view.status,
        is_done: false,
        mistakes: Mistakes::default(),
        facts,
        tables,
    })
}

/// The registration, if it is still of the version in the form.
pub(super) async fn of_version(console: &Console, id: &str, form: &Fields) -> Result<Registration, Failure> {
    let before = console.cm.registration(id).await?;
    if form.text("version") == Some(before.view.version.to_string().as_str()) {
        return Ok(before);
    }
    let reason = "the registration was changed meanwhile, or this form was sent before, so nothing was done; open its page \
                  again and decide again";
    Err(Failure::Changed(reason.to_owned()))
}

/// Holds it.
pub(super) async fn suspend(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    match reason(form.text("reason").unwrap_or_default()) {
        Ok(reason) => set(console, id, "suspended", Some(&reason)).await,
        Err(why) => mistaken(console, id, &why).await,
    }
}

/// Lets it go on.
pub(super) async fn resume(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    match form.text("reason").map(reason).transpose() {
        Ok(reason) => set(console, id, "active", reason.as_deref()).await,
        Err(why) => mistaken(console, id, &why).await,
    }
}

async fn mistaken(console: &Console, id: &str, why: &str) -> Result<HttpResponse, Failure> {
    let mut page = Box::pin(made(console, id)).await?;
    page.mistakes.add("reason", format!("Say why: {why}."));
    Ok(answer::with_status(StatusCode::BAD_REQUEST, &page))
}

async fn set(console: &Console, id: &str, status: &str, reason: Option<&str>) -> Result<HttpResponse, Failure> {
    let changed = console.cm.set_status(id, status, reason, false).await?;
    Ok(answer::see_other(console, &format!("registrations/{}?done=1", changed.view.id)))
}
