//! `manual`: shell completions and manual pages, made from the command line itself so that they cannot drift. For whoever
//! packages this program.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{CommandFactory as _, Subcommand};
use clap_complete::Shell;

use super::CommandLine;

/// What to write.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Write a manual page for each command.
    Pages {
        /// The folder to write them to; it must exist.
        folder: PathBuf,
    },
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Completions { shell } => {
            io::stdout().write_all(&completions(*shell)).context("the completions cannot be written")
        }
        Command::Pages { folder } => pages(folder),
    }
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "acme-gateway", &mut script);
    script
}

fn pages(folder: &Path) -> anyhow::Result<()> {
    clap_mangen::generate_to(CommandLine::command(), folder)
        .with_context(|| format!("manual pages cannot be written to {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_know_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let script = String::from_utf8(completions(shell)).unwrap();
            assert!(script.contains("check-config") && script.contains("doctor"), "{shell}");
        }
    }

    #[test]
    fn there_is_a_manual_page_for_every_command() {
        let folder = std::env::temp_dir().join(format!("acme-gateway-pages-{}", std::process::id()));
        assert!(pages(&folder).is_err());
        std::fs::create_dir_all(&folder).unwrap();
        pages(&folder).unwrap();
        for page in ["acme-gateway.1", "acme-gateway-serve.1", "acme-gateway-profile-resume.1"] {
            assert!(folder.join(page).is_file(), "{page}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
