//! `acme-gateway doctor`: each prepared misconfiguration is named together with its mend, and is gone once that was done.

mod cm;
mod commands;
mod local;
mod openbao;
mod ten;

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
const LONGEST: Duration = Duration::from_secs(120);

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

    /// The finding of this check with this severity, these words, and a mend of these; what it tells to run exists.
    #[track_caller]
    fn found(&self, broken: &str, (check, severity): (&str, &str), what: &[&str], mend: &str) -> &Value {
        let fits = |one: &&&Value| {
            let said = one["what"].as_str().unwrap();
            one["severity"] == severity && what.iter().all(|words| said.contains(words))
        };
        let bad = self.bad(check);
        let Some(found) = bad.iter().find(fits) else { panic!("{broken} is not found: {:#}", self.report) };
        assert!(found["mend"].as_str().unwrap().contains(mend), "{found:#}");
        assert!(!found["breaks"].as_str().unwrap().is_empty(), "{found:#}");
        // Of all that is found, for one mistake shows in many places.
        for other in self.report["findings"].as_array().unwrap().iter().filter(|one| one["severity"] == "wrong") {
            commands::assert_exist(other["run"].as_str().unwrap());
        }
        found
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
    let report = serde_json::from_str(&text).unwrap();
    assert_documented(&report);
    Visit { code, report }
}

/// Asserts that a report has the shape that docs/OPERATIONS.md promises to programs, and no check that is not listed.
#[track_caller]
fn assert_documented(report: &Value) {
    let text = include_str!("../../../docs/OPERATIONS.md");
    let (_, section) = text.split_once("\n## What is wrong: the doctor\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let first_cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let checks: Vec<_> = first_cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`')).collect();
    let members = |value: &Value| {
        let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        names.sort_unstable();
        names
    };
    assert_eq!(members(report), ["findings", "notLookedAt", "version", "warnings", "wrong"]);
    assert_eq!(report["version"], 1);
    for finding in report["findings"].as_array().unwrap() {
        assert_eq!(members(finding), ["breaks", "check", "mend", "run", "severity", "what"]);
        let text = |name: &str| finding[name].as_str().unwrap();
        assert!(checks.contains(&text("check")), "{finding:#} is not in {checks:?}");
        let said = ["breaks", "mend", "run"].map(|name| !text(name).is_empty());
        match text("severity") {
            "fine" | "not-looked-at" => assert_eq!(said, [false; 3], "{finding:#}"),
            "warn" => assert_eq!(said[..2], [true; 2], "{finding:#}"),
            "wrong" => assert_eq!(said, [true; 3], "{finding:#}"),
            other => panic!("{other}"),
        }
        assert!(!text("what").is_empty() && !text("what").contains('\n'), "{finding:#}");
    }
    let count = |severity: &str| {
        let all = report["findings"].as_array().unwrap().iter();
        Value::from(all.filter(|one| one["severity"] == severity).count())
    };
    for (member, severity) in [("wrong", "wrong"), ("warnings", "warn"), ("notLookedAt", "not-looked-at")] {
        assert_eq!(report[member], count(severity), "{member}");
    }
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
/// with a mend of these; tells the row of the table, and answers the command to run.
#[track_caller]
fn assert_found(
    file: &Path,
    misconfiguration: &str,
    (check, severity): (&str, &str),
    what: &[&str],
    mend: &str,
) -> String {
    let visit = visit(file);
    let found = visit.found(misconfiguration, (check, severity), what, mend);
    if severity == "wrong" {
        assert_eq!(visit.code, Some(2), "{:#}", visit.report);
    }
    let text = |name: &str| found[name].as_str().unwrap().to_owned();
    tell(&format!("| {misconfiguration} | {check}: {} | {} | {} |", text("what"), text("mend"), text("run")));
    text("run")
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
    // What a gateway that runs has is not called taken.
    let said = |check: &str, severity: &str, words: &str| {
        let mut all = visit.report["findings"].as_array().unwrap().iter();
        let is_it = |one: &Value| {
            one["check"] == check && one["severity"] == severity && one["what"].as_str().unwrap().contains(words)
        };
        assert!(all.any(is_it), "{check}: {:#}", visit.report);
    };
    said("store", "fine", "has it open; what is in it was not looked at");
    said("ports", "not-looked-at", "a gateway runs with this store and has them");
    let (code, text) = run(&file, &["--strict"]);
    assert_eq!(code, Some(1), "the settings of tests have a danger in them: {text}");
    assert!(text.contains("warning        configuration         validation.danger_allow_loopback"), "{text}");
    let seal_key = fs::read_to_string(world.site().dir.join("gateway/seal.key")).unwrap();
    assert!(!text.contains(seal_key.trim()) && !text.contains("PRIVATE KEY"), "{text}");
    let _ = world.account().issue(&["after.doctor.test"]);
}
