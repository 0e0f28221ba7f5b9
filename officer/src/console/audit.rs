//! The CM's trail of who did what. The CM shows it to auditors only.

use std::time::Duration;

use actix_web::HttpResponse;
use askama::Template;

use super::{
    Console,
    answer::{self, Frame},
    fields::Fields,
    table::{Cell, Found, Table},
};
use crate::{
    cli::{
        audit::{Arguments, query, row},
        when,
    },
    error::Failure,
};

/// Most entries of one page.
const ROWS_MAX: usize = 200;
/// How far back is looked if nobody says.
const SINCE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

#[derive(Template)]
#[template(path = "console/audit.html")]
struct Page<'a> {
    frame: Frame<'a>,
    from: String,
    to: &'a str,
    actor: &'a str,
    subject: &'a str,
    action: &'a str,
    table: Table,
}

/// The entries that fit, oldest first.
pub(super) async fn page(console: &Console, fields: &Fields) -> Result<HttpResponse, Failure> {
    let text = |name: &str| fields.text(name).unwrap_or_default();
    let owned = |name: &str| fields.text(name).map(str::to_owned);
    let time = |name: &str| fields.text(name).map(when::parse).transpose().map_err(Failure::Usage);
    let from = match time("from")? {
        Some(from) => from,
        None => console.cm.time().await?.minus(SINCE),
    };
    let arguments = Arguments {
        from: Some(from),
        to: time("to")?,
        actor: owned("actor"),
        subject: owned("subject"),
        action: owned("action"),
        all_realms: false,
        limit: ROWS_MAX,
    };
    let headings = &["Time", "Who", "What", "Outcome", "To what", "Detail"];
    let table = Table::of("Who did what, oldest first", headings, "Nothing fits.", rows(console, arguments).await);
    Ok(answer::page(&Page {
        frame: Frame::new(console, "audit", "Audit"),
        from: from.to_string(),
        to: text("to"),
        actor: text("actor"),
        subject: text("subject"),
        action: text("action"),
        table,
    }))
}

async fn rows(console: &Console, arguments: Arguments) -> Found {
    let list = console.cm.audit(query(arguments, &console.cm), ROWS_MAX).await?;
    let cells = |entry| row(entry).iter().map(|text| Cell::plain(text)).collect();
    Ok((list.items.iter().map(cells).collect(), list.complete))
}
