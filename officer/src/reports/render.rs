//! A report as a table, as CSV and as a page for printing.

use acme::time::Timestamp;
use askama::Template;
use serde_json::Value;

use super::Report;
use crate::output::{shown, table};

/// Columns with texts that people wrote. A spreadsheet would take some of them for formulas.
const FREE_TEXT: [&str; 3] = ["owner", "detail", "why"];

/// For a terminal.
pub(super) fn table_of(report: &Report) -> String {
    let headings: Vec<String> = report.columns.iter().map(|column| heading(column).to_uppercase()).collect();
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = report.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let mut parts = vec![format!("{}, {}", report.title, report.made_at)];
    if rows.is_empty() {
        parts.push("nothing to report".to_owned());
    } else {
        parts.push(table(&headings, &rows));
    }
    parts.push(totals(report).join("\n"));
    parts.extend(report.notes.iter().map(|note| format!("Note: {}", shown_whole(note))));
    parts.join("\n\n")
}

/// For spreadsheets (RFC 4180, with single line feeds). Notes and totals are not in it.
pub(super) fn csv_of(report: &Report) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let rows = report.rows.iter().map(|row| {
        let cells = report.columns.iter().zip(row).map(|(column, value)| spreadsheet(column, cell(value)));
        cells.collect::<Vec<_>>()
    });
    let headings: Vec<String> = report.columns.iter().map(|column| (*column).to_owned()).collect();
    for row in std::iter::once(headings).chain(rows) {
        // Nothing is refused: the rows are of one length, and memory takes every octet.
        let _ = writer.write_record(&row);
    }
    writer.into_inner().ok().and_then(|octets| String::from_utf8(octets).ok()).unwrap_or_default()
}

/// A whole page: no scripts, nothing from elsewhere.
pub(super) fn html_of(report: &Report) -> String {
    let page = Page {
        title: shown_whole(&report.title),
        made_at: report.made_at,
        headings: report.columns.iter().map(|column| heading(column)).collect(),
        rows: report.rows.iter().map(|row| row.iter().map(|value| shown_whole(&cell(value))).collect()).collect(),
        totals: totals(report),
        notes: report.notes.iter().map(|note| shown_whole(note)).collect(),
    };
    // Nothing of it can fail: there are texts and times.
    page.render().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    title: String,
    made_at: Timestamp,
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    totals: Vec<String>,
    notes: Vec<String>,
}

fn heading(column: &str) -> String {
    column.replace('_', " ")
}

pub(super) fn totals(report: &Report) -> Vec<String> {
    let mut lines = vec![format!("total: {}", report.rows.len())];
    lines.extend(report.totals.iter().map(|(what, number)| format!("{}: {number}", shown(what))));
    lines
}

/// A value as one text: names behind each other, nothing for what is not known.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(" "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// A text that a spreadsheet would reckon with is marked as text.
fn spreadsheet(column: &str, text: String) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if is_formula && FREE_TEXT.contains(&column) { format!("'{text}") } else { text }
}

/// However long it is, without anything that a terminal would obey.
fn shown_whole(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{super::Format, *};

    fn report() -> Report {
        Report {
            name: "issued",
            title: "Issued <b>".to_owned(),
            made_at: "2026-11-22T10:00:00Z".parse().unwrap(),
            columns: &["names", "owner", "days_left", "renewed_by"],
            rows: vec![vec![json!(["a.test", "b.test"]), json!("=1+1,\"<script>\"\u{1b}"), json!(-3), Value::Null]],
            totals: BTreeMap::from([("profile p".to_owned(), 1)]),
            notes: vec!["read & mind".to_owned()],
        }
    }

    #[test]
    fn a_table_has_totals_and_notes() {
        let text = report().text(Format::Table);
        assert!(text.contains("NAMES          OWNER"), "{text}");
        assert!(text.contains("total: 1\nprofile p: 1\n\nNote: read & mind"), "{text}");
        let empty = Report { rows: Vec::new(), ..report() }.text(Format::Table);
        assert!(empty.contains("nothing to report"), "{empty}");
    }

    #[test]
    fn csv_is_quoted_and_texts_of_people_are_no_formulas() {
        let text = report().text(Format::Csv);
        assert_eq!(text, "names,owner,days_left,renewed_by\na.test b.test,\"'=1+1,\"\"<script>\"\"\u{1b}\",-3,\n");
    }

    #[test]
    fn a_page_shows_texts_of_others_as_texts() {
        let page = report().text(Format::Html);
        assert!(page.contains("<td>=1+1,&#34;&#60;script&#62;&#34;?</td>"), "{page}");
        assert!(
            page.contains("<title>Issued &#60;b&#62;</title>") && page.contains("<li>read &#38; mind</li>"),
            "{page}"
        );
        assert!(page.contains("Made 2026-11-22T10:00:00Z. All times are UTC."), "{page}");
        assert!(!page.contains("<script"), "{page}");
    }

    #[test]
    fn json_has_the_columns_as_members() {
        let json: Value = serde_json::from_str(&report().text(Format::Json)).unwrap();
        assert_eq!(json.pointer("/items/0/days_left").unwrap(), -3);
        assert_eq!(json.pointer("/items/0/names/1").unwrap(), "b.test");
        assert_eq!(json.pointer("/total").unwrap(), 1);
    }
}
