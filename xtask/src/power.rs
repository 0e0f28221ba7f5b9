//! `cargo xtask power`: power cuts of a disk on which the store commits. It is the program `power` of the crate
//! `tests`; here is only what must be there before it starts.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::workspace;

/// Arguments of cargo that build the probe.
const BUILD: [&str; 5] = ["build", "-p", "store", "--example", "power_probe"];
/// Arguments of cargo that run the rounds.
const RUN: [&str; 6] = ["run", "--quiet", "-p", "tests", "--bin", "power"];

#[derive(Args)]
pub(crate) struct Options {
    /// How many rounds, each with one to three cuts; one takes about four seconds
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// What everything is drawn from; a new one each time if it is left out
    #[arg(long)]
    seed: Option<u64>,
    /// The only round to play, to see again what a run with this seed has found
    #[arg(long, requires = "seed")]
    round: Option<u64>,
    /// Take the store's barrier away: it must lose records, or the rig shows nothing
    #[arg(long)]
    without_barrier: bool,
}

impl Options {
    fn arguments(&self) -> Vec<String> {
        let given = [("--rounds", Some(self.rounds)), ("--seed", self.seed), ("--round", self.round)];
        let given = given.into_iter().filter_map(|(name, number)| Some((name, number?)));
        let flag = self.without_barrier.then(|| "--without-barrier".to_owned());
        given.flat_map(|(name, number)| [name.to_owned(), number.to_string()]).chain(flag).collect()
    }
}

/// Plays the rounds. The exit code is 0 if nothing was lost, 1 if something was, 2 if power cannot be cut here.
///
/// # Errors
/// Nothing could be run.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let built = workspace::cargo().args(BUILD).status()?;
    ensure!(built.success(), "the store's probe does not build ({built})");
    let ran = workspace::cargo().args(RUN).arg("--").args(options.arguments()).status()?;
    let code = ran.code().context("the rounds were killed")?;
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_passed_on() {
        let all = Options { rounds: 100, seed: Some(7), round: Some(3), without_barrier: true };
        assert_eq!(all.arguments(), ["--rounds", "100", "--seed", "7", "--round", "3", "--without-barrier"]);
        let some = Options { rounds: 20, seed: None, round: None, without_barrier: false };
        assert_eq!(some.arguments(), ["--rounds", "20"]);
    }
}
