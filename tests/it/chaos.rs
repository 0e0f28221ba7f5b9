//! A few rounds of chaos in every run of the tests; `cargo xtask chaos` plays as many as one likes.

use std::process::Command;

/// Its rounds kill the gateway alone, the CM alone, and both, and revoke certificates.
const SEED: &str = "209";

#[test]
fn in_a_few_rounds_of_chaos_nothing_is_lost() {
    let arguments = ["--rounds", "2", "--seed", SEED, "--clients", "4"];
    let played = Command::new(env!("CARGO_BIN_EXE_chaos")).args(arguments).output().unwrap();
    let (out, words) = (String::from_utf8_lossy(&played.stdout), String::from_utf8_lossy(&played.stderr));
    assert!(played.status.success(), "{out}{words}");
    assert!(out.ends_with("2 passed, 0 failed\n"), "{out}{words}");
    let nothing = "0 orders lost, 0 orders with two certificates, 0 acknowledged writes missing\n";
    assert!(out.contains(nothing), "{out}");
    assert!(out.contains("4 kills (2 of the gateway, 2 of the CM)"), "{out}");
    for nothing_done in [" 0 orders,", " 0 certificates,", " 0 revocations,"] {
        assert!(!out.contains(nothing_done), "{out}");
    }
}
