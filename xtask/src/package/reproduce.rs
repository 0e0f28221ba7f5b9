//! `cargo xtask package --reproduce`: everything made of the same commit a second time, in another folder that shares nothing
//! with the first but what cargo has from its registry, and compared octet for octet.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use super::{Made, PROGRAMS, Source, export, folder, make_all};
use crate::{commands::run as run_command, output::say};

/// Makes it again and compares.
///
/// # Errors
/// Something differs; both are kept then, to be looked at.
pub(super) fn run(first: &Source, made: &Made) -> anyhow::Result<()> {
    let root = env::temp_dir().join(format!("acme-gateway-reproduced-{}", std::process::id()));
    // As deep below its root as the first one: what is replaced in programs is the root.
    let out = root.join("target/package");
    say!("");
    say!("         a second time, in {}", out.display());
    fs::create_dir_all(&out).with_context(|| format!("{} cannot be made", out.display()))?;
    let source = export(first.commit.clone(), &out)?;
    let again = make_all(&source, &root, &out)?;

    say!("");
    let programs = |source: &Source| PROGRAMS.map(|(program, _)| source.program(program)).to_vec();
    let differ = differences(
        &[programs(first), made.files.clone()].concat(),
        &[programs(&source), again.files.clone()].concat(),
    )?;
    if !differ.is_empty() {
        bail!(
            "what was made of commit {} twice differs: {}; both are kept, in {} and {}",
            source.commit,
            differ.join(", "),
            folder().display(),
            out.display()
        );
    }
    fs::remove_dir_all(&root).with_context(|| format!("{} cannot be removed", root.display()))?;
    let count = PROGRAMS.len() + made.files.len();
    say!("{count} of {count} files, made in two folders, are the same octet for octet");
    Ok(())
}

/// Says of each file whether its counterpart is the same, and answers the names of those for which it is not.
fn differences(first: &[PathBuf], second: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    if first.len() != second.len() {
        bail!("{} files were made, and then {}", first.len(), second.len());
    }
    let mut differ = Vec::new();
    for (one, other) in first.iter().zip(second) {
        let name = name(one);
        let (one, other) = (checksum(one)?, checksum(other)?);
        if one == other {
            say!("         the same  {one}  {name}");
        } else {
            say!("         DIFFERENT {one}  {name}");
            say!("                   {other}");
            differ.push(name);
        }
    }
    Ok(differ)
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn checksum(file: &Path) -> anyhow::Result<String> {
    let said = run_command(Command::new("sha256sum").arg(file))?;
    said.split(' ').next().map(str::to_owned).context("sha256sum says nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_octet_more_or_a_file_less_is_a_difference() {
        let folder = env::temp_dir().join(format!("xtask-{}-reproduce", std::process::id()));
        let write = |side: &str, name: &str, text: &str| {
            fs::create_dir_all(folder.join(side)).unwrap();
            fs::write(folder.join(side).join(name), text).unwrap();
            folder.join(side).join(name)
        };
        let first = [write("one", "same", "octets"), write("one", "other", "octets")];
        let second = [write("two", "same", "octets"), write("two", "other", "octets\n")];
        assert_eq!(differences(&first, &second).unwrap(), ["other"]);
        assert!(differences(&first[..1], &second[..1]).unwrap().is_empty());
        let refused = differences(&first, &second[..1]).unwrap_err().to_string();
        assert_eq!(refused, "2 files were made, and then 1");
        fs::remove_dir_all(folder).unwrap();
    }
}
