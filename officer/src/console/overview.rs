//! The first page: what waits for a person, what ends soon, what is held.

use std::time::Duration;

use actix_web::HttpResponse;
use askama::Template;

use super::{
    Console,
    answer::{self, Frame},
    certificates,
    table::{Cell, Found, Table},
};
use crate::{
    cli::approvals,
    cm::registration::{Registration, Search},
    error::Failure,
};

/// Most rows of each table.
const ROWS_MAX: usize = 50;
/// Certificates that end within this time are shown.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

#[derive(Template)]
#[template(path = "console/tables.html")]
struct Page<'a> {
    frame: Frame<'a>,
    tables: Vec<Table>,
}

/// The page. What the CM does not show to this role is said where it would stand.
pub(super) async fn page(console: &Console) -> Result<HttpResponse, Failure> {
    let tables = vec![
        Table::of(
            "Waiting for approval",
            &["Request", "Received", "Profile", "Registration", "Owner", "Created by"],
            "Nothing waits for a decision.",
            waiting(console).await,
        ),
        Table::of(
            "Ending within 14 days",
            &certificates::HEADINGS,
            "No certificate in force ends within 14 days.",
            ending(console).await,
        ),
        Table::of(
            "Suspended registrations",
            &["Registration", "Owner", "Since", "Reason"],
            "No registration is suspended.",
            suspended(console).await,
        ),
    ];
    Ok(answer::page(&Page { frame: Frame::new(console, "", "Overview"), tables }))
}

async fn waiting(console: &Console) -> Found {
    let list = console.cm.requests("pending-approval", ROWS_MAX).await?;
    let rows = approvals::waiting(&console.cm, &list.items).await?.into_iter().map(|one| {
        vec![
            Cell::within("approvals", &one.request.id),
            Cell::plain(&one.request.received_at),
            Cell::plain(&one.request.profile),
            Cell::link("registrations", &one.request.registration),
            Cell::plain(&one.owner),
            Cell::plain(&one.officer),
        ]
    });
    Ok((rows.collect(), list.complete))
}

async fn suspended(console: &Console) -> Found {
    let search = Search { status: Some("suspended".to_owned()), ..Search::default() };
    let list = console.cm.registrations(search, ROWS_MAX).await?;
    let found = list.items.into_iter().map(Registration::of).collect::<Result<Vec<_>, _>>()?;
    let text = |text: &Option<String>| Cell::plain(text.as_deref().unwrap_or_default());
    let row = |one: Registration| {
        let view = one.view;
        vec![Cell::link("registrations", &view.id), text(&view.owner), text(&view.status_at), text(&view.status_reason)]
    };
    Ok((found.into_iter().map(row).collect(), list.complete))
}

/// By the CM's clock, which the times of its certificates are told by.
async fn ending(console: &Console) -> Found {
    let until = console.cm.time().await?.plus(SOON);
    let query = vec![("status", "good".to_owned()), ("notAfterBefore", until.to_string())];
    certificates::rows(console, query, ROWS_MAX).await
}
