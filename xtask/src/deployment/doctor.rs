//! What `acme-gateway doctor` tells root in the machine about keys that systemd shows to the service (`LoadCredential=`).

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::machine::Machine;
use crate::output::say;

/// Where systemd shows them.
const SHOWN: &str = "/run/credentials/";

/// Before the service runs its keys are not shown to anybody: that is said, and is no fault.
pub(super) fn ensure_waits_for_keys(machine: &Machine) -> anyhow::Result<()> {
    let findings = ask(machine)?;
    let about = about_keys(&findings);
    ensure!(
        about.len() >= 2 && about.iter().all(|finding| severity(finding) == "not-looked-at"),
        "the doctor says of keys that are not shown yet: {about:?}"
    );
    say!("         doctor, before the start: {}", text(about.first().context("nothing")?, "what"));
    Ok(())
}

/// While it runs, they are looked at, and nothing is wrong.
pub(super) fn ensure_finds_nothing_wrong(machine: &Machine) -> anyhow::Result<()> {
    let findings = ask(machine)?;
    let bad: Vec<_> = findings.iter().filter(|finding| severity(finding) == "wrong").collect();
    ensure!(bad.is_empty(), "the doctor finds wrong: {bad:?}");
    let unseen: Vec<_> =
        about_keys(&findings).into_iter().filter(|finding| severity(finding) == "not-looked-at").collect();
    ensure!(unseen.is_empty(), "the doctor does not see keys of a service that runs: {unseen:?}");
    let files = findings.iter().find(|finding| text(finding, "check") == "files" && severity(finding) == "fine");
    let files = files.with_context(|| format!("the doctor has not looked at the keys: {findings:?}"))?;
    let warnings = findings.iter().filter(|finding| severity(finding) == "warn").count();
    say!("         doctor, while it runs: {}; 0 wrong, {warnings} warnings", text(files, "what"));
    Ok(())
}

fn ask(machine: &Machine) -> anyhow::Result<Vec<Value>> {
    // What is wrong is an exit code; it is judged by what is said.
    let said = machine.run(&["sh", "-c", "acme-gateway doctor --json || true"])?;
    let report: Value = serde_json::from_str(&said).with_context(|| format!("no JSON: {said}"))?;
    report.get("findings").and_then(Value::as_array).cloned().with_context(|| format!("no findings: {said}"))
}

fn about_keys(findings: &[Value]) -> Vec<&Value> {
    findings.iter().filter(|finding| text(finding, "what").contains(SHOWN)).collect()
}

fn severity(finding: &Value) -> &str {
    text(finding, "severity")
}

fn text<'a>(finding: &'a Value, name: &str) -> &'a str {
    finding.get(name).and_then(Value::as_str).unwrap_or_default()
}
