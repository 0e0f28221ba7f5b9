//! How a registration was before: from how it is now and the CM's audit trail, whose entries hold the
//! members that were changed, before and after (CM contract section 4.9).

use std::{collections::BTreeMap, time::Duration};

use acme::time::Timestamp;
use serde_json::{Map, Value};

use super::record::time;
use crate::error::Failure;

/// A state that a registration was in, from `from` on and before `until`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) from: Timestamp,
    /// `None` for the state it is in now.
    pub(crate) until: Option<Timestamp>,
    /// As the CM would have shown it, but for members that no entry tells of.
    pub(crate) json: Value,
}

impl Stretch {
    /// True if it lasted at some time from `from` on and before `until`.
    pub(crate) fn touches(&self, from: Timestamp, until: Timestamp) -> bool {
        self.from < until && self.until.is_none_or(|end| end > from)
    }
}

/// Entries of the trail by what they are about, in the trail's order. Refusals changed nothing.
pub(crate) fn by_subject(trail: &[Value]) -> BTreeMap<&str, Vec<&Value>> {
    let mut subjects: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for entry in trail.iter().filter(|entry| entry.get("outcome").and_then(Value::as_str) == Some("done")) {
        if let Some(subject) = entry.get("subject").and_then(Value::as_str) {
            subjects.entry(subject).or_default().push(entry);
        }
    }
    subjects
}

/// The states of a registration, the latest first. Without entries there is one: how it is now, since it
/// was created. A state ends with the second that it was changed in, so none is lost between two seconds.
///
/// # Errors
/// [`Failure::Broken`] if a time of the CM is none.
pub(crate) fn stretches(registration: &Value, entries: &[&Value]) -> Result<Vec<Stretch>, Failure> {
    let created = match registration.get("createdAt").and_then(Value::as_str) {
        Some(created) => time(created)?,
        None => Timestamp::from_unix_secs(0),
    };
    let mut changes = Vec::new();
    for entry in entries {
        if let Some(before) = entry.get("before").and_then(Value::as_object) {
            let at = entry.get("time").and_then(Value::as_str).unwrap_or_default();
            changes.push((time(at)?, at, before.clone()));
        }
    }
    for (at, before) in known_changes(registration) {
        let at_second = time(at)?;
        let status = before.map(|before| ("status".to_owned(), before.into()));
        let is_told = changes.iter().any(|(time, _, told): &(_, _, Map<String, Value>)| {
            *time == at_second && (status.is_none() || told.contains_key("status"))
        });
        if at_second > created && !is_told {
            let place = changes.partition_point(|(time, ..)| *time < at_second);
            changes.insert(place, (at_second, at, Map::from_iter(status)));
        }
    }
    let mut state = registration.clone();
    let mut until = None;
    let mut stretches = Vec::new();
    for (from, text, before) in changes.iter().rev() {
        let earlier = merged(&state, before);
        stretches.push(Stretch { from: *from, until, json: std::mem::replace(&mut state, earlier) });
        until = Some(if text.contains('.') { from.plus(Duration::from_secs(1)) } else { *from });
    }
    stretches.push(Stretch { from: created, until, json: state });
    Ok(stretches)
}

/// When the status changed as far as the registration itself says, whether or not the trail tells of it, and what the
/// status was before if that is known. Until a client bound its key, and from when it was taken away until the next one
/// was bound, it was `pending`; a key that followed another at once was changed by its client. The status that it has now
/// it has had since `statusAt`, which comes last.
fn known_changes(registration: &Value) -> Vec<(&str, Option<&'static str>)> {
    let previous = registration.get("previousKeys").and_then(Value::as_array).into_iter().flatten();
    let mut keys: Vec<_> = previous.map(|key| (text(key, "from"), text(key, "to"))).collect();
    keys.extend(registration.get("key").filter(|key| key.is_object()).map(|key| (text(key, "since"), None)));
    let mut changes = Vec::new();
    let mut bound_until = None;
    for (number, (from, to)) in keys.into_iter().enumerate() {
        if number == 0 || bound_until.is_some_and(|at| Some(at) != from) {
            changes.extend(bound_until.map(|at| (at, Some("active"))));
            changes.extend(from.map(|at| (at, Some("pending"))));
        }
        bound_until = to;
    }
    changes.extend(bound_until.map(|at| (at, Some("active"))));
    changes.extend(text(registration, "statusAt").map(|at| (at, None)));
    changes
}

fn text<'a>(json: &'a Value, member: &str) -> Option<&'a str> {
    json.get(member).and_then(Value::as_str)
}

fn merged(state: &Value, before: &Map<String, Value>) -> Value {
    let mut state = state.clone();
    if let Some(members) = state.as_object_mut() {
        members.extend(before.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    state
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(day: u32) -> Timestamp {
        format!("2026-11-{day:02}T00:00:00Z").parse().unwrap()
    }

    fn entry(day: u32, before: Value) -> Value {
        json!({"time": at(day), "outcome": "done", "subject": "reg_1", "before": before, "after": {}})
    }

    #[test]
    fn changes_are_taken_back_one_by_one() {
        let now = json!({"id": "reg_1", "status": "active", "owner": "c", "createdAt": at(1)});
        let trail = [
            entry(5, json!({"owner": "a"})),
            entry(10, json!({"owner": "b", "status": "active"})),
            entry(15, json!({"status": "suspended"})),
            json!({"time": at(16), "outcome": "refused", "subject": "reg_1", "before": {"owner": "never"}}),
            json!({"time": at(16), "outcome": "done", "subject": "reg_2", "before": {"owner": "another"}}),
            json!({"time": at(16), "outcome": "done", "subject": "reg_1", "after": {"version": 7}}),
        ];
        let subjects = by_subject(&trail);
        let states = stretches(&now, subjects.get("reg_1").unwrap()).unwrap();
        let words = |name: &str| states.iter().map(|one| one.json[name].as_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(words("status"), ["active", "suspended", "active", "active"]);
        assert_eq!(words("owner"), ["c", "c", "b", "a"]);
        let times: Vec<_> = states.iter().map(|one| (one.from, one.until)).collect();
        assert_eq!(times, [(at(15), None), (at(10), Some(at(15))), (at(5), Some(at(10))), (at(1), Some(at(5)))]);
    }

    #[test]
    fn before_its_key_was_bound_it_was_pending() {
        let key = json!({"thumbprint": "t", "since": at(8)});
        let now = json!({"id": "reg_1", "status": "active", "createdAt": at(1), "key": key, "previousKeys": []});
        let told = entry(8, json!({"status": "pending"}));
        let after = entry(12, json!({"status": "suspended"}));
        for entries in [vec![&after], vec![&told, &after]] {
            let states = stretches(&now, &entries).unwrap();
            let words: Vec<_> = states.iter().map(|one| (one.from, one.json["status"].as_str().unwrap())).collect();
            assert_eq!(words, [(at(12), "active"), (at(8), "suspended"), (at(1), "pending")]);
        }
        let born = json!({"id": "reg_1", "status": "active", "createdAt": at(8), "key": {"since": at(8)}});
        assert_eq!(stretches(&born, &[]).unwrap().len(), 1);
        let older =
            json!({"status": "active", "createdAt": at(1), "key": {"since": at(8)}, "previousKeys": [{"from": at(4)}]});
        assert_eq!(stretches(&older, &[]).unwrap().first().unwrap().from, at(4));
    }

    #[test]
    fn between_two_clients_it_was_pending() {
        let now = json!({
            "id": "reg_1", "status": "active", "createdAt": at(1), "key": {"since": at(12)},
            "previousKeys": [{"from": at(2), "to": at(4)}, {"from": at(4), "to": at(8)}],
        });
        let taken_away = entry(8, json!({"status": "active"}));
        let states = stretches(&now, &[&taken_away]).unwrap();
        let words: Vec<_> = states.iter().map(|one| (one.from, one.json["status"].as_str().unwrap())).collect();
        assert_eq!(words, [(at(12), "active"), (at(8), "pending"), (at(2), "active"), (at(1), "pending")]);
    }

    #[test]
    fn it_is_as_it_is_since_its_status_was_last_changed() {
        let rebound = json!({
            "id": "reg_1", "status": "pending", "createdAt": at(1), "key": null, "statusAt": at(8),
            "previousKeys": [{"from": at(2), "to": at(8)}],
        });
        let words = |registration: &Value, entries: &[&Value]| {
            let states = stretches(registration, entries).unwrap();
            states.iter().map(|one| (one.from, one.json["status"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
        };
        let expected =
            [(at(8), "pending"), (at(2), "active"), (at(1), "pending")].map(|(at, word)| (at, word.to_owned()));
        assert_eq!(words(&rebound, &[]), expected);
        assert_eq!(words(&rebound, &[&entry(8, json!({"status": "active"}))]), expected);
        let resumed = json!({"status": "active", "createdAt": at(1), "key": {"since": at(2)}, "statusAt": at(9)});
        assert_eq!(words(&resumed, &[]).first().unwrap(), &(at(9), "active".to_owned()));
        let held = entry(9, json!({"status": "suspended"}));
        assert_eq!(words(&resumed, &[&held]).get(1).unwrap(), &(at(2), "suspended".to_owned()));
    }

    #[test]
    fn a_state_ends_with_the_second_that_it_was_changed_in() {
        let change = json!({"time": "2026-11-05T00:00:00.700Z", "outcome": "done", "subject": "reg_1", "before": {"owner": "a"}});
        let states = stretches(&json!({"owner": "b", "createdAt": at(1)}), &[&change]).unwrap();
        let second: Timestamp = "2026-11-05T00:00:00Z".parse().unwrap();
        let touching = states.iter().filter(|state| state.touches(second, second.plus(Duration::from_secs(1))));
        assert_eq!(touching.count(), 2, "both were seen in that second: {states:?}");
    }

    #[test]
    fn a_state_touches_the_time_it_lasted() {
        let state = Stretch { from: at(5), until: Some(at(10)), json: Value::Null };
        for (from, until, expected) in [(1, 5, false), (1, 6, true), (6, 7, true), (9, 20, true), (10, 20, false)] {
            assert_eq!(state.touches(at(from), at(until)), expected, "{from} to {until}");
        }
        assert!(Stretch { until: None, ..state }.touches(at(20), at(21)));
    }

    #[test]
    fn without_entries_there_is_how_it_is_now() {
        let now = json!({"id": "reg_1", "createdAt": at(3)});
        assert_eq!(stretches(&now, &[]).unwrap(), [Stretch { from: at(3), until: None, json: now.clone() }]);
        assert!(stretches(&json!({"createdAt": "yesterday"}), &[]).is_err());
    }
}
