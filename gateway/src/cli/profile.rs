//! `acme-gateway profile`: which profiles are stopped, and lifting a stop.

use acme::ids::{ProfileName, RealmName};
use anyhow::Context as _;
use serde_json::Value;

use super::{Running, output::say};
use crate::admin::Request;

/// Shows the profiles that are stopped, and why.
pub(super) fn list(running: &Running, json: bool) -> anyhow::Result<()> {
    let answer = running.ask(&Request::ProfileList {})?;
    if json {
        return Ok(say(format_args!("{answer:#}"))?);
    }
    let all = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let stopped = all("stopped");
    if stopped.is_empty() {
        say("No profile is stopped.")?;
    }
    for stop in stopped {
        let text = |name| text(&stop, name);
        let profile = stop.get("profile").and_then(Value::as_str).unwrap_or("all profiles");
        say(format_args!("{} {} stopped since {}", text("realm"), acme::problem::shown(profile), text("since")))?;
        if stop.get("unreadable").is_some() {
            say(format_args!(
                "  why cannot be read: {}; the audit log has it under profile.stopped",
                text("unreadable")
            ))?;
            continue;
        }
        say(format_args!("  because of certificate {} for order {}", text("certificate"), text("order")))?;
        show_failed(&stop)?;
    }
    let bad = all("badCertificates");
    if !bad.is_empty() {
        say("Bad certificates that are kept (--json shows them whole):")?;
    }
    for bad in bad {
        let text = |name| text(&bad, name);
        say(format_args!(
            "  {} {} {} certificate {}",
            text("at"),
            text("realm"),
            text("profile"),
            text("certificate")
        ))?;
        say(format_args!("    order {}, request {} of the CM", text("order"), text("cmRequest")))?;
        show_failed(&bad)?;
    }
    Ok(())
}

/// Lifts the stop of a profile, or of a realm.
pub(super) fn resume(running: &Running, realm: &str, profile: Option<&str>) -> anyhow::Result<()> {
    let request = Request::ProfileResume {
        realm: RealmName::parse(realm).context("REALM is not a name of a realm")?,
        profile: profile.map(ProfileName::parse).transpose().context("PROFILE is not a name of a profile")?,
    };
    running.ask(&request)?;
    let what = profile.map_or(format!("Realm {realm}"), |profile| format!("Profile {profile} of realm {realm}"));
    say(format_args!("{what} is used again; what waited for it goes on within seconds."))?;
    Ok(())
}

fn show_failed(record: &Value) -> anyhow::Result<()> {
    for failed in record.get("failed").and_then(Value::as_array).into_iter().flatten() {
        say(format_args!("    {}: {}", text(failed, "check"), text(failed, "detail")))?;
    }
    Ok(())
}

fn text(record: &Value, name: &str) -> String {
    let text = record.get(name).and_then(Value::as_str).unwrap_or("-");
    acme::problem::shown(text).to_string()
}
