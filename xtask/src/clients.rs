//! `cargo xtask clients`: the scenarios with real ACME clients. They are the program `clients` of the crate `tests`;
//! here is only what must be there before it starts.

use std::process::ExitCode;

use anyhow::ensure;

use crate::{
    output::say,
    packages::{self, Needs},
    registries, workspace,
};

/// Arguments of cargo that build the programs which scenarios and integration tests start.
pub(crate) const BUILD: [&str; 8] = ["build", "-p", "gateway", "-p", "officer", "-p", "sandbox", "--bins"];
/// Arguments of cargo that run the scenarios.
pub(crate) const RUN: [&str; 6] = ["run", "--quiet", "-p", "tests", "--bin", "clients"];

/// Runs the scenarios; the exit code is theirs, or 2 if software must be installed by hand first.
///
/// # Errors
/// Nothing could be run.
pub(crate) fn run(lanes: &[String]) -> anyhow::Result<ExitCode> {
    if let Needs::ByHand(advice) = packages::ensure_for_tests()? {
        say!("{advice}");
        return Ok(ExitCode::from(2));
    }
    registries::ensure_clients()?;
    registries::ensure_openbao()?;
    let built = workspace::cargo().args(BUILD).status()?;
    ensure!(built.success(), "the gateway and the sandbox do not build ({built})");
    let ran = workspace::cargo().args(RUN).arg("--").args(lanes).status()?;
    Ok(if ran.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
