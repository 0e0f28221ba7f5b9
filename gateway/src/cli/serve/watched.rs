//! Files that are looked at again and again: whether they have changed, and whether what is wrong
//! with them has been told.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// What a file is known by: another file in its place has another inode, and whatever is done to
/// this one (octets, mode, owner) changes the time of the last change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Print {
    device: u64,
    inode: u64,
    octets: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Print {
    /// `None` if there is no such file, or none that can be seen.
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            octets: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

/// Files that belong together, as they were at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look(Vec<(PathBuf, Option<Print>)>);

impl Look {
    /// To be taken before the files are read: what changes meanwhile is then seen by the next look.
    pub(super) fn at<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        Self(files.into_iter().map(|path| (path.to_owned(), Print::of(path))).collect())
    }

    /// Whether there is any file to look at, be it there or not.
    pub(super) const fn has_files(&self) -> bool {
        !self.0.is_empty()
    }
}

/// Files that belong together, since they were last read well.
#[derive(Debug)]
pub(super) struct Watch {
    good: Look,
    trouble: Option<Trouble>,
}

/// What was wrong at the last try.
#[derive(Debug, PartialEq, Eq)]
struct Trouble {
    reason: String,
    is_told: bool,
}

impl Watch {
    /// Files that have been read well.
    pub(super) const fn new(good: Look) -> Self {
        Self { good, trouble: None }
    }

    /// Whether they have to be read: they are others than those in use, or did not do the last time
    /// and may do now.
    pub(super) fn is_due(&self, look: &Look) -> bool {
        self.trouble.is_some() || self.good != *look
    }

    /// They were read well.
    pub(super) fn succeeded(&mut self, look: Look) {
        *self = Self::new(look);
    }

    /// They cannot be used. Whether that is to be told: not if it was told already; and not at the
    /// first time, unless somebody has asked, because one file of two may just be being written.
    #[must_use]
    pub(super) fn failed(&mut self, reason: &str, asked: bool) -> bool {
        let was_told = self.trouble.as_ref().is_some_and(|trouble| trouble.is_told && trouble.reason == reason);
        let tell = asked || self.trouble.is_some() && !was_told;
        self.trouble = Some(Trouble { reason: reason.to_owned(), is_told: tell || was_told });
        tell
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_in_its_place_other_octets_and_other_modes_are_seen_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("acme-gateway-watch-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, other) = (folder.join("a"), folder.join("b"));
        let look = || Look::at([path.as_path()]);
        let absent = look();
        fs::write(&path, "1").unwrap();
        let first = look();
        assert_ne!(first, absent);
        let watch = Watch::new(first.clone());
        assert!(!watch.is_due(&look()), "nothing has changed");
        fs::write(&other, "1").unwrap();
        fs::rename(&other, &path).unwrap();
        let renamed = look();
        assert!(watch.is_due(&renamed), "another file of the same length");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mode = look();
        assert_ne!(mode, renamed);
        fs::write(&path, "12").unwrap();
        assert_ne!(look(), mode);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn trouble_is_tried_again_and_told_once_when_it_lasts() {
        let look = Look::at([]);
        let mut watch = Watch::new(look.clone());
        assert!(!watch.failed("half", false), "it may be just being written");
        assert!(watch.is_due(&look), "it is tried again");
        assert!(watch.failed("half", false));
        assert!(!watch.failed("half", false), "it was told");
        assert!(watch.failed("half", true), "somebody asks");
        assert!(watch.failed("other", false));
        assert!(!watch.failed("other", false));
        watch.succeeded(look.clone());
        assert!(!watch.is_due(&look));
        assert!(!watch.failed("half", false));
    }
}
