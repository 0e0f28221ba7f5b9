//! What the tests need from the machine beyond Rust, and how it gets there on Debian.
//!
//! A need is met by what is found, not by a package's name: on other systems the same programs will do.

use std::{
    env, fs,
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
    /// A file.
    File(&'static str),
    /// A command that succeeds.
    Command(&'static [&'static str]),
}

/// A package of Debian 12.
struct Package {
    name: &'static str,
    probe: Probe,
    why: &'static str,
}

const PACKAGES: [Package; 26] = [
    Package { name: "pkg-config", probe: Probe::Program("pkg-config"), why: "finds the OpenSSL headers" },
    Package { name: "libssl-dev", probe: OPENSSL_HEADERS, why: "josekit builds on OpenSSL" },
    Package { name: "openssl", probe: Probe::Program("openssl"), why: "verifies issued chains in scenarios" },
    Package { name: "curl", probe: Probe::Program("curl"), why: "clients' dns-01 hooks call the sandbox with it" },
    Package {
        name: "ca-certificates",
        probe: Probe::File("/etc/ssl/certs/ca-certificates.crt"),
        why: "uacme believes this file and no other",
    },
    Package { name: "acme-tiny", probe: Probe::Program("acme-tiny"), why: A_CLIENT },
    Package { name: "acmetool", probe: Probe::Program("acmetool"), why: A_CLIENT },
    Package {
        name: "apache2",
        probe: Probe::File("/usr/sbin/apache2"),
        why: "a real client by its mod_md, and a server for certbot",
    },
    Package { name: "caddy", probe: Probe::Program("caddy"), why: A_CLIENT },
    Package { name: "certbot", probe: Probe::Program("certbot"), why: A_CLIENT },
    Package {
        name: "python3-certbot-apache",
        probe: Probe::File("/usr/lib/python3/dist-packages/certbot_apache"),
        why: "certbot's plugin for Apache",
    },
    Package {
        name: "python3-certbot-nginx",
        probe: Probe::File("/usr/lib/python3/dist-packages/certbot_nginx"),
        why: "certbot's plugin for nginx",
    },
    Package { name: "nginx", probe: Probe::File("/usr/sbin/nginx"), why: "a server for certbot" },
    Package { name: "dehydrated", probe: Probe::Program("dehydrated"), why: A_CLIENT },
    Package { name: "bsdextrautils", probe: Probe::Program("hexdump"), why: "dehydrated binds accounts with hexdump" },
    Package { name: "lego", probe: Probe::Program("lego"), why: A_CLIENT },
    Package {
        name: "ruby-acme-client",
        probe: Probe::Command(&["ruby", "-e", "require 'acme-client'"]),
        why: A_CLIENT,
    },
    Package { name: "uacme", probe: Probe::Program("uacme"), why: A_CLIENT },
    Package {
        name: "python3-venv",
        probe: Probe::Command(&["/usr/bin/python3", "-c", "import ensurepip"]),
        why: "holds the clients from PyPI",
    },
    Package {
        name: "python3-dev",
        probe: Probe::Command(&["/usr/bin/python3-config", "--includes"]),
        why: "the newest certbot's Apache plugin builds with it",
    },
    Package {
        name: "libaugeas-dev",
        probe: Probe::Command(&["pkg-config", "--exists", "augeas"]),
        why: "the newest certbot's Apache plugin builds on it",
    },
    Package { name: "chromium", probe: Probe::File("/usr/bin/chromium"), why: "shows the officer's console" },
    Package { name: "nodejs", probe: Probe::Program("node"), why: "runs the clients from npm, and the browser" },
    Package { name: "systemd", probe: Probe::Program("systemd-analyze"), why: "judges the service's unit" },
    Package { name: "npm", probe: Probe::Program("npm"), why: "installs the clients from npm" },
    Package {
        name: "prometheus",
        probe: Probe::Program("promtool"),
        why: "watches the gateway in a scripted incident",
    },
];

const A_CLIENT: &str = "a real client in scenarios";
const OPENSSL_HEADERS: Probe = Probe::Command(&["pkg-config", "--exists", "openssl"]);
/// Packages without which nothing can be built or looked at. Without another one its client's scenarios fail.
const ESSENTIAL: [&str; 4] = ["pkg-config", "libssl-dev", "openssl", "curl"];
/// Packages that bring a server, which scenarios start for themselves and the system need not.
const SERVERS: [&str; 4] = ["apache2", "caddy", "nginx", "prometheus"];
/// What Debian's packages ask whether they may start their servers.
const POLICY: &str = "/usr/sbin/policy-rc.d";

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
        say!("  missing: {:<24} {}", package.name, package.why);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let root = rustix::process::geteuid().is_root();
    if !root || !is_met(&Probe::Program("apt-get")) {
        return Ok(Needs::ByHand(by_hand(&names)));
    }
    apt_get(&["update", "-q"])?;
    if let Err(error) = install(&names) {
        say!("  {error:#}; trying one by one");
        // What still cannot be installed is found below.
        names.iter().for_each(|name| drop(install(&[name])));
    }
    for package in missing.iter().filter(|package| !is_met(&package.probe)) {
        ensure!(!ESSENTIAL.contains(&package.name), "{} could not be installed; see above", package.name);
        say!("  not installed: {}; what needs it will fail", package.name);
    }
    Ok(Needs::Met)
}

/// Looks for programs, given with Debian's packages of them, and installs what is missing, if this is root on Debian.
///
/// # Errors
/// One is missing still; the text has the command that installs them.
pub(crate) fn ensure(needs: &[(&'static str, &str)]) -> anyhow::Result<()> {
    let missing = || needs.iter().filter(|(program, _)| !is_met(&Probe::Program(program))).map(|(_, name)| *name);
    let names: Vec<&str> = missing().collect();
    if !names.is_empty() && rustix::process::geteuid().is_root() && is_met(&Probe::Program("apt-get")) {
        apt_get(&["update", "-q"])?;
        install(&names)?;
    }
    let names: Vec<&str> = missing().collect();
    ensure!(names.is_empty(), "{}", by_hand(&names));
    Ok(())
}

/// Whether josekit can build on the machine's own OpenSSL.
pub(crate) fn has_openssl_headers() -> bool {
    is_met(&OPENSSL_HEADERS)
}

fn by_hand(names: &[&str]) -> String {
    format!(
        "This needs software that only root can install. Run this once, or run it as root:\n\n  \
         sudo apt-get update && sudo apt-get install -y --no-install-recommends {}",
        names.join(" ")
    )
}

fn is_met(probe: &Probe) -> bool {
    match probe {
        Probe::Program(name) => {
            env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| is_program(&folder.join(name))))
        }
        Probe::File(path) => Path::new(path).exists(),
        Probe::Command([program, arguments @ ..]) => succeeds(Command::new(program).args(arguments)),
        Probe::Command([]) => false,
    }
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Installs packages without having their servers started, now or at the next start of the system.
fn install(names: &[&str]) -> anyhow::Result<()> {
    let policy = !Path::new(POLICY).exists();
    if policy {
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("{POLICY} cannot be written"))?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
    }
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(names);
    let installed = apt_get(&arguments);
    if policy {
        fs::remove_file(POLICY).with_context(|| format!("{POLICY} cannot be removed"))?;
    }
    for server in SERVERS.iter().filter(|server| names.contains(server)) {
        // Where there is no systemd there is nothing to be disabled.
        let _ = succeeds(Command::new("systemctl").args(["disable", "--quiet", server]));
    }
    installed
}

fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
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
    fn files_and_commands_are_needs_too() {
        assert!(is_met(&Probe::File("/bin/sh")));
        assert!(!is_met(&Probe::File("/no/such/file")));
        assert!(is_met(&Probe::Command(&["sh", "-c", "exit 0"])));
        assert!(!is_met(&Probe::Command(&["sh", "-c", "exit 1"])));
        assert!(!is_met(&Probe::Command(&["/no/such/program"])));
    }

    #[test]
    fn what_is_essential_is_among_the_packages() {
        for name in ESSENTIAL.into_iter().chain(SERVERS) {
            assert!(PACKAGES.iter().any(|package| package.name == name), "{name}");
        }
    }

    #[test]
    fn the_advice_names_every_missing_package_in_one_command() {
        let advice = by_hand(&["certbot", "lego"]);
        assert!(advice.ends_with("apt-get install -y --no-install-recommends certbot lego"));
    }
}
