//! `cargo xtask tidy`: the rules of the house that no compiler checks. Each is a small function from text to
//! findings, with a test that shows it catching a bad sample.

mod alerts;
mod anchors;
mod code;
mod conformance;
mod directions;
mod docs;
mod doors;
mod files;
mod locked;
mod settings;
mod tree;
mod troubleshoot;
mod words;

use std::{fmt, process::ExitCode};

use crate::{output::say, workspace};
use tree::Tree;

/// A place where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    /// What is wrong, and what to do.
    rule: String,
}

impl Finding {
    fn new(path: &str, line: usize, rule: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule: rule.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// Checks and says what was found.
///
/// # Errors
/// The repository cannot be read.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    Ok(if check_and_say()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks, says what was found, and answers whether nothing was.
///
/// # Errors
/// The repository cannot be read.
pub(crate) fn check_and_say() -> anyhow::Result<bool> {
    let tree = Tree::read(&workspace::root())?;
    let findings = findings(&tree, &workspace::metadata()?);
    for finding in &findings {
        say!("{finding}");
    }
    let files = tree.files().len();
    match findings.len() {
        0 => say!("tidy: {files} files, nothing to say"),
        found => say!("tidy: {files} files, {found} places where a rule of the house is broken"),
    }
    Ok(findings.is_empty())
}

fn findings(tree: &Tree, metadata: &serde_json::Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let crates = directions::crates(metadata);
    findings.extend(directions::check(&crates));
    findings.extend(doors::check_manifests(&crates));
    findings.extend(docs::check_required(tree));
    findings.extend(alerts::check(tree));
    findings.extend(troubleshoot::check(tree));
    findings.extend(conformance::check(tree.files()));
    findings.extend(settings::check_reference(tree.files()));
    for file in tree.files() {
        let (path, text) = (file.path.as_str(), file.text.as_str());
        findings.extend(words::check(path, text));
        if path.ends_with(".rs") {
            let code = code::only(text);
            findings.extend(doors::check_source(path, &code));
            findings.extend(files::check_size(path, text));
            findings.extend(files::check_module_comment(path, text));
            findings.extend(files::check_leftovers(path, &code));
        } else if path.ends_with(".md") {
            findings.extend(docs::check_links(tree, path, text));
            findings.extend(anchors::check(tree, path, text));
        } else if path == "config/gateway.toml" {
            findings.extend(settings::check(path, text));
        } else if path == "Cargo.lock" {
            findings.extend(locked::check(path, text));
        }
    }
    findings.sort();
    findings
}
