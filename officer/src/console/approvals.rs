//! Requests that wait for a person, and her decision. The CM sees to it that nobody decides about a
//! registration that she created.

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;

use super::{
    Console,
    answer::{self, Frame},
    fields::Fields,
    mistakes::Mistakes,
    table::Table,
    waivers,
};
use crate::{
    cli::{approvals, registrations::status},
    error::Failure,
    output::shown,
};

/// Who decides, in the CM's words.
const APPROVER: &str = "approver";
/// Most requests of one page.
const REQUESTS_MAX: usize = 50;

#[derive(Template)]
#[template(path = "console/approvals.html")]
struct Page<'a> {
    frame: Frame<'a>,
    is_done: bool,
    mistakes: Mistakes,
    /// Whether the CM lets this person decide, unless she created the registration.
    may_decide: bool,
    waiting: Vec<Waiting>,
    has_more: bool,
    /// Proposed waivers, where the CM has them.
    waivers: Option<Table>,
}

/// A request and what is to be known of it.
struct Waiting {
    id: String,
    registration: String,
    /// The field for why it is rejected.
    reason_field: String,
    facts: Vec<(&'static str, String)>,
}

/// All that waits.
pub(super) async fn list(console: &Console, query: &Fields) -> Result<HttpResponse, Failure> {
    let is_done = query.text("done").is_some();
    Ok(answer::page(&Page { is_done, ..made(console).await? }))
}

async fn made(console: &Console) -> Result<Page<'_>, Failure> {
    let list = console.cm.requests("pending-approval", REQUESTS_MAX).await?;
    let waiting = approvals::waiting(&console.cm, &list.items).await?.into_iter().enumerate().map(|(place, one)| {
        // What the page shows by itself is left out.
        let facts = approvals::facts(&one).into_iter();
        let facts =
            facts.filter(|(name, value)| !["request", "status", "registration"].contains(name) && !value.is_empty());
        let facts = facts.map(|(name, value)| (name, shown(&value))).collect();
        let reason_field = format!("reason-{}", place.saturating_add(1));
        Waiting { id: one.request.id, registration: one.request.registration, reason_field, facts }
    });
    Ok(Page {
        frame: Frame::new(console, "approvals", "Approvals"),
        is_done: false,
        mistakes: Mistakes::default(),
        may_decide: console.cm.roles().await?.iter().any(|role| role == APPROVER),
        waiting: waiting.collect(),
        has_more: !list.complete,
        waivers: waivers::table(console, "Proposed waivers of challenges", None, Some("proposed")).await,
    })
}

/// Lets the certificate be issued.
pub(super) async fn approve(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    decide(console, id, "approve", [("reason", None), ("comment", form.text("comment"))]).await
}

/// Refuses the certificate; the client reads the reason.
pub(super) async fn reject(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    match status::reason(form.text("reason").unwrap_or_default()) {
        Ok(reason) => {
            decide(console, id, "reject", [("reason", Some(&reason)), ("comment", form.text("comment"))]).await
        }
        Err(why) => {
            let mut page = made(console).await?;
            let field = page.waiting.iter().find(|one| one.id == id).map(|one| one.reason_field.clone());
            page.mistakes.add(field.unwrap_or_else(|| "content".to_owned()), format!("Say why: {why}."));
            Ok(answer::with_status(StatusCode::BAD_REQUEST, &page))
        }
    }
}

async fn decide(
    console: &Console,
    id: &str,
    decision: &str,
    words: [(&str, Option<&str>); 2],
) -> Result<HttpResponse, Failure> {
    let _ = console.cm.decide(id, decision, words).await?;
    Ok(answer::see_other(console, "approvals?done=1"))
}
