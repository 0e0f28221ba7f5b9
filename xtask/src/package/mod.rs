//! `cargo xtask package`: what is handed to others, made from the commit that is checked out: Debian packages, a container
//! image, bills of materials, and the checksums of all.
//!
//! Nothing that is not committed gets in: the commit is exported to a folder of its own and built there.

mod bill;
mod build;
mod container;
mod debian;
mod reproduce;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use crate::{
    commands::run as run_command,
    output::{Progress, say},
    packages, workspace,
};

/// What must be there, as Debian's packages.
const NEEDS: [(&str, &str); 2] = [("dpkg-shlibdeps", "dpkg-dev"), ("buildah", "buildah")];
/// The two programs that are packaged, and the crates they are made by.
pub(crate) const PROGRAMS: [(&str, &str); 2] = [("acme-gateway", "gateway"), ("acme-officer", "officer")];

/// What git knows of the files of the exported commit.
const INDEX: &str = "source.index";

#[derive(Args)]
pub(crate) struct Options {
    /// Make everything of that commit a second time, in another folder, and compare
    #[arg(long)]
    reproduce: bool,
    /// The commit, such as a tag; without it the one that is checked out
    #[arg(long, default_value = "HEAD", hide_default_value = true)]
    commit: String,
}

/// A commit, exported.
pub(crate) struct Source {
    /// Where its files are.
    folder: PathBuf,
    /// Where it is built.
    target: PathBuf,
    /// Short name of the commit.
    commit: String,
    /// When it was made, in seconds since 1970: the time that is in packages.
    time: String,
}

/// What was made of a commit.
struct Made {
    /// All that is handed to others.
    files: Vec<PathBuf>,
    gateway: PathBuf,
    gateway_later: PathBuf,
    image: container::Image,
}

/// What came of it, for others who use it.
pub(crate) struct Packages {
    pub(crate) gateway: PathBuf,
    /// The same program in a package with a later version, for those who try an upgrade.
    pub(crate) gateway_later: PathBuf,
    /// The container image, an OCI archive.
    pub(crate) image: PathBuf,
    pub(crate) version: String,
}

/// Makes everything.
///
/// # Errors
/// Something that is needed is missing, or a step failed.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (source, made) = make_of_commit(&options.commit)?;
    if options.reproduce {
        reproduce::run(&source, &made)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// As [`run`], for others who use what is made.
///
/// # Errors
/// As for [`run`].
pub(crate) fn make() -> anyhow::Result<Packages> {
    let (source, made) = make_of_commit("HEAD")?;
    Ok(Packages {
        gateway: made.gateway,
        gateway_later: made.gateway_later,
        image: made.image.file,
        version: source.version()?,
    })
}

fn make_of_commit(commit: &str) -> anyhow::Result<(Source, Made)> {
    packages::ensure(&NEEDS)?;
    let out = folder();
    let commit = git(&["rev-parse", "--short=12", "--verify", &format!("{commit}^{{commit}}")])?;
    if !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
        say!("         note: what is not committed is not packaged");
    }
    let source = export(commit, &out)?;
    let made = make_all(&source, &workspace::root(), &out)?;
    say!("");
    for file in &made.files {
        say!("{:>9.1} MiB  {}", mebibytes(file)?, file.display());
    }
    say!("{:>9.1} MiB  in the container, unpacked: {}", made.image.unpacked_mebibytes, made.image.files.join(" "));
    Ok((source, made))
}

/// Makes everything of a commit, in `out`. `root` is a folder above source and target; it is not in what is made.
fn make_all(source: &Source, root: &Path, out: &Path) -> anyhow::Result<Made> {
    let progress = Progress::start();
    let later = out.join("later");
    for folder in [out, &later] {
        clear(folder)?;
    }
    let version = source.version()?;
    progress.begins(format_args!("building {version} at commit {}", source.commit));
    build::build(source, root)?;
    progress.done("built");
    build::manual(source)?;

    progress.begins("bills of materials");
    let mut files = bill::make(source, out)?;
    progress.done("bills of materials, and they are as their schema says");
    progress.begins("Debian packages");
    let [gateway, officer] = PROGRAMS.map(|program| debian::make(source, program, out, "1"));
    let (gateway, officer) = (gateway?, officer?);
    let gateway_later = debian::make(source, PROGRAMS[0], &later, "2")?;
    progress.done("Debian packages");
    progress.begins("container image");
    let image = container::make(source, out, &version)?;
    progress.done("container image");
    files.extend([gateway.clone(), officer, image.file.clone()]);
    checksums(out, &files)?;
    Ok(Made { files, gateway, gateway_later, image })
}

/// What an earlier run made.
///
/// # Errors
/// None did, or there is more than one of a kind.
pub(crate) fn made() -> anyhow::Result<Packages> {
    made_in(&folder())
}

fn made_in(out: &Path) -> anyhow::Result<Packages> {
    let find = |folder: &Path, begin: &str, end: &str| {
        let files = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?.flatten();
        let named = |file: &PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(begin) && name.ends_with(end)
        };
        let found: Vec<_> = files.map(|entry| entry.path()).filter(named).collect();
        let [only] = found.as_slice() else {
            let count = found.len();
            bail!("there are {count} of {begin}*{end} in {}, not one; run: cargo xtask package", folder.display());
        };
        anyhow::Ok(only.clone())
    };
    let image = find(out, "acme-gateway_", ".oci.tar")?;
    let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let version = name.trim_start_matches("acme-gateway_").trim_end_matches(".oci.tar").to_owned();
    let gateway = find(out, "acme-gateway_", ".deb")?;
    Ok(Packages { gateway, gateway_later: find(&out.join("later"), "acme-gateway_", ".deb")?, image, version })
}

/// Where everything is put.
pub(crate) fn folder() -> PathBuf {
    workspace::target().join("package")
}

/// Makes the folder, or takes away the files that an earlier run left in it: those of another version would keep their
/// names beside the new ones, and could be taken for them. What is built is in folders, and stays.
fn clear(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() && entry.file_name() != INDEX {
            let file = entry.path();
            fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?;
        }
    }
    Ok(())
}

fn git(arguments: &[&str]) -> anyhow::Result<String> {
    let said = run_command(Command::new("git").args(arguments).current_dir(workspace::root()))?;
    Ok(said.trim().to_owned())
}

/// Exports a commit into `out`, to be built there. Files that are there already as the commit has them are left as they
/// are, with their dates, so that cargo does not build again what did not change; all others are dated now.
fn export(commit: String, out: &Path) -> anyhow::Result<Source> {
    let (folder, target) = (out.join("source"), out.join("build"));
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let repository = git(&["rev-parse", "--absolute-git-dir"])?;
    for arguments in [["read-tree", "--reset", "-u", &commit].as_slice(), &["clean", "-ffdxq"]] {
        run_command(
            Command::new("git")
                .args(["--git-dir", &repository, "--work-tree"])
                .arg(&folder)
                .args(arguments)
                .current_dir(&folder)
                // Not the repository's own, which is left alone.
                .env("GIT_INDEX_FILE", out.join(INDEX)),
        )?;
    }
    let time = git(&["log", "-1", "--format=%ct", &commit])?;
    Ok(Source { folder, target, commit, time })
}

impl Source {
    /// A program that was built.
    fn program(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// Where completions, manual pages and lists of changes of a program are, as the packages' lists expect it.
    fn manual(&self, program: &str) -> PathBuf {
        self.target.join("release/manual").join(program)
    }

    /// The version of the workspace.
    fn version(&self) -> anyhow::Result<String> {
        let file = self.folder.join("Cargo.toml");
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("version = "));
        let version = line.map(|version| version.trim_matches('"').to_owned());
        version.with_context(|| format!("{} says no version", file.display()))
    }
}

/// The size of a file.
///
/// # Errors
/// It is not there.
pub(crate) fn mebibytes(file: &Path) -> anyhow::Result<f64> {
    let length = fs::metadata(file).with_context(|| format!("{} was not made", file.display()))?.len();
    Ok(f64::from(u32::try_from(length / 1024).unwrap_or(u32::MAX)) / 1024.0)
}

fn checksums(out: &Path, files: &[PathBuf]) -> anyhow::Result<()> {
    let names: Vec<_> = files.iter().filter_map(|file| file.file_name()).collect();
    ensure!(names.len() == files.len(), "what was made has no names");
    let sums = run_command(Command::new("sha256sum").args(names).current_dir(out))?;
    fs::write(out.join("SHA256SUMS"), sums).context("SHA256SUMS cannot be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_version_left_is_never_taken_for_what_was_made() {
        let out = std::env::temp_dir().join(format!("xtask-{}-package", std::process::id()));
        let later = out.join("later");
        let make = |version: &str| {
            fs::write(out.join(format!("acme-gateway_{version}.oci.tar")), "").unwrap();
            fs::write(out.join(format!("acme-gateway_{version}-1_amd64.deb")), "").unwrap();
            fs::write(later.join(format!("acme-gateway_{version}-2_amd64.deb")), "").unwrap();
        };
        let begin = || [&out, &later].into_iter().try_for_each(|folder| clear(folder)).unwrap();
        begin();
        make("0.1.0");
        assert_eq!(made_in(&out).unwrap().version, "0.1.0");
        make("0.2.0");
        let refused = made_in(&out).map(|packages| packages.version).unwrap_err().to_string();
        assert!(refused.contains("there are 2 of acme-gateway_*.oci.tar"), "{refused}");

        fs::create_dir_all(out.join("build")).unwrap();
        fs::write(out.join(INDEX), "").unwrap();
        begin();
        let refused = made_in(&out).map(|packages| packages.version).unwrap_err().to_string();
        assert!(refused.contains("there are 0 of") && refused.contains("cargo xtask package"), "{refused}");
        make("0.2.0");
        let made = made_in(&out).unwrap();
        for file in [&made.gateway, &made.gateway_later, &made.image] {
            assert!(file.to_string_lossy().contains("0.2.0"), "{}", file.display());
        }
        assert!(out.join("build").is_dir() && out.join(INDEX).is_file());
        fs::remove_dir_all(out).unwrap();
    }
}
