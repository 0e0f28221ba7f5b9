//! `manual`: shell completions and manual pages, made from the command line itself so that they
//! cannot drift. For whoever packages this program.

use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Subcommand};
use clap_complete::Shell;
use serde_json::json;

use super::CommandLine;
use crate::{error::Failure, output::Answer};

/// What to write.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write a manual page for each command
    Pages {
        /// The folder to write them to; it must exist
        folder: PathBuf,
    },
}

/// Prints or writes.
pub(crate) fn run(command: &Command) -> Result<Answer, Failure> {
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut CommandLine::command(), "acme-officer", &mut script);
            let script = String::from_utf8_lossy(&script).into_owned();
            Ok(Answer::new(script.clone(), json!({"shell": shell.to_string(), "script": script})))
        }
        Command::Pages { folder } => pages(folder),
    }
}

fn pages(folder: &Path) -> Result<Answer, Failure> {
    clap_mangen::generate_to(CommandLine::command(), folder)
        .map_err(|error| Failure::File(format!("{}: {error}", folder.display())))?;
    let text = format!("manual pages are in {}", folder.display());
    Ok(Answer::new(text, json!({"folder": folder.display().to_string()})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_know_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let script = run(&Command::Completions { shell }).unwrap().text;
            assert!(script.contains("registrations") && script.contains("rotate-secret"), "{shell}");
        }
    }

    #[test]
    fn there_is_a_manual_page_for_every_command() {
        let folder = std::env::temp_dir().join(format!("acme-officer-pages-{}", std::process::id()));
        assert_eq!(pages(&folder).unwrap_err().exit_code(), 3);
        std::fs::create_dir_all(&folder).unwrap();
        let _ = pages(&folder).unwrap();
        for page in ["acme-officer.1", "acme-officer-registrations-create.1", "acme-officer-audit.1"] {
            assert!(folder.join(page).is_file(), "{page}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
