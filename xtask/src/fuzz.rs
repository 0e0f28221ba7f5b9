//! `cargo xtask fuzz`: every target of `tests/fuzz` under libFuzzer, on the stable compiler.
//!
//! Coverage comes from flags of LLVM that rustc passes on; no sanitizer, for there is no unsafe code of ours to watch.
//! Seeds are read from `tests/fuzz/corpus` and never changed; what is found goes to `target/fuzz-found` and
//! `target/fuzz-crashes`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use crate::{output::say, workspace};

/// Counts which edges of the program an input reaches, and what it compares.
const COVERAGE: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];
/// Longest input: what a request body may have.
const INPUT_OCTETS_MAX: u32 = 65_536;

#[derive(Args)]
pub(crate) struct Options {
    /// Seconds for each target
    #[arg(long, default_value_t = 60, conflicts_with = "runs")]
    secs: u32,
    /// Executions for each target, instead of a time
    #[arg(long)]
    runs: Option<u64>,
    /// Targets; all if none is named
    targets: Vec<String>,
}

/// What became of a target.
struct Fuzzed {
    target: String,
    executions: u64,
    passed: bool,
}

/// Builds the fuzzer and runs the targets one after the other. The exit code is 1 if one failed.
///
/// # Errors
/// A target is not known, or the fuzzer cannot be built or run.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let known = targets()?;
    if let Some(unknown) = options.targets.iter().find(|target| !known.contains(target)) {
        bail!("there is no target {unknown}; there are {}", known.join(", "));
    }
    let wanted = if options.targets.is_empty() { &known } else { &options.targets };
    let fuzzer = build()?;
    let mut done = Vec::new();
    for target in wanted {
        say!("");
        say!("== {target} ==");
        done.push(fuzz(&fuzzer, target, options)?);
    }
    say!("");
    for one in &done {
        let result = if one.passed { "passed" } else { "FAILED" };
        say!("{:<16}{result:<10}{:>12} executions", one.target, one.executions);
    }
    let failed = done.iter().filter(|one| !one.passed).count();
    say!("{} passed, {failed} failed", done.len().saturating_sub(failed));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The targets are the folders of the corpus; a test sees to it.
fn targets() -> anyhow::Result<Vec<String>> {
    let folder = workspace::root().join("tests/fuzz/corpus");
    let entries = fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Builds the fuzzer beside the ordinary builds. Naming the machine as the target keeps the coverage out of build
/// scripts and macros.
fn build() -> anyhow::Result<PathBuf> {
    let machine = machine()?;
    let built = workspace::cargo()
        .args(["build", "--profile", "fuzz", "-p", "fuzz", "--bin", "libfuzzer", "--features", "libfuzzer"])
        .args(["--target", &machine])
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}"))
        .status()?;
    ensure!(built.success(), "the fuzzer does not build ({built})");
    Ok(workspace::target().join(machine).join("fuzz/libfuzzer"))
}

/// What rustc calls this machine.
fn machine() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc cannot be run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say which machine this is")
}

fn fuzz(fuzzer: &Path, target: &str, options: &Options) -> anyhow::Result<Fuzzed> {
    let found = workspace::target().join("fuzz-found").join(target);
    let crashes = workspace::target().join("fuzz-crashes").join(target);
    for folder in [&found, &crashes] {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let until = match options.runs {
        Some(runs) => format!("-runs={runs}"),
        None => format!("-max_total_time={}", options.secs),
    };
    let mut child = Command::new(fuzzer)
        .env("FUZZ_TARGET", target)
        .args([&found, &workspace::root().join("tests/fuzz/corpus").join(target)])
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        .args([until, format!("-max_len={INPUT_OCTETS_MAX}")])
        .args(["-timeout=10", "-rss_limit_mb=4096", "-print_final_stats=1"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} cannot be run", fuzzer.display()))?;
    let mut executions = 0;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n') {
            let line = line.context("the fuzzer's output cannot be read")?;
            let line = String::from_utf8_lossy(&line);
            executions = count(&line).unwrap_or(executions);
            if is_news(&line) {
                say!("{line}");
            }
        }
    }
    let passed = child.wait().context("the fuzzer cannot be waited for")?.success();
    if !passed {
        say!("The input is in {}; put it into tests/fuzz/corpus/{target} with the mend.", crashes.display());
    }
    Ok(Fuzzed { target: target.to_owned(), executions, passed })
}

/// The line of the final statistics that counts.
fn count(line: &str) -> Option<u64> {
    line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok()
}

/// Inputs that reach something new are many; everything else is worth a line.
fn is_news(line: &str) -> bool {
    !line.contains("\tNEW ") && !line.contains("\tREDUCE ") && !line.starts_with("stat::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_are_read_from_the_final_statistics() {
        assert_eq!(count("stat::number_of_executed_units: 1000000"), Some(1_000_000));
        assert_eq!(count("#1000000\tDONE   cov: 5"), None);
    }

    #[test]
    fn every_target_is_found() {
        let found = targets().unwrap();
        assert!(found.iter().any(|name| name == "jws") && found.is_sorted());
    }
}
