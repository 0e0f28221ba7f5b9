//! A client is registered in four steps, each a page with a form that carries all that was written before. Nothing is kept
//! on this side, and nothing is done before the last form.
//!
//! The id of the key is drawn for the last form. So a form that is sent again, as by loading the page of the key once more,
//! asks for the same key and is refused: the key is shown once.

mod draft;

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;

use super::{
    Console,
    answer::{self, Frame},
    fields::Fields,
    mistakes::Mistakes,
    profiles::offered,
    secret,
    verdict::{Verdict, judged},
};
use crate::{
    allowlist::{self, lint::lint},
    cli::{
        explain::of_body,
        registrations::{
            create::{self, register},
            show,
        },
    },
    cm::registration::Registration,
    error::Failure,
    explain::Facts,
    output::shown,
};
use draft::{Draft, Step};

/// The contract's word for a key id that another registration has.
const TAKEN: &str = "key-in-use";
/// Most hints that are shown.
const HINTS_MAX: usize = 30;

#[derive(Template)]
#[template(path = "console/wizard.html")]
struct Page<'a> {
    frame: Frame<'a>,
    step: Step,
    draft: Draft,
    mistakes: Mistakes,
    /// What the CM says against it.
    problem: Option<String>,
    /// Profiles on offer, and whether each is chosen.
    profiles: Vec<(String, bool)>,
    /// What to look at twice; nothing if it was not looked for.
    hints: Option<Vec<String>>,
    verdict: Option<Verdict>,
    /// All of it, each with the step that it can be changed in.
    facts: Vec<Fact>,
}

/// A line of the last page.
struct Fact {
    name: &'static str,
    value: String,
    step: Step,
}

/// The first page.
pub(super) fn begin(console: &Console) -> HttpResponse {
    answer::page(&page(console, Step::Who, Draft::default()))
}

/// The page after a form.
pub(super) async fn go_on(console: &Console, form: &Fields) -> Result<HttpResponse, Failure> {
    let (draft, step) = (Draft::sent(form), Step::of(form.text("step").unwrap_or_default()));
    let go = form.text("go").unwrap_or_default();
    match go {
        "register" => return create(console, draft).await,
        "back" => return show_step(console, step.previous(), draft).await,
        // From the last page to the step that has a line of it.
        "who" | "names" | "key" => return show_step(console, Step::of(go), draft).await,
        _ => {}
    }
    let mistakes = draft.mistakes(step);
    if !mistakes.is_empty() {
        return refused(console, step, draft, mistakes).await;
    }
    if go == "try" {
        let facts = facts_of(console, &draft).await?;
        let verdict = match draft.text("name") {
            "" => None,
            name => Some(Verdict::of(name, None, &judged(name, "", &facts)?)),
        };
        let hints = Some(hints(&draft, &facts));
        return Ok(answer::page(&Page { hints, verdict, ..page(console, step, draft) }));
    }
    show_step(console, step.next(), draft).await
}

/// Registers, and shows the key.
async fn create(console: &Console, draft: Draft) -> Result<HttpResponse, Failure> {
    for step in Step::ALL {
        let mistakes = draft.mistakes(step);
        if !mistakes.is_empty() {
            return refused(console, step, draft, mistakes).await;
        }
    }
    let draft = draft.with_key_id();
    let key_id = draft.text("key_id").to_owned();
    let body = create::body(draft.arguments()?, &key_id)?;
    let is_linked = draft.is_ticked("link");
    let offered = if is_linked { console.cm.must_offer_directory_links().await } else { Ok(()) };
    let registered = match offered {
        Ok(()) => register(&body, &key_id, &console.cm).await,
        Err(failure) => Err(failure),
    };
    match registered {
        Ok(created) => {
            let title = format!("Registered: {}", shown(draft.text("owner")));
            let link = if is_linked { Some(secret::linked(console, &created.view).await) } else { None };
            secret::page(console, title, "The client is registered.", &created, link).await
        }
        Err(Failure::Refused(refusal)) if refusal.code == TAKEN => {
            let there = console.cm.registration_of_key_id(&key_id).await?.map(|one| one.view.id).unwrap_or_default();
            Err(Failure::Changed(format!(
                "this form was sent before, and {there} was registered by it; its key was shown then and is shown never \
                 again: if it was not kept, draw another one on the page of that registration"
            )))
        }
        Err(Failure::Refused(refusal)) => {
            let problem = Some(shown(&Failure::Refused(refusal).to_string()));
            let page = Page { problem, ..last_page(console, draft).await? };
            Ok(answer::with_status(StatusCode::BAD_REQUEST, &page))
        }
        Err(failure) => Err(failure),
    }
}

async fn show_step(console: &Console, step: Step, draft: Draft) -> Result<HttpResponse, Failure> {
    match step {
        Step::Check => Ok(answer::page(&last_page(console, draft).await?)),
        Step::Key => Ok(answer::page(&key_page(console, draft).await?)),
        Step::Who | Step::Names => Ok(answer::page(&page(console, step, draft))),
    }
}

async fn refused(console: &Console, step: Step, draft: Draft, mistakes: Mistakes) -> Result<HttpResponse, Failure> {
    let page = match step {
        Step::Key => key_page(console, draft).await?,
        Step::Who | Step::Names | Step::Check => page(console, step, draft),
    };
    Ok(answer::with_status(StatusCode::BAD_REQUEST, &Page { mistakes, ..page }))
}

async fn key_page(console: &Console, draft: Draft) -> Result<Page<'_>, Failure> {
    let profiles = offered(console, |name| draft.has("profile", name)).await?;
    Ok(Page { profiles, ..page(console, Step::Key, draft) })
}

async fn last_page(console: &Console, draft: Draft) -> Result<Page<'_>, Failure> {
    let draft = draft.with_key_id();
    let facts = facts_of(console, &draft).await?;
    let body = create::body(draft.arguments()?, draft.text("key_id"))?;
    let described = described(&body, &draft)?;
    let hints = Some(hints(&draft, &facts));
    Ok(Page { hints, facts: described, ..page(console, Step::Check, draft) })
}

/// The registration as its page would show it.
fn described(body: &serde_json::Value, draft: &Draft) -> Result<Vec<Fact>, Failure> {
    let mut json = body.clone();
    if let Some(members) = json.as_object_mut() {
        members.extend([("id", ""), ("status", "")].map(|(name, text)| (name.to_owned(), text.into())));
        let _ = members.insert("version".to_owned(), 0.into());
    }
    let view = Registration::of(json)?.view;
    let profiles = match view.allowed_profiles.as_slice() {
        [] => "the realm's default profile".to_owned(),
        some => some.join(", "),
    };
    let days = draft.text("days");
    let validity = if days.is_empty() { "as the profile says".to_owned() } else { format!("at most {days} days") };
    let link = if draft.is_ticked("link") { "one of its own, for devices without fields for a key" } else { "" };
    let facts = [
        ("owner", draft.text("owner").to_owned(), Step::Who),
        ("comment", draft.text("comment").to_owned(), Step::Who),
        ("allows", allowlist::lines(&view.allowed_identifiers), Step::Names),
        ("profiles", profiles, Step::Key),
        ("validity", validity, Step::Key),
        ("directory link", link.to_owned(), Step::Key),
        ("binds", view.eab.as_ref().map(show::binding).unwrap_or_default(), Step::Key),
    ];
    let lines = |text: &str| text.lines().map(shown).collect::<Vec<_>>().join("\n");
    let facts = facts.into_iter().filter(|(_, value, _)| !value.is_empty());
    Ok(facts.map(|(name, value, step)| Fact { name, value: lines(&value), step }).collect())
}

async fn facts_of(console: &Console, draft: &Draft) -> Result<Facts, Failure> {
    of_body(&create::body(draft.arguments()?, "not-drawn-yet")?, &console.cm).await
}

fn hints(draft: &Draft, facts: &Facts) -> Vec<String> {
    let mut hints = draft.list().map(|list| lint(&list, facts.realm.as_ref())).unwrap_or_default();
    let more = hints.len().saturating_sub(HINTS_MAX);
    hints.truncate(HINTS_MAX);
    if more > 0 {
        hints.push(format!("And {more} more like these."));
    }
    hints
}

fn page(console: &Console, step: Step, draft: Draft) -> Page<'_> {
    Page {
        frame: Frame::new(console, "registrations", format!("Register a client: {}", step.title())),
        step,
        draft,
        mistakes: Mistakes::default(),
        problem: None,
        profiles: Vec::new(),
        hints: None,
        verdict: None,
        facts: Vec::new(),
    }
}
