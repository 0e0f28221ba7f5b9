//! How the client of a registration is introduced: its external account key exchanged or drawn anew, its directory link drawn
//! and ended. Each form carries the version that the officer looked at, so that sending it again does nothing.

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;

use super::{
    Console,
    answer::{self, Frame},
    fields::Fields,
    mistakes::Mistakes,
    registrations::of_version,
    secret,
};
use crate::{
    cli::{
        registrations::{directory_link, show, status},
        when,
    },
    cm::{directory_link as link, external_account_key::Wish, registration::View},
    error::Failure,
    output::shown,
};

#[derive(Template)]
#[template(path = "console/keys.html")]
struct Page<'a> {
    frame: Frame<'a>,
    id: String,
    version: String,
    status: String,
    mistakes: Mistakes,
    form: &'a Fields,
    /// Its external account key in a sentence; nothing if it has none.
    binds: Option<String>,
    /// Its directory link in a sentence; nothing if it has none.
    link: Option<String>,
    /// What this CM cannot do, in a sentence each.
    no_overlap: Option<String>,
    no_rebinding: Option<String>,
    no_links: Option<String>,
}

/// The page.
pub(super) async fn page(console: &Console, id: &str, query: &Fields) -> Result<HttpResponse, Failure> {
    let view = console.cm.registration(id).await?.view;
    Ok(answer::page(&made(console, &view, query, Mistakes::default()).await?))
}

/// Exchanges the external account key, and shows the new one.
pub(super) async fn rotate(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    let before = of_version(console, id, form).await?.view;
    let mut mistakes = Mistakes::default();
    let wish = Wish {
        overlap: span(form, "overlap", &mut mistakes),
        not_after: time(form, "until", &mut mistakes),
        rebind: None,
    };
    if !mistakes.is_empty() {
        return mistaken(console, &before, form, mistakes).await;
    }
    console.cm.must_offer_new_key(&wish).await?;
    let drawn = console.cm.draw_external_account_key(&before, &wish).await?;
    let previous = drawn.view.eab.as_ref().and_then(|eab| eab.previous_until.as_deref());
    let done = match previous {
        Some(until) => {
            format!("The registration has a new external account key; the one before goes on until {}.", shown(until))
        }
        None => "The registration has a new external account key; the one before is dead.".to_owned(),
    };
    secret::page(console, format!("A new key{}", of_owner(&before)), &done, &drawn, None).await
}

/// Withdraws the account key, and shows the external account key for the next one.
pub(super) async fn rebind(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    let before = of_version(console, id, form).await?.view;
    let mut mistakes = Mistakes::default();
    let reason = status::reason(form.text("reason").unwrap_or_default());
    let reason = reason.map_err(|why| mistakes.add("reason", format!("Say why: {why}."))).ok();
    let wish = Wish { overlap: None, not_after: time(form, "rebind_until", &mut mistakes), rebind: reason };
    if form.text("sure").is_none() {
        mistakes.add("sure", "Tick that it is meant: the account key cannot be used again.");
    }
    if !mistakes.is_empty() {
        return mistaken(console, &before, form, mistakes).await;
    }
    console.cm.must_offer_new_key(&wish).await?;
    let drawn = console.cm.draw_external_account_key(&before, &wish).await?;
    let done = "The account key is withdrawn for good, and the registration waits for its client again; its certificates \
                stay. The client needs a new account key: where it keeps one, remove it first.";
    secret::page(console, format!("Bound anew{}", of_owner(&before)), done, &drawn, None).await
}

/// Draws a directory link, and shows it.
pub(super) async fn draw_link(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    let before = of_version(console, id, form).await?.view;
    let mut mistakes = Mistakes::default();
    let wish = link::Wish {
        overlap: span(form, "link_overlap", &mut mistakes),
        not_after: time(form, "link_until", &mut mistakes),
    };
    if !mistakes.is_empty() {
        return mistaken(console, &before, form, mistakes).await;
    }
    console.cm.must_offer_directory_links().await?;
    let drawn = console.cm.draw_directory_link(&before, &wish).await?;
    let url = directory_link::url(&drawn.view, &console.settings, &console.cm).await?;
    Ok(secret::link_page(console, format!("A directory link{}", of_owner(&before)), &drawn.view, url))
}

/// Ends the directory link.
pub(super) async fn end_link(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    let before = of_version(console, id, form).await?.view;
    console.cm.must_offer_directory_links().await?;
    let _ = console.cm.remove_directory_link(&before).await?;
    Ok(answer::see_other(console, &format!("registrations/{}?done=1", before.id)))
}

async fn mistaken(console: &Console, view: &View, form: &Fields, mistakes: Mistakes) -> Result<HttpResponse, Failure> {
    Ok(answer::with_status(StatusCode::BAD_REQUEST, &made(console, view, form, mistakes).await?))
}

async fn made<'a>(
    console: &'a Console,
    view: &View,
    form: &'a Fields,
    mistakes: Mistakes,
) -> Result<Page<'a>, Failure> {
    let cm = &console.cm;
    let wish = |overlap: bool, rebind: bool| Wish {
        overlap: overlap.then(String::new),
        rebind: rebind.then(String::new),
        not_after: None,
    };
    Ok(Page {
        frame: Frame::new(console, "registrations", format!("Key and directory link{}", of_owner(view))),
        id: view.id.clone(),
        version: view.version.to_string(),
        status: view.status.clone(),
        mistakes,
        form,
        binds: view.eab.as_ref().map(|eab| lines(&show::binding(eab))),
        link: view.directory_link.as_ref().map(|link| lines(&show::link(link))),
        no_overlap: missing(cm.must_offer_new_key(&wish(true, false)).await)?,
        no_rebinding: missing(cm.must_offer_new_key(&wish(false, true)).await)?,
        no_links: missing(cm.must_offer_directory_links().await)?,
    })
}

/// What a refusal says beside what the CM lacks; on a page nobody has asked for anything yet.
const NOTHING_DONE: &str = "; nothing was done";

/// What the CM lacks, in a sentence.
fn missing(offered: Result<(), Failure>) -> Result<Option<String>, Failure> {
    match offered {
        Ok(()) => Ok(None),
        Err(Failure::Refused(refusal)) => Ok(Some(shown(refusal.detail.trim_end_matches(NOTHING_DONE)))),
        Err(failure) => Err(failure),
    }
}

fn of_owner(view: &View) -> String {
    view.owner.as_deref().map(|owner| format!(" of {}", shown(owner))).unwrap_or_default()
}

fn lines(text: &str) -> String {
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

fn span(form: &Fields, field: &'static str, mistakes: &mut Mistakes) -> Option<String> {
    read(form.text(field).map(when::span), field, mistakes)
}

fn time(form: &Fields, field: &'static str, mistakes: &mut Mistakes) -> Option<String> {
    read(form.text(field).map(|text| when::parse(text).map(|time| time.to_string())), field, mistakes)
}

fn read(found: Option<Result<String, String>>, field: &'static str, mistakes: &mut Mistakes) -> Option<String> {
    match found? {
        Ok(text) => Some(text),
        Err(reason) => {
            mistakes.add(field, shown(&reason));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;

    #[test]
    fn what_the_cm_lacks_is_a_sentence_on_the_page_and_a_cm_that_is_away_is_a_failure() {
        let refusal = Refusal {
            code: "capability-missing".to_owned(),
            detail: "this CM has no rebinding; nothing was done".to_owned(),
            status: 501,
            request_id: None,
            cure: None,
        };
        let lacks = missing(Err(Failure::Refused(Box::new(refusal))));
        assert_eq!(lacks, Ok(Some("this CM has no rebinding".to_owned())));
        assert_eq!(missing(Ok(())), Ok(None));
        assert_eq!(missing(Err(Failure::Unanswered("away".to_owned()))).unwrap_err().exit_code(), 4);
    }

    #[test]
    fn spans_and_times_are_read_and_their_mistakes_said_beside_them() {
        let form = Fields::parse("overlap=7d&until=2027-01-01&link_overlap=a+week&link_until=soon");
        let mut mistakes = Mistakes::default();
        assert_eq!(span(&form, "overlap", &mut mistakes).as_deref(), Some("P7D"));
        assert_eq!(time(&form, "until", &mut mistakes).as_deref(), Some("2027-01-01T00:00:00Z"));
        assert_eq!((span(&form, "none", &mut mistakes), time(&form, "none", &mut mistakes)), (None, None));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(span(&form, "link_overlap", &mut mistakes), None);
        assert_eq!(time(&form, "link_until", &mut mistakes), None);
        assert!(mistakes.of("link_overlap").unwrap().contains("7d"), "{mistakes:?}");
        assert!(mistakes.of("link_until").unwrap().contains("2026-12-04"), "{mistakes:?}");
    }
}
