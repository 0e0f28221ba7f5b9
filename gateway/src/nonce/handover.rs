//! Nonces handed from one process to the next: several clients never repeat a request that was
//! refused with `badNonce`, and a restart for an update should cost them nothing.
//!
//! The file is written after the last request was answered and removed before the first one is
//! taken, on disk both times. So each nonce is known to one process at a time, and a process that
//! crashed has left nothing behind. A file that is not whole, or older than any nonce, is not
//! believed.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use acme::{secret::Secret, time::Timestamp};
use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};

use super::{LIFETIME_SECS, Window};
use crate::seal::KEY_OCTETS;

/// Name of the file.
const FILE: &str = "nonces";
/// Name of the file while it is being written.
const UNFINISHED: &str = "nonces.unfinished";
/// First octets of the file; the last one is the version of its format.
const MAGIC: [u8; 8] = *b"nonces\0\x01";

/// What the next process needs.
pub(super) struct Handover {
    pub(super) key: Secret<[u8; KEY_OCTETS]>,
    pub(super) window: Window,
}

/// Leaves the nonces in this folder.
pub(super) fn leave(folder: &Path, handover: &Handover, now: Timestamp) -> anyhow::Result<()> {
    let (unfinished, path) = (folder.join(UNFINISHED), folder.join(FILE));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .with_context(|| format!("cannot write {}", unfinished.display()))?;
    file.write_all(&encode(handover, now))?;
    file.sync_all()?;
    fs::rename(&unfinished, &path).with_context(|| format!("cannot make {}", path.display()))?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Takes the nonces out of this folder; `None` if there are none. The file is gone afterwards, or
/// this fails.
pub(super) fn take(folder: &Path, now: Timestamp) -> anyhow::Result<Option<Handover>> {
    let path = folder.join(FILE);
    let mut octets = Vec::new();
    match File::open(&path) {
        Ok(file) => file.take(octets_max()).read_to_end(&mut octets).map(|_| ())?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    File::open(folder)?.sync_all()?;
    decode(&octets, now).map(Some).with_context(|| format!("{} cannot be used", path.display()))
}

/// Longest file that is read: a little more than any that is written.
const fn octets_max() -> u64 {
    super::WINDOW / 8 + 1024
}

fn encode(handover: &Handover, now: Timestamp) -> Vec<u8> {
    let mut octets = MAGIC.to_vec();
    octets.extend(now.unix_secs().to_be_bytes());
    octets.extend(handover.key.expose_secret());
    octets.extend(handover.window.next.to_be_bytes());
    octets.extend(handover.window.redeemed.iter().flat_map(|word| word.to_be_bytes()));
    let whole = digest(&SHA256, &octets);
    octets.extend(whole.as_ref());
    octets
}

fn decode(octets: &[u8], now: Timestamp) -> anyhow::Result<Handover> {
    let Some((body, whole)) = octets.split_last_chunk::<32>() else { bail!("it is too short") };
    ensure!(digest(&SHA256, body).as_ref() == whole, "it is not whole");
    let short = || anyhow::anyhow!("it is too short");
    let (magic, rest) = body.split_first_chunk().ok_or_else(short)?;
    ensure!(*magic == MAGIC, "another release wrote it");
    let (written, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let age_secs = now.unix_secs().saturating_sub(i64::from_be_bytes(*written));
    ensure!((0..=LIFETIME_SECS).contains(&age_secs), "it was written {age_secs} s ago");
    let (key, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let (next, words) = rest.split_first_chunk().ok_or_else(short)?;
    let fresh = Window::new()?;
    let (words, left) = words.as_chunks();
    ensure!(words.len() == fresh.redeemed.len() && left.is_empty(), "its window has another size");
    let redeemed = words.iter().map(|word| u64::from_be_bytes(*word)).collect();
    let window = Window { next: u64::from_be_bytes(*next), redeemed, ..fresh };
    Ok(Handover { key: Secret::new(*key), window })
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use super::{
        super::{Nonces, Rejected},
        *,
    };
    use crate::random;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

    /// A folder that goes with its test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let id: acme::ids::OrderId = random::id();
            let path = std::env::temp_dir().join(format!("acme-gateway-nonces-{id}"));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn the_next_process_takes_each_nonce_once_and_the_one_after_a_crash_takes_none() {
        let folder = Folder::new();
        let first = Nonces::resume(folder.path(), NOW).unwrap();
        let (spent, kept, later) = (first.issue(NOW), first.issue(NOW), first.issue(NOW));
        assert_eq!(first.redeem(&spent, NOW), Ok(()));
        first.hand_over(folder.path(), NOW).unwrap();
        assert_eq!(first.redeem(&kept, NOW), Err(Rejected::Closed), "it is the next process's now");

        let second = Nonces::resume(folder.path(), NOW).unwrap();
        assert!(second.redeem(&spent, NOW).is_err());
        assert_eq!(second.redeem(&kept, NOW), Ok(()));
        assert!(second.redeem(&kept, NOW).is_err());
        assert_eq!(second.redeem(&second.issue(NOW), NOW), Ok(()));

        let after_a_crash = Nonces::resume(folder.path(), NOW).unwrap();
        assert!(after_a_crash.redeem(&later, NOW).is_err(), "nobody resumes them twice");
        assert_eq!(after_a_crash.redeem(&after_a_crash.issue(NOW), NOW), Ok(()));
    }

    #[test]
    fn a_file_that_is_damaged_or_too_old_or_from_the_future_is_not_believed_and_not_kept() {
        let spoil = |bend: fn(&mut Vec<u8>), now: Timestamp| {
            let folder = Folder::new();
            let first = Nonces::new().unwrap();
            let nonce = first.issue(NOW);
            first.hand_over(folder.path(), NOW).unwrap();
            let path = folder.path().join(FILE);
            let mut octets = fs::read(&path).unwrap();
            bend(&mut octets);
            fs::write(&path, octets).unwrap();
            let redeemed = Nonces::resume(folder.path(), now).unwrap().redeem(&nonce, now).is_ok();
            (redeemed, path.exists())
        };
        assert_eq!(spoil(|_| {}, NOW), (true, false), "a good one is believed");
        let day = Duration::from_secs(86_401);
        for (bend, now) in [
            ((|octets| octets[100] ^= 1) as fn(&mut Vec<u8>), NOW),
            (|octets| octets.truncate(1000), NOW),
            (|octets| octets.clear(), NOW),
            (|_| {}, NOW.plus(day)),
            (|_| {}, NOW.minus(day)),
        ] {
            assert_eq!(spoil(bend, now), (false, false));
        }
    }
}
