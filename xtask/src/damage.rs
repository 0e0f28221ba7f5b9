//! `cargo xtask damage`: flipped bits, cut files and lost pages in databases of a real gateway. It is the program
//! `damage` of the crate `tests`; here is only what must be there before it starts.

use std::process::ExitCode;

use crate::{
    chaos,
    rounds::{self, Rounds},
};

/// Plays the rounds. The exit code is 0 if nothing wrong came of it, 1 if something did, 2 if software must be
/// installed by hand first.
///
/// # Errors
/// Nothing could be run.
pub(crate) fn run(rounds: &Rounds) -> anyhow::Result<ExitCode> {
    match chaos::prepare()? {
        Some(code) => Ok(code),
        None => rounds::play("damage", rounds.arguments()),
    }
}
