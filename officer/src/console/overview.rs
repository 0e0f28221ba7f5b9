//! The first page: what waits for a person, what goes wrong, what ends soon, what stays away, what is held. Each row leads
//! to where something can be done about it.

use std::{collections::BTreeMap, time::Duration};

use actix_web::HttpResponse;
use askama::Template;
use serde_json::Value;

use super::{
    Console,
    answer::{self, Frame},
    certificates,
    table::{Cell, Found, Table},
    waivers,
};
use crate::{
    cli::{
        approvals,
        report::{HISTORY_DAYS, Memory, Sources, Span, What},
    },
    cm::registration::{Registration, Search},
    error::Failure,
    reports::Report,
};

/// Most rows of each table.
const ROWS_MAX: usize = 50;
/// Certificates that end within this time are shown.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Refusals since then are shown.
const LATELY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// What the CM does not know, and so this page does not.
const UNTOLD: &str = "What the gateway refuses by itself, such as names that are not allowed and registrations that are suspended, \
    never reaches the CM and is not counted here. For one order, look under Orders.";
/// Most certificates, requests or entries that are looked at for this page.
const LOOKED_AT_MAX: usize = 5_000;

#[derive(Template)]
#[template(path = "console/tables.html")]
struct Page<'a> {
    frame: Frame<'a>,
    tables: Vec<Table>,
}

/// The page. What the CM does not show to this role is said where it would stand.
pub(super) async fn page(console: &Console) -> Result<HttpResponse, Failure> {
    let proposed = waivers::table(console, "Proposed waivers of challenges", None, Some("proposed"));
    let (waiting, proposed, failing, ending, missed, suspended) = tokio::join!(
        Box::pin(waiting(console)),
        Box::pin(proposed),
        Box::pin(failing(console)),
        Box::pin(ending(console)),
        Box::pin(missed(console)),
        Box::pin(suspended(console)),
    );
    let mut tables = vec![
        Table::of(
            "Waiting for approval",
            &["Request", "Names", "Profile", "Registration", "Owner", "Created by", "Received"],
            "Nothing waits for a decision.",
            waiting,
        )
        .leading("approvals", "All that waits"),
        Table::of(
            "Refused by the CM within 7 days, by rule",
            &["Rule", "How often", "Latest", "Registration", "Why the latest"],
            "The CM refused nothing to clients within 7 days.",
            failing,
        )
        .noting(UNTOLD)
        .leading("reports/refused", "Every refusal"),
        Table::of(
            "Renewals that should have come and did not",
            &["Certificate", "Until", "Came as a rule by", "Registration", "Owner", "Names"],
            "No renewal is missing.",
            missed,
        )
        .leading("reports/missed", "The whole report"),
        Table::of(
            "Ending within 14 days",
            &certificates::HEADINGS,
            "No certificate in force ends within 14 days.",
            ending,
        )
        .leading("reports/expiring?within=14", "With what took their place"),
        Table::of(
            "Suspended registrations",
            &["Registration", "Owner", "Since", "Reason"],
            "No registration is suspended.",
            suspended,
        )
        .leading("registrations?status=suspended", "All that are suspended"),
    ];
    // Few registration authorities have waivers, so no section says that none is proposed.
    if let Some(proposed) = proposed.filter(|table| !table.rows.is_empty() || table.failure.is_some()) {
        tables.insert(1, proposed);
    }
    Ok(answer::page(&Page { frame: Frame::new(console, "", "Overview"), tables }))
}

async fn waiting(console: &Console) -> Found {
    let list = console.cm.requests("pending-approval", ROWS_MAX).await?;
    let rows = approvals::waiting(&console.cm, &list.items).await?.into_iter().map(|one| {
        vec![
            Cell::within("approvals", &one.request.id),
            Cell::plain(&one.request.names()),
            Cell::plain(&one.request.profile),
            Cell::link("registrations", &one.request.registration),
            Cell::plain(&one.owner),
            Cell::plain(&one.officer),
            Cell::plain(&one.request.received_at),
        ]
    });
    Ok((rows.collect(), list.complete))
}

async fn failing(console: &Console) -> Found {
    let from = Some(console.cm.time().await?.minus(LATELY));
    let report = report(console, What::Refused { span: Span { from, to: None } }).await?;
    Ok(cut(by_rule(&report)))
}

/// A row for each rule, the one that refused most often first.
fn by_rule(report: &Report) -> Vec<Vec<Cell>> {
    let mut rules: BTreeMap<String, (usize, &Vec<Value>)> = BTreeMap::new();
    for row in &report.rows {
        // The oldest come first, so the last one seen is the latest.
        let rule = rules.entry(report.cell(row, "rule")).or_insert((0, row));
        *rule = (rule.0.saturating_add(1), row);
    }
    let mut rules: Vec<_> = rules.into_iter().collect();
    rules.sort_by_key(|(_, (number, _))| std::cmp::Reverse(*number));
    let row = |(rule, (number, latest)): (String, (usize, &Vec<Value>))| {
        let registration = report.cell(latest, "registration");
        vec![
            Cell::plain(&rule),
            Cell::plain(&number.to_string()),
            Cell::plain(&report.cell(latest, "at")),
            if registration.is_empty() { Cell::plain("") } else { Cell::link("registrations", &registration) },
            Cell::plain(&report.cell(latest, "detail")),
        ]
    };
    rules.into_iter().map(row).collect()
}

async fn missed(console: &Console) -> Found {
    let report = report(console, What::Missed { memory: Memory { history: HISTORY_DAYS } }).await?;
    let row = |row: &Vec<Value>| {
        vec![
            Cell::link("certificates", &report.cell(row, "certificate")),
            Cell::plain(&report.cell(row, "not_after")),
            Cell::plain(&report.cell(row, "due_at")),
            Cell::link("registrations", &report.cell(row, "registration")),
            Cell::plain(&report.cell(row, "owner")),
            Cell::plain(&report.cell(row, "names")),
        ]
    };
    Ok(cut(report.rows.iter().map(row).collect()))
}

async fn report(console: &Console, what: What) -> Result<Report, Failure> {
    let sources = Sources { cm: &console.cm, limit: LOOKED_AT_MAX };
    let report = Box::pin(sources.report(what)).await;
    if let Err(Failure::Usage(_)) = report {
        return Err(Failure::Usage(format!(
            "there are more than {LOOKED_AT_MAX} to look at, which is too much for this page; the report looks at more"
        )));
    }
    report
}

/// As many rows as there is room for, and whether these are all.
fn cut(mut rows: Vec<Vec<Cell>>) -> (Vec<Vec<Cell>>, bool) {
    let is_all = rows.len() <= ROWS_MAX;
    rows.truncate(ROWS_MAX);
    (rows, is_all)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_are_counted_by_rule_with_the_latest_of_each() {
        let row = |at: &str, rule: &str, registration: &str| {
            vec![json!(at), json!(rule), json!(registration), json!(format!("{rule} at {at}"))]
        };
        let report = Report {
            name: "refused",
            title: String::new(),
            made_at: "2026-11-22T10:00:00Z".parse().unwrap(),
            columns: &["at", "rule", "registration", "detail"],
            rows: vec![row("t1", "b", "reg_1"), row("t2", "a", ""), row("t3", "b", "reg_2")],
            totals: BTreeMap::new(),
            notes: Vec::new(),
        };
        let rows = by_rule(&report);
        let texts: Vec<Vec<&str>> =
            rows.iter().map(|row| row.iter().map(|cell| cell.text.as_str()).collect()).collect();
        assert_eq!(texts, [["b", "2", "t3", "reg_2", "b at t3"], ["a", "1", "t2", "", "a at t2"]]);
        assert_eq!(rows[0][3].to.as_deref(), Some("registrations/reg_2"));
        assert_eq!(rows[1][3].to, None);
    }

    #[test]
    fn more_rows_than_there_is_room_for_are_cut_and_that_is_said() {
        let rows = |number: usize| (0..number).map(|_| vec![Cell::plain("")]).collect::<Vec<_>>();
        assert_eq!((cut(rows(ROWS_MAX)).0.len(), cut(rows(ROWS_MAX)).1), (ROWS_MAX, true));
        assert_eq!((cut(rows(ROWS_MAX + 1)).0.len(), cut(rows(ROWS_MAX + 1)).1), (ROWS_MAX, false));
    }
}
