//! `acme-gateway profile`: which profiles are stopped, and lifting a stop.

use acme::ids::{ProfileName, RealmName};
use anyhow::Context as _;
use serde_json::Value;

use super::Running;
use crate::admin::Request;

/// Shows the profiles that are stopped, and why.
pub(super) fn list(running: &Running, json: bool) -> anyhow::Result<()> {
    let answer = running.ask(&Request::ProfileList {})?;
    if json {
        println!("{answer:#}");
        return Ok(());
    }
    let all = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let stopped = all("stopped");
    if stopped.is_empty() {
        println!("No profile is stopped.");
    }
    for stop in stopped {
        let text = |name| text(&stop, name);
        let profile = stop.get("profile").and_then(Value::as_str).unwrap_or("all profiles");
        println!("{} {} stopped since {}", text("realm"), acme::problem::shown(profile), text("since"));
        if stop.get("unreadable").is_some() {
            println!("  why cannot be read: {}; the audit log has it under profile.stopped", text("unreadable"));
            continue;
        }
        println!("  because of certificate {} for order {}", text("certificate"), text("order"));
        show_failed(&stop);
    }
    let bad = all("badCertificates");
    if !bad.is_empty() {
        println!("Bad certificates that are kept (--json shows them whole):");
    }
    for bad in bad {
        let text = |name| text(&bad, name);
        println!("  {} {} {} certificate {}", text("at"), text("realm"), text("profile"), text("certificate"));
        println!("    order {}, request {} of the CM", text("order"), text("cmRequest"));
        show_failed(&bad);
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
    println!("{what} is used again; what waited for it goes on within seconds.");
    Ok(())
}

fn show_failed(record: &Value) {
    for failed in record.get("failed").and_then(Value::as_array).into_iter().flatten() {
        println!("    {}: {}", text(failed, "check"), text(failed, "detail"));
    }
}

fn text(record: &Value, name: &str) -> String {
    let text = record.get(name).and_then(Value::as_str).unwrap_or("-");
    acme::problem::shown(text).to_string()
}
