//! A few power cuts in every run of the tests; `cargo xtask power` makes as many as one likes.
//!
//! They need root. Without it a line of the output says that they were not made, and `cargo xtask test` repeats it in
//! its summary.

use std::process::Command;

use tests::tell;

/// Its first rounds cut the power of several file systems, while the store is opened and under load.
const SEED: &str = "1";

/// What was printed, and whether everything was kept; `None` if power cannot be cut here.
fn play(rounds: &str, more: &[&str]) -> Option<(String, bool)> {
    let arguments = ["--seed", SEED, "--rounds", rounds];
    let played = Command::new(env!("CARGO_BIN_EXE_power")).args(arguments).args(more).output().unwrap();
    let (out, words) = (String::from_utf8_lossy(&played.stdout), String::from_utf8_lossy(&played.stderr));
    if played.status.code() == Some(2) && words.starts_with("power cannot be cut here") {
        tell(&format!("NOT RUN: power cuts: {}", words.trim()));
        return None;
    }
    let last = out.lines().rev().find(|line| line.contains("power cuts:")).unwrap_or_else(|| panic!("{out}{words}"));
    tell(&[&[last], more].concat().join(" "));
    Some((out.into_owned(), played.status.success()))
}

#[test]
fn nothing_acknowledged_is_lost_in_power_cuts() {
    if let Some((out, is_kept)) = play("3", &[]) {
        assert!(is_kept && out.contains(": 3 reopened, ") && out.contains(", 0 lost, 0 torn\n"), "{out}");
    }
}

#[test]
fn without_the_barrier_of_the_store_power_cuts_lose_what_was_acknowledged() {
    if let Some((out, is_kept)) = play("4", &["--without-barrier"]) {
        assert!(!is_kept && !out.contains(", 0 lost, 0 torn\n"), "the rig sees no loss: {out}");
    }
}
