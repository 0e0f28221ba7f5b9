//! `cargo xtask fresh`: README's two commands on a Debian that has nothing but itself, `build-essential` and the
//! toolchain of rustup, as somebody would run them who has just cloned the repository.
//!
//! What is not committed is not there. The clean Debian is made by debootstrap once and copied for each run. It gets
//! packages, crates and modules from where this machine gets them: the machine's own configuration of apt, pip, npm and cargo
//! is copied, and its certificate authorities.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};

use crate::{
    commands::run as run_command,
    deployment,
    output::{Progress, say},
    packages, workspace,
};

/// What must be there, as Debian's packages.
const NEEDS: [(&str, &str); 2] = [("debootstrap", "debootstrap"), ("systemd-nspawn", "systemd-container")];
/// What README asks for, and the certificate authorities that cargo verifies its registry by.
const INCLUDED: &str = "build-essential,ca-certificates";
/// Where the repository is in that Debian.
const CLONE: &str = "/srv/acme-gateway";
/// Files and folders that say where this machine gets software from, and whom it trusts.
const CONFIGURATION: [&str; 9] = [
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d",
    "/etc/apt/auth.conf.d",
    "/etc/apt/keyrings",
    "/etc/hosts",
    "/etc/npmrc",
    "/etc/pip.conf",
    "/usr/local/share/ca-certificates",
    "/etc/ssl/certs/ca-certificates.crt",
];
/// The same, by the names of variables, and how the names begin.
const VARIABLES: [&str; 4] = ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "RUSTUP_AUTO_INSTALL"];
const VARIABLES_BEGIN: [&str; 5] = ["PIP_", "npm_config_", "http_proxy", "https_proxy", "no_proxy"];
/// Starts the quickstart, and ends it as Ctrl-C does once it is up, which it shows by this file.
const QUICKSTART: &str = "
cargo xtask quickstart --dir Q & started=$!
while kill -0 $started 2>/dev/null && ! [ -e Q/quickstart.json ]; do sleep 1; done
[ -e Q/quickstart.json ] || { wait $started; echo 'it ended before it was up'; exit 1; }
sleep 2
kill -TERM $started
wait $started
";
const TEST: &str = "cargo xtask test";
/// Lines of a log that are shown.
const TAIL_LINES: usize = 25;

#[derive(Args)]
pub(crate) struct Options {
    /// Only this of the two commands
    #[arg(long, value_enum)]
    only: Option<Which>,
}

/// README's commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// `cargo xtask quickstart`
    Quickstart,
    /// `cargo xtask test`, which takes as long as it takes anywhere
    Test,
}

impl Which {
    const fn name(self) -> &'static str {
        match self {
            Self::Quickstart => "quickstart",
            Self::Test => "test",
        }
    }

    const fn script(self) -> &'static str {
        match self {
            Self::Quickstart => QUICKSTART,
            Self::Test => TEST,
        }
    }
}

/// Runs them. The exit code is 0 if both did what README says.
///
/// # Errors
/// The clean Debian cannot be made.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        bail!("this makes a Debian and starts programs in it, which only root may do: run it as root");
    }
    packages::ensure(&NEEDS)?;
    let progress = Progress::start();
    let folder = workspace::target().join("fresh");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let root = prepare(&folder, &progress)?;
    let mut failed = 0;
    let mut lines = Vec::new();
    let wanted =
        [Which::Quickstart, Which::Test].into_iter().filter(|which| options.only.is_none_or(|only| only == *which));
    for which in wanted {
        let log = folder.join(format!("{}.log", which.name()));
        progress.begins(format_args!("cargo xtask {}; what it says is in {}", which.name(), log.display()));
        let start = Instant::now();
        let passed = command(&root, which.script(), &log)?;
        failed += usize::from(!passed);
        let text = fs::read_to_string(&log).with_context(|| format!("{} cannot be read", log.display()))?;
        say!("{}", tail(&text));
        let result = if passed { "passed" } else { "FAILED" };
        lines.push(format!("cargo xtask {:<12}{result:<8}{:>7.0} s", which.name(), start.elapsed().as_secs_f64()));
    }
    say!("");
    lines.iter().for_each(|line| say!("{line}"));
    say!("{} passed, {failed} failed", lines.len().saturating_sub(failed));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A clean Debian with this machine's configuration and a clone of the repository.
fn prepare(folder: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
    let base = deployment::clean_debian(&folder.join("base"), INCLUDED, progress)?;
    let root = folder.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("{} cannot be removed", root.display()))?;
    }
    run_command(Command::new("cp").arg("--archive").arg(base).arg(&root))?;
    let home = env::home_dir().context("nobody's home is known")?;
    for file in CONFIGURATION.iter().map(PathBuf::from).chain(own_apt_settings()?) {
        copy(&file, &root.join(file.strip_prefix("/").unwrap_or(&file)))?;
    }
    for file in [".npmrc", ".cargo/config.toml", ".config/pip/pip.conf"] {
        copy(&home.join(file), &root.join("srv").join(file))?;
    }
    let clone = root.join(CLONE.trim_start_matches('/'));
    run_command(Command::new("git").args(["clone", "--quiet", "--no-hardlinks"]).arg(workspace::root()).arg(&clone))?;
    progress.done("a clean Debian with a clone of what is committed");
    Ok(root)
}

/// Settings of apt that no package brought.
fn own_apt_settings() -> anyhow::Result<Vec<PathBuf>> {
    let Ok(files) = fs::read_dir("/etc/apt/apt.conf.d") else { return Ok(Vec::new()) };
    let mut own = Vec::new();
    for file in files {
        let file = file.context("/etc/apt/apt.conf.d cannot be read")?.path();
        let brought =
            Command::new("dpkg").arg("--search").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !brought.is_ok_and(|status| status.success()) {
            own.push(file);
        }
    }
    Ok(own)
}

/// Copies a file or a folder, if it is there.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if !from.exists() {
        return Ok(());
    }
    let folder = to.parent().context("a file has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    run_command(Command::new("cp").args(["--archive", "--dereference", "--no-target-directory"]).arg(from).arg(to))
        .map(drop)
}

/// Runs a script there, with all output in a log, and answers whether it succeeded.
fn command(root: &Path, script: &str, log: &Path) -> anyhow::Result<bool> {
    let home = env::home_dir().context("nobody's home is known")?;
    let place = |variable: &str, usual: &str| env::var_os(variable).map_or_else(|| home.join(usual), PathBuf::from);
    let (cargo, rustup) = (place("CARGO_HOME", ".cargo").join("bin"), place("RUSTUP_HOME", ".rustup"));
    ensure!(cargo.join("cargo").exists() && rustup.exists(), "there is no toolchain of rustup in {}", rustup.display());
    let out = File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
    let errors = out.try_clone()?;
    let mut nspawn = Command::new("systemd-nspawn");
    nspawn
        .args(["--quiet", "--register=no", "--keep-unit", "--console=pipe", "--as-pid2", "--directory"])
        .arg(root)
        .arg(format!("--machine=acme-gateway-fresh-{}", std::process::id()))
        .arg(format!("--bind-ro={}:/srv/.cargo/bin", cargo.display()))
        .arg(format!("--bind-ro={}:/srv/.rustup", rustup.display()))
        .args(["--chdir", CLONE, "--setenv=HOME=/srv", "--setenv=USER=root", "--setenv=LC_ALL=C.UTF-8"])
        .arg("--setenv=PATH=/srv/.cargo/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    for (name, value) in env::vars().filter(|(name, _)| is_configuration(name)) {
        nspawn.arg(format!("--setenv={name}={value}"));
    }
    nspawn.args(["/bin/sh", "-c", script]).stdin(Stdio::null()).stdout(out).stderr(errors);
    Ok(nspawn.status().context("systemd-nspawn cannot be run")?.success())
}

fn is_configuration(variable: &str) -> bool {
    VARIABLES.contains(&variable) || VARIABLES_BEGIN.iter().any(|begin| variable.starts_with(begin))
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(TAIL_LINES));
    last.map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_where_software_comes_from_goes_along_and_nothing_else() {
        for variable in ["PIP_INDEX_URL", "SSL_CERT_FILE", "https_proxy"] {
            assert!(is_configuration(variable), "{variable}");
        }
        for variable in ["CARGO_TARGET_DIR", "RUSTFLAGS", "SSH_AUTH_SOCK", "HOME"] {
            assert!(!is_configuration(variable), "{variable}");
        }
    }

    #[test]
    fn the_commands_are_those_of_the_readme() {
        let readme = fs::read_to_string(workspace::root().join("README.md")).unwrap();
        let commands: Vec<_> = readme.lines().filter(|line| line.starts_with("cargo xtask ")).take(2).collect();
        assert_eq!(commands, ["cargo xtask quickstart --dir Q", TEST]);
        assert!(QUICKSTART.contains(commands[0]));
    }

    #[test]
    fn the_end_of_a_log_is_shown() {
        let text = (1..=30).map(|line| line.to_string()).collect::<Vec<_>>().join("\n");
        assert!(tail(&text).starts_with("  | 6\n") && tail(&text).ends_with("  | 30"));
    }
}
