//! Whether a command that the doctor tells an operator to run exists, with the options that it has there.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::{LazyLock, Mutex},
};

use tests::binaries;

/// Programs of every host that a gateway runs on, of its administrators, and of the CM.
const SYSTEM: [&str; 26] = [
    "bao",
    "cat",
    "chmod",
    "chown",
    "chronyc",
    "curl",
    "df",
    "dig",
    "dmesg",
    "du",
    "getent",
    "ip",
    "journalctl",
    "ls",
    "mount",
    "openssl",
    "ps",
    "rm",
    "ss",
    "sudo",
    "systemctl",
    "timedatectl",
    "touch",
    "wc",
    "${EDITOR:-vi}",
    "true",
];

/// Asserts that each command of a line for a shell exists.
#[track_caller]
pub(super) fn assert_exist(line: &str) {
    assert!(!line.trim().is_empty(), "there is no command");
    for command in line.split([';', '|', '&']).map(str::trim).filter(|command| !command.is_empty()) {
        let words: Vec<_> = command.split_whitespace().collect();
        // Of sudo the program that it starts counts.
        let program = if words[0] == "sudo" { &words[3..] } else { &words[..] };
        match program[0] {
            "acme-gateway" => assert_options(&help(&subcommands(program)), program, line),
            script if script.starts_with("deploy/") => {
                let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(script);
                let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{line}: {error}"));
                assert_options(&text, program, line);
            }
            other => assert!(SYSTEM.contains(&other), "{line}: {other} is not known"),
        }
    }
}

#[track_caller]
fn assert_options(text: &str, words: &[&str], line: &str) {
    for option in words.iter().filter(|word| word.starts_with("--")) {
        assert!(text.contains(option), "{line}: there is no {option}");
    }
}

/// The words before the first option or value: those that `--help` takes, longest first.
fn subcommands(words: &[&str]) -> Vec<String> {
    let is_name =
        |word: &&&str| word.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-') && !word.starts_with('-');
    words.iter().skip(1).take_while(is_name).take(2).map(|word| (*word).to_owned()).collect()
}

/// What the program says about this subcommand.
#[track_caller]
fn help(subcommands: &[String]) -> String {
    static KNOWN: LazyLock<Mutex<BTreeMap<Vec<String>, String>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap();
    if let Some(text) = known.get(subcommands) {
        return text.clone();
    }
    let output = Command::new(binaries::gateway()).args(subcommands).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("Usage:"), "there is no acme-gateway {}", subcommands.join(" "));
    let _ = known.insert(subcommands.to_vec(), text.clone());
    text
}
