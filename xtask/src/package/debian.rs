//! Debian packages, by cargo-deb, from what `[package.metadata.deb]` of a crate lists.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::Source;
use crate::{commands::run, registries};

const CARGO_DEB: &str = "3.8.0";

/// Packs what was built. `revision` is the last part of the package's version.
pub(super) fn make(source: &Source, package: &str, out: &Path, revision: &str) -> anyhow::Result<PathBuf> {
    let cargo_deb = registries::cargo_tool("cargo-deb", CARGO_DEB)?;
    let version = format!("{}-{revision}", source.version()?);
    // The programs keep the names of their functions: a report of a panic has them.
    let said = run(std::process::Command::new(cargo_deb)
        .args(["--no-build", "--no-strip", "--package", package, "--deb-version", &version, "--output"])
        .arg(out)
        .current_dir(&source.folder)
        .env("CARGO_TARGET_DIR", &source.target)
        .env("SOURCE_DATE_EPOCH", &source.time))?;
    let file = said.lines().last().map(|line| PathBuf::from(line.trim())).context("cargo-deb names no package")?;
    ensure!(file.is_file(), "cargo-deb made no package: {said}");
    Ok(file)
}
