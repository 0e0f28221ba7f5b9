//! Certificates: those that fit.

use super::{
    Console,
    table::{Cell, Found, Table},
};
use crate::cm::certificate::Certificate;

/// The certificates that fit; `query` is in the contract's words (section 4.5).
pub(super) async fn table(
    console: &Console,
    caption: &'static str,
    query: Vec<(&'static str, String)>,
    rows_max: usize,
) -> Table {
    let headings = &["Certificate", "Status", "Until", "Registration", "Names"];
    Table::of(caption, headings, "There is none.", rows(console, query, rows_max).await)
}

async fn rows(console: &Console, query: Vec<(&'static str, String)>, rows_max: usize) -> Found {
    let list = console.cm.certificates(query, rows_max).await?;
    let row = |json| {
        let one = Certificate::of(json)?;
        let registration = one.view.registration.as_deref().map(|id| Cell::link("registrations", id));
        Ok(vec![
            Cell::plain(&one.view.id),
            Cell::plain(&one.view.status),
            Cell::plain(&one.view.not_after),
            registration.unwrap_or_else(|| Cell::plain("")),
            Cell::plain(&one.names()),
        ])
    };
    Ok((list.items.into_iter().map(row).collect::<Result<_, _>>()?, list.complete))
}
