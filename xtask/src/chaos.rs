//! `cargo xtask chaos`: `kill -9` of gateway and CM at random moments under load. It is the program `chaos` of the
//! crate `tests`; here is only what must be there before it starts.

use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;

use crate::{
    clients,
    output::say,
    packages::{self, Needs},
    rounds::{self, Rounds},
    workspace,
};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    rounds: Rounds,
    /// Clients at work at the same time; plans differ with it
    #[arg(long)]
    clients: Option<u64>,
}

impl Options {
    fn arguments(&self) -> Vec<String> {
        let clients = self.clients.map(|clients| ["--clients".to_owned(), clients.to_string()]);
        self.rounds.arguments().into_iter().chain(clients.into_iter().flatten()).collect()
    }
}

/// Plays the rounds. The exit code is 0 if nothing was lost, 1 if something was, 2 if software must be installed by
/// hand first.
///
/// # Errors
/// Nothing could be run.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    match prepare()? {
        Some(code) => Ok(code),
        None => rounds::play("chaos", options.arguments()),
    }
}

/// Sees to it that gateway and sandbox are there; an exit code if software must be installed by hand first.
///
/// # Errors
/// They do not build.
pub(crate) fn prepare() -> anyhow::Result<Option<ExitCode>> {
    if let Needs::ByHand(advice) = packages::ensure_for_tests()? {
        say!("{advice}");
        return Ok(Some(ExitCode::from(2)));
    }
    let built = workspace::cargo().args(clients::BUILD).status()?;
    ensure!(built.success(), "the gateway and the sandbox do not build ({built})");
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_passed_on() {
        let arguments = |clients| Options { rounds: Rounds::new(200, None, None), clients }.arguments();
        assert_eq!(arguments(Some(16)), ["--rounds", "200", "--clients", "16"]);
        assert_eq!(arguments(None), ["--rounds", "200"]);
    }
}
