//! Verbs that play rounds drawn from a seed, by a program of the crate `tests`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::workspace;

/// What all of them take.
#[derive(Args)]
pub(crate) struct Rounds {
    /// How many rounds; one takes about five seconds
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// What everything is drawn from; a new one each time if it is left out
    #[arg(long)]
    seed: Option<u64>,
    /// The only round to play, to see again what a run with this seed has found
    #[arg(long, requires = "seed")]
    round: Option<u64>,
}

impl Rounds {
    /// The same for the program.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let given = [("--rounds", Some(self.rounds)), ("--seed", self.seed), ("--round", self.round)];
        let given = given.into_iter().filter_map(|(name, number)| Some((name, number?)));
        given.flat_map(|(name, number)| [name.to_owned(), number.to_string()]).collect()
    }

    #[cfg(test)]
    pub(crate) const fn new(rounds: u64, seed: Option<u64>, round: Option<u64>) -> Self {
        Self { rounds, seed, round }
    }
}

/// Runs this program of the crate `tests`; the exit code is its own.
///
/// # Errors
/// It cannot be run, or was killed.
pub(crate) fn play(program: &str, arguments: Vec<String>) -> anyhow::Result<ExitCode> {
    let run = ["run", "--quiet", "-p", "tests", "--bin", program, "--"];
    let ran = workspace::cargo().args(run).args(arguments).status()?;
    let code = ran.code().with_context(|| format!("{program} was killed"))?;
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_passed_on() {
        let all = Rounds::new(200, Some(7), Some(3));
        assert_eq!(all.arguments(), ["--rounds", "200", "--seed", "7", "--round", "3"]);
        assert_eq!(Rounds::new(20, None, None).arguments(), ["--rounds", "20"]);
    }
}
