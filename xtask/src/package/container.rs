//! The container image: from nothing, the program and what the dynamic loader needs for it, as Debian has it. Nothing is
//! pulled from anywhere.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use super::Source;
use crate::commands::run;

const PROGRAM: &str = "usr/bin/acme-gateway";
const STATE: &str = "var/lib/acme-gateway";
/// Nobody's number on the host.
const USER: &str = "65532";
/// Names are looked up as the runtime says, by its files and its resolvers.
const NAMES: &str = "hosts: files dns\n";

/// An image that was made.
pub(super) struct Image {
    /// As an OCI archive.
    pub(super) file: PathBuf,
    /// What is in it.
    pub(super) files: Vec<String>,
    pub(super) unpacked_mebibytes: f64,
}

/// Makes it, and the archive of it.
pub(super) fn make(source: &Source, out: &Path, version: &str) -> anyhow::Result<Image> {
    let root = out.join("container");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    let files = fill(&root, &source.program("acme-gateway"))?;
    let file = out.join(format!("acme-gateway_{version}.oci.tar"));
    let name = format!("localhost/acme-gateway:{version}");
    let storage = Storage::new(out)?;
    let made = storage.assemble(&root, source, &name, &file);
    storage.remove()?;
    made?;
    let mut unpacked_mebibytes = 0.0;
    for file in &files {
        unpacked_mebibytes += super::mebibytes(&root.join(file))?;
    }
    Ok(Image { file, files, unpacked_mebibytes })
}

/// Puts the program, its libraries and the loader where they are on Debian.
fn fill(root: &Path, program: &Path) -> anyhow::Result<Vec<String>> {
    let mut files = vec![(program.to_owned(), PROGRAM.to_owned())];
    files.extend(libraries(&run(Command::new("ldd").arg(program))?).into_iter().map(|file| {
        let within = file.trim_start_matches('/').to_owned();
        (PathBuf::from(file), within)
    }));
    for (from, within) in &files {
        let to = root.join(within);
        let folder = to.parent().context("a file has a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        fs::copy(from, &to).with_context(|| format!("{} cannot be copied", from.display()))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
    }
    for folder in ["etc/acme-gateway", STATE, "tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("etc/nsswitch.conf"), NAMES)?;
    fs::write(root.join("etc/passwd"), format!("acme-gateway:x:{USER}:{USER}::/var/lib/acme-gateway:/\n"))?;
    let made =
        files.into_iter().map(|(_, within)| within).chain(["etc/nsswitch.conf".to_owned(), "etc/passwd".to_owned()]);
    Ok(made.collect())
}

/// The files that the loader will map, and the loader, in what ldd prints. The kernel's own is none.
fn libraries(ldd: &str) -> Vec<String> {
    let of_line = |line: &str| {
        let line = line.trim();
        let path = line.split_once(" => ").map_or(line, |(_, path)| path);
        path.starts_with('/').then(|| path.split(' ').next().unwrap_or_default().to_owned())
    };
    ldd.lines().filter_map(of_line).collect()
}

/// buildah with a storage of its own: whatever else this machine has in containers is not touched.
struct Storage(PathBuf);

impl Storage {
    fn new(out: &Path) -> anyhow::Result<Self> {
        let folder = out.join("container-storage");
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self(folder))
    }

    fn buildah(&self) -> Command {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(self.0.join("root")).arg("--runroot").arg(self.0.join("run"));
        command.args(["--storage-driver", "vfs"]);
        command
    }

    fn assemble(&self, root: &Path, source: &Source, name: &str, file: &Path) -> anyhow::Result<()> {
        let container = run(self.buildah().args(["from", "scratch"]))?;
        let container = container.trim();
        run(self.buildah().args(["copy", "--quiet", container]).arg(root).arg("/"))?;
        // Copies belong to root; the folder that a volume begins as is the program's own.
        let owner = format!("{USER}:{USER}");
        let mounted = run(self.buildah().args(["mount", container]))?;
        let state = Path::new(mounted.trim()).join(STATE);
        run(Command::new("chown").arg(&owner).arg(&state))?;
        run(Command::new("chmod").arg("700").arg(&state))?;
        run(self.buildah().args(["umount", container]))?;
        run(self.buildah().args([
            "config",
            "--user",
            &owner,
            "--entrypoint",
            "[\"/usr/bin/acme-gateway\"]",
            "--cmd",
            "serve",
            "--volume",
            &format!("/{STATE}"),
            "--stop-signal",
            "SIGTERM",
            "--label",
            &format!("org.opencontainers.image.revision={}", source.commit),
            container,
        ]))?;
        run(self.buildah().args(["commit", "--quiet", "--timestamp", &source.time, container, name]))?;
        let layout = self.0.join("layout");
        run(self.buildah().args(["push", "--quiet", name]).arg(format!("oci:{}:{name}", layout.display())))?;
        // buildah's own archives have the time of day in them.
        run(Command::new("tar")
            .args(["--create", "--format=ustar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
            .args(["--mode=u=rwX,go=rX", &format!("--mtime=@{}", source.time), "--file"])
            .arg(file)
            .arg("--directory")
            .arg(&layout)
            .args(["blobs", "index.json", "oci-layout"]))?;
        ensure!(file.is_file(), "tar made no archive");
        Ok(())
    }

    fn remove(&self) -> anyhow::Result<()> {
        run(self.buildah().args(["rm", "--all"]))?;
        fs::remove_dir_all(&self.0).with_context(|| format!("{} cannot be removed", self.0.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_found_in_the_words_of_ldd() {
        let ldd = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibssl.so.3 => /lib/x86_64-linux-gnu/libssl.so.3 (0x00007f)\n\
                   \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n\tstatically linked\n";
        assert_eq!(libraries(ldd), ["/lib/x86_64-linux-gnu/libssl.so.3", "/lib64/ld-linux-x86-64.so.2"]);
    }
}
