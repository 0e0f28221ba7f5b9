//! How programs are built that are handed to others: no path of the machine and no time gets in, so that two builds of
//! a commit are the same octet for octet.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use super::{PROGRAMS, Source};
use crate::{commands::run, workspace};

/// What stands for the folder of the build, of cargo and of the compiler, in programs.
const ROOT: &str = "/usr/src/acme-gateway";
const CARGO: &str = "/usr/src/cargo";
const RUST: &str = "/usr/src/rust";
/// Between arguments in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\u{1f}";

/// Builds both programs. `root` is a folder above source and target; it is not in the programs.
pub(super) fn build(source: &Source, root: &Path) -> anyhow::Result<()> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo"))).context("cargo has no folder")?;
    let sysroot = run(Command::new("rustc").args(["--print", "sysroot"]).current_dir(&source.folder))?;
    let sysroot = PathBuf::from(sysroot.trim());
    let places = [(root, ROOT), (home.as_path(), CARGO), (sysroot.as_path(), RUST)];
    let flags = |flag: &str| places.map(|(from, to)| format!("{flag}={}={to}", from.display()));
    let status = workspace::cargo()
        .args(["build", "--release", "--locked"])
        .args(PROGRAMS.iter().flat_map(|(_, package)| ["-p", package]))
        .current_dir(&source.folder)
        .env("CARGO_TARGET_DIR", &source.target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags("--remap-path-prefix").join(SEPARATOR))
        .env("CFLAGS", flags("-ffile-prefix-map").join(" "))
        .env("ACME_GATEWAY_BUILD", format!("{} ({})", source.version()?, source.commit))
        .env("SOURCE_DATE_EPOCH", &source.time)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_MANIFEST_DIR")
        .status()
        .context("cargo cannot be run")?;
    if !status.success() {
        bail!("commit {} does not build ({status})", source.commit);
    }
    Ok(())
}

/// Has both programs write their completions and manual pages, where the packages' lists expect them.
pub(super) fn manual(source: &Source) -> anyhow::Result<()> {
    for (program, _) in PROGRAMS {
        let folder = source.manual(program);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        for shell in ["bash", "zsh", "fish"] {
            let script = run(Command::new(source.program(program)).args(["manual", "completions", shell]))?;
            fs::write(folder.join(shell), script)?;
        }
        run(Command::new(source.program(program)).args(["manual", "pages"]).arg(&folder))?;
        let pages = fs::read_dir(&folder)?.flatten().map(|entry| entry.path());
        let pages: Vec<_> = pages.filter(|page| page.extension().is_some_and(|extension| extension == "1")).collect();
        run(Command::new("gzip").args(["--best", "--no-name"]).args(pages))?;
    }
    Ok(())
}
