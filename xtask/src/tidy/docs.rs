//! Documents: those that must exist, and links that must lead somewhere.

use super::{Finding, tree::Tree};

/// Documents that readers are sent to.
const REQUIRED: [&str; 3] = ["CHANGELOG.md", "docs/ARCHITECTURE.md", "docs/GLOSSARY.md"];

/// Finds documents that are missing.
pub(crate) fn check_required(tree: &Tree) -> Vec<Finding> {
    let missing = REQUIRED.iter().filter(|path| !tree.has(path));
    missing.map(|path| Finding::new(path, 1, "this document must exist")).collect()
}

/// Finds links of a Markdown file that lead nowhere in the repository. Links to other sites are not followed.
pub(crate) fn check_links(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, target) in links(text) {
        let file = target.split(['#', '?']).next().unwrap_or_default();
        let outside = target.contains("://") || target.starts_with("mailto:");
        if !outside && !file.is_empty() && !tree.leads_somewhere(path, &file.replace("%20", " ")) {
            findings.push(Finding::new(path, number, format!("the link to {target} leads nowhere")));
        }
    }
    findings
}

/// Where the links of a Markdown file lead, each with the number of its line.
pub(crate) fn links(text: &str) -> impl Iterator<Item = (usize, String)> {
    let lines = without_blocks(text);
    lines.flat_map(|(number, line)| targets(&without_code(line)).into_iter().map(move |target| (number, target)))
}

/// The lines of a Markdown file, by number, but for blocks of code.
pub(crate) fn without_blocks(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            in_code = !in_code;
            return false;
        }
        !in_code
    })
}

/// Where the links of a line lead: `[text](target)`, `[text](<target> "title")` and `[label]: target`.
fn targets(line: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for part in line.split("](").skip(1) {
        let target = match part.strip_prefix('<') {
            Some(bracketed) => bracketed.split('>').next(),
            None => part.split([')', ' ']).next(),
        };
        targets.extend(target.map(str::to_owned));
    }
    if let Some((_, target)) = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
        targets.extend(target.split_whitespace().next().map(|target| target.trim_matches(['<', '>']).to_owned()));
    }
    targets
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(text: &str) -> Vec<usize> {
        let tree = Tree::of(&["README.md", "docs/ARCHITECTURE.md", "docs/a b.md"]);
        check_links(&tree, "docs/ARCHITECTURE.md", text).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let text = "see [a](b.md)\n[c](../README.md) and [d](../CHANGELOG.md#top)\n\n[e]: missing.md\n![f](<x y.png>)";
        assert_eq!(links(text), [1, 2, 4, 5]);
    }

    #[test]
    fn links_that_lead_somewhere_and_links_to_others_are_fine() {
        let text = "[a](../README.md#b) [c](https://example.com/x) [d](#e) [f](mailto:g@example.com) [h](a%20b.md)\n\
            `[i](j.md)`\n```\n[k](l.md)\n```\n[m]: ../README.md \"title\"\n";
        assert_eq!(links(text), Vec::<usize>::new());
    }

    #[test]
    fn documents_that_are_missing_are_found() {
        let missing = check_required(&Tree::of(&["CHANGELOG.md", "docs/GLOSSARY.md"]));
        assert_eq!(missing.iter().map(|finding| finding.path.as_str()).collect::<Vec<_>>(), ["docs/ARCHITECTURE.md"]);
    }
}
