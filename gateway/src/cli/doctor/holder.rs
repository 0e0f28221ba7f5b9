//! Who holds the store: a gateway that runs, or somebody else.

use std::{fs, os::unix::fs::MetadataExt as _};

use crate::settings::Settings;

/// What the process of a gateway is called.
pub(super) const PROGRAM: &str = "acme-gateway";

/// The process that holds the store, by the system's list of locks, for taking the lock oneself would be in the way
/// of a gateway that starts now; and its name.
pub(super) fn find(settings: &Settings) -> Option<(u32, String)> {
    let inode = fs::metadata(settings.store.dir.join("lock")).ok()?.ino();
    let pid = holder_in(&fs::read_to_string("/proc/locks").ok()?, inode)?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((pid, name.trim().to_owned()))
}

fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    let inode = inode.to_string();
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let [kind, _, mode, pid, file] = [words.next()?, words.next()?, words.next()?, words.next()?, words.next()?];
        let is_it = kind == "FLOCK" && mode == "WRITE" && file.rsplit(':').next() == Some(inode.as_str());
        if is_it { pid.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_found_by_the_file() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 08:01:77 0 EOF\n2: FLOCK  ADVISORY  READ 12 08:01:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 08:01:78 0 EOF\n4: FLOCK  ADVISORY  WRITE 14 08:01:77 0 EOF\n";
        assert_eq!((holder_in(locks, 77), holder_in(locks, 78), holder_in(locks, 7)), (Some(14), Some(13), None));
    }
}
