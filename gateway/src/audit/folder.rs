//! The folder of the audit files: appending to the last one, and finding at the start how it was left.
//!
//! A file is called by the number of its first record. Everything in here blocks. What was written is on the disk when
//! a call returns; a record that was not written whole is taken back, and its event is still in the store.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use acme::time::Timestamp;
use serde_json::Value;

use super::{
    chain::{self, Chain, SEGMENT, Seen},
    checkpoint::PublicKey,
    lines::{Line, Lines},
    record::{Head, Record},
    verify::is_segment,
};

/// Size from which on another file is begun.
const SEGMENT_OCTETS: u64 = 64 * 1024 * 1024;
/// Digits in the name of a file: enough for every number, so that names order as numbers do.
pub(super) const NUMBER_DIGITS: usize = 20;

/// The last file, open for appending.
pub(super) struct Folder {
    path: PathBuf,
    file: File,
    /// Octets that are whole records.
    octets: u64,
    pub(super) head: Head,
    /// The key that signs in this file.
    pub(super) key: PublicKey,
}

/// How the folder was left.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Where the events of the last records waited in the store; they may still be there.
    pub(super) outbox: VecDeque<String>,
    /// What was seen of the last file.
    pub(super) seen: Seen,
    /// Octets at the end that were no whole record, and were taken away.
    pub(super) torn_octets: u64,
    /// The file is not as it was left: somebody has changed or removed it.
    pub(super) damage: Option<String>,
}

impl Found {
    /// What was found first, and what when the folder was opened once more.
    pub(super) fn and(self, later: Self) -> Self {
        let damage: Vec<_> = [self.damage, later.damage].into_iter().flatten().collect();
        Self {
            outbox: later.outbox,
            seen: self.seen,
            torn_octets: self.torn_octets.saturating_add(later.torn_octets),
            damage: (!damage.is_empty()).then(|| damage.join("; then: ")),
        }
    }
}

/// The files in a folder, in their order.
pub(super) fn segments(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_segment(&path) {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

impl Folder {
    /// Opens the folder, which is made if it is missing. `left` is the last record that the store knows of, or
    /// why nobody knows it any more, which is damage too. A file that is not
    /// as it was left is never touched again: another one is begun, in which `key` signs. One that is may be signed by
    /// another key.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn open(
        folder: &Path,
        (left, unknown): (Option<Head>, Option<String>),
        key: &PublicKey,
        remember: usize,
        now: Timestamp,
    ) -> io::Result<(Self, Found)> {
        if !folder.exists() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            sync_folder(folder.parent().unwrap_or(folder))?;
        }
        let mut there = segments(folder)?;
        // One that a crash has left with nothing in it but its beginning was never counted on.
        while let Some(path) = there.last()
            && is_unfinished(path, left)?
        {
            fs::remove_file(path)?;
            there.pop();
        }
        let last = there.pop();
        let (read, mut found) = match &last {
            Some(path) => read(path, left, remember)?,
            None => (ReadSegment::default(), nothing(left)),
        };
        found.damage = found.damage.or(unknown);
        // After damage the number goes on behind everything that was ever vouched for, so that the gap shows.
        let head = match left.filter(|left| left.sequence > read.head.sequence) {
            Some(left) => Head { sequence: left.sequence, hash: read.head.hash },
            None => read.head,
        };
        let signer = found.seen.keys.last().copied().filter(|_| found.damage.is_none());
        if let Some((path, key)) = last.zip(signer) {
            let file = File::options().append(true).open(&path)?;
            if found.torn_octets > 0 {
                file.set_len(read.octets)?;
                file.sync_all()?;
            }
            return Ok((Self { path, file, octets: read.octets, head, key }, found));
        }
        Ok((Self::begin(folder, head, key, now)?, found))
    }

    /// Begins a file with its first record.
    fn begin(folder: &Path, head: Head, key: &PublicKey, now: Timestamp) -> io::Result<Self> {
        let (next, line) = Record::write(&head, now, &chain::segment(key), None);
        let path = folder.join(format!("audit-{:0NUMBER_DIGITS$}.jsonl", next.sequence));
        if path.exists() {
            // Whatever it is, it is not what was written, and somebody will want to see it.
            fs::rename(&path, path.with_extension(format!("damaged-{}", now.unix_secs())))?;
        }
        let mut file = File::options().append(true).create_new(true).mode(0o640).open(&path)?;
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| sync_folder(folder));
        if let Err(error) = written {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self { path, file, octets: u64::try_from(line.len()).unwrap_or(u64::MAX), head: next, key: *key })
    }

    /// Whether the file is in its place and as long as we left it.
    pub(super) fn is_ours(&self) -> io::Result<bool> {
        let (own, there) = (self.file.metadata()?, fs::metadata(&self.path)?);
        Ok((own.dev(), own.ino()) == (there.dev(), there.ino()) && there.len() == self.octets)
    }

    /// Whether the next records belong into another file.
    pub(super) const fn is_over(&self) -> bool {
        self.octets >= SEGMENT_OCTETS
    }

    /// Goes on in another file.
    ///
    /// # Errors
    /// Those of the file system; then this file stays the last one.
    pub(super) fn go_on(&mut self, key: &PublicKey, now: Timestamp) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new(".")).to_owned();
        *self = Self::begin(&folder, self.head, key, now)?;
        Ok(())
    }

    /// Appends records, all or none.
    ///
    /// # Errors
    /// Those of the file system. What is on the disk then is known again when the folder is opened anew.
    pub(super) fn append<'a>(
        &mut self,
        events: impl IntoIterator<Item = (Timestamp, &'a Value, Option<String>)>,
    ) -> io::Result<()> {
        let (mut head, mut text) = (self.head, String::new());
        for (at, event, outbox) in events {
            let (next, line) = Record::write(&head, at, event, outbox.as_deref());
            head = next;
            text.push_str(&line);
        }
        self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data())?;
        self.head = head;
        self.octets = self.octets.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Takes back what a failed call has left of its records, so that the same file can be gone on with.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn take_back(&self) -> io::Result<()> {
        self.file.set_len(self.octets)?;
        self.file.sync_all()
    }
}

/// What the last file has in it.
struct ReadSegment {
    head: Head,
    octets: u64,
}

impl Default for ReadSegment {
    fn default() -> Self {
        Self { head: Head::NONE, octets: 0 }
    }
}

fn nothing(left: Option<Head>) -> Found {
    let damage = left.map(|left| format!("there is no file, and there were {} records", left.sequence));
    Found { damage, ..Found::default() }
}

fn read(path: &Path, left: Option<Head>, remember: usize) -> io::Result<(ReadSegment, Found)> {
    let (mut chain, mut found, mut good) = (Chain::default(), Found::default(), ReadSegment::default());
    let (mut fault, mut at_left) = (None, None);
    let mut lines = Lines::of(path)?;
    loop {
        let octets = lines.octets;
        match lines.next()? {
            Line::Whole(line) => match chain.take(line) {
                Ok(record) => {
                    good.head = record.head();
                    at_left = at_left.or(left.filter(|left| left.sequence == record.sequence).map(|_| record.hash));
                    if let Some(outbox) = record.outbox {
                        found.outbox.push_back(outbox);
                        if found.outbox.len() > remember {
                            found.outbox.pop_front();
                        }
                    }
                }
                Err((sequence, wrong)) => {
                    good.octets = octets;
                    fault = Some(format!("record {sequence} is wrong: {wrong}"));
                    break;
                }
            },
            Line::Unfinished | Line::End => {
                good.octets = octets;
                break;
            }
        }
    }
    let total = fs::metadata(path)?.len();
    let first = chain.seen.first.map_or(0, |(first, _)| first);
    found.damage = match left {
        // What the store does not know of was never forgotten there: a crash may have spoiled it, and nothing is lost.
        Some(left) if left.sequence <= good.head.sequence => match at_left {
            Some(hash) if hash != left.hash => {
                Some(format!("record {} is not the one that was written", left.sequence))
            }
            None if left.sequence.saturating_add(1) < first => {
                Some(format!("the last file begins with record {first}, and the last one known is {}", left.sequence))
            }
            Some(_) | None => None,
        },
        Some(left) if chain.seen.records == 0 && fault.is_none() => {
            Some(format!("the last file is empty, and there were {} records", left.sequence))
        }
        Some(left) => Some(fault.unwrap_or_else(|| {
            format!("it ends after record {}, and there were {}", good.head.sequence, left.sequence)
        })),
        None => fault,
    };
    found.torn_octets = total.saturating_sub(good.octets);
    found.seen = chain.seen;
    Ok((good, found))
}

/// Whether a file has no whole record but the one that begins it, and is not missed.
fn is_unfinished(path: &Path, left: Option<Head>) -> io::Result<bool> {
    let number = path.file_stem().and_then(|stem| stem.to_str()?.strip_prefix("audit-")?.parse::<u64>().ok());
    let is_new = number.is_some_and(|number| left.is_none_or(|left| number > left.sequence));
    if !is_new {
        return Ok(false);
    }
    let mut lines = Lines::of(path)?;
    let begins = match lines.next()? {
        Line::Whole(line) => Record::read(line).is_ok_and(|record| record.name() == SEGMENT),
        Line::Unfinished | Line::End => return Ok(true),
    };
    Ok(begins && !matches!(lines.next()?, Line::Whole(_)))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
