//! The folder of a database on this node: who may look into it, who holds it, what is put aside.
//!
//! ```text
//! <folder>/            mode 0700
//!   lock               held by the one process that uses the folder
//!   ballast            space in reserve
//!   sled/              the database
//!   sled.damaged-<s>/  one that could not be opened, s seconds after the Unix epoch
//! ```

use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Nobody but the gateway's own user may look.
const MODE: u32 = 0o700;
/// Damaged databases of which so many are kept; the oldest are deleted.
const DAMAGED_MAX: usize = 3;
/// What the names of damaged ones begin with.
const DAMAGED: &str = "sled.damaged-";

/// A folder that this process holds until it is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The lock goes with the open file.
    _lock: File,
}

/// Why a folder cannot be held.
#[derive(Debug)]
pub(crate) enum FolderError {
    /// Another process holds it.
    Locked,
    /// The file system refused.
    Io(io::Error),
}

impl From<io::Error> for FolderError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Folder {
    /// Makes the folder if need be, closes it to others and takes its lock.
    pub(crate) fn hold(path: &Path) -> Result<Self, FolderError> {
        make_private(path)?;
        let lock = File::options().create(true).truncate(false).write(true).open(path.join("lock"))?;
        lock.try_lock().map_err(|refused| match refused {
            TryLockError::WouldBlock => FolderError::Locked,
            TryLockError::Error(error) => FolderError::Io(error),
        })?;
        let folder = Self { path: path.to_owned(), _lock: lock };
        make_private(&folder.database())?;
        Ok(folder)
    }

    /// The folder of the database.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("sled")
    }

    /// The file that keeps space in reserve.
    pub(crate) fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Makes what sled has written while opening durable, which it does not do itself: its files,
    /// their names, and the folders above.
    pub(crate) fn sync(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.database())? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                File::open(entry.path())?.sync_all()?;
            }
        }
        sync_folder(&self.database())?;
        sync_folder(&self.path)?;
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
            Some(_) | None => sync_folder(Path::new(".")),
        }
    }

    /// Remembers that the database has something in it, so that one that opens empty is known to be
    /// damaged.
    pub(crate) fn mark_filled(&self) -> io::Result<()> {
        let path = filled_mark(&self.database());
        if !path.exists() {
            File::create(&path)?.sync_all()?;
            sync_folder(&self.database())?;
        }
        Ok(())
    }

    /// Moves the database aside, makes an empty folder in its place and tells where it went.
    pub(crate) fn put_database_aside(&self) -> io::Result<PathBuf> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let damaged = self.damaged()?;
        let after_newest = damaged.last().map_or(0, |newest| newest.saturating_add(1));
        let second = now.max(after_newest);
        let aside = self.path_of_damaged(second);
        fs::rename(self.database(), &aside)?;
        make_private(&self.database())?;
        let excess = damaged.len().saturating_sub(DAMAGED_MAX - 1);
        damaged.iter().take(excess).try_for_each(|second| fs::remove_dir_all(self.path_of_damaged(*second)))?;
        Ok(aside)
    }

    fn path_of_damaged(&self, second: u64) -> PathBuf {
        self.path.join(format!("{DAMAGED}{second}"))
    }

    fn damaged(&self) -> io::Result<Vec<u64>> {
        damaged(&self.path)
    }
}

/// How many databases that were put aside stand in this folder. Anybody may ask, whoever holds it.
///
/// # Errors
/// The folder cannot be read.
pub fn count_aside(folder: &Path) -> io::Result<usize> {
    Ok(damaged(folder)?.len())
}

/// When databases were put aside, in order.
fn damaged(folder: &Path) -> io::Result<Vec<u64>> {
    let mut seconds = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        seconds.extend(name.to_str().and_then(|name| name.strip_prefix(DAMAGED)?.parse::<u64>().ok()));
    }
    seconds.sort_unstable();
    Ok(seconds)
}

/// The file beside sled's own that [`Folder::mark_filled`] makes. It says how far the database was durable at least:
/// the number of a batch (8 octets, big endian) and their CRC-32. sled takes damage for the end of its log and forgets
/// what comes after it; what ends before this number has been damaged.
pub(crate) fn filled_mark(database: &Path) -> PathBuf {
    database.join("filled")
}

/// Writes the number of a batch that is durable. It need not be synced: an older number is true as well.
pub(crate) fn write_mark(mark: &File, sequence: u64) -> io::Result<()> {
    let number = sequence.to_be_bytes();
    mark.write_all_at(&[&number[..], &crc32fast::hash(&number).to_be_bytes()].concat(), 0)
}

/// The number in a mark; 0 if there is none in it or it is damaged itself, `None` if there is no mark.
pub(crate) fn read_mark(mark: &Path) -> io::Result<Option<u64>> {
    let octets = match fs::read(mark) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let whole = octets.split_first_chunk::<8>().filter(|(number, crc)| **crc == crc32fast::hash(*number).to_be_bytes());
    Ok(Some(whole.map_or(0, |(number, _)| u64::from_be_bytes(*number))))
}

fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(MODE).create(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o777 != MODE {
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
    }
    Ok(())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn is_closed_to_others_even_if_it_was_open_before() {
        let outer = TestFolder::new();
        let path = outer.path().join("store");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let folder = Folder::hold(&path).unwrap();
        assert_eq!((mode(&path), mode(&folder.database())), (0o700, 0o700));
    }

    #[test]
    fn is_held_by_one_at_a_time() {
        let outer = TestFolder::new();
        let held = Folder::hold(outer.path()).unwrap();
        assert!(matches!(Folder::hold(outer.path()), Err(FolderError::Locked)));
        drop(held);
        assert!(Folder::hold(outer.path()).is_ok());
    }

    #[test]
    fn a_mark_tells_its_number_and_a_damaged_one_only_that_it_is_there() {
        let outer = TestFolder::new();
        let folder = Folder::hold(outer.path()).unwrap();
        let path = filled_mark(&folder.database());
        assert_eq!(read_mark(&path).unwrap(), None);
        folder.mark_filled().unwrap();
        assert_eq!(read_mark(&path).unwrap(), Some(0));
        let mark = File::options().write(true).open(&path).unwrap();
        for number in [1, u64::MAX, 0x0102_0304_0506_0708] {
            write_mark(&mark, number).unwrap();
            folder.mark_filled().unwrap();
            assert_eq!(read_mark(&path).unwrap(), Some(number));
        }
        let whole = fs::read(&path).unwrap();
        for octet in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[octet] ^= 4;
            fs::write(&path, damaged).unwrap();
            assert_eq!(read_mark(&path).unwrap(), Some(0), "{octet}");
        }
    }

    #[test]
    fn what_is_put_aside_is_kept_but_not_without_end() {
        let outer = TestFolder::new();
        let folder = Folder::hold(outer.path()).unwrap();
        let mut aside = Vec::new();
        for round in 0..5 {
            fs::write(folder.database().join("db"), [round]).unwrap();
            aside.push(folder.put_database_aside().unwrap());
            assert_eq!(fs::read_dir(folder.database()).unwrap().count(), 0);
        }
        let kept: Vec<bool> = aside.iter().map(|path| path.exists()).collect();
        assert_eq!(kept, [false, false, true, true, true]);
        assert_eq!(count_aside(&folder.path).unwrap(), 3);
        assert_eq!(fs::read(aside[4].join("db")).unwrap(), [4]);
    }
}
