//! `registrations export`: all registrations with an external account key as CSV, as `import` takes it.

use serde_json::json;

use super::{
    Desk,
    import::{REGISTRATIONS_MAX, line_of},
};
use crate::{
    allowlist::{Entry, List},
    cm::registration::{Registration, Search, View},
    error::Failure,
    output::Answer,
};

/// Its columns. All that narrows what a registration may do is among them.
const HEADING: [&str; 14] = [
    "eab_kid",
    "owner",
    "allow",
    "exclude",
    "profile",
    "max_validity",
    "use",
    "max_bindings",
    "valid_from",
    "until",
    "algorithms",
    "comment",
    "registration",
    "status",
];

/// All registrations of officers as CSV. Keys are not in it.
pub(super) async fn export(desk: &Desk) -> Result<Answer, Failure> {
    let list = desk.cm()?.registrations(Search::default(), REGISTRATIONS_MAX).await?;
    let mut text = line_of(&HEADING)?;
    let mut count = 0_usize;
    for json in list.items {
        let Some(cells) = cells(Registration::of(json)?.view)? else { continue };
        text.extend(line_of(&cells.each_ref().map(String::as_str))?);
        count += 1;
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(Answer::new(text.clone(), json!({"count": count, "csv": text})))
}

/// Its line; none for what came by another one's key.
fn cells(view: View) -> Result<Option<[String; HEADING.len()]>, Failure> {
    let Some(eab) = view.eab else { return Ok(None) };
    let Some(allowed) = List::of(&view.allowed_identifiers) else {
        return Err(Failure::Broken(format!("the list of {} is not understood, so it cannot be exported", view.id)));
    };
    let words = |entries: &[Entry]| entries.iter().map(Entry::to_string).collect::<Vec<_>>().join(" ");
    // A key that is used once has no number to say.
    let most = eab.max_bindings.filter(|_| eab.usage == "multi");
    Ok(Some([
        eab.kid,
        view.owner.unwrap_or_default(),
        allowed.rules.as_deref().map(words).unwrap_or_default(),
        words(&allowed.exclude),
        view.allowed_profiles.join(" "),
        view.max_validity.unwrap_or_default(),
        eab.usage,
        most.map(|most| most.to_string()).unwrap_or_default(),
        eab.not_before.unwrap_or_default(),
        eab.not_after.unwrap_or_default(),
        eab.algorithms.join(" "),
        view.comment.unwrap_or_default(),
        view.id,
        view.status,
    ]))
}
