//! Whole responses against files: a change in any header or any word of a body is seen, and is one command to accept.

use std::{env, fs, path::Path};

/// Set it to anything to write snapshots rather than compare.
const UPDATE: &str = "UPDATE_SNAPSHOTS";

/// Compares `text` with the file `it/snapshots/{name}.txt`.
///
/// # Panics
/// They differ; the text shows the lines that do.
#[track_caller]
pub fn assert_snapshot(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/snapshots").join(format!("{name}.txt"));
    let text = format!("{}\n", text.trim_end());
    if env::var_os(UPDATE).is_some() {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        }
        fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        return;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    if expected != text {
        panic!("{} differs; {UPDATE}=1 accepts it\n{}", file.display(), differences(&expected, &text));
    }
}

/// Every line that only one of them has at its place.
fn differences(expected: &str, found: &str) -> String {
    let (mut expected, mut found) = (expected.lines(), found.lines());
    let mut shown = String::new();
    loop {
        match (expected.next(), found.next()) {
            (None, None) => return shown,
            (Some(expected), Some(found)) if expected == found => shown.push_str(&format!("  {found}\n")),
            (expected, found) => {
                expected.iter().for_each(|line| shown.push_str(&format!("- {line}\n")));
                found.iter().for_each(|line| shown.push_str(&format!("+ {line}\n")));
            }
        }
    }
}
