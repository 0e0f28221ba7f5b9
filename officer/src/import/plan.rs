//! From lines of a file and what the CM has to what is to be done, line by line.

use std::collections::{BTreeMap, BTreeSet};

use acme::ids::RegistrationId;
use serde_json::{Value, json};

use super::{Dialect, Difference, Row, Terms, differences};
use crate::allowlist::{Entry, List};

/// Longest id of an external account key, in characters (CM contract section 10).
const KEY_ID_LENGTH_MAX: usize = 64;

/// How a file is to be taken.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) dialect: Dialect,
    /// The owner of lines that name none.
    pub(crate) owner: Option<String>,
    /// An empty list is meant to allow every name.
    pub(crate) allow_any: bool,
    /// Public suffixes are meant.
    pub(crate) allow_public_suffix: bool,
    /// Lines of registrations that were suspended, revoked or deactivated are meant to begin anew.
    pub(crate) with_ended: bool,
    /// Change registrations that are otherwise than the file says.
    pub(crate) update: bool,
}

/// What the CM has under a key id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Existing {
    pub(crate) id: RegistrationId,
    pub(crate) allowed_identifiers: Value,
    pub(crate) allowed_profiles: Vec<String>,
    pub(crate) terms: Terms,
    /// No client has bound its key, so nobody misses the key it could bind with.
    pub(crate) is_unbound: bool,
}

/// What is to be done about a line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Register with this request.
    Create(Value),
    /// Change these members.
    Update(RegistrationId, Value),
    /// It is there as the file says.
    Same(Existing),
    /// It is there, otherwise than the file says, and stays so.
    Differs(RegistrationId),
    /// The line cannot be taken.
    Wrong(Vec<String>),
}

/// A line and what is to be done about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) line: u64,
    pub(crate) key_id: String,
    pub(crate) action: Action,
    /// Names that only one of old and new list allows.
    pub(crate) differences: Vec<Difference>,
}

/// Plans every line.
pub(crate) fn plan(rows: &[Row], existing: &BTreeMap<String, Existing>, options: &Options) -> Vec<Item> {
    let mut seen = BTreeSet::new();
    rows.iter()
        .map(|row| {
            let again = !seen.insert(row.key_id.as_str());
            let (action, differences) = match checked(row, options, again) {
                Err(wrong) => (Action::Wrong(wrong), Vec::new()),
                Ok((list, terms)) => {
                    let differences = differences(options.dialect, &row.names, &list);
                    let action = match existing.get(&row.key_id) {
                        None => created(row, &list, &terms, options),
                        Some(there) => compared(row, &list, &terms, there, options),
                    };
                    (action.unwrap_or_else(Action::Wrong), differences)
                }
            };
            Item { line: row.line, key_id: row.key_id.clone(), action, differences }
        })
        .collect()
}

fn checked(row: &Row, options: &Options, again: bool) -> Result<(List, Terms), Vec<String>> {
    let mut wrong = Vec::new();
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'_' | b'-');
    let length = row.key_id.len();
    if length == 0 || length > KEY_ID_LENGTH_MAX || !row.key_id.bytes().all(plain) {
        wrong.push(format!("the key id must be 1 to {KEY_ID_LENGTH_MAX} characters of A-Z a-z 0-9 . _ -"));
    } else if again {
        wrong.push(format!("the key id {} is in an earlier line too", row.key_id));
    }
    if row.owner.is_empty() && options.owner.is_none() {
        wrong.push("it has no owner; add a column, or give --owner for all lines without one".to_owned());
    }
    let mut list = match options.dialect.translate(&row.names) {
        Ok(list) => list,
        Err(reasons) => {
            wrong.extend(reasons);
            List::default()
        }
    };
    if row.names.is_empty() && options.allow_any {
        list.rules = None;
    } else if row.names.is_empty() {
        let meaning = if options.dialect.empty_means_any() { ", which allowed every name there" } else { "" };
        wrong.push(format!("its list is empty{meaning}; name what it may have, or give --allow-any if that is meant"));
    }
    match Dialect::Own.translate(&row.exclude) {
        Ok(exclude) => list.exclude.extend(exclude.rules.unwrap_or_default()),
        Err(reasons) => wrong.extend(reasons),
    }
    let guarded = list.rules.iter().flatten().filter(|entry| entry.is_public_suffix() && !options.allow_public_suffix);
    wrong.extend(guarded.map(|entry| format!("{entry} is a public suffix; give --allow-public-suffix if it is meant")));
    list.rules = list.rules.map(|rules| rules.into_iter().map(Entry::meaning_public_suffix).collect());
    let terms = row.terms.terms().unwrap_or_else(|reasons| {
        wrong.extend(reasons);
        Terms::default()
    });
    if wrong.is_empty() { Ok((list, terms)) } else { Err(wrong) }
}

fn created(row: &Row, list: &List, terms: &Terms, options: &Options) -> Result<Action, Vec<String>> {
    if !["", "pending", "active"].contains(&row.status.as_str()) && !options.with_ended {
        return Err(vec![format!(
            "it was {} where it comes from, and would begin anew here; leave it out, or give --with-ended if that is meant",
            row.status
        )]);
    }
    Ok(Action::Create(request(row, list, terms, options)))
}

fn compared(
    row: &Row,
    list: &List,
    terms: &Terms,
    existing: &Existing,
    options: &Options,
) -> Result<Action, Vec<String>> {
    let mut patch = terms.patch(&existing.terms)?;
    if !List::of(&existing.allowed_identifiers).is_some_and(|now| is_same(&now, list)) {
        patch.insert("allowedIdentifiers".to_owned(), list.to_json());
    }
    if !row.profiles.is_empty() && existing.allowed_profiles != row.profiles {
        patch.insert("allowedProfiles".to_owned(), json!(row.profiles));
    }
    Ok(match (patch.is_empty(), options.update) {
        (true, _) => Action::Same(existing.clone()),
        (false, true) => Action::Update(existing.id.clone(), Value::Object(patch)),
        (false, false) => Action::Differs(existing.id.clone()),
    })
}

/// Whether two lists say the same, in whatever order.
fn is_same(one: &List, other: &List) -> bool {
    let within =
        |these: &[Entry], those: &[Entry]| these.iter().all(|this| those.iter().any(|that| that.is_same(this)));
    let equal = |these: &[Entry], those: &[Entry]| within(these, those) && within(those, these);
    let rules = match (&one.rules, &other.rules) {
        (None, None) => true,
        (Some(these), Some(those)) => equal(these, those),
        (None, Some(_)) | (Some(_), None) => false,
    };
    rules && equal(&one.exclude, &other.exclude)
}

fn request(row: &Row, list: &List, terms: &Terms, options: &Options) -> Value {
    let owner = if row.owner.is_empty() { options.owner.clone().unwrap_or_default() } else { row.owner.clone() };
    let mut request = json!({
        "mode": "preregistered",
        "eab": terms.eab(&row.key_id),
        "allowedIdentifiers": list.to_json(),
        "allowedProfiles": row.profiles,
        "owner": owner,
    });
    if let Some(members) = request.as_object_mut() {
        let comment = (!row.comment.is_empty()).then(|| row.comment.clone());
        let more = [("comment", comment), ("maxValidity", terms.max_validity.clone())];
        members.extend(more.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
    }
    request
}

#[cfg(test)]
mod tests {
    use super::{super::read, *};

    fn options(dialect: Dialect) -> Options {
        Options { dialect, owner: None, allow_any: false, allow_public_suffix: false, with_ended: false, update: false }
    }

    fn existing(rules: Value) -> BTreeMap<String, Existing> {
        let existing = Existing {
            id: "reg_1".parse().unwrap(),
            allowed_identifiers: json!({"mode": "listed", "rules": rules, "exclude": []}),
            allowed_profiles: Vec::new(),
            terms: Terms { usage: Some("once".to_owned()), ..Terms::default() },
            is_unbound: true,
        };
        BTreeMap::from([("kid-1".to_owned(), existing)])
    }

    fn planned(text: &str, existing: &BTreeMap<String, Existing>, options: &Options) -> Vec<Item> {
        plan(&read(text, options.dialect).unwrap().rows, existing, options)
    }

    fn wrong(text: &str, options: &Options) -> String {
        let items = planned(&format!("kid,owner,names\n{text}\n"), &BTreeMap::new(), options);
        let Action::Wrong(reasons) = &items.last().unwrap().action else { panic!("{items:?}") };
        reasons.join("; ")
    }

    #[test]
    fn a_new_line_becomes_a_request() {
        let items = planned(
            "kid,owner,domains,profile\nkid-1,print room,\"a.test,b.test\",tls-server\n",
            &BTreeMap::new(),
            &options(Dialect::Nexus),
        );
        let Action::Create(request) = &items[0].action else { panic!("{items:?}") };
        assert_eq!(request["eab"], json!({"kid": "kid-1", "use": "once"}));
        assert_eq!(request["allowedIdentifiers"]["rules"].as_array().unwrap().len(), 2);
        assert_eq!((&request["owner"], &request["allowedProfiles"]), (&json!("print room"), &json!(["tls-server"])));
        assert_eq!(items[0].differences.len(), 4);
    }

    #[test]
    fn lines_that_cannot_be_taken_say_why() {
        let nexus = options(Dialect::Nexus);
        for (text, part) in [
            ("kid-1,o,", "allowed every name there"),
            ("kid-1,,a.test", "no owner"),
            ("k d,o,a.test", "the key id must be"),
            (",o,a.test", "the key id must be"),
            ("kid-1,o,com", "public suffix"),
            ("kid-1,o,a..test", "empty label"),
            ("kid-1,o,a.test\nkid-1,o,b.test", "earlier line"),
        ] {
            let reason = wrong(text, &nexus);
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn an_empty_list_opens_everything_only_when_that_is_said() {
        let meant = Options { allow_any: true, ..options(Dialect::Nexus) };
        let items = planned("kid,owner,names\nkid-1,o,\n", &BTreeMap::new(), &meant);
        let Action::Create(request) = &items[0].action else { panic!("{items:?}") };
        assert_eq!(request["allowedIdentifiers"], json!({"mode": "any"}));
    }

    #[test]
    fn what_ended_does_not_begin_anew_unless_that_is_said() {
        let own = options(Dialect::Own);
        let text = |status: &str| format!("kid,owner,allow,status\nkid-1,o,exact:a.test,{status}\n");
        for status in ["", "pending", "active"] {
            let items = planned(&text(status), &BTreeMap::new(), &own);
            assert!(matches!(items[0].action, Action::Create(_)), "{status}: {items:?}");
        }
        for status in ["suspended", "revoked", "deactivated"] {
            let items = planned(&text(status), &BTreeMap::new(), &own);
            let Action::Wrong(reasons) = &items[0].action else { panic!("{items:?}") };
            assert!(reasons.concat().contains(&format!("it was {status}")), "{reasons:?}");
            let meant = Options { with_ended: true, ..own.clone() };
            assert!(matches!(planned(&text(status), &BTreeMap::new(), &meant)[0].action, Action::Create(_)));
            let there = existing(json!([{"type": "dns", "match": "exact", "value": "a.test"}]));
            assert!(matches!(planned(&text(status), &there, &own)[0].action, Action::Same(_)), "it stays as it is");
        }
    }

    #[test]
    fn how_a_key_binds_is_compared_and_what_cannot_be_changed_is_told() {
        let text = |cells: &str| format!("kid,owner,allow,use,until,max_validity\nkid-1,o,exact:a.test,{cells}\n");
        let there = existing(json!([{"type": "dns", "match": "exact", "value": "a.test"}]));
        let own = options(Dialect::Own);
        assert!(matches!(planned(&text("once,,"), &there, &own)[0].action, Action::Same(_)));
        assert!(matches!(planned(&text("once,2027-01-01,"), &there, &own)[0].action, Action::Differs(_)));
        let update = Options { update: true, ..own.clone() };
        let items = planned(&text("once,,P7D"), &there, &update);
        let Action::Update(_, patch) = &items[0].action else { panic!("{items:?}") };
        assert_eq!(patch, &json!({"maxValidity": "P7D"}));
        assert!(matches!(planned(&text("multi,,"), &there, &update)[0].action, Action::Wrong(_)));
    }

    #[test]
    fn what_is_there_is_not_made_again() {
        let text = "kid,owner,names\nkid-1,o,\"b.test,a.test\"\n";
        let same = existing(json!([{"type": "dns", "match": "suffix", "value": "a.test", "wildcards": true},
                                   {"type": "dns", "match": "suffix", "value": "b.test", "wildcards": true}]));
        assert!(matches!(planned(text, &same, &options(Dialect::Nexus))[0].action, Action::Same(_)));
        let other = existing(json!([{"type": "dns", "match": "exact", "value": "a.test"}]));
        assert!(matches!(planned(text, &other, &options(Dialect::Nexus))[0].action, Action::Differs(_)));
        let update = Options { update: true, ..options(Dialect::Nexus) };
        let items = planned(text, &other, &update);
        let Action::Update(id, patch) = &items[0].action else { panic!("{items:?}") };
        assert_eq!((id.as_str(), patch.as_object().unwrap().len()), ("reg_1", 1));
    }
}
