//! `cargo xtask clients`: the scenarios with real ACME clients. They are the program `clients` of the crate `tests`;
//! here is only what must be there before it starts.

use std::process::{Command, ExitCode};

use anyhow::ensure;

use crate::{
    output::say,
    packages::{self, Needs},
    workspace,
};

/// Arguments of cargo that build the programs which scenarios and integration tests start.
pub(crate) const BUILD: [&str; 6] = ["build", "-p", "gateway", "-p", "sandbox", "--bins"];
/// Arguments of cargo that run the scenarios.
pub(crate) const RUN: [&str; 6] = ["run", "--quiet", "-p", "tests", "--bin", "clients"];

/// Runs the scenarios; the exit code is theirs, or 2 if software must be installed by hand first.
///
/// # Errors
/// Nothing could be run.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    if let Needs::ByHand(advice) = packages::ensure_for_tests()? {
        say!("{advice}");
        return Ok(ExitCode::from(2));
    }
    let built = workspace::cargo().args(BUILD).status()?;
    ensure!(built.success(), "the gateway and the sandbox do not build ({built})");
    let ran = workspace::cargo().args(RUN).status()?;
    Ok(if ran.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Clients of the scenarios that are on this machine, each with its version in its own words.
pub(crate) fn versions() -> Vec<(&'static str, String)> {
    ["certbot", "lego"].into_iter().filter_map(|client| Some((client, version(client)?))).collect()
}

fn version(client: &str) -> Option<String> {
    let words = first_line(Command::new(client).arg("--version"))?;
    // Debian's lego calls itself "dev": there the package knows better.
    let package = first_line(Command::new("dpkg-query").args(["--show", "--showformat", "${Version}", client]));
    Some(package.map_or_else(|| words.clone(), |package| format!("{words} (Debian {package})")))
}

/// The first line of a program's output if it succeeds.
fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let words = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&words).lines().next().map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_not_installed_has_no_version() {
        assert_eq!(version("/nowhere/certbot"), None);
        assert!(version("cargo").unwrap().starts_with("cargo "));
        assert_eq!(first_line(Command::new("/bin/sh").args(["-c", "echo a >&2; echo b >&2"])).unwrap(), "a");
        assert_eq!(first_line(Command::new("/bin/sh").args(["-c", "echo a; exit 1"])), None);
    }
}
