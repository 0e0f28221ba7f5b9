//! `cargo xtask deny`: what the programs are made of, held against `deny.toml` by cargo-deny.
//!
//! Known faults need the database of advisories, which is no package of a registry: who has a copy of it, a git
//! repository, names its folder. Everything else needs nothing but the lock file and the sources of the packages.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::{output::say, registries, workspace};

const VERSION: &str = "0.20.2";
/// What `deny.toml` has in place of the address of the database.
const DATABASE: &str = "https://advisories.invalid/db";

#[derive(Args)]
pub(crate) struct Options {
    /// A copy of the RustSec advisory database, a git repository; without one, known faults are not looked for
    #[arg(long, value_name = "FOLDER")]
    advisories: Option<PathBuf>,
}

/// Checks; the exit code is 1 if something may not be there.
///
/// # Errors
/// cargo-deny cannot be installed or run, or the folder of advisories is none.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    Ok(if check(options.advisories.as_deref())? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks and answers whether all is as it should be.
///
/// # Errors
/// cargo-deny cannot be installed or run, or the folder of advisories is none.
pub(crate) fn check(advisories: Option<&Path>) -> anyhow::Result<bool> {
    let program = registries::cargo_tool("cargo-deny", VERSION)?;
    let mut kept = deny(&program, &["licenses", "bans", "sources"], None)?;
    match advisories {
        Some(folder) => {
            let folder = folder.canonicalize().with_context(|| format!("{} cannot be opened", folder.display()))?;
            ensure!(
                folder.join("HEAD").exists() || folder.join(".git").exists(),
                "{} is no git repository; clone the RustSec advisory database and name that folder",
                folder.display()
            );
            kept &= deny(&program, &["advisories"], Some(&folder))?;
        }
        None => say!("known faults were not looked for: name a copy of the database with --advisories"),
    }
    Ok(kept)
}

fn deny(program: &Path, checks: &[&str], advisories: Option<&Path>) -> anyhow::Result<bool> {
    let mut command = Command::new(program);
    command.current_dir(workspace::root());
    if let Some(folder) = advisories {
        // Git takes the folder where cargo-deny names the address.
        command.env("GIT_CONFIG_COUNT", "1");
        command.env("GIT_CONFIG_KEY_0", format!("url.file://{}.insteadOf", folder.display()));
        command.env("GIT_CONFIG_VALUE_0", DATABASE);
    }
    let status = command.args(["--locked", "check"]).args(checks).status().context("cargo-deny cannot be run")?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_advisories_takes_the_place_of_the_address_in_the_rules() {
        let rules = std::fs::read_to_string(workspace::root().join("deny.toml")).unwrap();
        assert!(rules.contains(&format!("db-urls = [\"{DATABASE}\"]")), "{rules}");
    }
}
