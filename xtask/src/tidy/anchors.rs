//! Links to a heading: it must be there, written as the sites that show Markdown write it.

use std::collections::BTreeSet;

use super::{Finding, docs, tree::Tree};

/// Finds links whose file is there, but not the heading. Files that are no Markdown have no headings, and lines of
/// code are not looked for.
pub(crate) fn check(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, target) in docs::links(text) {
        let Some((file, anchor)) = target.split_once('#') else { continue };
        if target.contains("://") {
            continue;
        }
        let there = if file.is_empty() {
            Some(text)
        } else {
            let file = tree.resolve(path, file).filter(|file| file.ends_with(".md"));
            file.and_then(|file| tree.text(&file))
        };
        if there.is_some_and(|there| !anchors(there).contains(anchor)) {
            findings.push(Finding::new(path, number, format!("no heading makes the anchor of {target}")));
        }
    }
    findings
}

/// The anchors of all headings. The second heading of the same name ends in `-1`, and so on.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in docs::without_blocks(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor = anchor_of(heading.trim());
        let mut again = (1_u32..).map(|count| format!("{anchor}-{count}"));
        let free = if anchors.contains(&anchor) { again.find(|name| !anchors.contains(name)) } else { Some(anchor) };
        anchors.extend(free);
    }
    anchors
}

/// Small letters, digits, hyphens and underscores stay, spaces become hyphens, all else goes.
fn anchor_of(heading: &str) -> String {
    let kept = heading.chars().flat_map(char::to_lowercase);
    kept.filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then_some(letter),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let other = "# Other\n\n## Why, and how: `a` is b's\n## Twice\n## Twice\n```\n# no heading\n```\n";
        let tree = Tree::with_texts(&[("docs/other.md", other), ("src/main.rs", "fn main() {}\n")]);
        check(&tree, "docs/this.md", text).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn headings_that_are_not_there_are_found() {
        let text = "# This\n[a](other.md#why)\n[b](#that)\n[c](other.md#no-heading)\n[d](other.md#twice-2)\n";
        assert_eq!(lines(text), [2, 3, 4, 5]);
    }

    #[test]
    fn headings_that_are_there_and_other_links_are_fine() {
        let text = "# This\n[a](other.md#why-and-how-a-is-bs) [b](#this) [c](other.md#twice) [d](other.md#twice-1)\n\
            [e](../src/main.rs#L1) [f](https://example.com/#x) [g](missing.md#x)\n```\n[h](#not)\n```\n`[i](#not)`\n";
        assert_eq!(lines(text), Vec::<usize>::new());
    }
}
