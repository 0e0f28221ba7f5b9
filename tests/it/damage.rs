//! A few damaged databases in every run of the tests; `cargo xtask damage` makes as many as one likes.

use std::process::Command;

use tests::tell;

/// In its first rounds the database is flipped in one bit and cut short, and damaged where it does no harm.
const SEED: &str = "1";
const ROUNDS: &str = "5";

#[test]
fn of_a_damaged_database_nothing_wrong_is_served_and_the_service_goes_on() {
    let played =
        Command::new(env!("CARGO_BIN_EXE_damage")).args(["--seed", SEED, "--rounds", ROUNDS]).output().unwrap();
    let (out, words) = (String::from_utf8_lossy(&played.stdout), String::from_utf8_lossy(&played.stderr));
    assert!(played.status.success(), "{out}{words}");
    let totals: Vec<_> = out.lines().rev().take(3).collect();
    assert_eq!(totals[0], "5 passed, 0 failed");
    assert!(totals[1].ends_with(", 0 wrong; 0 without proof, 0 asked for twice"), "{out}");
    assert!(totals[2].starts_with("5 damaged databases, ") && totals[2].ends_with(", 0 did not go on"), "{out}");
    assert!(!totals[2].contains(" 0 moved aside"), "the damage was felt: {out}");
    assert!(out.contains("; kept; "), "and what does no harm lets everything be as it was: {out}");
    tell(&format!("{}; {}", totals[2], totals[1]));
}
