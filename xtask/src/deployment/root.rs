//! A Debian of nothing but itself and systemd, made once by debootstrap from where this machine gets its packages.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::{commands::run, output::Progress, workspace};

/// The release that is proven on.
const RELEASE: &str = "bookworm";
/// What the packages of ours need, besides what each Debian has. They are there before, because the machine has no network.
const INCLUDED: &str = "systemd,systemd-sysv,dbus,libssl3,iproute2";
/// What systemd and dpkg write for themselves, whatever is installed; backups at midnight.
const NOT_OURS: [&str; 10] = [
    "var/log",
    "var/backups",
    "var/cache",
    "var/lib/dpkg/status",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/triggers",
    "var/lib/systemd",
    "var/tmp",
    "tmp",
    "run",
];

/// A copy of that Debian for one proof.
pub(super) fn fresh(progress: &Progress) -> anyhow::Result<PathBuf> {
    let folder = folder();
    let base = base(&folder.join("base"), INCLUDED, progress)?;
    let root = folder.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("{} cannot be removed", root.display()))?;
    }
    run(Command::new("cp").arg("--archive").arg(base).arg(&root))?;
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n")?;
    Ok(root)
}

/// Where the proofs keep what they need.
pub(super) fn folder() -> PathBuf {
    workspace::target().join("deployment")
}

/// Makes a clean Debian, if it is not there yet.
///
/// # Errors
/// debootstrap fails.
pub(crate) fn base(base: &Path, included: &str, progress: &Progress) -> anyhow::Result<PathBuf> {
    let made = base.with_extension("made");
    if fs::read_to_string(&made).is_ok_and(|made| made == included) {
        return Ok(base.to_owned());
    }
    progress.begins("making a clean Debian, once");
    if base.exists() {
        fs::remove_dir_all(base).with_context(|| format!("{} cannot be removed", base.display()))?;
    }
    fs::create_dir_all(base).with_context(|| format!("{} cannot be made", base.display()))?;
    let mut command = Command::new("debootstrap");
    command.args(["--variant=minbase", &format!("--include={included}"), RELEASE]).arg(base);
    // Where this machine itself gets them; debootstrap knows a place of its own.
    let sources = run(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI) $(RELEASE)"]))?;
    let wanted = format!(" {RELEASE}");
    command.args(sources.lines().find_map(|line| line.strip_suffix(wanted.as_str())));
    run(&mut command)?;
    fs::write(made, included)?;
    progress.done("a clean Debian");
    Ok(base.to_owned())
}

/// All paths of a root but what systems write for themselves.
pub(super) fn paths(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    let listed = run(Command::new("find").arg(root).args(["-xdev", "-mindepth", "1", "-printf", "%P\\n"]))?;
    let paths = listed.lines().filter(|path| !is_not_ours(path)).map(str::to_owned).collect::<BTreeSet<_>>();
    ensure!(paths.len() > 1000, "the root has only {} files", paths.len());
    Ok(paths)
}

fn is_not_ours(path: &str) -> bool {
    // Anything that has our name is ours, wherever it is.
    !path.contains("acme-gateway")
        && NOT_OURS.iter().any(|prefix| {
            path == *prefix || path.starts_with(&format!("{prefix}/")) || path.starts_with(&format!("{prefix}-"))
        })
}

/// Lines below /etc that name the gateway or its user. Copies of user lists before the last change keep it, as always.
pub(super) fn mentions(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for list in ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"] {
        let text = fs::read_to_string(root.join("etc").join(list)).unwrap_or_default();
        found.extend(text.lines().filter(|line| line.contains("acme-gateway")).map(|line| format!("{list}: {line}")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_our_name_is_ours_wherever_it_is() {
        assert!(is_not_ours("var/lib/dpkg/status-old") && is_not_ours("var/log/dpkg.log") && is_not_ours("var/tmp"));
        for ours in
            ["etc/passwd", "var/lib/systemd/deb-systemd-helper-enabled/acme-gateway.service.dsh-also", "var/tmpfile"]
        {
            assert!(!is_not_ours(ours), "{ours}");
        }
    }
}
