//! `cargo xtask test`: everything that a change must pass, in one command, on a fresh Debian with rustup and
//! build-essential. Stops at the first step that fails and says how to repeat it.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    browser, clients, contract, deny,
    output::say,
    packages::{self, Needs},
    registries,
    tally::Tally,
    tidy, workspace,
};

/// How a step is done.
enum Work {
    /// Cargo with these arguments.
    Cargo(&'static [&'static str]),
    /// Cargo doc; warnings are errors.
    Documentation(&'static [&'static str]),
    /// Our own rules.
    Tidy,
    /// The rules for what the programs are made of.
    Deny,
}

struct Step {
    name: &'static str,
    work: Work,
}

const STEPS: [Step; 10] = [
    Step { name: "format", work: Work::Cargo(&["fmt", "--all", "--", "--check"]) },
    Step { name: "lints", work: Work::Cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]) },
    Step { name: "documentation", work: Work::Documentation(&["doc", "--workspace", "--no-deps"]) },
    Step { name: "tidy", work: Work::Tidy },
    Step { name: "deny", work: Work::Deny },
    Step { name: "programs", work: Work::Cargo(&clients::BUILD) },
    // Most tests wait rather than compute, so more of them than processors run at a time.
    Step { name: "tests", work: Work::Cargo(&["test", "--workspace", "--no-fail-fast", "--", "--test-threads=8"]) },
    Step { name: "contract", work: Work::Cargo(&contract::RUN) },
    Step { name: "browser", work: Work::Cargo(&browser::RUN) },
    Step { name: "real clients", work: Work::Cargo(&clients::RUN) },
];

/// What became of a step.
struct Done {
    name: &'static str,
    passed: bool,
    took: Duration,
    heard: Heard,
}

/// What a step's output says about its tests.
#[derive(Default)]
struct Heard {
    tally: Tally,
    /// What could not be tried on this machine, and why.
    not_run: Vec<String>,
}

/// How tests begin a line about what they could not try.
const NOT_RUN: &str = "NOT RUN: ";

/// Runs all steps. The exit code is 0 if all passed, 1 if one failed, 2 if software must be installed by hand first.
///
/// # Errors
/// A step could not be run at all.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    headline("what the tests need");
    if let Needs::ByHand(advice) = packages::ensure_for_tests()? {
        say!("{advice}");
        return Ok(ExitCode::from(2));
    }
    registries::ensure_clients()?;
    registries::ensure_browser()?;
    registries::ensure_openbao()?;
    registries::ensure_contract()?;
    let mut done = Vec::new();
    for step in &STEPS {
        headline(step.name);
        let start = Instant::now();
        let (passed, heard) = perform(&step.work)?;
        done.push(Done { name: step.name, passed, took: start.elapsed(), heard });
        if !passed {
            break;
        }
    }
    say!("");
    say!("{}", report(&done));
    for line in done.iter().flat_map(|one| &one.heard.not_run) {
        say!("{line}");
    }
    if let Some(failed) = STEPS.iter().zip(&done).find(|(_, done)| !done.passed).map(|(step, _)| step) {
        say!("");
        say!("Failed: {}. To repeat it: {}", failed.name, repeat(&failed.work));
    }
    say!("{}", last_line(&done));
    Ok(if done.iter().all(|one| one.passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn headline(name: &str) {
    say!("");
    say!("== {name} ==");
}

fn perform(work: &Work) -> anyhow::Result<(bool, Heard)> {
    match work {
        Work::Cargo(arguments) => stream(workspace::cargo().args(*arguments), |line| say!("{line}")),
        Work::Documentation(arguments) => {
            let mut command = workspace::cargo();
            command.args(*arguments).env("RUSTDOCFLAGS", "-D warnings");
            stream(&mut command, |line| say!("{line}"))
        }
        Work::Tidy => Ok((tidy::check_and_say()?, Heard::default())),
        Work::Deny => Ok((deny::check(None)?, Heard::default())),
    }
}

/// Runs a program, passes its output on line by line, and listens to what it says about tests.
fn stream(command: &mut Command, pass_on: impl Fn(&str)) -> anyhow::Result<(bool, Heard)> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{program} cannot be run"))?;
    let mut heard = Heard::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| format!("the output of {program} cannot be read"))?;
            let line = String::from_utf8_lossy(&line);
            pass_on(&line);
            heard.tally.read_line(&line);
            // The test runner may have begun the line.
            heard.not_run.extend(line.find(NOT_RUN).and_then(|begin| line.get(begin..)).map(str::to_owned));
        }
    }
    let status = child.wait().with_context(|| format!("{program} cannot be waited for"))?;
    Ok((status.success(), heard))
}

fn repeat(work: &Work) -> String {
    let cargo = |arguments: &[&str]| format!("cargo {}", arguments.join(" "));
    match work {
        Work::Cargo(arguments) if *arguments == browser::RUN => "cargo xtask browser".to_owned(),
        Work::Cargo(arguments) if *arguments == contract::RUN => "cargo xtask contract".to_owned(),
        Work::Cargo(arguments) if *arguments == clients::RUN => "cargo xtask clients".to_owned(),
        Work::Cargo(arguments) => cargo(arguments),
        Work::Documentation(arguments) => format!("RUSTDOCFLAGS='-D warnings' {}", cargo(arguments)),
        Work::Tidy => "cargo xtask tidy".to_owned(),
        Work::Deny => "cargo xtask deny".to_owned(),
    }
}

/// The table at the end: what was done, with what result, how long it took.
fn report(done: &[Done]) -> String {
    let mut out = format!("{:<16}{:<10}{:>8}   tests\n", "step", "result", "seconds");
    for step in STEPS.iter().map(|step| step.name) {
        let Some(one) = done.iter().find(|one| one.name == step) else {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{step:<16}not run");
            continue;
        };
        let result = if one.passed { "passed" } else { "FAILED" };
        let _ = writeln!(out, "{step:<16}{result:<10}{:>8.1}   {}", one.took.as_secs_f64(), counts(one.heard.tally));
    }
    out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn counts(tally: Tally) -> String {
    if tally == Tally::default() {
        return String::new();
    }
    let ignored = if tally.ignored > 0 { format!(", {} ignored", tally.ignored) } else { String::new() };
    format!("{} passed, {} failed{ignored}", tally.passed, tally.failed)
}

/// Counts of tests and scenarios, summed. A step that failed without a count, such as one that does not compile,
/// counts as one failure: otherwise a reader of this line alone would take it for success.
fn last_line(done: &[Done]) -> String {
    let sum = done.iter().fold(Tally::default(), |sum, one| {
        let silent = u64::from(!one.passed && one.heard.tally.failed == 0);
        sum.plus(one.heard.tally).plus(Tally { failed: silent, ..Tally::default() })
    });
    format!("{} passed, {} failed", sum.passed, sum.failed)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn done(name: &'static str, passed: bool, tally: Tally) -> Done {
        Done { name, passed, took: Duration::from_millis(1_240), heard: Heard { tally, not_run: Vec::new() } }
    }

    #[test]
    fn the_last_line_sums_tests_and_scenarios() {
        let steps = [
            done("tidy", true, Tally::default()),
            done("tests", true, Tally { passed: 400, failed: 0, ignored: 0 }),
            done("real clients", true, Tally { passed: 12, failed: 0, ignored: 0 }),
        ];
        assert_eq!(last_line(&steps), "412 passed, 0 failed");
    }

    #[test]
    fn a_step_that_fails_without_counting_is_one_failure() {
        assert_eq!(last_line(&[done("lints", false, Tally::default())]), "0 passed, 1 failed");
        let counted = done("tests", false, Tally { passed: 3, failed: 2, ignored: 0 });
        assert_eq!(last_line(&[counted]), "3 passed, 2 failed");
    }

    #[test]
    fn the_table_names_every_step_and_those_that_were_not_run() {
        let steps = [done("format", true, Tally::default()), done("lints", false, Tally::default())];
        let table = report(&steps);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "step            result     seconds   tests");
        assert_eq!(lines[1], "format          passed         1.2");
        assert_eq!(lines[2], "lints           FAILED         1.2");
        assert_eq!(lines.iter().filter(|line| line.ends_with("not run")).count(), STEPS.len() - 2);
    }

    #[test]
    fn the_table_counts_what_was_left_out() {
        let ran = [done("real clients", true, Tally { passed: 2, failed: 0, ignored: 1 })];
        assert!(report(&ran).contains("2 passed, 0 failed, 1 ignored"));
    }

    #[test]
    fn output_is_passed_on_and_counted_and_what_was_not_run_is_remembered() {
        let mut command = Command::new("/bin/sh");
        let words = "test result: ok. 2 passed; 0 failed; 0 ignored\ntest a ... NOT RUN: b: no root";
        command.args(["-c", "echo \"$0\"; exit 1", words]);
        let seen = Cell::new(0);
        let (passed, heard) = stream(&mut command, |line| seen.set(seen.get() + line.len())).unwrap();
        assert_eq!(seen.get(), words.len() - 1);
        assert_eq!((passed, heard.tally), (false, Tally { passed: 2, failed: 0, ignored: 0 }));
        assert_eq!(heard.not_run, ["NOT RUN: b: no root"]);
    }

    #[test]
    fn each_step_can_be_repeated_by_hand() {
        let repeats: Vec<String> = STEPS.iter().map(|step| repeat(&step.work)).collect();
        assert!(repeats.contains(&"cargo xtask tidy".to_owned()));
        assert!(repeats.contains(&"cargo xtask browser".to_owned()));
        assert!(repeats.contains(&"cargo xtask clients".to_owned()));
        assert!(repeats.contains(&"cargo xtask contract".to_owned()));
        assert!(repeats.contains(&"RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps".to_owned()));
    }
}
