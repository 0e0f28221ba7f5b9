//! `cargo xtask power`: power cuts of a disk on which the store commits. It is the program `power` of the crate
//! `tests`; here is only what must be there before it starts.

use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;

use crate::{
    rounds::{self, Rounds},
    workspace,
};

/// Arguments of cargo that build the probe.
const BUILD: [&str; 5] = ["build", "-p", "store", "--example", "power_probe"];

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    rounds: Rounds,
    /// Take the store's barrier away: it must lose records, or the rig shows nothing
    #[arg(long)]
    without_barrier: bool,
}

impl Options {
    fn arguments(&self) -> Vec<String> {
        let flag = self.without_barrier.then(|| "--without-barrier".to_owned());
        self.rounds.arguments().into_iter().chain(flag).collect()
    }
}

/// Plays the rounds. The exit code is 0 if nothing was lost, 1 if something was, 2 if power cannot be cut here.
///
/// # Errors
/// Nothing could be run.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let built = workspace::cargo().args(BUILD).status()?;
    ensure!(built.success(), "the store's probe does not build ({built})");
    rounds::play("power", options.arguments())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_barrier_is_only_taken_away_if_that_is_asked_for() {
        let arguments = |without_barrier| Options { rounds: Rounds::new(3, None, None), without_barrier }.arguments();
        assert_eq!(arguments(true), ["--rounds", "3", "--without-barrier"]);
        assert_eq!(arguments(false), ["--rounds", "3"]);
    }
}
