//! The end of a registration, for good; which certificates would end with it is shown first.

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;

use super::{
    Console,
    answer::{self, Frame},
    certificates,
    fields::Fields,
    mistakes::Mistakes,
    registrations::of_version,
    table::{Found, Table},
};
use crate::{cli::registrations::status, cm::registration::View, error::Failure, output::shown};

/// Most certificates that are shown.
const CERTIFICATES_MAX: usize = 200;

#[derive(Template)]
#[template(path = "console/ending.html")]
struct Page<'a> {
    frame: Frame<'a>,
    id: String,
    version: String,
    /// Whether it is over already.
    is_over: bool,
    mistakes: Mistakes,
    form: &'a Fields,
    table: Table,
}

/// What would end.
pub(super) async fn page(console: &Console, id: &str, query: &Fields) -> Result<HttpResponse, Failure> {
    let view = console.cm.registration(id).await?.view;
    Ok(answer::page(&made(console, &view, query, Mistakes::default()).await))
}

/// Ends it. This cannot be taken back, so it has to be said twice.
pub(super) async fn revoke(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    let before = of_version(console, id, form).await?.view;
    let mut mistakes = Mistakes::default();
    let reason = status::reason(form.text("reason").unwrap_or_default());
    let reason = reason.map_err(|why| mistakes.add("reason", format!("Say why: {why}."))).unwrap_or_default();
    if form.text("sure").is_none() {
        mistakes.add("sure", "Tick that it is meant: it cannot be taken back.");
    }
    if !mistakes.is_empty() {
        let page = made(console, &before, form, mistakes).await;
        return Ok(answer::with_status(StatusCode::BAD_REQUEST, &page));
    }
    let with_certificates = form.text("with_certificates").is_some();
    let changed = console.cm.set_status(&before.id, "revoked", Some(&reason), with_certificates).await?;
    Ok(answer::see_other(console, &format!("registrations/{}?done=1", changed.view.id)))
}

async fn made<'a>(console: &'a Console, view: &View, form: &'a Fields, mistakes: Mistakes) -> Page<'a> {
    let owner = view.owner.as_deref().map(|owner| format!(" of {}", shown(owner))).unwrap_or_default();
    Page {
        frame: Frame::new(console, "registrations", format!("Revoke the registration{owner}")),
        id: view.id.clone(),
        version: view.version.to_string(),
        is_over: matches!(view.status.as_str(), "revoked" | "deactivated"),
        mistakes,
        form,
        table: Table::of(
            "Certificates in force that can be revoked with it",
            &certificates::HEADINGS,
            "It has no certificate in force.",
            in_force(console, &view.id).await,
        ),
    }
}

/// Its own, and those of the registrations that came from it.
async fn in_force(console: &Console, id: &str) -> Found {
    let query = |whose: &'static str| vec![(whose, id.to_owned()), ("status", "good".to_owned())];
    let (mut rows, is_all) = certificates::rows(console, query("registration"), CERTIFICATES_MAX).await?;
    let room = CERTIFICATES_MAX.saturating_sub(rows.len());
    if !is_all || room == 0 {
        return Ok((rows, false));
    }
    let (of_children, is_all) = certificates::rows(console, query("parent"), room).await?;
    rows.extend(of_children);
    Ok((rows, is_all))
}
