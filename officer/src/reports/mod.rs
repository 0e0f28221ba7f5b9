//! Reports: rows under columns that stay what they are, for people, spreadsheets and programs. Everything
//! here is pure: what the CM said and the time go in, a [`Report`] comes out.

pub(crate) mod certificates;
pub(crate) mod history;
pub(crate) mod inactive;
pub(crate) mod missed;
pub(crate) mod record;
pub(crate) mod refused;
mod render;
pub(crate) mod who_could;

use std::collections::BTreeMap;

use acme::time::Timestamp;
use serde_json::{Map, Value, json};

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For reading in a terminal
    Table,
    /// For spreadsheets: one line of headings, then the rows
    Csv,
    /// For programs
    Json,
    /// One page for printing
    Html,
}

/// A report, whole.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    /// As the command line calls it.
    pub(crate) name: &'static str,
    /// In words.
    pub(crate) title: String,
    /// By the CM's clock.
    pub(crate) made_at: Timestamp,
    /// Names of the columns; they are part of the interface (`docs/OFFICER.md`).
    pub(crate) columns: &'static [&'static str],
    /// Rows in order, each with a value for every column.
    pub(crate) rows: Vec<Vec<Value>>,
    /// What is counted, beside the number of rows.
    pub(crate) totals: BTreeMap<String, usize>,
    /// What the reader has to know to understand it rightly.
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// What a row has in a column, as one text; nothing if there is no such column.
    pub(crate) fn cell(&self, row: &[Value], column: &str) -> String {
        let value = self.columns.iter().zip(row).find(|(name, _)| **name == column).map(|(_, value)| value);
        value.map(render::cell).unwrap_or_default()
    }

    /// What is counted, a line each, the number of rows first.
    pub(crate) fn total_lines(&self) -> Vec<String> {
        render::totals(self)
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let item = |row: &Vec<Value>| {
            let members = self.columns.iter().zip(row).map(|(column, value)| ((*column).to_owned(), value.clone()));
            Value::Object(members.collect::<Map<_, _>>())
        };
        json!({
            "report": self.name,
            "title": self.title,
            "made_at": self.made_at,
            "items": self.rows.iter().map(item).collect::<Vec<_>>(),
            "total": self.rows.len(),
            "totals": self.totals,
            "notes": self.notes,
        })
    }

    /// As a text. JSON is indented.
    pub(crate) fn text(&self, format: Format) -> String {
        match format {
            Format::Table => render::table_of(self),
            Format::Csv => render::csv_of(self),
            Format::Json => serde_json::to_string_pretty(&self.json()).unwrap_or_default(),
            Format::Html => render::html_of(self),
        }
    }
}

/// How often each value stands in a column.
fn counted<'a>(values: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut totals = BTreeMap::new();
    for value in values {
        *totals.entry(value.to_owned()).or_insert(0) += 1;
    }
    totals
}
