//! `registrations update`: changes what the command line names and nothing else, on the version that
//! was looked at. What would change is shown first, and `--dry-run` leaves it at that.

use acme::time::Timestamp;
use serde_json::{Map, Value, json};

use super::{Desk, effect, guard_public_suffixes, show};
use crate::{
    allowlist::{self, Entry, List},
    cli::when,
    cm::registration::{Registration, View},
    error::Failure,
    output::{Answer, snake_case},
};

/// What to change.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The registration, reg_...; or the id of its external account key
    id: String,
    /// Whose it is; an empty one removes it
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// Free text; an empty one removes it
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Replace what is allowed by these entries
    #[arg(long, value_name = "ENTRY", conflicts_with_all = ["add_allow", "remove_allow"])]
    allow: Vec<Entry>,
    /// Allow one more entry
    #[arg(long, value_name = "ENTRY")]
    add_allow: Vec<Entry>,
    /// Allow an entry no longer
    #[arg(long, value_name = "ENTRY")]
    remove_allow: Vec<Entry>,
    /// Replace what is excluded by these entries
    #[arg(long, value_name = "ENTRY", conflicts_with_all = ["add_exclude", "remove_exclude"])]
    exclude: Vec<Entry>,
    /// Exclude one more entry
    #[arg(long, value_name = "ENTRY")]
    add_exclude: Vec<Entry>,
    /// Exclude an entry no longer
    #[arg(long, value_name = "ENTRY")]
    remove_exclude: Vec<Entry>,
    /// Take a suffix such as com or co.uk, below which anybody can have names
    #[arg(long)]
    allow_public_suffix: bool,
    /// Replace the profiles that may be asked for
    #[arg(long, value_name = "PROFILE", conflicts_with = "default_profile")]
    profile: Vec<String>,
    /// Allow the realm's default profile and no other
    #[arg(long)]
    default_profile: bool,
    /// Longest validity of a certificate, such as 90d or 12h; an empty one removes it
    #[arg(long, value_name = "SPAN", value_parser = when::span_or_nothing)]
    max_validity: Option<String>,
    /// The external account key binds from this time on
    #[arg(long = "valid-from", value_name = "TIME", value_parser = when::parse)]
    not_before: Option<Timestamp>,
    /// The external account key binds until this time
    #[arg(long = "until", alias = "not-after", value_name = "TIME", value_parser = when::parse)]
    not_after: Option<Timestamp>,
    /// Most accounts that the external account key binds
    #[arg(long, value_name = "N")]
    max_bindings: Option<u32>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Changes it.
pub(super) async fn run(arguments: Arguments, desk: &Desk) -> Result<Answer, Failure> {
    let cm = desk.cm()?;
    let before = show::find(&arguments.id, &cm).await?;
    when::must_be_ahead("--until", arguments.not_after, &cm).await?;
    let (id, dry_run) = (before.view.id.clone(), arguments.dry_run);
    let patch = patch(arguments, &before.view)?;
    let changes = changes(&before.json, &patch);
    if changes.is_empty() {
        let text = format!("{id} is already so; nothing to change");
        return Ok(Answer::new(text, json!({"id": id, "applied": false, "changes": {}})));
    }
    let effect = effect::of_patch(&cm, &before, &patch).await?;
    let text: Vec<String> = changes.iter().map(Change::text).chain(effect.told()).collect();
    let (text, (lost, shortened)) = (text.join("\n"), effect.to_json());
    let listed: Map<String, Value> = changes.into_iter().map(Change::json).collect();
    let listed = snake_case(&Value::Object(listed));
    if dry_run {
        let text = format!("{text}\n{id} would change like this. Nothing was done");
        let json = json!({
            "id": id, "applied": false, "changes": listed, "no_longer_renewable": lost, "renewed_for_less": shortened,
        });
        return Ok(Answer::new(text, json));
    }
    let Registration { view, json } = cm.update_registration(&before.view, &patch).await?;
    let text = format!("{text}\n{id} is changed, version {}", view.version);
    let json = json!({
        "id": id, "applied": true, "changes": listed, "no_longer_renewable": lost, "renewed_for_less": shortened,
        "registration": snake_case(&json),
    });
    Ok(Answer::new(text, json))
}

fn patch(arguments: Arguments, before: &View) -> Result<Value, Failure> {
    let mut patch = Map::new();
    let mut set = |name: &str, value: Option<Value>| patch.extend(value.map(|value| (name.to_owned(), value)));
    let or_null = |text: String| if text.is_empty() { Value::Null } else { text.into() };
    let list = changed_list(&arguments, before)?;
    set("owner", arguments.owner.map(or_null));
    set("comment", arguments.comment.map(or_null));
    set("allowedIdentifiers", list.map(|list| list.to_json()));
    let profiles = (arguments.default_profile || !arguments.profile.is_empty()).then(|| json!(arguments.profile));
    set("allowedProfiles", profiles);
    set("maxValidity", arguments.max_validity.map(or_null));
    let mut eab = Map::new();
    eab.extend(arguments.not_before.map(|time| ("notBefore".to_owned(), json!(time))));
    eab.extend(arguments.not_after.map(|time| ("notAfter".to_owned(), json!(time))));
    eab.extend(arguments.max_bindings.map(|number| ("maxBindings".to_owned(), json!(number))));
    set("eab", (!eab.is_empty()).then_some(Value::Object(eab)));
    if patch.is_empty() {
        return Err(Failure::Usage("nothing to change was named; see registrations update --help".to_owned()));
    }
    Ok(Value::Object(patch))
}

fn changed_list(arguments: &Arguments, before: &View) -> Result<Option<List>, Failure> {
    let named = [
        &arguments.allow,
        &arguments.add_allow,
        &arguments.remove_allow,
        &arguments.exclude,
        &arguments.add_exclude,
        &arguments.remove_exclude,
    ];
    if named.iter().all(|entries| entries.is_empty()) {
        return Ok(None);
    }
    let meant = arguments.allow_public_suffix;
    let now = understood(before)?;
    let rules = if arguments.allow.is_empty() {
        let added = guard_public_suffixes(arguments.add_allow.clone(), meant)?;
        if now.rules.is_none() && !(added.is_empty() && arguments.remove_allow.is_empty()) {
            let reason =
                "every name is allowed now, so there is no list to add to or remove from; begin one with --allow";
            return Err(Failure::Usage(reason.to_owned()));
        }
        now.rules.map(|rules| edited(rules, added, &arguments.remove_allow, "--remove-allow")).transpose()?
    } else {
        Some(guard_public_suffixes(arguments.allow.clone(), meant)?)
    };
    require_entries(rules.as_deref())?;
    let exclude = if arguments.exclude.is_empty() {
        edited(now.exclude, arguments.add_exclude.clone(), &arguments.remove_exclude, "--remove-exclude")?
    } else {
        arguments.exclude.clone()
    };
    Ok(Some(List { rules, exclude }))
}

/// The list with all of its entries replaced. A registration that allows every name goes on doing so if there is no
/// entry to begin a list with.
pub(crate) fn replaced_list(
    before: &View,
    allow: Vec<Entry>,
    exclude: Vec<Entry>,
    allow_public_suffix: bool,
) -> Result<List, Failure> {
    let now = understood(before)?;
    let rules = if allow.is_empty() && now.rules.is_none() {
        None
    } else {
        let is_there = |entry: &Entry| now.rules.iter().flatten().any(|there| there.is_same(entry));
        let (kept, added): (Vec<Entry>, Vec<Entry>) = allow.into_iter().partition(is_there);
        // What is there has been meant, and says so itself.
        let there = now.rules.iter().flatten().filter(|there| kept.iter().any(|entry| entry.is_same(there)));
        let mut rules: Vec<Entry> = there.cloned().collect();
        for entry in guard_public_suffixes(added, allow_public_suffix)? {
            if !rules.iter().any(|there| there.is_same(&entry)) {
                rules.push(entry);
            }
        }
        Some(rules)
    };
    require_entries(rules.as_deref())?;
    Ok(List { rules, exclude })
}

/// A list that is changed must not lose what it said.
pub(crate) fn understood(before: &View) -> Result<List, Failure> {
    let reason = "the list that is there is not understood, so it is not changed; replace it in the CM";
    List::of(&before.allowed_identifiers).ok_or_else(|| Failure::Broken(reason.to_owned()))
}

fn require_entries(rules: Option<&[Entry]>) -> Result<(), Failure> {
    let reason = "nothing would be allowed any more, and an empty list is refused; suspend the registration instead";
    if rules.is_some_and(<[Entry]>::is_empty) { Err(Failure::Usage(reason.to_owned())) } else { Ok(()) }
}

/// A list with some entries more and some less. Removing what is not there is a mistake worth
/// hearing of: what was meant to be closed stays open.
fn edited(mut list: Vec<Entry>, added: Vec<Entry>, removed: &[Entry], option: &str) -> Result<Vec<Entry>, Failure> {
    for entry in removed {
        let before = list.len();
        list.retain(|there| !there.is_same(entry));
        if list.len() == before {
            return Err(Failure::Usage(format!("{option} {entry}: there is no such entry; see registrations show")));
        }
    }
    for entry in added {
        if !list.iter().any(|there| there.is_same(&entry)) {
            list.push(entry);
        }
    }
    Ok(list)
}

/// A member that is another one afterwards.
pub(crate) struct Change {
    member: String,
    before: Value,
    after: Value,
}

/// What a patch would make another one.
pub(crate) fn changes(before: &Value, patch: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, value) in patch.as_object().into_iter().flatten() {
        let inner = if name == "eab" { value.as_object() } else { None };
        match inner {
            None => changes.extend(change(name.clone(), before.get(name), value)),
            Some(members) => {
                let eab = before.get(name);
                changes.extend(members.iter().filter_map(|(inner, value)| {
                    change(format!("{name}.{inner}"), eab.and_then(|eab| eab.get(inner)), value)
                }));
            }
        }
    }
    changes
}

fn change(member: String, before: Option<&Value>, after: &Value) -> Option<Change> {
    let before = before.unwrap_or(&Value::Null);
    // The CM writes out what is meant by leaving it out.
    let is_same = match (List::of(before), List::of(after)) {
        (Some(before), Some(after)) => before == after,
        _ => before == after,
    };
    (!is_same).then(|| Change { member, before: before.clone(), after: after.clone() })
}

impl Change {
    /// Which member it is, in the contract's words.
    pub(crate) fn member(&self) -> &str {
        &self.member
    }

    fn text(&self) -> String {
        let (gone, new) = self.difference();
        let gone = gone.into_iter().map(|line| format!("\n  - {line}"));
        let difference: String = gone.chain(new.into_iter().map(|line| format!("\n  + {line}"))).collect();
        format!("{}{difference}", self.member)
    }

    /// What is there no more, and what is new, a line each.
    pub(crate) fn difference(&self) -> (Vec<String>, Vec<String>) {
        let lines = |value: &Value| match value {
            Value::Null => "nothing".to_owned(),
            Value::String(text) => text.clone(),
            Value::Object(_) => allowlist::lines(value),
            Value::Array(items) if items.is_empty() => "the realm's default profile".to_owned(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
        };
        let (before, after) = (lines(&self.before), lines(&self.after));
        let without = |lines: &str, others: &str| {
            lines.lines().filter(|line| !others.lines().any(|other| other == *line)).map(str::to_owned).collect()
        };
        (without(&before, &after), without(&after, &before))
    }

    fn json(self) -> (String, Value) {
        (self.member, json!({"before": self.before, "after": self.after}))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn before() -> Value {
        json!({
            "id": "reg_1", "version": 3, "status": "active", "owner": "a", "comment": null, "allowedProfiles": [],
            "allowedIdentifiers": {"mode": "listed", "rules": [
                {"type": "dns", "match": "suffix", "value": "a.test", "wildcards": true},
                {"type": "dns", "match": "exact", "value": "b.test", "wildcards": true}]},
            "eab": {"kid": "k", "maxBindings": 5},
        })
    }

    fn patch_of(words: &str, before: &Value) -> Result<Value, Failure> {
        let line = Line::try_parse_from(["update", "reg_1"].into_iter().chain(words.split_whitespace()));
        let arguments = line.unwrap_or_else(|error| panic!("{error}")).arguments;
        patch(arguments, &Registration::of(before.clone()).unwrap().view)
    }

    fn told(words: &str) -> String {
        let patch = patch_of(words, &before()).unwrap();
        changes(&before(), &patch).iter().map(Change::text).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn only_what_is_named_is_changed() {
        assert_eq!(patch_of("--owner b", &before()).unwrap(), json!({"owner": "b"}));
        assert_eq!(patch_of("--max-bindings 7", &before()).unwrap(), json!({"eab": {"maxBindings": 7}}));
        assert_eq!(patch_of("--max-validity 12h", &before()).unwrap(), json!({"maxValidity": "PT12H"}));
        assert_eq!(
            patch_of("--max-validity= --owner=", &before()).unwrap(),
            json!({"maxValidity": null, "owner": null})
        );
        let window = json!({"eab": {"notBefore": "2026-11-20T00:00:00Z", "notAfter": "2026-12-04T00:00:00Z"}});
        assert_eq!(patch_of("--valid-from 2026-11-20 --until 2026-12-04", &before()).unwrap(), window);
        assert_eq!(patch_of("--default-profile", &before()).unwrap(), json!({"allowedProfiles": []}));
        assert_eq!(
            patch_of("--add-exclude exact:vpn.a.test", &before()).unwrap().pointer("/allowedIdentifiers/rules/1/value"),
            Some(&json!("b.test"))
        );
    }

    #[test]
    fn what_would_change_is_told_line_by_line() {
        assert_eq!(told("--owner b"), "owner\n  - a\n  + b");
        assert_eq!(
            told("--add-allow exact:c.test --remove-allow suffix:a.test"),
            "allowedIdentifiers\n  - suffix:a.test\n  + exact:c.test"
        );
        assert_eq!(told("--max-bindings 7"), "eab.maxBindings\n  - 5\n  + 7");
        assert_eq!(told("--profile tls"), "allowedProfiles\n  - the realm's default profile\n  + tls");
    }

    #[test]
    fn a_whole_list_is_replaced_and_only_what_is_new_has_to_be_meant() {
        let mut before = before();
        before["allowedIdentifiers"]["rules"][1] =
            json!({"type": "dns", "match": "suffix", "value": "com", "allowPublicSuffix": true});
        let view = Registration::of(before.clone()).unwrap().view;
        let entries = |words: &str| words.split_whitespace().map(|word| word.parse().unwrap()).collect::<Vec<Entry>>();
        let list = |allow: &str, meant| replaced_list(&view, entries(allow), entries("exact:x.a.test"), meant);
        let kept = list("exact:c.test suffix:com exact:c.test", false).unwrap().to_json();
        assert_eq!(kept.pointer("/rules/0"), before.pointer("/allowedIdentifiers/rules/1"));
        assert_eq!((kept["rules"].as_array().unwrap().len(), kept["exclude"].as_array().unwrap().len()), (2, 1));
        assert!(
            list("suffix:com suffix:net", false).unwrap_err().to_string().contains("suffix:net is a public suffix")
        );
        assert!(list("suffix:com suffix:net", true).is_ok());
        assert!(list("", false).unwrap_err().to_string().contains("suspend"));
        before["allowedIdentifiers"] = json!({"mode": "any"});
        let any = Registration::of(before).unwrap().view;
        assert_eq!(replaced_list(&any, Vec::new(), Vec::new(), false).unwrap().rules, None);
    }

    #[test]
    fn what_is_already_so_is_no_change() {
        assert_eq!(told("--owner a --default-profile"), "");
        assert_eq!(told("--allow suffix:a.test --allow exact:b.test"), "");
        assert_eq!(told("--add-allow suffix:a.test"), "");
    }

    #[test]
    fn what_would_close_or_open_too_much_is_refused() {
        for (words, part) in [
            ("--remove-allow suffix:other.test", "no such entry"),
            ("--remove-allow suffix:a.test --remove-allow exact:b.test", "suspend"),
            ("--add-allow suffix:com", "public suffix"),
            ("--dry-run", "nothing to change was named"),
        ] {
            let reason = patch_of(words, &before()).unwrap_err().to_string();
            assert!(reason.contains(part), "{words}: {reason}");
        }
        let mut any = before();
        any["allowedIdentifiers"] = json!({"mode": "any"});
        assert!(patch_of("--add-allow suffix:a.test", &any).unwrap_err().to_string().contains("--allow"));
        any["allowedIdentifiers"] = json!({"mode": "tomorrow"});
        assert!(patch_of("--add-allow suffix:a.test", &any).unwrap_err().to_string().contains("not understood"));
    }
}
