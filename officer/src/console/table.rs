//! A table of a page: the first column names the row, and cells may lead somewhere.

use crate::{
    error::Failure,
    output::{cell, shown},
};

/// A table, or why there is none.
#[derive(Debug)]
pub(super) struct Table {
    /// What it shows.
    pub(super) caption: &'static str,
    pub(super) headings: Vec<&'static str>,
    pub(super) rows: Vec<Vec<Cell>>,
    /// Whether the CM has more rows than these.
    pub(super) has_more: bool,
    /// What is said instead of a table without rows.
    pub(super) empty: &'static str,
    pub(super) failure: Option<String>,
    /// What it cannot show, whether it has rows or not.
    pub(super) note: Option<&'static str>,
    /// Where more of it is: a path below that of the session, and what that is called.
    pub(super) further: Option<(String, &'static str)>,
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
        Self { text: cell(text), to: None }
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
    pub(super) fn of(caption: &'static str, headings: &[&'static str], empty: &'static str, found: Found) -> Self {
        let (rows, is_complete, failure) = match found {
            Ok((rows, is_complete)) => (rows, is_complete, None),
            Err(failure) => (Vec::new(), true, Some(failure.to_string())),
        };
        Self {
            caption,
            headings: headings.to_vec(),
            rows,
            has_more: !is_complete,
            empty,
            failure,
            note: None,
            further: None,
        }
    }

    /// The same with a sentence about what it cannot show.
    pub(super) fn noting(self, note: &'static str) -> Self {
        Self { note: Some(note), ..self }
    }

    /// What stands above the cells of this column.
    pub(super) fn heading(&self, column: &usize) -> &'static str {
        self.headings.get(*column).copied().unwrap_or_default()
    }

    /// The same with a way to more of it, unless there is nothing of it.
    pub(super) fn leading(self, to: impl Into<String>, name: &'static str) -> Self {
        if self.rows.is_empty() && self.failure.is_none() { self } else { self.further(to, name) }
    }

    /// The same with a way to more of it.
    pub(super) fn further(self, to: impl Into<String>, name: &'static str) -> Self {
        Self { further: Some((to.into(), name)), ..self }
    }
}
