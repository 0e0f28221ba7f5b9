//! What a check found, and how it is told to people and to programs.

use std::{fmt::Write as _, path::Path, process::ExitCode};

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
    /// What mends it; empty if nothing has to be mended.
    mend: String,
    /// The command for that, or the one that shows what has to be known first; empty if nothing has to be mended.
    run: String,
    /// It is mended in the settings, wherever they are.
    #[serde(skip)]
    is_of_settings: bool,
}

impl Finding {
    pub(super) fn fine(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, Severity::Fine, what, "", "")
    }

    pub(super) const fn is_fine(&self) -> bool {
        matches!(self.severity, Severity::Fine)
    }

    pub(super) const fn is_wrong(&self) -> bool {
        matches!(self.severity, Severity::Wrong)
    }

    /// With this command, for a shell.
    pub(super) fn run(self, command: impl Into<String>) -> Self {
        Self { run: printable(&command.into()), ..self }
    }

    /// With the command that opens the settings and judges them.
    pub(super) fn run_editor(self) -> Self {
        Self { is_of_settings: true, ..self }
    }

    /// The same, which hurts less than it seemed.
    pub(super) fn into_warning(self, breaks: &str) -> Self {
        Self { severity: Severity::Warn, breaks: breaks.to_owned(), ..self }
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
        Self { check, severity, what, breaks, mend, run: String::new(), is_of_settings: false }
    }
}

/// All findings, in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    /// Of the settings in this file.
    pub(super) fn new(mut findings: Vec<Finding>, config: &Path) -> Self {
        let file = shell(config);
        for finding in findings.iter_mut().filter(|finding| finding.is_of_settings) {
            finding.run = format!("${{EDITOR:-vi}} {file}; acme-gateway check-config --config {file}");
        }
        Self(findings)
    }

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
        for Finding { check, severity, what, breaks, mend, run, is_of_settings: _ } in &self.0 {
            let severity = match severity {
                Severity::Fine => "fine",
                Severity::NotLookedAt => "not looked at",
                Severity::Warn => "warning",
                Severity::Wrong => "WRONG",
            };
            // Writing to a String does not fail.
            let _ = writeln!(text, "{severity:<14} {check:<21} {what}");
            for (word, said) in [("breaks:", breaks), ("mend:", mend), ("run:", run)] {
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

/// A path as one word of a shell.
pub(super) fn shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-+:@".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
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
            let report = Report::new(findings, Path::new("gateway.toml"));
            assert_eq!((report.code(false), report.code(true)), codes, "{report:?}");
        }
    }

    #[test]
    fn a_finding_is_told_in_aligned_lines_that_no_terminal_obeys() {
        let findings = vec![
            Finding::fine("store", "it is there"),
            Finding::wrong("cm-connection", "it says \u{1b}[2J\nno", "everything", "set cm.url").run_editor(),
            Finding::warn("files", "old", "little", "make it new").run("touch a"),
        ];
        let report = Report::new(findings, Path::new("my gateway.toml"));
        let lines = [
            "fine           store                 it is there",
            "WRONG          cm-connection         it says ?[2J no",
            "                                     breaks: everything",
            "                                     mend:   set cm.url",
            "                                     run:    ${EDITOR:-vi} 'my gateway.toml'; acme-gateway check-config --config 'my gateway.toml'",
            "warning        files                 old",
            "                                     breaks: little",
            "                                     mend:   make it new",
            "                                     run:    touch a",
            "1 wrong, 1 to be warned of, 0 not looked at",
        ];
        assert_eq!(report.to_text().lines().collect::<Vec<_>>(), lines);
        assert_eq!(report.to_json()["findings"][1]["mend"], "set cm.url");
        assert_eq!(report.to_json()["findings"][2]["run"], "touch a");
        assert_eq!(report.to_json()["findings"][0]["severity"], "fine");
    }

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, word) in [("/etc/a-b.toml", "/etc/a-b.toml"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("", "''")] {
            assert_eq!(shell(Path::new(path)), word);
        }
    }
}
