//! What clients are refused with: each error type and each rule has its row in `docs/howto/troubleshoot.md`, and no row
//! is about one that is not there.

use super::{Finding, tree::Tree};

const PAGE: &str = "docs/howto/troubleshoot.md";
/// Where every error type is named, with its HTTP status.
const ERRORS: &str = "acme/src/problem.rs";
/// Where rules are named.
const RULES: &str = "policies/src/rule.rs";
/// Where details that name a rule of their own are written.
const DETAILS: &str = "gateway/src/ra/";
/// How a detail names its rule.
const BY_RULE: &str = "(rule ";
/// The tables of the page, by heading.
const ERROR_TABLE: &str = "## By error";
const RULE_TABLE: &str = "## By rule";

/// Finds error types and rules without a row, and rows about nothing.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let page = tree.text(PAGE).unwrap_or_default();
    let mut findings = Vec::new();
    let errors: Vec<Name> = named(ERRORS, tree.text(ERRORS).unwrap_or_default(), "=> (\"").collect();
    compare(&errors, "error type", page, ERROR_TABLE, &mut findings);
    let mut rules: Vec<Name> = named(RULES, tree.text(RULES).unwrap_or_default(), "=> \"").collect();
    for file in tree.files().iter().filter(|file| file.path.starts_with(DETAILS) && file.path.ends_with(".rs")) {
        rules.extend(named(&file.path, &file.text, BY_RULE).filter(|rule| rule.name.contains('.')));
    }
    compare(&rules, "rule", page, RULE_TABLE, &mut findings);
    findings
}

/// A name, and where it stands.
struct Name<'a> {
    path: &'a str,
    line: usize,
    name: &'a str,
}

/// What follows on `start` and has the letters of a name.
fn named<'a>(path: &'a str, text: &'a str, start: &'a str) -> impl Iterator<Item = Name<'a>> {
    let lines = (1..).zip(text.lines());
    lines.filter_map(move |(line, code)| {
        let (_, rest) = code.split_once(start)?;
        let name = rest.split(|letter: char| !(letter.is_ascii_alphanumeric() || "-.".contains(letter))).next()?;
        (!name.is_empty()).then_some(Name { path, line, name })
    })
}

fn compare(names: &[Name<'_>], what: &str, page: &str, table: &str, findings: &mut Vec<Finding>) {
    let rows = rows(page, table);
    if names.is_empty() || rows.is_empty() {
        findings.push(Finding::new(PAGE, 1, format!("{table}: no {what} was found in the code, or none here")));
        return;
    }
    for (index, Name { path, line, name }) in names.iter().enumerate() {
        let first = names.iter().position(|other| other.name == *name) == Some(index);
        if first && !rows.iter().any(|(_, row)| row == name) {
            findings.push(Finding::new(path, *line, format!("{PAGE} says nothing of the {what} {name}, {table}")));
        }
    }
    for (line, row) in rows {
        if !names.iter().any(|name| name.name == row) {
            findings.push(Finding::new(PAGE, line, format!("there is no {what} {row}")));
        }
    }
}

/// What stands between backticks in the first cells of a table, by line.
fn rows<'a>(page: &'a str, table: &str) -> Vec<(usize, &'a str)> {
    let lines = (1..).zip(page.lines()).skip_while(|(_, line)| *line != table).skip(1);
    let lines = lines.take_while(|(_, line)| !line.starts_with("## "));
    let cells = lines.filter_map(|(number, line)| Some((number, line.strip_prefix("| ")?.split(" | ").next()?)));
    cells.flat_map(|(number, cell)| cell.split('`').skip(1).step_by(2).map(move |name| (number, name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBLEMS: &str = "Self::Caa => (\"caa\", 403),\nSelf::NotFound => (\"malformed\", 404),\nSelf::Malformed => (\"malformed\", 400),\n";
    const NAMES: &str = "Self::CsrNames => \"csr.names\",\n";
    const DETAIL: &str =
        "let detail = \"none (rule challenge.none-offered); ask\";\nformat!(\"{what} (rule {rule})\");\n";
    const DOCUMENT: &str = "# Troubleshoot\n\n## By error\n\n| error | look at |\n|---|---|\n| `caa` | `x` |\n| `malformed` | |\n\n\
        ## By rule\n\n| rule | who |\n|---|---|\n| `challenge.none-offered`, `csr.names` | the client |\n";

    fn found(document: &str) -> Vec<String> {
        let texts = [(ERRORS, PROBLEMS), (RULES, NAMES), ("gateway/src/ra/order.rs", DETAIL), (PAGE, document)];
        check(&Tree::with_texts(&texts)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_page_that_has_them_all_is_fine() {
        assert_eq!(found(DOCUMENT), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_explained_is_found_where_it_is_named() {
        let lacks = |word: &str| found(&DOCUMENT.replace(word, "")).join("; ");
        assert_eq!(
            lacks("| `malformed` | |\n"),
            "acme/src/problem.rs:2: docs/howto/troubleshoot.md says nothing of the error type malformed, ## By error"
        );
        assert!(lacks("`csr.names`").contains("policies/src/rule.rs:1: "));
        assert!(lacks("`challenge.none-offered`").contains("gateway/src/ra/order.rs:1: "));
    }

    #[test]
    fn rows_about_nothing_and_a_page_without_tables_are_found() {
        assert_eq!(
            found(&DOCUMENT.replace("`caa`", "`caa`, `cab`")),
            ["docs/howto/troubleshoot.md:7: there is no error type cab"]
        );
        assert_eq!(found("# Troubleshoot\n").len(), 2);
    }
}
