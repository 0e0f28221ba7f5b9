//! The editor of what a registration allows: what the list says about a name, and what would change
//! if it were another, before it is.
//!
//! What is saved is what was shown: the form carries the version that the officer looked at, and
//! nothing is done if there is another one by then.

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;
use cm_connector::rest::door;
use serde_json::json;

use super::{
    Console,
    answer::{self, Frame},
    fields::Fields,
    registrations::of_version,
    table::{Cell, Table},
    verdict::{Verdict, judged},
};
use crate::{
    allowlist::{Entry, List},
    cli::{
        explain::from_cm,
        registrations::{
            effect::no_longer_renewable,
            update::{changes, replaced_list, understood},
        },
    },
    cm::registration::{Registration, View},
    error::Failure,
    explain::{Explanation, Facts},
    output::shown,
};

/// What the CM is asked to change.
const MEMBER: &str = "allowedIdentifiers";

#[derive(Template)]
#[template(path = "console/allowlist.html")]
struct Page<'a> {
    frame: Frame<'a>,
    id: String,
    version: String,
    /// Whether every name is allowed now.
    is_any: bool,
    draft: Draft,
    /// What is wrong with the draft.
    problem: Option<String>,
    preview: Option<Preview>,
    /// The answer about the name in the form below, by the list that is saved.
    verdict: Option<Verdict>,
}

/// The lists as they are in the form.
#[derive(Default)]
struct Draft {
    allow: String,
    exclude: String,
    allow_public_suffix: bool,
    /// A name to try.
    name: String,
    profile: String,
}

/// What would change.
struct Preview {
    /// False if the list is already so.
    is_change: bool,
    gone: Vec<String>,
    new: Vec<String>,
    lost: Table,
    verdict: Option<Verdict>,
}

/// The editor. A name in the query is explained by the list as it is.
pub(super) async fn edit(console: &Console, id: &str, query: &Fields) -> Result<HttpResponse, Failure> {
    let Registration { view, .. } = console.cm.registration(id).await?;
    let list = understood(&view)?;
    let mut draft = Draft::of(&list);
    draft.take_question(query);
    let verdict = match draft.name.as_str() {
        "" => None,
        name => Some(Verdict::of(name, None, &draft.judged(&from_cm(id, &console.cm).await?)?)),
    };
    Ok(answer::page(&Page { verdict, ..page(console, &view, draft) }))
}

/// What would change, and nothing changes.
pub(super) async fn preview(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    let before = of_version(console, id, form).await?;
    let draft = Draft::sent(form);
    let list = match draft.list(&before.view) {
        Ok(list) => list,
        Err(Failure::Usage(problem)) => {
            let page = Page { problem: Some(problem), ..page(console, &before.view, draft) };
            return Ok(answer::with_status(StatusCode::BAD_REQUEST, &page));
        }
        Err(failure) => return Err(failure),
    };
    let json = list.to_json();
    let difference = changes(&before.json, &json!({MEMBER: json})).first().map(|change| change.difference());
    let lost = no_longer_renewable(&console.cm, id, &json).await;
    let lost = lost.map(|lost| {
        let row = |one: &crate::cli::registrations::effect::Lost| {
            vec![Cell::link("certificates", &one.id), Cell::plain(&one.not_after), Cell::plain(&one.names.join(", "))]
        };
        (lost.iter().map(row).collect(), true)
    });
    let lost = Table::of(
        "Certificates in force whose renewal will be refused",
        &["Certificate", "Until", "Names that are not allowed"],
        "All certificates in force could be renewed.",
        lost,
    );
    let verdict = match draft.name.as_str() {
        "" => None,
        name => {
            let now = from_cm(id, &console.cm).await?;
            let mut then = now.clone();
            then.registration.allowed_identifiers = door::allowed_identifiers(json);
            Some(Verdict::of(name, Some(&draft.judged(&now)?), &draft.judged(&then)?))
        }
    };
    let is_change = difference.is_some();
    let (gone, new) = difference.unwrap_or_default();
    let preview = Preview { is_change, gone, new, lost, verdict };
    // What is saved is what is shown: entries in their normal form.
    let draft = Draft {
        allow_public_suffix: draft.allow_public_suffix,
        ..Draft { name: draft.name, profile: draft.profile, ..Draft::of(&list) }
    };
    Ok(answer::page(&Page { preview: Some(preview), ..page(console, &before.view, draft) }))
}

/// Saves the list that was shown.
pub(super) async fn save(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    let before = of_version(console, id, form).await?;
    let list = Draft::sent(form).list(&before.view)?;
    let _ = console.cm.update_registration(&before.view, &json!({MEMBER: list.to_json()})).await?;
    Ok(answer::see_other(console, &format!("registrations/{}?done=1", before.view.id)))
}

fn page<'a>(console: &'a Console, view: &View, draft: Draft) -> Page<'a> {
    let owner = view.owner.as_deref().map(|owner| format!(" of {}", shown(owner))).unwrap_or_default();
    Page {
        frame: Frame::new(console, "registrations", format!("What the registration{owner} allows")),
        id: view.id.clone(),
        version: view.version.to_string(),
        is_any: List::of(&view.allowed_identifiers).is_some_and(|list| list.rules.is_none()),
        draft,
        problem: None,
        preview: None,
        verdict: None,
    }
}

impl Draft {
    /// A list as it is.
    fn of(list: &List) -> Self {
        let lines = |entries: &[Entry]| entries.iter().map(Entry::to_string).collect::<Vec<_>>().join("\n");
        let (allow, exclude) = (list.rules.as_deref().map(lines).unwrap_or_default(), lines(&list.exclude));
        Self { allow, exclude, ..Self::default() }
    }

    /// A list as somebody wrote it.
    fn sent(form: &Fields) -> Self {
        let text = |name: &str| form.raw(name).unwrap_or_default().to_owned();
        let allow_public_suffix = form.text("allow_public_suffix").is_some();
        let mut draft = Self { allow: text("allow"), exclude: text("exclude"), allow_public_suffix, ..Self::default() };
        draft.take_question(form);
        draft
    }

    fn take_question(&mut self, fields: &Fields) {
        self.name = fields.text("name").unwrap_or_default().to_owned();
        self.profile = fields.text("profile").unwrap_or_default().to_owned();
    }

    /// The list, or all that is wrong with it.
    fn list(&self, before: &View) -> Result<List, Failure> {
        let read = |text: &str| {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let (good, wrong): (Vec<_>, Vec<_>) = lines.map(str::parse::<Entry>).partition(Result::is_ok);
            let good: Vec<Entry> = good.into_iter().filter_map(Result::ok).collect();
            (good, wrong.into_iter().filter_map(Result::err).collect::<Vec<String>>())
        };
        let ((allow, mut wrong), (exclude, also_wrong)) = (read(&self.allow), read(&self.exclude));
        wrong.extend(also_wrong);
        if !wrong.is_empty() {
            return Err(Failure::Usage(wrong.join("\n")));
        }
        replaced_list(before, allow, exclude, self.allow_public_suffix)
    }

    fn judged(&self, facts: &Facts) -> Result<Explanation, Failure> {
        judged(&self.name, &self.profile, facts)
    }
}
