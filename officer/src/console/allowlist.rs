//! The editor of what a registration allows: what the list says about a name, and what would change
//! if list, profiles or validity were others, before they are.
//!
//! What is saved is what was shown: the form carries the version that the officer looked at, and
//! nothing is done if there is another one by then.

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;
use cm_connector::rest::door;
use serde_json::{Map, Value, json};

use super::{
    Console,
    answer::{self, Frame},
    fields::Fields,
    mistakes::Mistakes,
    profiles::offered,
    registrations::of_version,
    table::{Cell, Table},
    verdict::{Verdict, judged},
};
use crate::{
    allowlist::{Entry, List, lint::lint},
    cli::{
        explain::from_cm,
        registrations::{
            effect::{Effect, of_patch},
            update::{changes, replaced_list, understood},
        },
        when,
    },
    cm::registration::{Registration, View},
    error::Failure,
    explain::{Explanation, Facts},
    output::shown,
};

/// What the CM is asked to change, and what the page calls it.
const LIST: &str = "allowedIdentifiers";
const PROFILES: &str = "allowedProfiles";
const VALIDITY: &str = "maxValidity";
/// Most profiles that are read from a form.
const PROFILES_MAX: usize = 100;
/// Most certificates that are shown.
const CERTIFICATES_MAX: usize = 500;

#[derive(Template)]
#[template(path = "console/allowlist.html")]
struct Page<'a> {
    frame: Frame<'a>,
    id: String,
    version: String,
    /// Whether every name is allowed now.
    is_any: bool,
    draft: Draft,
    /// Profiles on offer, and whether each is chosen.
    offered: Vec<(String, bool)>,
    mistakes: Mistakes,
    preview: Option<Preview>,
    /// The answer about the name in the form below, by the list that is saved.
    verdict: Option<Verdict>,
}

/// What is in the form.
#[derive(Default)]
struct Draft {
    allow: String,
    exclude: String,
    allow_public_suffix: bool,
    /// Profiles and validity, if the form had them.
    certificates: Option<Certificates>,
    /// A name to try.
    name: String,
    profile: String,
}

/// What certificates may be.
#[derive(Default)]
struct Certificates {
    profiles: Vec<String>,
    max_validity: String,
}

/// What would change.
struct Preview {
    /// What is another one afterwards: what it is called, what is there no more, what is new.
    changes: Vec<(&'static str, Vec<String>, Vec<String>)>,
    hints: Option<Vec<String>>,
    lost: Table,
    shortened: Option<Table>,
    notes: Vec<String>,
    verdict: Option<Verdict>,
}

/// The editor. A name in the query is explained by the list as it is.
pub(super) async fn edit(console: &Console, id: &str, query: &Fields) -> Result<HttpResponse, Failure> {
    let Registration { view, .. } = console.cm.registration(id).await?;
    let mut draft = Draft::of(&view, &understood(&view)?);
    draft.take_question(query);
    let verdict = match draft.name.as_str() {
        "" => None,
        name => Some(Verdict::of(name, None, &draft.judged(&from_cm(id, &console.cm).await?)?)),
    };
    Ok(answer::page(&Page { verdict, ..page(console, &view, draft).await? }))
}

/// What would change, and nothing changes.
pub(super) async fn preview(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    let before = of_version(console, id, form).await?;
    let draft = Draft::sent(form);
    let (list, patch) = match draft.patch(&before.view) {
        Ok(changed) => changed,
        Err(mistakes) => return mistaken(console, &before.view, draft, mistakes).await,
    };
    let now = from_cm(id, &console.cm).await?;
    let verdict = match draft.name.as_str() {
        "" => None,
        name => {
            let mut then = now.clone();
            then.registration.allowed_identifiers = door::allowed_identifiers(list.to_json());
            Some(Verdict::of(name, Some(&draft.judged(&now)?), &draft.judged(&then)?))
        }
    };
    let effect = Box::pin(of_patch(&console.cm, &before, &patch)).await;
    let difference = |change: &crate::cli::registrations::update::Change| {
        let (gone, new) = change.difference();
        (title(change.member()), gone, new)
    };
    let preview = Preview {
        changes: changes(&before.json, &patch).iter().map(difference).collect(),
        hints: Some(lint(&list, now.realm.as_ref())),
        shortened: effect.as_ref().ok().and_then(shortened),
        notes: effect.as_ref().map(|effect| effect.notes.clone()).unwrap_or_default(),
        lost: lost(effect),
        verdict,
    };
    // What is saved is what is shown: entries in their normal form.
    let normal = Draft::of(&before.view, &list);
    let draft = Draft { allow: normal.allow, exclude: normal.exclude, ..draft };
    Ok(answer::page(&Page { preview: Some(preview), ..page(console, &before.view, draft).await? }))
}

/// Saves what was shown.
pub(super) async fn save(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    let before = of_version(console, id, form).await?;
    let draft = Draft::sent(form);
    match draft.patch(&before.view) {
        Err(mistakes) => mistaken(console, &before.view, draft, mistakes).await,
        Ok((_, patch)) => {
            let _ = console.cm.update_registration(&before.view, &patch).await?;
            Ok(answer::see_other(console, &format!("registrations/{}?done=1", before.view.id)))
        }
    }
}

async fn mistaken(console: &Console, view: &View, draft: Draft, mistakes: Mistakes) -> Result<HttpResponse, Failure> {
    let page = Page { mistakes, ..page(console, view, draft).await? };
    Ok(answer::with_status(StatusCode::BAD_REQUEST, &page))
}

fn title(member: &str) -> &'static str {
    match member {
        PROFILES => "Profiles",
        VALIDITY => "Longest validity",
        _ => "List",
    }
}

fn lost(effect: Result<Effect, Failure>) -> Table {
    let row = |row: [String; 5]| {
        let [id, registration, not_after, names, reason] = row;
        let (id, registration) = (Cell::link("certificates", &id), Cell::link("registrations", &registration));
        vec![id, registration, Cell::plain(&not_after), Cell::plain(&names), Cell::plain(&reason)]
    };
    let found = effect.map(|effect| {
        let rows = effect.lost.iter().take(CERTIFICATES_MAX).map(|one| row(one.row())).collect();
        (rows, effect.lost.len() <= CERTIFICATES_MAX)
    });
    Table::of(
        "Certificates in force whose renewal will be refused",
        &["Certificate", "Registration", "Until", "Names that are not allowed", "Reason"],
        "All certificates in force could be renewed.",
        found,
    )
}

/// Nothing if no validity gets shorter.
fn shortened(effect: &Effect) -> Option<Table> {
    let row = |row: [String; 5]| {
        let [id, registration, not_after, days, at_most] = row;
        let (id, registration) = (Cell::link("certificates", &id), Cell::link("registrations", &registration));
        vec![id, registration, Cell::plain(&not_after), Cell::plain(&days), Cell::plain(&at_most)]
    };
    let rows: Vec<Vec<Cell>> = effect.shortened.iter().take(CERTIFICATES_MAX).map(|one| row(one.row())).collect();
    let is_all = effect.shortened.len() <= CERTIFICATES_MAX;
    (!rows.is_empty()).then(|| {
        Table::of(
            "Renewed for a shorter time, or refused if as long a validity is asked for",
            &["Certificate", "Registration", "Until", "Valid for", "Then at most"],
            "",
            Ok((rows, is_all)),
        )
    })
}

async fn page<'a>(console: &'a Console, view: &View, draft: Draft) -> Result<Page<'a>, Failure> {
    let owner = view.owner.as_deref().map(|owner| format!(" of {}", shown(owner))).unwrap_or_default();
    let certificates = draft.certificates.as_ref();
    let is_chosen = |name: &str| certificates.is_some_and(|one| one.profiles.iter().any(|profile| profile == name));
    let offered = offered(console, is_chosen).await?;
    Ok(Page {
        frame: Frame::new(console, "registrations", format!("What the registration{owner} allows")),
        id: view.id.clone(),
        version: view.version.to_string(),
        is_any: List::of(&view.allowed_identifiers).is_some_and(|list| list.rules.is_none()),
        draft,
        offered,
        mistakes: Mistakes::default(),
        preview: None,
        verdict: None,
    })
}

impl Draft {
    /// A registration's policy with this list.
    fn of(view: &View, list: &List) -> Self {
        let lines = |entries: &[Entry]| entries.iter().map(Entry::to_string).collect::<Vec<_>>().join("\n");
        Self {
            allow: list.rules.as_deref().map(lines).unwrap_or_default(),
            exclude: lines(&list.exclude),
            certificates: Some(Certificates {
                profiles: view.allowed_profiles.clone(),
                max_validity: view.max_validity.clone().unwrap_or_default(),
            }),
            ..Self::default()
        }
    }

    /// What somebody wrote.
    fn sent(form: &Fields) -> Self {
        let text = |name: &str| form.raw(name).unwrap_or_default().to_owned();
        // A form without these fields says nothing about them; boxes that are not ticked are not sent.
        let certificates = form.raw("max_validity").map(|max_validity| Certificates {
            profiles: form.all("profiles").take(PROFILES_MAX).map(str::to_owned).collect(),
            max_validity: max_validity.trim().to_owned(),
        });
        let allow_public_suffix = form.text("allow_public_suffix").is_some();
        let (allow, exclude) = (text("allow"), text("exclude"));
        let mut draft = Self { allow, exclude, allow_public_suffix, certificates, ..Self::default() };
        draft.take_question(form);
        draft
    }

    fn take_question(&mut self, fields: &Fields) {
        self.name = fields.text("name").unwrap_or_default().to_owned();
        self.profile = fields.text("profile").unwrap_or_default().to_owned();
    }

    /// What the form has of them.
    fn profiles(&self) -> &[String] {
        self.certificates.as_ref().map(|one| one.profiles.as_slice()).unwrap_or_default()
    }

    fn max_validity(&self) -> &str {
        self.certificates.as_ref().map(|one| one.max_validity.as_str()).unwrap_or_default()
    }

    /// The list, and all that the CM is asked to change; or all that is wrong.
    fn patch(&self, before: &View) -> Result<(List, Value), Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut read = |field: &'static str, text: &str| {
            let mut entries = Vec::new();
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                match line.parse::<Entry>() {
                    Ok(entry) => entries.push(entry),
                    Err(reason) => mistakes.add(field, reason),
                }
            }
            entries
        };
        let (allow, exclude) = (read("allow", &self.allow), read("exclude", &self.exclude));
        let mut patch = Map::new();
        if let Some(certificates) = &self.certificates {
            let _ = patch.insert(PROFILES.to_owned(), json!(certificates.profiles));
            match validity(&certificates.max_validity, before) {
                Ok(validity) => {
                    let _ = patch.insert(VALIDITY.to_owned(), validity);
                }
                Err(reason) => mistakes.add("max_validity", reason),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        match replaced_list(before, allow, exclude, self.allow_public_suffix) {
            Ok(list) => {
                let _ = patch.insert(LIST.to_owned(), list.to_json());
                Ok((list, Value::Object(patch)))
            }
            Err(failure) => {
                // The page has a box for what the command line has an option for.
                let reason = failure.to_string();
                mistakes
                    .add("allow", reason.replace("give --allow-public-suffix if it is meant", "tick below that it is"));
                Err(mistakes)
            }
        }
    }

    fn judged(&self, facts: &Facts) -> Result<Explanation, Failure> {
        judged(&self.name, &self.profile, facts)
    }
}

/// A longest validity in the contract's words; what is there has been meant, however it is written.
fn validity(text: &str, before: &View) -> Result<Value, String> {
    match text {
        "" => Ok(Value::Null),
        text if before.max_validity.as_deref() == Some(text) => Ok(text.into()),
        text => when::span(text).map(Value::from),
    }
}
