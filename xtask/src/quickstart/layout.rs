//! Where a quickstart keeps what: one folder that can be deleted as a whole.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// The folder of a quickstart, absolute.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// Makes the folder and those in it that do not exist yet.
    ///
    /// # Errors
    /// One cannot be made.
    pub(crate) fn create(dir: &Path) -> anyhow::Result<Self> {
        let make = |dir: &Path, mode| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(dir)
                .with_context(|| format!("the folder {} cannot be made; choose another with --dir", dir.display()))
        };
        make(dir, 0o755)?;
        let dir = dir.canonicalize().with_context(|| format!("{} cannot be reached", dir.display()))?;
        for (name, mode) in [("logs", 0o755), ("hooks", 0o755), ("certificates", 0o755), ("gateway", 0o700)] {
            make(&dir.join(name), mode)?;
        }
        let layout = Self { dir };
        // Throwaway keys: nothing of this folder may ever be committed.
        replace(&layout.dir.join(".gitignore"), b"*\n", 0o644)?;
        Ok(layout)
    }

    /// The folder itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The sandbox's folder: PKI, books of the reference CM, and what it says about itself.
    pub(crate) fn sandbox(&self) -> PathBuf {
        self.dir.join("sandbox")
    }

    /// A file of the throwaway PKI, such as `root.pem`.
    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.sandbox().join("pki").join(file)
    }

    /// The gateway's settings.
    pub(crate) fn settings_file(&self) -> PathBuf {
        self.dir.join("gateway.toml")
    }

    /// The gateway's orders in flight.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join("gateway").join("store")
    }

    /// The key that seals certificate URLs.
    pub(crate) fn seal_key(&self) -> PathBuf {
        self.dir.join("gateway").join("seal.key")
    }

    /// A file of OpenBao: its data, its settings, its keys.
    pub(crate) fn openbao(&self, file: &str) -> PathBuf {
        self.dir.join("openbao").join(file)
    }

    /// The log of a process.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }

    /// A hook script for a client.
    pub(crate) fn hook(&self, name: &str) -> PathBuf {
        self.dir.join("hooks").join(name)
    }

    /// Where certificates of the quickstart itself go.
    pub(crate) fn certificates(&self) -> PathBuf {
        self.dir.join("certificates")
    }

    /// What tells others, above all tests, how to reach this quickstart. There while it is up.
    pub(crate) fn description(&self) -> PathBuf {
        self.dir.join("quickstart.json")
    }
}

/// Replaces a file as a whole: readers see the old text or the new one, never a part.
///
/// # Errors
/// The file or one beside it cannot be written.
pub(crate) fn replace(file: &Path, contents: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let write = || {
        if fs::exists(&fresh)? {
            fs::remove_file(&fresh)?;
        }
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        out.write_all(contents)?;
        out.sync_all()?;
        fs::rename(&fresh, file)
    };
    write().with_context(|| format!("{} cannot be written", file.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{os::unix::fs::PermissionsExt as _, process::Command};

    use super::*;

    /// A folder for one test, named after it, empty at the start.
    pub(crate) fn folder(test: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("xtask-{}-{test}", std::process::id()));
        if dir.exists() {
            fs::remove_dir_all(&dir).unwrap();
        }
        dir
    }

    /// Writes a shell script that can be run at once.
    ///
    /// Another process writes it: a file that this one has open for writing is open too in whatever another test
    /// starts at the same moment, and what is open for writing cannot be run (ETXTBSY).
    pub(crate) fn program(file: &Path, script: &str) {
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 755 "$0""#;
        let written = Command::new("/bin/sh").arg("-c").arg(write).arg(file).arg(script).status().unwrap();
        assert!(written.success(), "{}", file.display());
    }

    #[test]
    fn the_folder_is_made_once_and_found_again() {
        let dir = folder("layout");
        let layout = Layout::create(&dir).unwrap();
        fs::write(layout.log("gateway"), "kept").unwrap();
        let again = Layout::create(&dir).unwrap();
        assert_eq!(fs::read_to_string(again.log("gateway")).unwrap(), "kept");
        assert!(again.dir().is_absolute());
        let mode = fs::metadata(again.store().parent().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_file_is_replaced_together_with_its_mode() {
        let dir = folder("replace");
        fs::create_dir(&dir).unwrap();
        let file = dir.join("secret.json");
        fs::write(&file, "old").unwrap();
        replace(&file, b"new", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }
}
