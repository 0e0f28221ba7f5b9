//! Reports as pages and as CSV, by the functions of `report` on the command line.

use acme::time::Timestamp;
use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use askama::Template;

use super::{
    Console,
    answer::{self, Frame},
    fields::Fields,
    mistakes::Mistakes,
    table::{Cell, Table},
};
use crate::{
    cli::{
        report::{DAYS_MAX, HISTORY_DAYS, Memory, Sources, Span, What},
        when,
    },
    error::Failure,
    output::shown,
    reports::{Format, Report},
};

/// Columns that come first on a page about certificates.
const FIRST: [&str; 2] = ["owner", "names"];
/// Most rows of a page; a file has all of them.
const ROWS_MAX: usize = 500;
/// Most certificates, registrations or entries that are looked at.
const LOOKED_AT_MAX: usize = 10_000;

/// A report that can be asked for.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// As the command line calls it.
    name: &'static str,
    title: &'static str,
    /// What it answers.
    about: &'static str,
    fields: &'static [Field],
    /// What a page without rows says.
    empty: &'static str,
}

/// What narrows a report.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: &'static str,
    label: &'static str,
    /// What is in the field if nobody has written anything.
    usual: &'static str,
    required: bool,
}

const FROM: Field = Field::new("from", "From, such as 2026-11-01; else 30 days back", "");
const TO: Field = Field::new("to", "Before, such as 2026-12-01; else until now", "");
const REGISTRATION: Field = Field::new("registration", "Of this registration", "");

const KINDS: [Kind; 6] = [
    Kind {
        name: "issued",
        title: "Issued",
        about: "Certificates that were issued.",
        fields: &[FROM, TO, REGISTRATION, Field::new("profile", "By this profile", "")],
        empty: "No certificate was issued.",
    },
    Kind {
        name: "expiring",
        title: "Expiring",
        about: "Certificates in force that end soon, and what has taken their place.",
        fields: &[Field::new("within", "Within so many days", "30"), REGISTRATION],
        empty: "No certificate in force ends within this time.",
    },
    Kind {
        name: "missed",
        title: "Missed renewals",
        about: "Renewals that should have come and did not, of certificates that are still in force.",
        fields: &[],
        empty: "No renewal is missing.",
    },
    Kind {
        name: "refused",
        title: "Refused",
        about: "What was refused, by which rule.",
        fields: &[FROM, TO],
        empty: "Nothing was refused.",
    },
    Kind {
        name: "inactive",
        title: "Inactive",
        about: "Registrations without activity.",
        fields: &[Field::new("days", "For so many days", "90")],
        empty: "Every registration was active.",
    },
    Kind {
        name: "who-could",
        title: "Who could",
        about: "Which registrations would have allowed a name on a day, and why.",
        fields: &[
            Field { required: true, ..Field::new("name", "DNS name, wildcard name or address", "") },
            Field::new("on", "On this day or at this time; else now", ""),
        ],
        empty: "No registration would have allowed it.",
    },
];

impl Field {
    const fn new(name: &'static str, label: &'static str, usual: &'static str) -> Self {
        Self { name, label, usual, required: false }
    }
}

#[derive(Template)]
#[template(path = "console/reports.html")]
struct ListPage<'a> {
    frame: Frame<'a>,
}

#[derive(Template)]
#[template(path = "console/report.html")]
struct OnePage<'a> {
    frame: Frame<'a>,
    kind: Kind,
    /// What was written into each field.
    written: Vec<(Field, String)>,
    mistakes: Mistakes,
    found: Option<Shown>,
}

/// A report as it is shown.
struct Shown {
    made_at: Timestamp,
    table: Table,
    totals: Vec<String>,
    notes: Vec<String>,
}

/// All reports there are.
pub(super) fn list(console: &Console) -> HttpResponse {
    answer::page(&ListPage { frame: Frame::new(console, "reports", "Reports") })
}

/// A report, or the form for one that needs something written first; with `.csv` behind its name, the file.
pub(super) async fn one(console: &Console, name: &str, query: &Fields) -> Result<HttpResponse, Failure> {
    let (name, is_file) = name.strip_suffix(".csv").map_or((name, false), |name| (name, true));
    let kind = KINDS.into_iter().find(|kind| kind.name == name);
    let kind = kind.ok_or_else(|| Failure::NotFound("there is no such report; look at the list of them".to_owned()))?;
    let value = |field: &Field| query.text(field.name).unwrap_or(field.usual).to_owned();
    let page = OnePage {
        frame: Frame::new(console, "reports", format!("Report: {}", kind.title)),
        kind,
        written: kind.fields.iter().map(|field| (*field, value(field))).collect(),
        mistakes: Mistakes::default(),
        found: None,
    };
    let is_asked = kind.fields.iter().all(|field| !field.required || query.raw(field.name).is_some());
    if !is_asked {
        return Ok(answer::page(&page));
    }
    let mut mistakes = Mistakes::default();
    let what = what(kind.name, &|field| page.text(field), &mut mistakes);
    let Some(what) = what.filter(|_| mistakes.is_empty()) else {
        return Ok(answer::with_status(StatusCode::BAD_REQUEST, &OnePage { mistakes, ..page }));
    };
    let sources = Sources { cm: &console.cm, limit: LOOKED_AT_MAX };
    match Box::pin(sources.report(what)).await {
        Ok(report) if is_file => Ok(file(&report)),
        Ok(report) => Ok(answer::page(&OnePage { found: Some(Shown::of(&report, kind)), ..page })),
        Err(Failure::Usage(reason)) => {
            // What the command line calls an option is a field here.
            let named = kind.fields.iter().find(|field| reason.starts_with(&format!("--{}", field.name)));
            let field = named.or(kind.fields.first()).map_or("content", |field| field.name);
            mistakes.add(field, shown(&reason.replace("--", "")));
            Ok(answer::with_status(StatusCode::BAD_REQUEST, &OnePage { mistakes, ..page }))
        }
        Err(failure) => Err(failure),
    }
}

impl OnePage<'_> {
    fn text(&self, field: &str) -> Option<&str> {
        let found = self.written.iter().find(|(found, _)| found.name == field).map(|(_, text)| text.as_str());
        found.filter(|text| !text.is_empty())
    }
}

/// What the command line would be told; `text` is what was written into a field.
fn what<'t>(name: &str, text: &dyn Fn(&str) -> Option<&'t str>, mistakes: &mut Mistakes) -> Option<What> {
    let owned = |field: &str| text(field).map(str::to_owned);
    let mut span = || {
        let mut time = |field: &'static str| match text(field).map(when::parse).transpose() {
            Ok(time) => time,
            Err(reason) => {
                mistakes.add(field, shown(&reason));
                None
            }
        };
        Span { from: time("from"), to: time("to") }
    };
    match name {
        "issued" => {
            let span = span();
            Some(What::Issued { span, registration: owned("registration"), profile: owned("profile") })
        }
        "refused" => Some(What::Refused { span: span() }),
        "expiring" => Some(What::Expiring {
            within: days("within", text("within"), mistakes)?,
            registration: owned("registration"),
        }),
        "inactive" => Some(What::Inactive { days: days("days", text("days"), mistakes)?, memory: MEMORY }),
        "missed" => Some(What::Missed { memory: MEMORY }),
        "who-could" => {
            if text("name").is_none() {
                mistakes.add("name", "Write the name that you want to know about.");
            }
            Some(What::WhoCould { name: owned("name")?, on: owned("on") })
        }
        _ => None,
    }
}

const MEMORY: Memory = Memory { history: HISTORY_DAYS };

fn days(field: &'static str, text: Option<&str>, mistakes: &mut Mistakes) -> Option<u32> {
    let days = text.and_then(|text| text.parse().ok()).filter(|days| (1..=DAYS_MAX).contains(days));
    if days.is_none() {
        mistakes.add(field, format!("A whole number of days from 1 to {DAYS_MAX}."));
    }
    days
}

/// All rows, for a spreadsheet.
fn file(report: &Report) -> HttpResponse {
    let day = report.made_at.to_string();
    let day = day.split('T').next().unwrap_or_default();
    HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}-{day}.csv\"", report.name)))
        .body(report.text(Format::Csv))
}

impl Shown {
    fn of(report: &Report, kind: Kind) -> Self {
        let columns = columns(report);
        let row = |row: &Vec<serde_json::Value>| columns.iter().map(|column| cell(report, row, column)).collect();
        let rows: Vec<Vec<Cell>> = report.rows.iter().take(ROWS_MAX).map(row).collect();
        let headings: Vec<&str> = columns.iter().map(|column| heading(column)).collect();
        let is_all = rows.len() == report.rows.len();
        Self {
            made_at: report.made_at,
            table: Table::of(kind.title, &headings, kind.empty, Ok((rows, is_all))),
            totals: report.total_lines(),
            notes: report.notes.iter().map(|note| shown(note)).collect(),
        }
    }
}

/// The columns as a page has them: of certificates, first whose they are, which a narrow window must not hide.
fn columns(report: &Report) -> Vec<&'static str> {
    let is_first = |column: &&str| report.columns.contains(&"names") && FIRST.contains(column);
    let (first, others): (Vec<&str>, Vec<&str>) = report.columns.iter().copied().partition(is_first);
    first.into_iter().rev().chain(others).collect()
}

fn cell(report: &Report, row: &[serde_json::Value], column: &str) -> Cell {
    let text = report.cell(row, column);
    match column {
        _ if text.is_empty() => Cell::plain(""),
        "certificate" | "renewed_by" => Cell::link("certificates", &text),
        "registration" => Cell::link("registrations", &text),
        "names" => Cell::plain(&text.replace(' ', ", ")),
        _ => Cell::plain(&text),
    }
}

/// A column in words.
fn heading(column: &'static str) -> &'static str {
    match column {
        "issued_at" => "Issued",
        "not_after" => "Until",
        "days_left" => "Days left",
        "renewed_by" => "Renewed by",
        "at" => "Time",
        "created_at" => "Created",
        "bound_at" => "Bound",
        "last_certificate_at" => "Last certificate",
        "last_seen_at" => "Last seen",
        "answered_for" => "Answered for",
        "due_at" => "Came as a rule by",
        "days_overdue" => "Days overdue",
        "registration_status" => "Registration is",
        "rhythm_percent" => "Rhythm in %",
        "certificate" => "Certificate",
        "serial" => "Serial",
        "status" => "Status",
        "registration" => "Registration",
        "profile" => "Profile",
        "names" => "Names",
        "owner" => "Owner",
        "rule" => "Rule",
        "source" => "Source",
        "action" => "Action",
        "subject" => "To what",
        "actor" => "Who",
        "detail" => "Detail",
        "since" => "Since",
        "until" => "Until",
        "why" => "Why",
        "rhythm" => "Rhythm",
        "renewals" => "Renewals",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, query: &str) -> (Option<What>, Mistakes) {
        let (fields, mut mistakes) = (Fields::parse(query), Mistakes::default());
        let what = what(name, &|field| fields.text(field), &mut mistakes);
        (what, mistakes)
    }

    #[test]
    fn every_report_of_the_list_can_be_asked_for_as_it_stands() {
        for kind in KINDS {
            let usual: Vec<String> = kind
                .fields
                .iter()
                .map(|field| format!("{}={}", field.name, if field.required { "a.test" } else { field.usual }))
                .collect();
            let (what, mistakes) = asked(kind.name, &usual.join("&"));
            assert!(what.is_some() && mistakes.is_empty(), "{}: {mistakes:?}", kind.name);
        }
        assert!(asked("unknown", "").0.is_none());
    }

    #[test]
    fn every_mistake_is_said_beside_its_field() {
        for (name, query, field) in [
            ("issued", "from=yesterday", "from"),
            ("refused", "to=04.12.2026", "to"),
            ("expiring", "within=0", "within"),
            ("inactive", "days=3661", "days"),
            ("who-could", "name=+", "name"),
        ] {
            let (_, mistakes) = asked(name, query);
            assert!(mistakes.of(field).is_some(), "{name} {query}: {mistakes:?}");
        }
    }
}
