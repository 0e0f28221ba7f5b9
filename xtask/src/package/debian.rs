//! Debian packages, by cargo-deb, from what `[package.metadata.deb]` of a crate lists.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use super::Source;
use crate::{commands::run, registries};

const CARGO_DEB: &str = "3.8.0";
/// As the crates' lists have it.
const MAINTAINER: &str = "The acme-gateway developers <acme-gateway@localhost>";

/// Packs what was built: a program and its crate. `revision` is the last part of the package's version.
pub(super) fn make(
    source: &Source,
    (program, package): (&str, &str),
    out: &Path,
    revision: &str,
) -> anyhow::Result<PathBuf> {
    let cargo_deb = registries::cargo_tool("cargo-deb", CARGO_DEB)?;
    let version = format!("{}-{revision}", source.version()?);
    changelogs(source, program, &version)?;
    // The programs keep the names of their functions: a report of a panic has them.
    let said = run(Command::new(cargo_deb)
        .args(["--no-build", "--no-strip", "--package", package, "--deb-version", &version, "--output"])
        .arg(out)
        .current_dir(&source.folder)
        .env("CARGO_TARGET_DIR", &source.target)
        .env("SOURCE_DATE_EPOCH", &source.time))?;
    let file = said.lines().last().map(|line| PathBuf::from(line.trim())).context("cargo-deb names no package")?;
    ensure!(file.is_file(), "cargo-deb made no package: {said}");
    Ok(file)
}

/// Writes what Debian expects beside a program: the package's own list of changes in Debian's form, and ours for operators.
fn changelogs(source: &Source, program: &str, version: &str) -> anyhow::Result<()> {
    let folder = source.manual(program);
    let date = run(Command::new("date")
        .args(["--utc", "--rfc-email", &format!("--date=@{}", source.time)])
        .env("LC_ALL", "C"))?;
    let ours = fs::read_to_string(source.folder.join("CHANGELOG.md")).context("CHANGELOG.md cannot be read")?;
    let packaged = changelog(program, version, &source.commit, date.trim());
    for (name, text) in [("changelog.Debian", packaged), ("changelog", ours)] {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        run(Command::new("gzip").args(["--best", "--no-name", "--force"]).arg(file))?;
    }
    Ok(())
}

fn changelog(program: &str, version: &str, commit: &str, date: &str) -> String {
    format!(
        "{program} ({version}) stable; urgency=medium\n\n  * Made of commit {commit}. What changed for operators:\n    \
         /usr/share/doc/{program}/changelog.gz\n\n -- {MAINTAINER}  {date}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn the_list_of_changes_is_in_the_form_that_dpkg_reads() {
        let text = changelog("acme-gateway", "1.2.3-4", "0123456789ab", "Sun, 22 Nov 2026 18:00:00 +0000");
        assert_eq!(
            text,
            "acme-gateway (1.2.3-4) stable; urgency=medium\n\n  * Made of commit 0123456789ab. What changed for operators:\n    \
             /usr/share/doc/acme-gateway/changelog.gz\n\n -- The acme-gateway developers <acme-gateway@localhost>  Sun, 22 \
             Nov 2026 18:00:00 +0000\n"
        );
    }

    #[test]
    fn packages_and_their_lists_of_changes_have_one_maintainer() {
        for package in ["gateway", "officer"] {
            let text = fs::read_to_string(workspace::root().join(package).join("Cargo.toml")).unwrap();
            assert!(text.contains(&format!("maintainer = \"{MAINTAINER}\"")), "{package}");
        }
    }

    #[test]
    fn files_that_the_documents_send_readers_to_are_packaged() {
        let text = fs::read_to_string(workspace::root().join("gateway/Cargo.toml")).unwrap();
        for file in ["SECURITY.md", "config/gateway.toml", "deploy/openbao/prepare", "docs/cm-api.yaml"] {
            assert!(workspace::root().join(file).is_file(), "{file}");
            assert!(text.contains(&format!("[\"../{file}\", ")), "{file}");
        }
    }
}
