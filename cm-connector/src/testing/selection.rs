//! Whether all cases of an adapter run in this process: only then can the table of differences be checked. A filter, or
//! a runner that gives each test a process of its own, must not hide that it was not.

use std::{
    collections::BTreeSet,
    io::Write as _,
    sync::{Mutex, PoisonError},
};

use super::CASES;

/// Options of the test runner that take the next argument as their value.
const WITH_VALUE: [&str; 6] = ["--color", "--format", "--logfile", "--shuffle-seed", "--test-threads", "-Z"];

/// Says once for each adapter that its table is not checked, if so. `module` is the path of its tests.
pub(super) fn tell(adapter: &'static str, module: &str) {
    static TOLD: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    // cargo-nextest sets it in each of its processes, of which each runs one test.
    let runs_alone = std::env::var_os("NEXTEST").is_some();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names = CASES.iter().map(|case| format!("{module}{}", case.name));
    if (!runs_alone && are_selected(&arguments, names))
        || !TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(adapter)
    {
        return;
    }
    let line = format!(
        "NOT RUN: the table of differences of the adapter {adapter} is not checked, because not all cases run in this \
         process; cargo test -p tests --test adapters {module} checks it\n"
    );
    // Past the test runner, which shows nothing of a test that passes.
    let _ = std::io::stdout().write_all(line.as_bytes());
}

/// Whether the test runner, with these arguments, runs all tests of these names.
fn are_selected(arguments: &[String], mut names: impl Iterator<Item = String>) -> bool {
    let (mut filters, mut skipped, mut is_exact) = (Vec::new(), Vec::new(), false);
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        match argument {
            "--exact" => is_exact = true,
            "--skip" => skipped.extend(arguments.next()),
            option if WITH_VALUE.contains(&option) => drop(arguments.next()),
            option if option.starts_with('-') => skipped.extend(option.strip_prefix("--skip=")),
            filter => filters.push(filter),
        }
    }
    names.all(|name| {
        let is_met = |filter: &&str| if is_exact { name == *filter } else { name.contains(*filter) };
        (filters.is_empty() || filters.iter().any(is_met)) && !skipped.iter().any(is_met)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_leaves_a_case_out_is_seen() {
        let table: [(&[&str], bool); 12] = [
            (&[], true),
            (&["--test-threads", "8", "--nocapture"], true),
            (&["--test-threads=8"], true),
            (&["rest::"], true),
            (&["one", "two"], true),
            (&["one"], false),
            (&["openbao::"], false),
            (&["--exact", "rest::one", "rest::two"], true),
            (&["rest::one", "--exact"], false),
            (&["--skip", "two"], false),
            (&["--skip=two"], false),
            (&["--skip", "openbao"], true),
        ];
        for (arguments, expected) in table {
            let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
            let names = ["rest::one", "rest::two"].map(str::to_owned).into_iter();
            assert_eq!(are_selected(&arguments, names), expected, "{arguments:?}");
        }
    }
}
