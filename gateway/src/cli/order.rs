//! `acme-gateway order`: what happened to an order, entry after entry, and how it stands.

use acme::{problem::shown, time::Timestamp};
use serde_json::Value;

use super::{Running, output::say};
use crate::{
    admin::Request,
    transcript::{Entry, words::words},
};

/// Shows the whole transcript of an order, of an authorization, or of something refused.
pub(super) fn show(running: &Running, reference: String, json: bool) -> anyhow::Result<()> {
    let story = running.ask(&Request::OrderShow { reference })?;
    let text = if json { format!("{story:#}") } else { table(&story).join("\n") };
    Ok(say(text)?)
}

/// The story as people like to read it.
fn table(story: &Value) -> Vec<String> {
    let about = story.get("about").unwrap_or(&Value::Null);
    let mut out = vec![
        format!("{} {}: {}", text(about, "kind"), text(story, "reference"), text(about, "status")),
        format!("  at {} for account {}", text(story, "endpoint"), text(story, "account")),
    ];
    let names: Vec<_> = list(about, "identifiers").iter().map(|name| text(name, "value")).collect();
    if !names.is_empty() {
        out.push(format!("  names {}", names.join(", ")));
    }
    for name in ["profile", "created", "expires"] {
        out.extend(about.get(name).and_then(Value::as_str).map(|value| format!("  {name} {}", shown(value))));
    }
    for one in list(about, "authorizations") {
        let identifier = one.get("identifier").unwrap_or(&Value::Null);
        let (id, name, status) = (text(one, "id"), text(identifier, "value"), text(one, "status"));
        out.push(format!("  authorization {id} of {name}: {status}{}", waived(one)));
    }
    if about.get("waived").is_some_and(|waived| !waived.is_null()) {
        out.push(format!("  valid{}", waived(about)));
    }
    if let Some(error) = about.get("error").filter(|error| !error.is_null()) {
        out.push(format!("  ended with {}: {}", text(error, "kind"), text(error, "detail")));
    }
    if let Some(job) = story.get("job").filter(|job| !job.is_null()) {
        let attempts = job.get("attempts").and_then(Value::as_u64).unwrap_or_default();
        out.push(format!("  next attempt at {}, after {attempts} that failed", text(job, "dueAt")));
    }
    out.push(String::new());
    let lines = list(story, "lines");
    // What an order rests on may have been proven long before it.
    let own = lines.iter().find(|line| line.get("identifier").is_none_or(Value::is_null)).or(lines.first());
    let begun = own.and_then(|line| time(line, "at"));
    out.extend(lines.iter().flat_map(|line| rows(line, begun)));
    if story.get("isAll") == Some(&Value::Bool(false)) {
        out.push(String::from("Not everything is shown."));
    }
    out
}

/// By whom, why and by what evidence an authorization is waived, if it is.
fn waived(authorization: &Value) -> String {
    let Some(waived) = authorization.get("waived").filter(|waived| !waived.is_null()) else { return String::new() };
    let key = waived.get("client_certificate").and_then(Value::as_str);
    let key = key.map(|key| format!(" and client certificate {}", shown(key))).unwrap_or_default();
    format!(
        ", waived by {}, approved by {}, because {} (waiver {}); evidence: address {}{key}",
        text(waived, "proposed_by"),
        text(waived, "decided_by"),
        text(waived, "reason"),
        text(waived, "waiver"),
        text(waived, "address"),
    )
}

/// Time, time gone by, step, what; then the details of it, one below the other.
fn rows(line: &Value, begun: Option<Timestamp>) -> Vec<String> {
    const INDENT: usize = 57;
    let body = line.get("entry").unwrap_or(&Value::Null);
    let said = match serde_json::from_value::<Entry>(body.clone()) {
        Ok(entry) => words(&entry),
        // Of another release, or cut to nothing.
        Err(_) => vec![body.to_string()],
    };
    let name = line.get("identifier").and_then(|identifier| identifier.get("value")).and_then(Value::as_str);
    let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
    let mut said = said.into_iter().map(|words| printable(&words));
    let first = format!("{name}{}", said.next().unwrap_or_default());
    let head =
        format!("{} {:>9}  {:<24} {first}", text(line, "at"), elapsed(time(line, "at"), begun), text(body, "step"));
    let mut rows = vec![head.trim_end().to_owned()];
    rows.extend(said.map(|detail| format!("{:INDENT$}- {detail}", "")));
    if body.get("cut") == Some(&Value::Bool(true)) {
        rows.push(format!("{:INDENT$}- (some of it was cut)", ""));
    }
    rows
}

/// `+3m05s`, or `-2h10m` for what was before.
fn elapsed(at: Option<Timestamp>, begun: Option<Timestamp>) -> String {
    let (Some(at), Some(begun)) = (at, begun) else { return String::new() };
    let sign = if at < begun { '-' } else { '+' };
    let secs = at.since(begun).max(begun.since(at)).as_secs();
    match secs {
        0..60 => format!("{sign}{secs}s"),
        60..3600 => format!("{sign}{}m{:02}s", secs / 60, secs % 60),
        3600..86_400 => format!("{sign}{}h{:02}m", secs / 3600, secs % 3600 / 60),
        _ => format!("{sign}{}d{:02}h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// Without anything that a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

fn time(record: &Value, name: &str) -> Option<Timestamp> {
    record.get(name)?.as_str()?.parse().ok()
}

fn list<'a>(record: &'a Value, name: &str) -> &'a [Value] {
    record.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(record: &Value, name: &str) -> String {
    shown(record.get(name).and_then(Value::as_str).unwrap_or("-")).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_story_is_a_table_with_details_below_and_nothing_that_a_terminal_obeys() {
        let name = json!({"type": "dns", "value": "a.test"});
        let judged = json!({"step": "order.judged", "profile": "p", "identifiers": [
            {"verdict": "allowed", "identifier": "a.test", "by": "suffix \u{1b}[2Jtest"}]});
        let story = json!({
            "reference": "o1", "endpoint": "open", "account": "reg_1", "isAll": false,
            "about": {"kind": "order", "status": "processing", "identifiers": [name], "authorizations": [
                    {"id": "a1", "identifier": name, "status": "valid", "waived": {"waiver": "wav_1", "proposed_by": "anna",
                        "decided_by": "bert", "reason": "no \u{1b}port 80", "address": "192.0.2.44"}}],
                "error": {"kind": "caa", "detail": "no"}},
            "job": {"dueAt": "2026-11-22T12:00:00Z", "attempts": 3},
            "lines": [
                {"at": "2026-11-20T09:00:00Z", "identifier": name, "entry": {"step": "challenge.answered", "method": "http-01"}},
                {"at": "2026-11-22T10:00:00Z", "identifier": null, "entry": judged},
                {"at": "2026-11-22T10:03:05Z", "identifier": null, "entry": {"step": "order.blessed", "cut": true}},
            ],
        });
        let table = table(&story).join("\n");
        for words in [
            "order o1: processing",
            "authorization a1 of a.test: valid, waived by anna, approved by bert, because no ?port 80 (waiver wav_1); \
             evidence: address 192.0.2.44",
            "next attempt at 2026-11-22T12:00:00Z, after 3 that failed",
            "ended with caa: no",
            "-2d01h  challenge.answered       a.test: http-01",
            "+0s  order.judged             judged under profile p\n",
            "- a.test: allowed by suffix ?[2Jtest",
            "+3m05s  order.blessed            {",
            "(some of it was cut)",
            "Not everything is shown.",
        ] {
            assert!(table.contains(words), "{words} is not in\n{table}");
        }
    }
}
