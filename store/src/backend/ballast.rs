//! Space kept in reserve.
//!
//! sled cannot open a database while the disk is full. So a file of no use is kept beside it,
//! deleted when space runs out, and written again once there is space for it.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
};

/// The file and its size.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    octets: u64,
    is_there: bool,
}

/// Written again and again until the file has its size.
const BLOCK_OCTETS: usize = 64 * 1024;

impl Ballast {
    /// Ballast of this size, not yet written; of zero octets means none, and none is ever missing.
    pub(crate) const fn new(path: PathBuf, octets: u64) -> Self {
        Self { path, octets, is_there: octets == 0 }
    }

    /// Whether the reserve has been used.
    pub(crate) const fn is_spent(&self) -> bool {
        !self.is_there
    }

    /// Writes the file unless it is there.
    ///
    /// # Errors
    /// Those of the file system; nothing is left behind then.
    pub(crate) fn make(&mut self) -> io::Result<()> {
        if self.is_there {
            return Ok(());
        }
        if !fs::metadata(&self.path).is_ok_and(|found| found.is_file() && found.len() == self.octets) {
            self.write().inspect_err(|_| {
                let _ = fs::remove_file(&self.path);
            })?;
        }
        self.is_there = true;
        Ok(())
    }

    /// Deletes the file, so that its space can be used.
    pub(crate) fn spend(&mut self) {
        if self.octets > 0 {
            self.is_there = false;
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Real octets, and random ones: a sparse or compressed file would keep nothing in reserve.
    fn write(&self) -> io::Result<()> {
        let mut block = vec![0; BLOCK_OCTETS];
        rand::fill(block.as_mut_slice());
        let mut file = File::create(&self.path)?;
        let mut left = self.octets;
        while left > 0 {
            let octets = usize::try_from(left).unwrap_or(BLOCK_OCTETS).min(BLOCK_OCTETS);
            file.write_all(block.get(..octets).unwrap_or_default())?;
            left = left.saturating_sub(u64::try_from(octets).unwrap_or(left));
        }
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;

    #[test]
    fn takes_up_its_size_until_it_is_spent() {
        let folder = TestFolder::new();
        let path = folder.path().join("ballast");
        let mut ballast = Ballast::new(path.clone(), 100_000);
        assert!(ballast.is_spent());
        ballast.make().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 100_000);
        ballast.spend();
        assert!(ballast.is_spent() && !path.exists());
    }

    #[test]
    fn a_file_of_another_size_is_written_anew() {
        let folder = TestFolder::new();
        let path = folder.path().join("ballast");
        fs::write(&path, b"half").unwrap();
        Ballast::new(path.clone(), 70_000).make().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 70_000);
    }

    #[test]
    fn no_ballast_is_never_missing() {
        let mut ballast = Ballast::new("/nonexistent".into(), 0);
        ballast.spend();
        assert!(!ballast.is_spent());
    }
}
