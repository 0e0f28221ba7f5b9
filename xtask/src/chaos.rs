//! `cargo xtask chaos`: `kill -9` of gateway and CM at random moments under load. It is the program `chaos` of the
//! crate `tests`; here is only what must be there before it starts.

use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;

use crate::{
    clients,
    output::say,
    packages::{self, Needs},
    workspace,
};

/// Arguments of cargo that run the rounds.
const RUN: [&str; 6] = ["run", "--quiet", "-p", "tests", "--bin", "chaos"];

#[derive(Args)]
pub(crate) struct Options {
    /// How many rounds; one takes about five seconds
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// What everything is drawn from; a new one each time if it is left out
    #[arg(long)]
    seed: Option<u64>,
    /// The only round to play, to see again what a run with this seed has found
    #[arg(long, requires = "seed")]
    round: Option<u64>,
    /// Clients at work at the same time; plans differ with it
    #[arg(long)]
    clients: Option<u64>,
}

impl Options {
    fn arguments(&self) -> Vec<String> {
        let given = [
            ("--rounds", Some(self.rounds)),
            ("--seed", self.seed),
            ("--round", self.round),
            ("--clients", self.clients),
        ];
        let given = given.into_iter().filter_map(|(name, number)| Some((name, number?)));
        given.flat_map(|(name, number)| [name.to_owned(), number.to_string()]).collect()
    }
}

/// Plays the rounds. The exit code is 0 if nothing was lost, 1 if something was, 2 if software must be installed by
/// hand first.
///
/// # Errors
/// Nothing could be run.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if let Needs::ByHand(advice) = packages::ensure_for_tests()? {
        say!("{advice}");
        return Ok(ExitCode::from(2));
    }
    let built = workspace::cargo().args(clients::BUILD).status()?;
    ensure!(built.success(), "the gateway and the sandbox do not build ({built})");
    let ran = workspace::cargo().args(RUN).arg("--").args(options.arguments()).status()?;
    Ok(if ran.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_passed_on() {
        let all = Options { rounds: 200, seed: Some(7), round: Some(3), clients: Some(16) };
        assert_eq!(all.arguments(), ["--rounds", "200", "--seed", "7", "--round", "3", "--clients", "16"]);
        let some = Options { rounds: 20, seed: None, round: None, clients: None };
        assert_eq!(some.arguments(), ["--rounds", "20"]);
    }
}
