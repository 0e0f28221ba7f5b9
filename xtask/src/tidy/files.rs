//! Shape of Rust files: size, module comment, and nothing left over from work in progress.

use super::{Finding, code};

/// Most lines of a file of the product, its tests included. The aim is 200.
const PRODUCT_LINES_MAX: usize = 500;
/// Most lines of a file that is nothing but tests.
const TEST_LINES_MAX: usize = 800;

/// Files that may be longer, each with the reason.
const LONGER: [(&str, usize, &str); 0] = [];

/// Finds files that are more than one idea.
pub(crate) fn check_size(path: &str, text: &str) -> Option<Finding> {
    let usual = if is_test(path) { TEST_LINES_MAX } else { PRODUCT_LINES_MAX };
    let max = LONGER.iter().find(|(longer, _, _)| *longer == path).map_or(usual, |(_, max, _)| *max);
    let lines = text.lines().count();
    (lines > max).then(|| {
        Finding::new(path, max.saturating_add(1), format!("{lines} lines, at most {max}: a file is one idea, split it"))
    })
}

/// Finds files that do not say what they are.
pub(crate) fn check_module_comment(path: &str, text: &str) -> Option<Finding> {
    let said =
        text.lines().next().and_then(|line| line.strip_prefix("//!")).is_some_and(|words| words.trim().len() > 2);
    (!said).then(|| Finding::new(path, 1, "a file begins with a //! comment: what it is, what it is not"))
}

/// Finds what may not stay in code: tests that are skipped, code that is not written or not used.
pub(crate) fn check_leftovers(path: &str, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for word in ["todo", "unimplemented"] {
        let calls = code::occurrences(code, word).filter(|(_, _, after)| after.starts_with('!'));
        findings.extend(calls.map(|(line, _, _)| Finding::new(path, line, format!("{word}! is no code: write it"))));
    }
    let skipped = code::occurrences(code, "ignore").filter(|(_, before, after)| {
        let attribute =
            before.rfind("#[").is_some_and(|start| before.get(start..).is_some_and(|rest| !rest.contains(']')));
        attribute && after.trim_start().starts_with([']', '=', ')', ','])
    });
    findings
        .extend(skipped.map(|(line, _, _)| {
            Finding::new(path, line, "a test that is skipped proves nothing: run it or remove it")
        }));
    let unused = code::occurrences(code, "dead_code");
    findings.extend(unused.map(|(line, _, _)| Finding::new(path, line, "unused code is removed, not allowed")));
    findings
}

/// Whether a file holds tests only.
fn is_test(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    parts.iter().any(|part| matches!(*part, "tests" | "testing" | "benches" | "fuzz"))
        || name == "tests.rs"
        || name.ends_with("_tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_found_and_test_files_may_be_longer() {
        let text = "line\n".repeat(501);
        assert_eq!(check_size("acme/src/order.rs", &text).unwrap().line, 501);
        assert_eq!(check_size("acme/src/order.rs", &"line\n".repeat(500)), None);
        for path in ["tests/it/order.rs", "acme/src/order/tests.rs", "acme/tests/it.rs"] {
            assert_eq!(check_size(path, &text), None, "{path}");
            assert!(check_size(path, &"line\n".repeat(801)).is_some(), "{path}");
        }
    }

    #[test]
    fn a_file_without_a_module_comment_is_found() {
        assert_eq!(check_module_comment("a.rs", "//! Orders.\nuse std::fmt;"), None);
        for text in ["", "\n//! Orders.", "use std::fmt;\n", "//!\n", "// Orders.\n"] {
            assert!(check_module_comment("a.rs", text).is_some(), "{text:?}");
        }
    }

    fn leftovers(text: &str) -> usize {
        check_leftovers("a.rs", &code::only(text)).len()
    }

    #[test]
    fn leftovers_are_found() {
        for text in [
            "fn a() { todo!() }",
            "fn a() { unimplemented!(\"later\") }",
            "#[ignore]",
            "#[ignore = \"slow\"]",
            "#[cfg_attr(miri, ignore)]",
            "#[test] #[ignore] fn a() {}",
            "#![allow(dead_code)]",
            "#[expect(unused, dead_code, reason = \"\")]",
        ] {
            assert_eq!(leftovers(text), 1, "{text}");
        }
    }

    #[test]
    fn words_that_only_look_like_leftovers_are_fine() {
        for text in ["// todo!()", "let a = \"#[ignore]\";", "fn ignore() {}", "#[a] ignore(b, c)", "todo_list"] {
            assert_eq!(leftovers(text), 0, "{text}");
        }
    }

    #[test]
    fn every_exception_has_a_reason() {
        assert!(LONGER.iter().all(|(path, max, why)| path.ends_with(".rs") && *max < 2_000 && why.len() > 20));
    }
}
