//! `cargo xtask contract`: the contract with the CM, as a file, against its examples and against the reference CM. It is the
//! program `contract` of the crate `tests`; here is only what must be there before it starts.

use std::process::ExitCode;

use anyhow::ensure;

use crate::{
    clients,
    output::say,
    packages::{self, Needs},
    registries, workspace,
};

/// Arguments of cargo that try the contract.
pub(crate) const RUN: [&str; 6] = ["run", "--quiet", "-p", "tests", "--bin", "contract"];

/// Tries the contract; the exit code is the program's, or 2 if software must be installed by hand first.
///
/// # Errors
/// Nothing could be run.
pub(crate) fn run(roles: &[String]) -> anyhow::Result<ExitCode> {
    if let Needs::ByHand(advice) = packages::ensure_for_tests()? {
        say!("{advice}");
        return Ok(ExitCode::from(2));
    }
    registries::ensure_contract()?;
    let built = workspace::cargo().args(clients::BUILD).status()?;
    ensure!(built.success(), "the gateway and the sandbox do not build ({built})");
    let ran = workspace::cargo().args(RUN).arg("--").args(roles).status()?;
    Ok(if ran.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
