//! A folder for one test, removed when the test ends.

use std::path::{Path, PathBuf};

/// The folder.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty folder that no other test has.
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("acme-sandbox-{:016x}", rand::random::<u64>()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
