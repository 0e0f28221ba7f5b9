//! `config/gateway.toml` explains itself: every setting has a comment above it, or above the group it stands in
//! (settings that follow one another without an empty line).

use super::Finding;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn unexplained(text: &str) -> Vec<usize> {
        check("config/gateway.toml", text).into_iter().map(|finding| finding.line).collect()
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
