//! The CM's trail of who did what. The CM shows it to auditors only.

use std::time::Duration;

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;

use super::{
    Console,
    answer::{self, Frame},
    fields::Fields,
    mistakes::Mistakes,
    table::{Cell, Found, Table},
};
use crate::{
    cli::{
        audit::{Arguments, query, row},
        when,
    },
    error::Failure,
    output::shown,
};

/// Most entries of one page.
const ROWS_MAX: usize = 200;
/// How far back is looked if nobody says.
const SINCE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

#[derive(Template)]
#[template(path = "console/audit.html")]
struct Page<'a> {
    frame: Frame<'a>,
    mistakes: Mistakes,
    from: String,
    to: &'a str,
    actor: &'a str,
    subject: &'a str,
    action: &'a str,
    /// Nothing if the question has a mistake.
    table: Option<Table>,
}

/// The entries that fit, oldest first.
pub(super) async fn page(console: &Console, fields: &Fields) -> Result<HttpResponse, Failure> {
    let text = |name: &str| fields.text(name).unwrap_or_default();
    let owned = |name: &str| fields.text(name).map(str::to_owned);
    let mut mistakes = Mistakes::default();
    let mut time = |name: &'static str| {
        let read = fields.text(name).map(when::parse).transpose();
        read.map_err(|reason| mistakes.add(name, shown(&reason))).ok().flatten()
    };
    let (from, to) = (time("from"), time("to"));
    let from = match from {
        Some(from) => from,
        None => console.cm.time().await?.minus(SINCE),
    };
    let arguments = Arguments {
        from: Some(from),
        to,
        actor: owned("actor"),
        subject: owned("subject"),
        action: owned("action"),
        all_realms: false,
        limit: ROWS_MAX,
    };
    let headings = &["Time", "Who", "What", "Outcome", "To what", "Detail"];
    let is_right = mistakes.is_empty();
    let table = if is_right {
        let found = rows(console, arguments).await;
        Some(Table::of("Who did what, oldest first", headings, "Nothing fits.", found))
    } else {
        None
    };
    let written = fields.text("from").filter(|_| !is_right).map(str::to_owned);
    let page = Page {
        frame: Frame::new(console, "audit", "Audit"),
        mistakes,
        from: written.unwrap_or_else(|| from.to_string()),
        to: text("to"),
        actor: text("actor"),
        subject: text("subject"),
        action: text("action"),
        table,
    };
    Ok(answer::with_status(if is_right { StatusCode::OK } else { StatusCode::BAD_REQUEST }, &page))
}

async fn rows(console: &Console, arguments: Arguments) -> Found {
    let list = console.cm.audit(query(arguments, &console.cm), ROWS_MAX).await?;
    let cells = |entry| row(entry).iter().map(|text| Cell::plain(text)).collect();
    Ok((list.items.iter().map(cells).collect(), list.complete))
}
