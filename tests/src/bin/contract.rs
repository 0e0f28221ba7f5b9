//! Whether the contract with the CM holds: `cargo run -p tests --bin contract`. Its file is valid and all examples keep to it;
//! then schemathesis asks the reference CM in every role, with prepared registrations, waivers, requests and certificates.
//!
//! Words on the command line choose the roles whose names have one of them. What was asked and answered stays in
//! `target/contract`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this whole crate is test code; a panic is how a test fails"
)]

#[path = "../../contract/prepared.rs"]
mod prepared;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::Instant,
};

use prepared::Prepared;
use tests::world::World;

/// Who asks, for operations with which tags: the officer for everything, the others for what they see in a way of their own.
const ROLES: [(&str, &[&str]); 4] = [
    ("officer", &[]),
    ("gateway", &["registrations", "requests", "certificates", "events"]),
    ("approver", &["waivers", "requests"]),
    ("auditor", &["waivers", "events", "audit"]),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    let (mut passed, mut failed) = check_examples();
    let world = World::start();
    let start = Instant::now();
    let prepared = Prepared::new(&world);
    println!("prepared in {:.1} s", start.elapsed().as_secs_f64());
    // Side by side: while one thinks of requests, the CM answers another one.
    let asking: Vec<_> = ROLES
        .iter()
        .filter(|(role, _)| is_wanted(role))
        .map(|(role, tags)| (*role, ask(&world, &prepared, role, tags)))
        .collect();
    for (role, mut child) in asking {
        let ended = child.wait().expect("a process can be waited for");
        let report = fs::read_to_string(report(role)).expect("schemathesis says what it did");
        if ended.success() {
            passed += 1;
            println!("ok     the reference CM keeps to the contract with the {role}: {}", last_line(&report));
        } else {
            failed += 1;
            println!("{report}\nFAILED the reference CM does not keep to the contract with the {role} ({ended})");
        }
    }
    if failed > 0 {
        world.keep();
        println!("logs: {}", world.site().dir.display());
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many things were right and wrong in the file and the examples; it says which.
fn check_examples() -> (u64, u64) {
    let script = folder_of_sources().join("contract/examples.py");
    let output = Command::new(program("python")).arg(script).arg(folder_of_sources().join("..")).output();
    let output = output.expect("cargo xtask has installed what validates the file");
    let words = String::from_utf8_lossy(&output.stdout);
    print!("{words}{}", String::from_utf8_lossy(&output.stderr));
    let count = |verdict: &str| words.lines().filter(|line| line.starts_with(verdict)).count() as u64;
    let (good, bad) = (count("ok "), count("FAILED "));
    // It may also have ended before it had looked at everything.
    (good, if bad == 0 && !output.status.success() { 1 } else { bad })
}

/// Starts schemathesis in a role, for the operations with one of these tags, or for all of them.
fn ask(world: &World, prepared: &Prepared, role: &str, tags: &[&str]) -> Child {
    let sources = folder_of_sources();
    let pki = |file: &str| world.site().pki(file);
    let settings = folder().join(format!("{role}.toml"));
    let fixed = fs::read_to_string(sources.join("contract/schemathesis.toml")).expect("its settings can be read");
    fs::write(&settings, fixed + &prepared.settings(role)).expect("its settings can be written");
    let report = fs::File::create(report(role)).expect("a report can be written");
    let url = format!("{}/cm/v1", world.facts()["cm"].as_str().expect("the CM says where it is"));
    let mut command = Command::new(program("schemathesis"));
    let _ = command.arg("--config-file").arg(settings).arg("run").arg(sources.join("../docs/cm-api.yaml"));
    // One thread: CPython 3.11 before 3.11.5 loses count of its recursion when two of them parse.
    let _ = command.args(["--no-color", "--workers", "1", "--url", &url]);
    let _ = command.arg("--tls-verify").arg(pki("infra-ca.pem"));
    let _ = command.arg("--request-cert").arg(pki(&format!("{role}.pem")));
    let _ = command.arg("--request-cert-key").arg(pki(&format!("{role}.key")));
    for tag in tags {
        let _ = command.args(["--include-tag", tag]);
    }
    let _ = command.env("SCHEMATHESIS_HOOKS", sources.join("contract/hooks.py"));
    let _ = command.env("CONTRACT_PKI", pki("")).env("CONTRACT_ROLE", role).env("CONTRACT_URL", url);
    let _ = command.current_dir(folder()).stdin(Stdio::null()).stderr(report.try_clone().unwrap()).stdout(report);
    command.spawn().expect("cargo xtask has installed schemathesis")
}

fn last_line(report: &str) -> &str {
    report.trim_end().lines().last().unwrap_or_default().trim_matches(['=', ' '])
}

fn report(role: &str) -> PathBuf {
    folder().join(format!("{role}.txt"))
}

/// A program of the virtual environment that `cargo xtask` has made.
fn program(name: &str) -> PathBuf {
    folder().join("python/bin").join(name)
}

/// Where the virtual environment is and the reports go: `target/contract`.
fn folder() -> PathBuf {
    let running = std::env::current_exe().expect("a running program has a path");
    running.ancestors().nth(2).expect("the program lies in target/PROFILE").join("contract")
}

/// The folder `tests`.
fn folder_of_sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
