//! `acme-gateway doctor`: each prepared misconfiguration is named together with its mend, and is gone once that was done.

mod cm;
mod local;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;
use tests::{binaries, tell, world::World};

use crate::world;

/// All looks together, on a machine that does other things too.
const LONGEST: Duration = Duration::from_secs(60);

/// Nobody listens there.
const CLOSED_PORT: u16 = 1;

/// What the doctor says about these settings.
struct Visit {
    code: Option<i32>,
    report: Value,
}

impl Visit {
    /// The findings of one check that are not fine.
    fn bad(&self, check: &str) -> Vec<&Value> {
        let findings = self.report["findings"].as_array().unwrap().iter();
        findings
            .filter(|one| one["check"] == check && (one["severity"] == "wrong" || one["severity"] == "warn"))
            .collect()
    }
}

fn run(file: &Path, more: &[&str]) -> (Option<i32>, String) {
    let begun = Instant::now();
    let mut command = Command::new(binaries::gateway());
    let output = command.arg("doctor").arg("--config").arg(file).args(more).output().unwrap();
    assert!(begun.elapsed() < LONGEST, "it took {:?}", begun.elapsed());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

fn visit(file: &Path) -> Visit {
    let (code, text) = run(file, &["--json"]);
    Visit { code, report: serde_json::from_str(&text).unwrap() }
}

/// Settings beside those of the world.
fn settings(world: &World, name: &str, text: &str) -> PathBuf {
    let file = world.site().dir.join(format!("doctor-{name}.toml"));
    fs::write(&file, text).unwrap();
    file
}

/// The settings of the world.
fn good(world: &World) -> String {
    fs::read_to_string(world.site().settings_file()).unwrap()
}

/// The settings of the world with this exchanged, which has to be in them.
fn with(world: &World, old: &str, new: &str) -> String {
    let text = good(world);
    assert!(text.contains(old), "no {old} in {text}");
    text.replace(old, new)
}

/// A file of the throwaway PKI, as it stands in the settings.
fn pki(world: &World, file: &str) -> String {
    format!("{:?}", world.site().pki(file))
}

/// Asserts that the doctor finds this under this check, as wrong or (`severity`) to be warned of, with these words, and
/// with a mend of these; tells the row of the table, and answers the mend.
#[track_caller]
fn assert_found(
    file: &Path,
    misconfiguration: &str,
    (check, severity): (&str, &str),
    what: &[&str],
    mend: &str,
) -> String {
    let visit = visit(file);
    let bad = visit.bad(check);
    let fits = |one: &&&Value| {
        let said = one["what"].as_str().unwrap();
        one["severity"] == severity && what.iter().all(|words| said.contains(words))
    };
    let Some(found) = bad.iter().find(fits) else { panic!("{misconfiguration} is not found: {:#}", visit.report) };
    let text = |name: &str| found[name].as_str().unwrap().to_owned();
    assert!(text("mend").contains(mend), "{found:#}");
    assert!(!text("breaks").is_empty(), "{found:#}");
    if severity == "wrong" {
        assert_eq!(visit.code, Some(2), "{:#}", visit.report);
    }
    tell(&format!("| {misconfiguration} | {check}: {} | {} |", text("what"), text("mend")));
    text("mend")
}

/// Asserts that this check has nothing more to say against these settings.
#[track_caller]
fn assert_mended(file: &Path, check: &str) {
    let visit = visit(file);
    assert!(visit.bad(check).is_empty(), "{:#}", visit.report);
    let all = visit.report["findings"].as_array().unwrap();
    assert!(all.iter().any(|one| one["check"] == check && one["severity"] == "fine"), "{:#}", visit.report);
    assert_eq!((visit.code, &visit.report["wrong"]), (Some(0), &Value::from(0)), "{:#}", visit.report);
}

/// Does what the doctor says.
fn obey(mend: &str) {
    let done = Command::new("sh").arg("-c").arg(mend).status().unwrap();
    assert!(done.success(), "{mend}");
}

#[test]
fn nothing_is_wrong_with_a_gateway_that_runs_and_it_is_not_disturbed() {
    let world = world();
    let file = world.site().settings_file();
    let visit = visit(&file);
    assert_eq!((visit.code, &visit.report["wrong"]), (Some(0), &Value::from(0)), "{:#}", visit.report);
    for check in [
        "configuration",
        "files",
        "certificates",
        "store",
        "open-files",
        "running-gateway",
        "resolvers",
        "external-url",
        "cm-connection",
        "cm-identity",
        "clock",
        "cm-capabilities",
        "cm-health",
        "profiles",
        "trust-chains",
    ] {
        let findings = visit.report["findings"].as_array().unwrap();
        assert!(findings.iter().any(|one| one["check"] == check && one["severity"] != "not-looked-at"), "{check}");
    }
    let (code, text) = run(&file, &["--strict"]);
    assert_eq!(code, Some(1), "the settings of tests have a danger in them: {text}");
    assert!(text.contains("warning        configuration         validation.danger_allow_loopback"), "{text}");
    let seal_key = fs::read_to_string(world.site().dir.join("gateway/seal.key")).unwrap();
    assert!(!text.contains(seal_key.trim()) && !text.contains("PRIVATE KEY"), "{text}");
    let _ = world.account().issue(&["after.doctor.test"]);
}
