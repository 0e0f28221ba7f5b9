//! What a check found, and how it is told to people and to programs.

use std::{fmt::Write as _, process::ExitCode};

use serde::Serialize;
use serde_json::{Value, json};

/// How bad it is. The words are those of the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Severity {
    /// As it should be.
    Fine,
    /// It was not looked at, and `what` says why.
    NotLookedAt,
    /// It works, and will not always, or not for everybody.
    Warn,
    /// Something does not work.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Which check this is; stable.
    check: &'static str,
    severity: Severity,
    /// What is so.
    what: String,
    /// What does not work because of it; empty if nothing.
    breaks: String,
    /// What mends it, a command where there is one; empty if nothing has to be mended.
    mend: String,
}

impl Finding {
    pub(super) fn fine(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, Severity::Fine, what, "", "")
    }

    pub(super) const fn is_fine(&self) -> bool {
        matches!(self.severity, Severity::Fine)
    }

    pub(super) fn not_looked_at(check: &'static str, why: impl Into<String>) -> Self {
        Self::new(check, Severity::NotLookedAt, why, "", "")
    }

    pub(super) fn warn(
        check: &'static str,
        what: impl Into<String>,
        breaks: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::new(check, Severity::Warn, what, breaks, mend)
    }

    pub(super) fn wrong(
        check: &'static str,
        what: impl Into<String>,
        breaks: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::new(check, Severity::Wrong, what, breaks, mend)
    }

    fn new(
        check: &'static str,
        severity: Severity,
        what: impl Into<String>,
        breaks: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let [what, breaks, mend] = [what.into(), breaks.into(), mend.into()].map(|text| printable(&text));
        Self { check, severity, what, breaks, mend }
    }
}

/// All findings, in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct Report(pub(super) Vec<Finding>);

impl Report {
    /// 2 if something is wrong, 1 if something is worth a warning and warnings count, else 0.
    pub(super) fn exit_code(&self, strict: bool) -> ExitCode {
        ExitCode::from(self.code(strict))
    }

    fn code(&self, strict: bool) -> u8 {
        let is_any = |severity| self.0.iter().any(|finding| finding.severity == severity);
        if is_any(Severity::Wrong) { 2 } else { u8::from(strict && is_any(Severity::Warn)) }
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "version": 1,
            "wrong": self.count(Severity::Wrong),
            "warnings": self.count(Severity::Warn),
            "notLookedAt": self.count(Severity::NotLookedAt),
            "findings": self.0,
        })
    }

    /// For people: one finding below the other, what it breaks and what mends it below it.
    pub(super) fn to_text(&self) -> String {
        const INDENT: usize = 37;
        let mut text = String::new();
        for Finding { check, severity, what, breaks, mend } in &self.0 {
            let severity = match severity {
                Severity::Fine => "fine",
                Severity::NotLookedAt => "not looked at",
                Severity::Warn => "warning",
                Severity::Wrong => "WRONG",
            };
            // Writing to a String does not fail.
            let _ = writeln!(text, "{severity:<14} {check:<21} {what}");
            for (word, said) in [("breaks:", breaks), ("mend:", mend)] {
                if !said.is_empty() {
                    let _ = writeln!(text, "{:INDENT$}{word:<7} {said}", "");
                }
            }
        }
        let (wrong, warnings) = (self.count(Severity::Wrong), self.count(Severity::Warn));
        let _ = write!(
            text,
            "{wrong} wrong, {warnings} to be warned of, {} not looked at",
            self.count(Severity::NotLookedAt)
        );
        text
    }

    fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// In one line, without anything that a terminal would obey: much of it was said by others.
fn printable(text: &str) -> String {
    let shown = |character: char| match character {
        '\n' | '\t' => ' ',
        other if other.is_control() => '?',
        other => other,
    };
    text.trim().chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_counts_for_the_exit_code_and_warnings_do_only_if_asked_for() {
        let fine = || Finding::fine("store", "it is there");
        let unseen = || Finding::not_looked_at("clock", "the CM is away");
        let warn = || Finding::warn("store", "little space", "orders", "make space");
        let wrong = || Finding::wrong("store", "no space", "orders", "make space");
        for (findings, codes) in [
            (vec![], (0, 0)),
            (vec![fine(), unseen()], (0, 0)),
            (vec![warn(), fine()], (0, 1)),
            (vec![wrong(), warn()], (2, 2)),
        ] {
            let report = Report(findings);
            assert_eq!((report.code(false), report.code(true)), codes, "{report:?}");
        }
    }

    #[test]
    fn a_finding_is_told_in_aligned_lines_that_no_terminal_obeys() {
        let report = Report(vec![
            Finding::fine("store", "it is there"),
            Finding::wrong("cm-connection", "it says \u{1b}[2J\nno", "everything", "run: true"),
        ]);
        let lines = [
            "fine           store                 it is there",
            "WRONG          cm-connection         it says ?[2J no",
            "                                     breaks: everything",
            "                                     mend:   run: true",
            "1 wrong, 0 to be warned of, 0 not looked at",
        ];
        assert_eq!(report.to_text().lines().collect::<Vec<_>>(), lines);
        assert_eq!(report.to_json()["findings"][1]["mend"], "run: true");
        assert_eq!(report.to_json()["findings"][0]["severity"], "fine");
    }
}
