//! Which registrations would have allowed a name on a day, and why: each state that a registration was in
//! that day is explained by the code that the gateway decides with.

use std::collections::BTreeMap;

use acme::{
    identifier::Identifier,
    ids::{ProfileName, RealmName},
    profile::Profile,
    registration::AllowedIdentifiers,
    time::Timestamp,
};
use cm_connector::rest::door;
use serde_json::{Value, json};

use super::{
    Report, counted,
    history::{Stretch, by_subject, stretches},
};
use crate::{
    error::Failure,
    explain::{Decision, Explanation, Facts, Layer, Outcome, Question, explain},
};

/// What is asked: a name, from `from` on and before `until`.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) name: Identifier,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

/// What of the CM does not depend on the registration. Nothing tells how it was before.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) realm: RealmName,
    pub(crate) realm_list: Option<AllowedIdentifiers>,
    pub(crate) profiles: Vec<Profile>,
}

/// What is known of the time before now.
#[derive(Debug, Clone)]
pub(crate) enum Past {
    /// The day is not over: how things are is what was asked for.
    IsNow,
    /// The audit trail from the day on.
    Trail(Vec<Value>),
    /// It cannot be known, and why.
    Unknown(String),
}

/// # Errors
/// [`Failure::Broken`] if the CM's registrations or their changes are not understood.
pub(crate) fn who_could(
    asked: &Asked,
    registrations: &[Value],
    past: &Past,
    surroundings: &Surroundings,
    now: Timestamp,
) -> Result<Report, Failure> {
    let (trail, is_answered) = match past {
        Past::Trail(trail) => (trail.as_slice(), true),
        Past::IsNow => (&[][..], true),
        Past::Unknown(_) => (&[][..], false),
    };
    let entries = by_subject(trail);
    let mut histories = BTreeMap::new();
    for registration in registrations {
        let id = registration.get("id").and_then(Value::as_str).unwrap_or_default();
        let entries = entries.get(id).map(Vec::as_slice).unwrap_or_default();
        histories.insert(id, stretches(registration, entries)?);
    }
    // What cannot be answered for the day is answered for now.
    let (from, until) = match past {
        Past::Trail(_) => (asked.from, asked.until),
        Past::IsNow | Past::Unknown(_) => (now, now.plus(std::time::Duration::from_secs(1))),
    };
    let answered_for = if matches!(past, Past::Trail(_)) { format!("{from}/{until}") } else { "now".to_owned() };
    let mut rows = Vec::new();
    for (id, history) in &histories {
        for state in history.iter().rev().filter(|state| state.touches(from, until)) {
            let parent = state.json.get("parent").and_then(Value::as_str);
            for (parent, since, end) in beside(state, parent.and_then(|parent| histories.get(parent)), from, until) {
                if let Some((profile, why)) = allowed(asked, &state.json, parent, surroundings)? {
                    let text = |name: &str| state.json.get(name).cloned().unwrap_or_default();
                    rows.push(vec![
                        json!(id),
                        text("owner"),
                        text("status"),
                        json!(since),
                        json!(end),
                        json!(profile),
                        json!(why),
                        json!(answered_for),
                    ]);
                }
            }
        }
    }
    let statuses = counted(rows.iter().filter_map(|row| row.get(2)?.as_str()));
    let Asked { name, from, until } = asked;
    Ok(Report {
        name: "who-could",
        title: if is_answered {
            format!("Who could obtain {name} from {from} to before {until}")
        } else {
            format!("Who can obtain {name} now; asked was from {from} to before {until}")
        },
        made_at: now,
        columns: &["registration", "owner", "status", "since", "until", "profile", "why", "answered_for"],
        rows,
        totals: statuses.into_iter().map(|(status, number)| (format!("status {status}"), number)).collect(),
        notes: notes(past),
    })
}

fn notes(past: &Past) -> Vec<String> {
    let mut notes = Vec::new();
    match past {
        Past::IsNow => {}
        Past::Trail(_) => notes.push(
            "Registrations are as the audit trail says they were; the realm's own list and the profiles are as they are \
             now, for the CM does not tell how they were."
                .to_owned(),
        ),
        Past::Unknown(reason) => notes.push(format!(
            "NOT ANSWERED FOR THE TIME THAT WAS ASKED FOR: {reason}. This is the answer for now. What has been changed, \
             suspended or revoked since is not seen."
        )),
    }
    notes.push(
        "Allowed means by status, lists and profile. A client must also hold the account key and prove control of the name."
            .to_owned(),
    );
    notes
}

/// The states of the parent during a state, with the times that both lasted together within the day.
fn beside<'a>(
    state: &Stretch,
    parent: Option<&'a Vec<Stretch>>,
    from: Timestamp,
    until: Timestamp,
) -> Vec<(Option<&'a Value>, Timestamp, Option<Timestamp>)> {
    let Some(parent) = parent else { return vec![(None, state.from, state.until)] };
    let together = parent.iter().rev().filter_map(|one| {
        let since = one.from.max(state.from);
        let end = match (one.until, state.until) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let lasts = end.is_none_or(|end| end > since && end > from) && since < until;
        lasts.then_some((Some(&one.json), since, end))
    });
    together.collect()
}

/// The profile that allows it and why, if one of those that may be asked for does.
fn allowed(
    asked: &Asked,
    registration: &Value,
    parent: Option<&Value>,
    surroundings: &Surroundings,
) -> Result<Option<(String, String)>, Failure> {
    let read = |json: &Value| {
        door::registration(&surroundings.realm, json.clone()).map_err(|error| Failure::Broken(error.to_string()))
    };
    let (registration, names_parent) = read(registration)?;
    let parent = parent.map(read).transpose()?.map(|(parent, _)| parent);
    if names_parent.is_some() && parent.is_none() {
        return Ok(None); // The gateway refuses a child whose parent nobody knows.
    }
    let profiles: Vec<Option<ProfileName>> =
        std::iter::once(None).chain(registration.allowed_profiles.iter().cloned().map(Some)).collect();
    let facts = Facts {
        registration,
        parent,
        realm: surroundings.realm_list.clone(),
        profiles: Some(surroundings.profiles.clone()),
    };
    for profile in profiles {
        let explanation = explain(&Question { names: vec![asked.name.clone()], profile, csr: None }, &facts);
        if explanation.decision == Decision::Allow {
            return Ok(Some(reasons(&explanation)));
        }
    }
    Ok(None)
}

/// The profile, and what each layer has said for it.
fn reasons(explanation: &Explanation) -> (String, String) {
    let mut profile = String::new();
    let mut words = Vec::new();
    for step in explanation.rules.iter().filter(|step| step.outcome == Outcome::Allows) {
        match step.layer {
            Layer::Profile => profile = step.detail.strip_prefix("profile ").unwrap_or(&step.detail).to_owned(),
            Layer::Realm => words.push(format!("realm: {}", step.detail)),
            Layer::Parent => words.push(format!("parent: {}", step.detail)),
            Layer::Registration => words.push(format!("registration: {}", step.detail)),
            Layer::Name | Layer::Status | Layer::Csr | Layer::Waiver => {}
        }
    }
    (profile, words.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = "2026-11-10T00:00:00Z";
    const NEXT_DAY: &str = "2026-11-11T00:00:00Z";
    const NOW: &str = "2026-11-22T00:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn list(suffix: &str) -> Value {
        json!({"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": suffix}]})
    }

    fn registration(id: &str, created: &str, suffix: &str) -> Value {
        json!({"id": id, "version": 1, "realm": "tls", "mode": "preregistered", "status": "pending", "createdAt": created,
               "owner": "o", "allowedIdentifiers": list(suffix), "allowedProfiles": ["tls-server"], "parent": null})
    }

    fn entry(subject: &str, time: &str, before: Value) -> Value {
        json!({"subject": subject, "time": time, "outcome": "done", "before": before})
    }

    fn answer(registrations: &[Value], past: &Past) -> Report {
        let profile = json!({
            "name": "tls-server", "status": "active", "default": true, "issuer": "i", "identifierTypes": ["dns"],
            "wildcards": true, "maxIdentifiers": 100, "keyTypes": ["EC-P256"],
            "validity": {"default": "P90D", "max": "P90D"}, "validation": {"methods": ["http-01"], "maxAge": "P8D"},
            "approval": {"mode": "auto"}});
        let surroundings = Surroundings {
            realm: "tls".parse().unwrap(),
            realm_list: Some(AllowedIdentifiers::Any { exclude: Vec::new() }),
            profiles: vec![door::profile(profile).unwrap().unwrap()],
        };
        let asked = Asked { name: Identifier::parse_dns("www.a.test").unwrap(), from: at(DAY), until: at(NEXT_DAY) };
        who_could(&asked, registrations, past, &surroundings, at(NOW)).unwrap()
    }

    fn column(report: &Report, name: &str) -> Vec<String> {
        let place = report.columns.iter().position(|column| *column == name).unwrap();
        report.rows.iter().map(|row| row.get(place).unwrap().as_str().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn those_are_told_that_would_have_allowed_it_that_day() {
        let registrations = [
            registration("reg_always", "2026-11-01T00:00:00Z", "a.test"),
            registration("reg_later", "2026-11-15T00:00:00Z", "a.test"),
            registration("reg_narrowed", "2026-11-01T00:00:00Z", "b.test"),
            registration("reg_never", "2026-11-01T00:00:00Z", "b.test"),
            registration("reg_widened", "2026-11-01T00:00:00Z", "a.test"),
            registration("reg_held", "2026-11-01T00:00:00Z", "a.test"),
        ];
        let trail = vec![
            entry("reg_narrowed", "2026-11-10T15:00:00Z", json!({"allowedIdentifiers": list("a.test")})),
            entry("reg_widened", "2026-11-12T00:00:00Z", json!({"allowedIdentifiers": list("c.test")})),
            entry("reg_held", "2026-11-13T00:00:00Z", json!({"status": "suspended"})),
        ];
        let report = answer(&registrations, &Past::Trail(trail));
        assert_eq!(column(&report, "registration"), ["reg_always", "reg_narrowed"]);
        assert_eq!(column(&report, "until"), ["", "2026-11-10T15:00:00Z"]);
        assert_eq!(
            column(&report, "why").first().unwrap(),
            "realm: allowed by any; registration: allowed by suffix a.test"
        );
        assert_eq!(column(&report, "profile").first().unwrap(), "tls-server");
        assert!(report.title.starts_with("Who could obtain www.a.test from 2026-11-10"), "{}", report.title);
    }

    #[test]
    fn a_past_that_nobody_tells_is_not_made_up() {
        let registrations = [registration("reg_later", "2026-11-15T00:00:00Z", "a.test")];
        let report = answer(&registrations, &Past::Unknown("the trail is for auditors".to_owned()));
        assert_eq!(column(&report, "registration"), ["reg_later"]);
        assert_eq!(column(&report, "answered_for"), ["now"]);
        assert!(report.title.starts_with("Who can obtain www.a.test now"), "{}", report.title);
        assert!(report.notes.iter().any(|note| note.contains("NOT ANSWERED") && note.contains("for auditors")));
    }

    #[test]
    fn a_child_had_what_both_it_and_its_parent_allowed() {
        let child = json!({"parent": "reg_parent", "status": "pending"});
        let mut registrations = [
            registration("reg_child", "2026-11-01T00:00:00Z", "a.test"),
            registration("reg_parent", "2026-11-01T00:00:00Z", "a.test"),
        ];
        registrations[0].as_object_mut().unwrap().extend(child.as_object().unwrap().clone());
        let trail = vec![
            entry("reg_parent", "2026-11-10T06:00:00Z", json!({"allowedIdentifiers": list("b.test")})),
            entry("reg_parent", "2026-11-10T18:00:00Z", json!({"allowedIdentifiers": list("a.test")})),
        ];
        registrations[1]["allowedIdentifiers"] = list("b.test");
        let report = answer(&registrations, &Past::Trail(trail));
        assert_eq!(column(&report, "registration"), ["reg_child", "reg_parent"]);
        assert_eq!(column(&report, "since"), ["2026-11-10T06:00:00Z", "2026-11-10T06:00:00Z"]);
        assert_eq!(column(&report, "until"), ["2026-11-10T18:00:00Z", "2026-11-10T18:00:00Z"]);
    }
}
