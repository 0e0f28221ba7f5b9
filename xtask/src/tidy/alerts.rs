//! Alerts and their runbooks: each alert is explained under a heading of its own in `docs/OPERATIONS.md`, and tried both
//! ways in the tests of the rules.

use super::{Finding, tree::Tree};

const RULES: &str = "deploy/prometheus/rules.yaml";
const TESTS: &str = "deploy/prometheus/rules_test.yaml";
const RUNBOOK: &str = "docs/OPERATIONS.md";
/// How the names of all alerts begin.
const PREFIX: &str = "AcmeGateway";
/// What somebody who was woken up wants to know.
const PARTS: [&str; 3] = ["- **Means**: ", "- **Look at**: ", "- **Do**: "];

/// Finds alerts without a runbook or a test, and runbooks without an alert.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let text = |path: &str| tree.files().iter().find(|file| file.path == path).map_or("", |file| file.text.as_str());
    compare(text(RULES), text(TESTS), text(RUNBOOK))
}

fn compare(rules: &str, tests: &str, runbook: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let alerts: Vec<(usize, &str)> = named(rules, "- alert: ").collect();
    let headings: Vec<(usize, &str)> = named(runbook, &format!("### {PREFIX}")).collect();
    for (line, alert) in &alerts {
        let mut find = |what: String| findings.push(Finding::new(RULES, *line, what));
        match alert.strip_prefix(PREFIX) {
            Some(name) if headings.iter().any(|(_, heading)| *heading == name) => {}
            Some(_) => find(format!("{RUNBOOK} has no heading ### {alert}")),
            None => find(format!("the name of an alert begins with {PREFIX}")),
        }
        let link = format!("runbook: {RUNBOOK}#{}", alert.to_lowercase());
        if !rules.lines().any(|line| line.trim() == link) {
            find(format!("{alert} needs the annotation {link}"));
        }
        let tried = |raised: bool| {
            let mut lines = tests.lines().map(str::trim).zip(tests.lines().map(str::trim).skip(1));
            let name = format!("alertname: {alert}");
            lines.any(|(line, next)| line == name && (next == "exp_alerts:") == raised)
        };
        for (raised, what) in [(true, "raises"), (false, "does not raise")] {
            if !tried(raised) {
                find(format!("{TESTS} has no history that {what} {alert}"));
            }
        }
    }
    for (line, heading) in headings {
        let alert = format!("{PREFIX}{heading}");
        if !alerts.iter().any(|(_, name)| *name == alert) {
            findings.push(Finding::new(RUNBOOK, line, format!("there is no alert {alert} in {RULES}")));
        }
        let section = runbook.lines().skip(line).take_while(|line| !line.starts_with('#'));
        let missing = PARTS.iter().find(|part| !section.clone().any(|line| line.starts_with(**part)));
        if let Some(part) = missing {
            findings.push(Finding::new(RUNBOOK, line, format!("the runbook of {alert} has no line {part}")));
        }
    }
    findings
}

/// The lines that begin so, by their number, and what follows on them.
fn named<'a>(text: &'a str, start: &str) -> impl Iterator<Item = (usize, &'a str)> {
    let lines = (1..).zip(text.lines());
    lines.filter_map(move |(number, line)| Some((number, line.trim_start().strip_prefix(start)?.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str =
        "- alert: AcmeGatewayDown\n  expr: up == 0\n  annotations:\n    runbook: docs/OPERATIONS.md#acmegatewaydown\n";
    const BOTH_WAYS: &str =
        "alertname: AcmeGatewayDown\nexp_alerts: []\nalertname: AcmeGatewayDown\nexp_alerts:\n  - exp_labels\n";
    const SECTION: &str = "### AcmeGatewayDown\n\n- **Means**: a\n- **Look at**: b\n- **Do**: c\n";

    fn found(rules: &str, tests: &str, runbook: &str) -> Vec<(String, usize)> {
        compare(rules, tests, runbook).into_iter().map(|finding| (finding.path, finding.line)).collect()
    }

    #[test]
    fn an_alert_with_a_runbook_and_a_test_of_each_kind_is_fine() {
        assert_eq!(found(RULE, BOTH_WAYS, SECTION), []);
    }

    #[test]
    fn an_alert_that_nobody_explains_links_or_tries_is_found() {
        let rules = |found: Vec<(String, usize)>| found == [(RULES.to_owned(), 1)];
        assert!(rules(found(RULE, BOTH_WAYS, "")), "no heading");
        assert!(rules(found(&RULE.replace("#acme", "#other"), BOTH_WAYS, SECTION)), "no link");
        assert!(rules(found(RULE, "alertname: AcmeGatewayDown\nexp_alerts: []\n", SECTION)), "never raised");
        assert!(rules(found(RULE, "alertname: AcmeGatewayDown\nexp_alerts:\n", SECTION)), "always raised");
    }

    #[test]
    fn a_runbook_without_an_alert_and_one_that_does_not_say_what_to_do_are_found() {
        let gone = SECTION.replace("Down", "Gone");
        assert_eq!(found(RULE, BOTH_WAYS, &format!("{SECTION}{gone}")), [(RUNBOOK.to_owned(), 6)]);
        for part in ["Means", "Look at", "Do"] {
            assert_eq!(
                found(RULE, BOTH_WAYS, &SECTION.replace(&format!("**{part}**"), "x")),
                [(RUNBOOK.to_owned(), 1)],
                "{part}"
            );
        }
    }
}
