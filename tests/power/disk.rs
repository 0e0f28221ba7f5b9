//! A disk of our own: an image that is mounted as ext4 by a loop device, and what is on it when its power is cut.
//!
//! What a process writes is in the page cache first, or in the running transaction of the file system; none of that
//! survives. What has reached the loop device is in the image, and that is all that a copy of the image has.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::plan::FileSystem;

/// Room for a round several times over; what is not used takes none.
const OCTETS: u64 = 512 * 1024 * 1024;
/// Mounts in a mount namespace of its own, which ends with the process: nothing is left behind, whatever dies.
const MOUNT: &str = "mount -o \"loop,$1\" \"$2\" \"$3\" && shift 3 && exec \"$@\"";
/// Copies of an image are taken until one is of a single moment.
const COPIES_MAX: u32 = 50;

/// A disk and where it is mounted by those who use it.
pub(crate) struct Disk {
    folder: PathBuf,
    options: String,
    /// How often its power was cut.
    cuts: u64,
}

impl Disk {
    /// A new one in this folder, which is its own.
    ///
    /// # Errors
    /// It cannot be made; the reason is for people.
    pub(crate) fn make(folder: &Path, file_system: FileSystem) -> Result<Self, String> {
        let FileSystem { block_octets, data, commit_secs } = file_system;
        let options = format!("data={data},commit={commit_secs}");
        let disk = Self { folder: folder.to_owned(), options, cuts: 0 };
        fs::create_dir_all(disk.mounted_at()).map_err(|error| format!("{}: {error}", folder.display()))?;
        let file = File::create(disk.image()).and_then(|file| file.set_len(OCTETS));
        file.map_err(|error| format!("{}: {error}", disk.image().display()))?;
        let mut format = Command::new("mkfs.ext4");
        let _ = run(format.args(["-q", "-F", "-b", &block_octets.to_string()]).arg(disk.image()))?;
        Ok(disk)
    }

    /// Where it is mounted, for those who run in [`Disk::arguments`].
    pub(crate) fn mounted_at(&self) -> PathBuf {
        self.folder.join("mounted")
    }

    /// Arguments of `unshare` that run a program with the disk mounted.
    pub(crate) fn arguments(&self, program: &Path, arguments: &[&str]) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let mut all: Vec<String> = ["--mount", "sh", "-c", MOUNT, "sh", &self.options].map(str::to_owned).into();
        all.extend([text(&self.image()), text(&self.mounted_at()), text(program)]);
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        all
    }

    /// Runs a program to its end with the disk mounted.
    ///
    /// # Errors
    /// It, or mounting, fails; the text is what was said.
    pub(crate) fn run(&self, program: &Path, arguments: &[&str]) -> Result<String, String> {
        run(Command::new("unshare").args(self.arguments(program, arguments)))
    }

    /// Cuts the power: from now on the disk has what it has at this moment. Whoever writes to it must be stopped
    /// before; the kernel writes on by itself, so copies are taken until nothing has changed while one was taken.
    ///
    /// # Errors
    /// The image cannot be copied, or the kernel never rests.
    pub(crate) fn cut(&mut self) -> Result<(), String> {
        let (live, left) = (self.image(), self.image_after(self.cuts + 1));
        for _ in 0..COPIES_MAX {
            let _ = run(Command::new("cp").arg("--sparse=always").args([&live, &left]))?;
            let compared = Command::new("cmp").arg("--silent").args([&live, &left]).status();
            if compared.is_ok_and(|status| status.success()) {
                self.cuts += 1;
                return Ok(());
            }
        }
        Err(format!("{} is written to without end", live.display()))
    }

    /// Forgets what the disk was before the last cut. Whoever had it mounted must have ended.
    pub(crate) fn forget_before_cut(&self) {
        if let Some(before) = self.cuts.checked_sub(1) {
            let _ = fs::remove_file(self.image_after(before));
        }
    }

    fn image(&self) -> PathBuf {
        self.image_after(self.cuts)
    }

    fn image_after(&self, cuts: u64) -> PathBuf {
        self.folder.join(format!("disk-{cuts}"))
    }
}

/// Runs a command to its end and answers what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } = command.output().map_err(|error| format!("{program}: {error}"))?;
    let said = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
    if status.success() { Ok(said(&stdout)) } else { Err(format!("{program} failed ({status}): {}", said(&stderr))) }
}
