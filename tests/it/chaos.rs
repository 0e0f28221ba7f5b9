//! A few rounds of chaos in every run of the tests; `cargo xtask chaos` plays as many as one likes.

use std::process::Command;

/// Its rounds kill the gateway alone, the CM alone, and both.
const SEED: &str = "1";

#[test]
fn in_a_few_rounds_of_chaos_nothing_is_lost() {
    let played = Command::new(env!("CARGO_BIN_EXE_chaos")).args(["--rounds", "3", "--seed", SEED]).output().unwrap();
    let (out, words) = (String::from_utf8_lossy(&played.stdout), String::from_utf8_lossy(&played.stderr));
    assert!(played.status.success(), "{out}{words}");
    assert!(out.ends_with("3 passed, 0 failed\n"), "{out}{words}");
    let nothing = "0 orders lost, 0 orders with two certificates, 0 acknowledged writes missing\n";
    assert!(out.contains(nothing), "{out}");
    assert!(!out.contains(" 0 orders,") && !out.contains(" 0 kills") && !out.contains(" 0 certificates"), "{out}");
}
