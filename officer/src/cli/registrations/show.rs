//! `registrations list` and `show`.

use serde_json::{Value, json};

use super::Desk;
use crate::{
    allowlist,
    cm::{
        Cm,
        registration::{self, DirectoryLink, Eab, Registration, View},
        waiver,
    },
    error::Failure,
    output::{Answer, fields, snake_case, table},
};

/// What a list is narrowed by; all of it must fit.
#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    /// With this status
    #[arg(long, value_name = "STATUS", value_parser = ["pending", "active", "suspended", "deactivated", "revoked"])]
    status: Option<String>,
    /// Of this owner, exactly
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// Whose own list allows this name or address
    #[arg(long, value_name = "NAME")]
    identifier: Option<String>,
    /// That came from this one, reg_... or key id: the accounts of a key that binds many
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// Most registrations to show
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: usize,
}

/// The list.
pub(super) async fn list(search: Search, desk: &Desk) -> Result<Answer, Failure> {
    let (cm, limit) = (desk.cm()?, search.limit);
    let search = registration::Search {
        status: search.status,
        owner: search.owner,
        identifier: search.identifier,
        key_id: None,
        parent: found_id(search.parent, &cm).await?,
    };
    let list = cm.registrations(search, limit).await?;
    let registrations = list.items.iter().cloned().map(Registration::of).collect::<Result<Vec<_>, _>>()?;
    let mut text = match registrations.as_slice() {
        [] => "no registration fits".to_owned(),
        some => {
            let rows: Vec<_> = some.iter().map(|one| row(&one.view)).collect();
            table(&["REGISTRATION", "STATUS", "OWNER", "KEY ID", "ALLOWS"], &rows)
        }
    };
    if !list.complete {
        text.push_str("\n... and more: narrow it, or give a higher --limit");
    }
    Ok(Answer::new(text, json!({"items": snake_case(&Value::Array(list.items)), "complete": list.complete})))
}

/// One, by its id or that of its external account key.
pub(super) async fn one(id: &str, desk: &Desk) -> Result<Answer, Failure> {
    let found = find(id, &desk.cm()?).await?;
    Ok(Answer::new(described(&found.view), snake_case(&found.json)))
}

/// The registration of this id, or with an external account key of this id.
pub(crate) async fn find(id: &str, cm: &Cm) -> Result<Registration, Failure> {
    match cm.registration(id).await {
        Err(Failure::NotFound(reason)) => cm.registration_of_key_id(id).await?.ok_or(Failure::NotFound(reason)),
        other => other,
    }
}

/// The id of a registration that a search is narrowed by, which is named as for [`find`].
pub(crate) async fn found_id(named: Option<String>, cm: &Cm) -> Result<Option<String>, Failure> {
    match named {
        None => Ok(None),
        Some(id) => Ok(Some(find(&id, cm).await?.view.id)),
    }
}

/// What a list shows of it: id, status, owner, key id, the first entries.
pub(crate) fn row(view: &View) -> Vec<String> {
    let lines = allowlist::lines(&view.allowed_identifiers);
    let mut allows = lines.lines();
    let first = allows.next().unwrap_or_default().to_owned();
    let more = allows.count();
    vec![
        view.id.clone(),
        view.status.clone(),
        view.owner.clone().unwrap_or_default(),
        view.eab.as_ref().map(|eab| eab.kid.clone()).unwrap_or_default(),
        if more == 0 { first } else { format!("{first} and {more} more") },
    ]
}

/// Everything that people look at.
pub(super) fn described(view: &View) -> String {
    fields(&facts(view))
}

/// The same as names and values; a value can have several lines or none.
pub(crate) fn facts(view: &View) -> Vec<(&'static str, String)> {
    let or_nothing = |text: &Option<String>| text.clone().unwrap_or_default();
    let status = match (&view.status_reason, &view.status_by, &view.status_at) {
        (Some(reason), Some(by), Some(at)) => format!("{} since {at}, by {by}: {reason}", view.status),
        (None, Some(by), Some(at)) => format!("{} since {at}, by {by}", view.status),
        _ => view.status.clone(),
    };
    let key = view.key.as_ref().map(|key| {
        let since = key.since.as_deref().map(|since| format!(" since {since}")).unwrap_or_default();
        format!("{}{since}", key.thumbprint)
    });
    let profiles = match view.allowed_profiles.as_slice() {
        [] => "the realm's default profile".to_owned(),
        some => some.join(", "),
    };
    vec![
        ("registration", view.id.clone()),
        ("status", status),
        ("owner", or_nothing(&view.owner)),
        ("comment", or_nothing(&view.comment)),
        ("mode", view.mode.clone()),
        (
            "created",
            match (&view.created_at, &view.officer) {
                (Some(at), Some(officer)) => format!("{at} by {officer}"),
                (at, _) => or_nothing(at),
            },
        ),
        ("binds", view.eab.as_ref().map(binding).unwrap_or_default()),
        ("link", view.directory_link.as_ref().map(link).unwrap_or_default()),
        ("account key", key.unwrap_or_default()),
        ("contacts", view.contacts.join(", ")),
        ("parent", or_nothing(&view.parent)),
        ("allows", allowlist::lines(&view.allowed_identifiers)),
        ("profiles", profiles),
        ("validity", view.max_validity.as_deref().map(|span| format!("at most {span}")).unwrap_or_default()),
        ("waivers", view.waivers.iter().map(waiver).collect::<Vec<_>>().join("\n")),
        ("version", view.version.to_string()),
    ]
}

/// The life of an external account key in a sentence.
pub(crate) fn binding(eab: &Eab) -> String {
    let number = match (eab.usage.as_str(), eab.max_bindings) {
        ("once", _) => format!("one account, bound so far: {}", eab.bindings),
        (_, Some(most)) => {
            format!(
                "up to {most} accounts, bound so far: {}, left: {}",
                eab.bindings,
                most.saturating_sub(eab.bindings)
            )
        }
        (_, None) => format!("accounts, bound so far: {}", eab.bindings),
    };
    let from = eab.not_before.as_deref().map(|time| format!(", from {time}")).unwrap_or_default();
    let until = eab.not_after.as_deref().map(|time| format!(", until {time}")).unwrap_or_default();
    let since = eab.secret_set_at.as_deref().map(|time| format!(", since {time}")).unwrap_or_default();
    let previous = eab.previous_until.as_deref().map(|time| format!("\nthe key before it until {time}"));
    format!("{number}{from}{until}\nkey id {}{since}{}", eab.kid, previous.unwrap_or_default())
}

/// The life of a directory link in a sentence. The link itself is known to nobody here.
pub(crate) fn link(link: &DirectoryLink) -> String {
    let until = link.not_after.as_deref().map(|time| format!(", until {time}")).unwrap_or_default();
    let previous = link.previous_until.as_deref().map(|time| format!("\nthe one before it until {time}"));
    format!("since {}{until}{}", link.since, previous.unwrap_or_default())
}

/// What need not be proven, in a sentence; what is not understood is shown as it stands.
fn waiver(json: &Value) -> String {
    match waiver::View::of(json) {
        Ok(one) => {
            format!("{} until {}: {} by {}", one.id, one.not_after, one.names().replace('\n', ", "), one.shows())
        }
        Err(_) => format!("not understood: {json}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> View {
        let json = json!({
            "id": "reg_1", "version": 3, "status": "suspended", "mode": "preregistered", "owner": "print room",
            "createdAt": "t0", "officer": "urn:cm:officer:anna", "statusReason": "moved", "statusBy": "urn:cm:officer:anna",
            "statusAt": "t1", "allowedProfiles": [],
            "allowedIdentifiers": {"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "a.test"}],
                                   "exclude": [{"type": "dns", "match": "exact", "value": "b.a.test"}]},
            "eab": {"kid": "kid-1", "use": "once", "maxBindings": 1, "bindings": 0, "notAfter": "t9"},
            "waivers": [{"id": "wav_1", "registration": "reg_1", "status": "approved", "notAfter": "t7",
                         "identifiers": [{"type": "dns", "match": "exact", "value": "p.a.test"}],
                         "evidence": {"addresses": ["192.0.2.0/24"]}}, "all"],
            "directoryLink": {"since": "t3", "notAfter": "t8", "previousUntil": "t5"},
        });
        Registration::of(json).unwrap().view
    }

    #[test]
    fn a_registration_is_described_for_people() {
        let text = described(&sample());
        for line in [
            "registration reg_1",
            "status       suspended since t1, by urn:cm:officer:anna: moved",
            "created      t0 by urn:cm:officer:anna",
            "binds        one account, bound so far: 0, until t9",
            "             key id kid-1",
            "link         since t3, until t8",
            "             the one before it until t5",
            "allows       suffix:a.test",
            "             except exact:b.a.test",
            "profiles     the realm's default profile",
            "waivers      wav_1 until t7: exact:p.a.test by a request from 192.0.2.0/24",
            "             not understood: \"all\"",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_life_of_a_key_is_told_with_what_is_left_of_it() {
        let eab = json!({"kid": "k", "use": "multi", "maxBindings": 5, "bindings": 2, "notBefore": "t1", "notAfter": "t9",
                         "secretSetAt": "t3", "previousUntil": "t5"});
        let told = binding(&serde_json::from_value(eab).unwrap());
        let expected = "up to 5 accounts, bound so far: 2, left: 3, from t1, until t9\nkey id k, since t3\n\
                        the key before it until t5";
        assert_eq!(told, expected);
    }

    #[test]
    fn a_row_counts_what_it_has_no_place_for() {
        assert_eq!(row(&sample()), ["reg_1", "suspended", "print room", "kid-1", "suffix:a.test and 1 more"]);
    }
}
