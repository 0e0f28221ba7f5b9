//! `cargo xtask settings`: writes `docs/SETTINGS.md`, the reference of all settings, from the files that are compiled into
//! the programs. `cargo xtask tidy` compares, so that the reference is never older than the settings.

use std::{fmt::Write as _, fs, process::ExitCode};

use anyhow::Context as _;

use crate::{output::say, workspace};

/// Where it stands.
pub(crate) const REFERENCE: &str = "docs/SETTINGS.md";
/// What it is made from: the programs and their files.
pub(crate) const SOURCES: [(&str, &str); 2] =
    [("acme-gateway", "config/gateway.toml"), ("acme-officer", "config/officer.toml")];

const HEAD: &str = "# Settings

Every setting with its default and what it means. This file is made by `cargo xtask settings` from
[`config/gateway.toml`](../config/gateway.toml) and [`config/officer.toml`](../config/officer.toml), which are compiled into the programs.
Which settings a running gateway takes on SIGHUP, and which wait for a restart: [OPERATIONS.md](OPERATIONS.md#renewed-certificates-changed-settings-stopping).
";

/// Writes the reference.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let root = workspace::root();
    let read = |(program, path): (&'static str, &'static str)| {
        let text = fs::read_to_string(root.join(path)).with_context(|| format!("{path} cannot be read"))?;
        anyhow::Ok((program, text))
    };
    let sources = SOURCES.into_iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let text = reference(sources.iter().map(|(program, text)| (*program, text.as_str())));
    fs::write(root.join(REFERENCE), text).with_context(|| format!("{REFERENCE} cannot be written"))?;
    say!("{REFERENCE} is written");
    Ok(ExitCode::SUCCESS)
}

/// The reference of these programs by the text of their settings.
pub(crate) fn reference<'a>(programs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from(HEAD);
    for (program, text) in programs {
        let _ = write!(out, "\n## {program}\n");
        add(&mut out, text);
    }
    out
}

/// What has been read and not yet written: a comment, and the settings below it.
#[derive(Default)]
struct Group<'a> {
    comment: Vec<&'a str>,
    settings: Vec<String>,
}

impl Group<'_> {
    /// Writes it, if there is anything, and begins anew.
    fn end(&mut self, out: &mut String) {
        if !self.settings.is_empty() {
            let _ = write!(out, "\n{}", self.settings.join("  \n"));
        }
        if !self.comment.is_empty() {
            let between = if self.settings.is_empty() { "\n" } else { "  \n" };
            let _ = write!(out, "{between}{}", prose(&self.comment));
        }
        if !self.settings.is_empty() || !self.comment.is_empty() {
            out.push('\n');
        }
        *self = Self::default();
    }
}

fn add(out: &mut String, text: &str) {
    let (mut table, mut group) = (String::new(), Group::default());
    // Of a list that goes on over lines: its name and what there is of it.
    let mut list: Option<(String, String)> = None;
    for line in text.lines().map(str::trim) {
        if let Some((name, mut value)) = list.take() {
            value.push_str(line);
            if line.ends_with(']') {
                group.settings.push(setting(&table, &name, &value));
            } else {
                list = Some((name, value));
            }
        } else if let Some(comment) = line.strip_prefix('#') {
            if !group.settings.is_empty() {
                group.end(out);
            }
            group.comment.push(comment);
        } else if line.is_empty() {
            group.end(out);
        } else if let Some(name) = line.strip_prefix('[') {
            // What stands right above a table is about all of it.
            let about = std::mem::take(&mut group.comment);
            name.trim_end_matches(']').clone_into(&mut table);
            let _ = write!(out, "\n### [{table}]\n");
            group.comment = about;
            group.end(out);
        } else {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            if value.starts_with('[') && !value.ends_with(']') {
                list = Some((name, value));
            } else {
                group.settings.push(setting(&table, &name, &value));
            }
        }
    }
    group.end(out);
}

fn setting(table: &str, name: &str, default: &str) -> String {
    format!("**`{table}.{name}`** = `{default}`")
}

/// A comment as text; what is indented in it stays as it is.
fn prose(comment: &[&str]) -> String {
    let mut out = String::new();
    let mut is_code = false;
    for line in comment {
        let indented = line.starts_with("   ");
        let words = line.trim_start();
        if indented != is_code && !words.is_empty() {
            out.push_str(if is_code { "\n```\n" } else { "\n\n```text" });
            is_code = indented;
            if !indented {
                out.push_str(words);
                continue;
            }
        }
        if is_code {
            if !words.is_empty() {
                let _ = write!(out, "\n{}", line.get(3..).unwrap_or_default());
            }
        } else if words.is_empty() {
            continue;
        } else {
            let space = if out.is_empty() { "" } else { " " };
            let _ = write!(out, "{space}{words}");
        }
    }
    if is_code {
        out.push_str("\n```");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_told_with_its_default_and_what_stands_above_it() {
        let toml = "# About all.\n#\n#   as code\n\n# Of the table.\n[a.b]\n# One.\n# And more.\none = 1\n# Both.\ntwo = \"x\"\nthree = [\n  \"y\",\n]\n\n# Last:\n#   word  meaning\nfour = []\n";
        let made = reference([("program", toml)].into_iter());
        let expected = "\n## program\n\nAbout all.\n\n```text\nas code\n```\n\n### [a.b]\n\nOf the table.\n\n**`a.b.one`** = `1`  \nOne. And more.\n\n\
            **`a.b.two`** = `\"x\"`  \n**`a.b.three`** = `[\"y\",]`  \nBoth.\n\n**`a.b.four`** = `[]`  \nLast:\n\n```text\nword  meaning\n```\n";
        assert_eq!(made.strip_prefix(HEAD).unwrap(), expected);
    }
}
