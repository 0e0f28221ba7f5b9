//! What the tests need from the machine beyond Rust, and how it gets there on Debian.
//!
//! A need is met by what is found, not by a package's name: on other systems the same programs will do.

use std::{
    env,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use crate::{output::say, workspace};

/// How it is found out whether a package, or something as good, is there.
enum Probe {
    /// A program on the path.
    Program(&'static str),
    /// A library with headers that pkg-config knows.
    Library(&'static str),
}

/// A package of Debian 12.
struct Package {
    name: &'static str,
    probe: Probe,
    why: &'static str,
}

const PACKAGES: [Package; 6] = [
    Package { name: "pkg-config", probe: Probe::Program("pkg-config"), why: "finds the OpenSSL headers" },
    Package { name: "libssl-dev", probe: Probe::Library("openssl"), why: "josekit builds on OpenSSL" },
    Package { name: "openssl", probe: Probe::Program("openssl"), why: "verifies issued chains in scenarios" },
    Package { name: "curl", probe: Probe::Program("curl"), why: "clients' dns-01 hooks call the sandbox with it" },
    Package { name: "certbot", probe: Probe::Program("certbot"), why: "a real client in scenarios" },
    Package { name: "lego", probe: Probe::Program("lego"), why: "a real client in scenarios" },
];

/// Parts of the Rust toolchain that rustup's minimal profile leaves out.
const COMPONENTS: [(&str, &str); 2] = [("rustfmt", "fmt"), ("clippy", "clippy")];

/// What came of looking for the needs.
pub(crate) enum Needs {
    /// All are met.
    Met,
    /// Somebody with the rights must do this first.
    ByHand(String),
}

/// Looks for everything that the tests need and installs what is missing, if this is root on Debian.
///
/// # Errors
/// An installation was tried and failed.
pub(crate) fn ensure_for_tests() -> anyhow::Result<Needs> {
    ensure_components()?;
    let missing: Vec<&Package> = PACKAGES.iter().filter(|package| !is_met(&package.probe)).collect();
    if missing.is_empty() {
        return Ok(Needs::Met);
    }
    for package in &missing {
        say!("  missing: {:<12} {}", package.name, package.why);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let root = rustix::process::geteuid().is_root();
    if !root || !is_met(&Probe::Program("apt-get")) {
        return Ok(Needs::ByHand(by_hand(&names)));
    }
    apt_get(&["update", "-q"])?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(&names);
    apt_get(&arguments)?;
    for package in missing {
        ensure!(is_met(&package.probe), "apt-get installed {}, and still it is not found", package.name);
    }
    Ok(Needs::Met)
}

/// Whether josekit can build on the machine's own OpenSSL.
pub(crate) fn has_openssl_headers() -> bool {
    is_met(&Probe::Library("openssl"))
}

fn by_hand(names: &[&str]) -> String {
    format!(
        "The tests need software that only root can install. Run this once, or run the tests as root:\n\n  \
         sudo apt-get update && sudo apt-get install -y --no-install-recommends {}",
        names.join(" ")
    )
}

fn is_met(probe: &Probe) -> bool {
    match probe {
        Probe::Program(name) => {
            env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| is_program(&folder.join(name))))
        }
        Probe::Library(name) => Command::new("pkg-config")
            .args(["--exists", name])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success()),
    }
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    say!("  apt-get {}", arguments.join(" "));
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .context("apt-get cannot be run")?;
    ensure!(status.success(), "apt-get {} failed ({status})", arguments.join(" "));
    Ok(())
}

fn ensure_components() -> anyhow::Result<()> {
    for (component, subcommand) in COMPONENTS {
        let there = workspace::cargo()
            .args([subcommand, "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if there {
            continue;
        }
        say!("  rustup component add {component}");
        let status = Command::new("rustup")
            .args(["component", "add", component])
            .current_dir(workspace::root())
            .status()
            .with_context(|| format!("{component} is missing and rustup, which would add it, cannot be run"))?;
        ensure!(status.success(), "rustup component add {component} failed ({status})");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_on_the_path_only_if_it_may_be_run() {
        assert!(is_met(&Probe::Program("sh")));
        assert!(!is_met(&Probe::Program("no-such-program-anywhere")));
        assert!(!is_program(Path::new("/etc/passwd")));
        assert!(!is_program(Path::new("/usr/bin")));
    }

    #[test]
    fn the_advice_names_every_missing_package_in_one_command() {
        let advice = by_hand(&["certbot", "lego"]);
        assert!(advice.ends_with("apt-get install -y --no-install-recommends certbot lego"));
    }
}
