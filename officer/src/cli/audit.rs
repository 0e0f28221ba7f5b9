//! `audit`: the CM's trail of who did what (CM contract section 4.9). The CM shows it to auditors only.

use serde_json::{Value, json};

use super::{Desk, when};
use crate::{
    allowlist,
    cm::Cm,
    error::Failure,
    output::{self, Answer, snake_case, table},
};

/// What to look for; all of it must fit.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Not before this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) from: Option<acme::time::Timestamp>,
    /// Not after this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) to: Option<acme::time::Timestamp>,
    /// Who did it, such as urn:cm:officer:anna
    #[arg(long, value_name = "URN")]
    pub(crate) actor: Option<String>,
    /// To what: the id of a registration, request or certificate
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub(crate) subject: Option<String>,
    /// What was done, such as setRegistrationStatus
    #[arg(long, value_name = "NAME")]
    pub(crate) action: Option<String>,
    /// In all realms, not only in that of the settings
    #[arg(long)]
    pub(crate) all_realms: bool,
    /// Most entries to show
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) limit: usize,
}

/// Shows the trail, oldest first.
pub(crate) async fn run(arguments: Arguments, desk: &Desk) -> Result<Answer, Failure> {
    let (cm, limit) = (desk.cm()?, arguments.limit);
    let list = cm.audit(query(arguments, &cm), limit).await?;
    let rows: Vec<Vec<String>> = list.items.iter().map(row).collect();
    let mut text = table(&["TIME", "WHO", "WHAT", "OUTCOME", "SUBJECT", "DETAIL"], &rows);
    if !list.complete {
        text.push_str("\n... and more: narrow it, or give a higher --limit");
    }
    Ok(Answer::new(text, json!({"items": snake_case(&Value::Array(list.items)), "complete": list.complete})))
}

/// The search in the contract's words (section 4.9).
pub(crate) fn query(arguments: Arguments, cm: &Cm) -> Vec<(&'static str, String)> {
    let realm = (!arguments.all_realms).then(|| cm.realm().to_string());
    let members = [
        ("from", arguments.from.map(|time| time.to_string())),
        ("to", arguments.to.map(|time| time.to_string())),
        ("actor", arguments.actor),
        ("subject", arguments.subject),
        ("action", arguments.action),
        ("realm", realm),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Time, who, what, outcome, to what, and what changed or why not.
pub(crate) fn row(entry: &Value) -> Vec<String> {
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let detail = match entry.get("problem") {
        Some(_) => format!("{}: {}", text("/problem/code"), text("/problem/detail")),
        None => entry.get("after").map(words).unwrap_or_default(),
    };
    vec![text("/time"), text("/actor"), text("/action"), text("/outcome"), text("/subject"), detail]
}

/// What was changed to what, for people: `status: suspended; allowed profiles: none`.
fn words(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(_) if allowlist::List::of(value).is_some() => allowlist::lines(value).replace('\n', ", "),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let (name, told) = (spaced(name), words(value));
                let is_inner = value.is_object() && allowlist::List::of(value).is_none();
                if is_inner { format!("{name} ({told})") } else { format!("{name}: {told}") }
            };
            members.iter().map(member).collect::<Vec<_>>().join("; ")
        }
    }
}

/// `allowedProfiles` is `allowed profiles`.
fn spaced(name: &str) -> String {
    output::to_snake(name).replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_what_changed_or_why_not() {
        let done = json!({"time": "t", "actor": "a", "action": "x", "outcome": "done", "subject": "s", "after": {"status": "suspended"}});
        assert_eq!(row(&done), ["t", "a", "x", "done", "s", "status: suspended"]);
        let refused = json!({"time": "t", "outcome": "refused", "problem": {"code": "forbidden", "detail": "no"}});
        assert_eq!(row(&refused), ["t", "", "", "refused", "", "forbidden: no"]);
    }

    #[test]
    fn what_changed_is_told_in_words() {
        let after = json!({
            "allowedIdentifiers": {"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "a.test"}]},
            "allowedProfiles": [], "eab": {"maxBindings": 7}, "maxValidity": null, "withCertificates": true,
        });
        assert_eq!(
            words(&after),
            "allowed identifiers: suffix:a.test; allowed profiles: none; eab (max bindings: 7); max validity: none; \
             with certificates: yes"
        );
    }
}
