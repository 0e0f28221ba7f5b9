//! Waivers of challenges: proposed by officers, decided by approvers, taken back by either (CM contract section 4.3).

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
    cli::{registrations::status, waivers},
    cm::waiver::{Decision, View},
    error::Failure,
    output::shown,
};

/// Most waivers of one table.
const ROWS_MAX: usize = 50;

#[derive(Template)]
#[template(path = "console/waiver.html")]
struct Page<'a> {
    frame: Frame<'a>,
    id: String,
    registration: String,
    status: String,
    is_done: bool,
    mistakes: Mistakes,
    facts: Vec<(&'static str, String)>,
}

/// The waivers with this status, of one registration or of all; nothing if the CM has none at all.
pub(super) async fn table(
    console: &Console,
    caption: &'static str,
    registration: Option<&str>,
    status: Option<&str>,
) -> Option<Table> {
    let headings = &["Waiver", "Status", "Registration", "Names", "For", "Until", "Proposed by", "Reason"];
    let found = match console.cm.must_offer_waivers().await {
        Ok(()) => rows(console, registration, status).await,
        Err(Failure::Refused(_)) => return None,
        Err(failure) => Err(failure),
    };
    Some(Table::of(caption, headings, "There is none.", found))
}

async fn rows(console: &Console, registration: Option<&str>, status: Option<&str>) -> Found {
    let list = console.cm.waivers(registration, status, ROWS_MAX).await?;
    let now = console.cm.time().await?;
    let row = |json| {
        let waiver = View::of(json)?;
        let cells = waivers::row(&waiver, now).into_iter().enumerate().map(|(column, text)| match column {
            0 => Cell::link("waivers", &text),
            2 => Cell::link("registrations", &text),
            _ => Cell::plain(&text),
        });
        Ok(cells.collect())
    };
    Ok((list.items.iter().map(row).collect::<Result<_, Failure>>()?, list.complete))
}

/// One waiver, and what can be decided.
pub(super) async fn one(console: &Console, id: &str, query: &Fields) -> Result<HttpResponse, Failure> {
    let waiver = found(console, id).await?;
    let is_done = query.text("done").is_some();
    Ok(answer::page(&Page { is_done, ..made(console, waiver, Mistakes::default()).await? }))
}

/// Approves it, rejects it, or takes it back.
pub(super) async fn decide(
    console: &Console,
    id: &str,
    decision: Decision,
    form: &Fields,
) -> Result<HttpResponse, Failure> {
    let waiver = found(console, id).await?;
    let (field, is_needed) = match decision {
        Decision::Approve => ("approve_reason", false),
        Decision::Reject => ("reject_reason", true),
        Decision::Withdraw => ("withdraw_reason", true),
    };
    let reason = match form.text(field) {
        None if !is_needed => None,
        text => match status::reason(text.unwrap_or_default()) {
            Ok(reason) => Some(reason),
            Err(why) => {
                let mut mistakes = Mistakes::default();
                mistakes.add(field, format!("Say why: {why}."));
                let page = made(console, waiver, mistakes).await?;
                return Ok(answer::with_status(StatusCode::BAD_REQUEST, &page));
            }
        },
    };
    let _ = console.cm.decide_waiver(&waiver, decision, reason.as_deref()).await?;
    Ok(answer::see_other(console, &format!("waivers/{}?done=1", waiver.id)))
}

async fn found(console: &Console, id: &str) -> Result<View, Failure> {
    console.cm.must_offer_waivers().await?;
    View::of(&console.cm.waiver(id).await?)
}

async fn made(console: &Console, waiver: View, mistakes: Mistakes) -> Result<Page<'_>, Failure> {
    let owner = console.cm.registration(&waiver.registration).await?.view.owner.unwrap_or_default();
    let standing = waiver.standing(console.cm.time().await?);
    let lines = |text: &str| text.lines().map(shown).collect::<Vec<_>>().join("\n");
    let facts = waivers::facts(&waiver, &standing, &owner).into_iter().filter(|(_, value)| !value.is_empty());
    Ok(Page {
        frame: Frame::new(console, "approvals", format!("Waiver for {}", shown(&waiver.names().replace('\n', ", ")))),
        id: waiver.id.clone(),
        registration: waiver.registration.clone(),
        status: waiver.status.clone(),
        is_done: false,
        mistakes,
        facts: facts.map(|(name, value)| (name, lines(&value))).collect(),
    })
}
