//! The folder of the audit files: appending to the last one, and finding at the start how it was left.
//!
//! A file is called by the number of its first record. Everything in here blocks. What was written is on the disk when
//! a call returns; a record that was not written whole is taken back, and its event is still in the store.

use std::{
    collections::BTreeMap,
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
    record::{Digest, Head, Record},
};

/// Size from which on another file is begun.
const SEGMENT_OCTETS: u64 = 64 * 1024 * 1024;
/// Digits in the name of a file: enough for every number, so that names order as numbers do.
const NUMBER_DIGITS: usize = 20;

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

/// What is known of how the files were left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// The last record that the store knows of, or this process. A store that has noted none never wrote any files.
    pub(super) head: Option<Head>,
    /// Why that cannot be known any more, which is damage.
    pub(super) unknown: Option<String>,
    /// This process has left them so: nothing can stand behind the last record, as it can after a crash.
    pub(super) is_certain: bool,
    /// The events that wait in the store, by their place there. Those that are in the files too came there before a crash.
    pub(super) waiting: BTreeMap<String, (Timestamp, Value)>,
    /// The records of the trail about itself that the store was told of before they were written, by their hashes.
    pub(super) promised: Vec<Digest>,
    /// The keys that may begin a file, our own first.
    pub(super) keys: Vec<PublicKey>,
}

impl Left {
    /// Why a record behind the last one that is known is none that a crash can have left there: whoever can write the
    /// file can give it every hash, and we would sign it.
    fn foreign(&self, known: Head, record: &Record) -> Option<&'static str> {
        if self.is_certain {
            return Some("this process did not write it");
        }
        if record.sequence == known.sequence.saturating_add(1) && record.previous != known.hash {
            return Some("it does not follow the last one that is known");
        }
        let Some(outbox) = &record.outbox else { return self.foreign_beside_events(record) };
        match self.waiting.get(outbox) {
            Some((at, body)) if *at == record.at && *body == record.event => None,
            Some(_) => Some("the store has another event in its place"),
            None => Some("the store has no such event"),
        }
    }

    /// The same for a record that tells of no event in the store: those of the trail about itself.
    fn foreign_beside_events(&self, record: &Record) -> Option<&'static str> {
        let begins_a_file_of_ours =
            || record.name() == SEGMENT && self.keys.iter().any(|key| record.event == chain::segment(key));
        let is_ours = self.promised.contains(&record.hash) || begins_a_file_of_ours();
        (!is_ours).then_some("the store was never told that it would come")
    }
}

/// How the folder was left.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Events in the file that still wait in the store, by their place there.
    pub(super) outbox: Vec<String>,
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
        // A pipe of such a name would have whoever opens it wait for ever.
        if is_segment(&path) && path.is_file() {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether this is the file of a segment.
fn is_segment(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix("audit-")
        .and_then(|name| name.strip_suffix(".jsonl"))
        .is_some_and(|number| number.len() == NUMBER_DIGITS && number.bytes().all(|octet| octet.is_ascii_digit()))
}

impl Folder {
    /// Opens the folder, which is made if it is missing. A file that is not as it was left is never touched again: another
    /// one is begun, in which `key` signs, right behind the last record that is known to be ours. One that is may be signed
    /// by another key.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn open(folder: &Path, left: Left, key: &PublicKey, now: Timestamp) -> io::Result<(Self, Found)> {
        if !folder.exists() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            sync_folder(folder.parent().unwrap_or(folder))?;
        }
        let mut there = segments(folder)?;
        // One that a crash has left with nothing in it but its beginning was never counted on.
        while let Some(path) = there.last()
            && is_unfinished(path, left.head)?
        {
            fs::remove_file(path)?;
            there.pop();
        }
        let last = there.pop();
        let (read, mut found) = match &last {
            Some(path) => read(path, &left)?,
            None => (ReadSegment { head: left.head.unwrap_or(Head::NONE), octets: 0 }, nothing(left.head)),
        };
        found.damage = found.damage.or(left.unknown);
        let head = read.head;
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
    /// What the next record goes on from: the last record that is ours, with the number of the last one that there is, so
    /// that none is given twice and a gap shows.
    head: Head,
    /// Octets that are whole records.
    octets: u64,
}

fn nothing(left: Option<Head>) -> Found {
    let damage = left.filter(|left| left.sequence > 0);
    let damage = damage.map(|left| format!("there is no file, and there were {} records", left.sequence));
    Found { damage, ..Found::default() }
}

fn read(path: &Path, left: &Left) -> io::Result<(ReadSegment, Found)> {
    let (mut chain, mut found) = (Chain::default(), Found::default());
    let (mut fault, mut foreign, mut at_left) = (None, None, None);
    // The last record that is ours, and the last one.
    let (mut ours, mut last) = (left.head, Head::NONE);
    let mut seen = None;
    chain.begin_file();
    let mut lines = Lines::of(path)?;
    let octets = loop {
        let octets = lines.octets;
        let line = match lines.next()? {
            Line::Whole(line) => line,
            Line::Unfinished | Line::End => break octets,
        };
        let behind =
            left.head.filter(|left| foreign.is_none() && (chain.seen.records == 0 || chain.expected() > left.sequence));
        let before = behind.map(|_| chain.seen.clone());
        let record = match chain.take(line) {
            Ok(record) => record,
            Err((sequence, wrong)) => {
                fault = Some(format!("record {sequence} is wrong: {wrong}"));
                break octets;
            }
        };
        last = record.head();
        at_left = at_left.or(left.head.filter(|left| left.sequence == record.sequence).map(|_| record.hash));
        if let Some(known) = left.head.filter(|left| foreign.is_none() && record.sequence > left.sequence) {
            match left.foreign(known, &record) {
                None => ours = Some(last),
                Some(why) => {
                    foreign = Some(format!("record {} was written by somebody else: {why}", record.sequence));
                    seen = before;
                }
            }
        }
        if let Some(outbox) = record.outbox
            && left.waiting.get(&outbox).is_some_and(|(at, body)| *at == record.at && *body == record.event)
        {
            found.outbox.push(outbox);
        }
    };
    found.torn_octets = fs::metadata(path)?.len().saturating_sub(octets);
    let first = chain.seen.first.map_or(0, |(first, _)| first);
    found.damage = match left.head {
        Some(left_off) if left_off.sequence <= last.sequence => match at_left {
            Some(hash) if hash != left_off.hash => {
                Some(format!("record {} is not the one that was written", left_off.sequence))
            }
            None if left_off.sequence.saturating_add(1) < first => Some(format!(
                "the last file begins with record {first}, and the last one known is {}",
                left_off.sequence
            )),
            Some(_) | None if left.is_certain && found.torn_octets > 0 => {
                Some(format!("something that is no record follows record {}", last.sequence))
            }
            // A crash may have spoiled what the store does not know of; that was never forgotten there, so nothing is lost.
            Some(_) | None => foreign,
        },
        Some(left) if chain.seen.records == 0 && fault.is_none() => {
            Some(format!("the last file is empty, and there were {} records", left.sequence))
        }
        Some(left) => Some(
            fault
                .unwrap_or_else(|| format!("it ends after record {}, and there were {}", last.sequence, left.sequence)),
        ),
        None => {
            fault.or_else(|| left.unknown.clone()).or_else(|| Some(String::from("the store does not know these files")))
        }
    };
    found.seen = seen.unwrap_or(chain.seen);
    let ours = ours.unwrap_or(last);
    Ok((ReadSegment { head: Head { sequence: ours.sequence.max(last.sequence), hash: ours.hash }, octets }, found))
}

/// Whether a file has no whole record but the one that begins it, and is not missed.
fn is_unfinished(path: &Path, left: Option<Head>) -> io::Result<bool> {
    let number = path.file_stem().and_then(|stem| stem.to_str()?.strip_prefix("audit-")?.parse::<u64>().ok());
    let is_new = number.zip(left).is_some_and(|(number, left)| number > left.sequence);
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
