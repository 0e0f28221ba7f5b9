//! What happened to an order: the gateway's own words to the client, beside what the CM has under it.

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;

use super::{
    Console,
    answer::{self, Frame},
    fields::Fields,
    mistakes::Mistakes,
    table::{Cell, Table},
};
use crate::{
    cli::orders::{self, Told, look_up},
    error::Failure,
    output::shown,
};

#[derive(Template)]
#[template(path = "console/orders.html")]
struct Page<'a> {
    frame: Frame<'a>,
    reference: String,
    mistakes: Mistakes,
    found: Option<Order>,
}

/// What both sides say.
struct Order {
    reference: String,
    head: Vec<(&'static str, String)>,
    /// What happened, in order.
    steps: Table,
    requests: Vec<Request>,
}

/// A certificate request of the CM.
struct Request {
    facts: Vec<(&'static str, String)>,
    /// Where its registration and its certificate are.
    links: Vec<(String, &'static str)>,
}

/// The form, and what was found if something was asked for.
pub(super) async fn page(console: &Console, query: &Fields) -> Result<HttpResponse, Failure> {
    let reference = query.text("reference").unwrap_or_default().to_owned();
    let title = if reference.is_empty() { "Orders" } else { "An order" };
    let page = Page {
        frame: Frame::new(console, "orders", title),
        reference: reference.clone(),
        mistakes: Mistakes::default(),
        found: None,
    };
    if reference.is_empty() {
        return Ok(answer::page(&page));
    }
    match look_up(&reference, &console.settings, &console.cm).await {
        Ok(told) => Ok(answer::page(&Page { found: Some(Order::of(told)?), ..page })),
        Err(Failure::NotFound(reason)) => Ok(unknown(page, &reason, StatusCode::NOT_FOUND)),
        Err(Failure::Usage(reason)) => Ok(unknown(page, &reason, StatusCode::BAD_REQUEST)),
        Err(failure) => Err(failure),
    }
}

/// Says beside the field what is wrong with it.
fn unknown(mut page: Page<'_>, reason: &str, status: StatusCode) -> HttpResponse {
    page.mistakes.add("reference", shown(reason));
    answer::with_status(status, &page)
}

impl Order {
    fn of(told: Told) -> Result<Self, Failure> {
        let (head, found) = match &told.transcript {
            Ok(Some(transcript)) => {
                let rows = orders::steps(transcript);
                let rows: Vec<Vec<Cell>> =
                    rows.iter().map(|row| row.iter().map(|text| Cell::plain(text)).collect()).collect();
                (orders::head(transcript), Ok((rows, !orders::has_more(transcript))))
            }
            Ok(None) => (Vec::new(), Ok((Vec::new(), true))),
            Err(failure) => {
                (Vec::new(), Err(Failure::Unanswered(format!("The gateway could not be asked: {failure}"))))
            }
        };
        let steps = Table::of(
            "At the gateway",
            &["Time", "Name", "What happened"],
            "The gateway has no transcript of it (any more).",
            found,
        );
        let requests = told.requests.iter().map(Request::of).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { reference: told.reference, head: there(head), steps, requests })
    }
}

impl Request {
    fn of(request: &serde_json::Value) -> Result<Self, Failure> {
        let id = |pointer: &str| request.pointer(pointer).and_then(serde_json::Value::as_str);
        let registration = id("/registration").map(|id| (format!("registrations/{id}"), "Its registration"));
        let certificate = id("/certificate/id").map(|id| (format!("certificates/{id}"), "Its certificate"));
        let links = registration.into_iter().chain(certificate).collect();
        Ok(Self { facts: there(orders::facts(request)?), links })
    }
}

/// Those that have a value, fit for a page.
fn there(facts: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
    let lines = |text: &str| text.lines().map(shown).collect::<Vec<_>>().join("\n");
    facts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, lines(&value))).collect()
}
