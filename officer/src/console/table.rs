//! A table of a page: the first column names the row, and cells may lead somewhere.

use crate::{error::Failure, output::shown};

/// A table, or why there is none.
#[derive(Debug)]
pub(super) struct Table {
    /// What it shows.
    pub(super) caption: &'static str,
    pub(super) headings: &'static [&'static str],
    pub(super) rows: Vec<Vec<Cell>>,
    /// Whether the CM has more rows than these.
    pub(super) has_more: bool,
    /// What is said instead of a table without rows.
    pub(super) empty: &'static str,
    pub(super) failure: Option<String>,
}

/// Rows, and whether they are all.
pub(super) type Found = Result<(Vec<Vec<Cell>>, bool), Failure>;

/// A text, and where it leads: a path below that of the session.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) to: Option<String>,
}

impl Cell {
    /// Only a text.
    pub(super) fn plain(text: &str) -> Self {
        Self { text: shown(text), to: None }
    }

    /// A text that leads to the page that it stands on.
    pub(super) fn within(page: &str, text: &str) -> Self {
        Self { text: shown(text), to: Some(page.to_owned()) }
    }

    /// A text that leads to the page of what it names.
    pub(super) fn link(pages: &str, id: &str) -> Self {
        Self { text: shown(id), to: Some(format!("{pages}/{id}")) }
    }
}

impl Table {
    /// A table of what was found, or of why nothing could be looked for.
    pub(super) fn of(
        caption: &'static str,
        headings: &'static [&'static str],
        empty: &'static str,
        found: Found,
    ) -> Self {
        let (rows, is_complete, failure) = match found {
            Ok((rows, is_complete)) => (rows, is_complete, None),
            Err(failure) => (Vec::new(), true, Some(failure.to_string())),
        };
        Self { caption, headings, rows, has_more: !is_complete, empty, failure }
    }
}
