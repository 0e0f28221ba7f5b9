//! `cargo xtask browser`: the officer's console in a real browser. The journeys are the program `browser` of the crate
//! `tests`; here is only what must be there before it starts.

use std::process::ExitCode;

use anyhow::ensure;

use crate::{
    clients,
    output::say,
    packages::{self, Needs},
    registries, workspace,
};

/// Arguments of cargo that run the journeys.
pub(crate) const RUN: [&str; 6] = ["run", "--quiet", "-p", "tests", "--bin", "browser"];

/// Runs the journeys; the exit code is theirs, or 2 if software must be installed by hand first.
///
/// # Errors
/// Nothing could be run.
pub(crate) fn run(journeys: &[String]) -> anyhow::Result<ExitCode> {
    if let Needs::ByHand(advice) = packages::ensure_for_tests()? {
        say!("{advice}");
        return Ok(ExitCode::from(2));
    }
    registries::ensure_browser()?;
    registries::ensure_openbao()?;
    let built = workspace::cargo().args(clients::BUILD).status()?;
    ensure!(built.success(), "the gateway, the officer's program and the sandbox do not build ({built})");
    let ran = workspace::cargo().args(RUN).arg("--").args(journeys).status()?;
    Ok(if ran.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
