//! `config/gateway.toml` explains itself: every setting has a comment above it, or above the group it stands in
//! (settings that follow one another without an empty line). And the reference made of it is up to date.

use super::{Finding, tree::TextFile};
use crate::settings_reference::{REFERENCE, SOURCES, reference};

/// Finds settings without a comment.
pub(crate) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut explained = false;
    let mut in_list = false;
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if in_list {
            in_list = !line.ends_with(']');
        } else if line.starts_with('#') {
            explained = true;
        } else if line.is_empty() || line.starts_with('[') {
            explained = false;
        } else {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            in_list = value.trim_start().starts_with('[') && !value.contains(']');
            if !explained {
                let rule = format!("the setting {} has no comment above it or above its group", name.trim());
                findings.push(Finding::new(path, number, rule));
            }
        }
    }
    findings
}

/// Finds a reference of settings that is older than the settings.
pub(crate) fn check_reference(files: &[TextFile]) -> Option<Finding> {
    let text = |path: &str| files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str());
    let made = reference(SOURCES.into_iter().map(|(program, path)| (program, text(path))));
    let rule = "this is not what config/ says now: run `cargo xtask settings`";
    (text(REFERENCE) != made).then(|| Finding::new(REFERENCE, 1, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unexplained(text: &str) -> Vec<usize> {
        check("config/gateway.toml", text).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_reference_that_is_older_than_the_settings_is_found() {
        let file = |path: &str, text: &str| TextFile { path: path.to_owned(), text: text.to_owned() };
        let toml = "[a]\n# b\nb = 1\n";
        let made = reference(SOURCES.into_iter().map(|(program, _)| (program, toml)));
        let mut files: Vec<TextFile> = SOURCES.iter().map(|(_, path)| file(path, toml)).collect();
        files.push(file(REFERENCE, &made));
        assert_eq!(check_reference(&files), None);
        files[0].text = toml.replace('1', "2");
        assert_eq!(check_reference(&files).unwrap().path, REFERENCE);
    }

    #[test]
    fn a_setting_without_a_comment_is_found() {
        assert_eq!(unexplained("[a]\nb = 1\n# c\nc = 2\n\nd = 3\n"), [2, 6]);
        assert_eq!(unexplained("# about the table\n[a]\nb = 1\n"), [3]);
    }

    #[test]
    fn a_group_shares_its_comment_and_lists_may_have_lines() {
        assert_eq!(unexplained("[a]\n# all three\nb = 1\nc = [\n  \"x\",\n]\nd = [\"y\"]\n"), Vec::<usize>::new());
    }
}
