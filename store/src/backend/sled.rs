//! sled 0.34.7, and the only file that names it.
//!
//! Its `flush` hands pages to the kernel but does not make the disk keep them: in simulated power
//! cuts it lost acknowledged data in most rounds. So the barrier is ours: whoever writes follows
//! [`Database::write`] by a sync of [`Database::file`]. Opening it can fail or panic on damaged
//! files; both are told apart from a full disk and from a lock held elsewhere, because only damage
//! may lead to a new database. Where it cannot make sense of its log it takes that for the end of
//! it, without a word, up to an empty database; so a mark beside it says how far it has to go.
//!
//! One tree. `v` and a key hold the first piece of a value, `p`, the key, a zero octet and a number
//! the others, and `s` the sequence number of the last batch, written with it.

use std::{
    any::Any,
    fs::{self, File},
    io::{self, ErrorKind},
    path::Path,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use ::sled::{Batch, Config, Db, Error, IVec};

use super::{
    Entry, Key, KeyRange, Version, Versioned,
    chunks::{self, First},
    folder::{filled_mark, read_mark, write_mark},
    group::Group,
};

/// Where the sequence number is.
const SEQUENCE: &[u8] = b"s";
/// sled lets go of its own lock only after its threads have ended.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);
/// Between two attempts to take the lock.
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// What sled says when the lock is held; it has no error of its own for that.
const LOCK_REFUSED: &str = "could not acquire lock";

/// An open database.
pub(crate) struct Database {
    db: Db,
    file: File,
    /// Made when the database is known to be good, which is after it was opened.
    mark: OnceLock<Option<File>>,
}

/// A database that has just been opened.
pub(crate) struct Recovered {
    pub(crate) database: Database,
    /// The number of the last batch in it.
    pub(crate) sequence: u64,
}

/// Why something in an open database did not work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No space left.
    Full,
    /// Anything else.
    Broken(String),
}

/// Why a database was not opened.
#[derive(Debug)]
pub(crate) enum OpenFailure {
    /// No space left; sled writes while it opens.
    Full,
    /// Somebody else has it open.
    Locked,
    /// Its files are not what they should be.
    Damaged(String),
    /// The file system refused, which says nothing about the files.
    Io(io::Error),
}

impl Database {
    /// Opens the database in this folder and reads all of it once, so that damage shows now and
    /// not in the middle of an order. sled may panic, so that happens in a thread of its own.
    pub(crate) fn open(folder: &Path, cache_octets: u64) -> Result<Recovered, OpenFailure> {
        let config = Config::default().path(folder).cache_capacity(cache_octets);
        delete_unfinished_snapshots(folder).map_err(OpenFailure::Io)?;
        let durable = read_mark(&filled_mark(folder)).map_err(OpenFailure::Io)?;
        let opening = thread::Builder::new().name("store-open".into()).spawn(move || {
            let db = open_waiting_for_lock(&config)?;
            let sequence = match (read_all(&db)?, durable) {
                (Some(sequence), durable) if sequence >= durable.unwrap_or(0) => sequence,
                (Some(sequence), durable) => {
                    let ends = format!("it ends at batch {sequence}, batch {} was durable", durable.unwrap_or(0));
                    return Err(Error::ReportableBug(ends));
                }
                (None, Some(_)) => return Err(Error::ReportableBug("it opened empty".into())),
                (None, None) => begin(&db)?,
            };
            Ok((db, sequence))
        });
        let (db, sequence) = match opening.map_err(OpenFailure::Io)?.join() {
            Ok(opened) => opened.map_err(why_not_opened)?,
            Err(panic) => return Err(why_panicked(panic.as_ref())),
        };
        let file = File::open(folder.join("db")).map_err(OpenFailure::Io)?;
        Ok(Recovered { database: Self { db, file, mark: OnceLock::new() }, sequence })
    }

    /// The file that has to be synced for a write to last.
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    /// The version of a key.
    pub(crate) fn version(&self, key: &Key) -> Result<Option<Version>, Failure> {
        match self.db.get(first_key(key))? {
            Some(octets) => Ok(Some(first(key, &octets)?.version)),
            None => Ok(None),
        }
    }

    /// What a key holds.
    pub(crate) fn read(&self, key: &Key) -> Result<Option<Versioned>, Failure> {
        match self.db.get(first_key(key))? {
            Some(octets) => Ok(Some(self.join_pieces(key, &octets)?)),
            None => Ok(None),
        }
    }

    /// What is in a range, in order.
    pub(crate) fn scan(&self, range: &KeyRange) -> impl Iterator<Item = Result<Entry, Failure>> {
        self.db.range(first_key(&range.from)..first_key(&range.below)).map(|found| {
            let (stored_key, octets) = found?;
            let key = read_first_key(&stored_key)?;
            let held = self.join_pieces(&key, &octets)?;
            Ok(Entry { key, held })
        })
    }

    /// Hands all writes of a group to the kernel: after a crash all of them are there or none. They
    /// last once [`Database::file`] is synced.
    pub(crate) fn write(&self, group: &Group) -> Result<(), Failure> {
        let mut batch = Batch::default();
        for (key, held) in group.writes() {
            let pieces_before = match self.db.get(first_key(key))? {
                Some(octets) => first(key, &octets)?.following,
                None => 0,
            };
            let mut pieces_now = 0;
            match held {
                Some(held) => {
                    let pieces = chunks::cut(held).ok_or_else(|| Failure::Broken(format!("{key} is too long")))?;
                    batch.insert(first_key(key), pieces.first);
                    for (index, piece) in (0..=u16::MAX).zip(pieces.rest) {
                        batch.insert(piece_key(key, index), piece);
                        pieces_now = index.saturating_add(1);
                    }
                }
                None => batch.remove(first_key(key)),
            }
            for index in pieces_now..pieces_before {
                batch.remove(piece_key(key, index));
            }
        }
        batch.insert(SEQUENCE, &group.sequence().to_be_bytes());
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        Ok(())
    }

    /// Remembers that everything up to this batch is durable.
    pub(crate) fn remember(&self, folder: &Path, sequence: u64) {
        let mark = self.mark.get_or_init(|| File::options().write(true).open(filled_mark(folder)).ok());
        // Without it only less damage is noticed.
        let _ = mark.as_ref().map(|mark| write_mark(mark, sequence));
    }

    fn join_pieces(&self, key: &Key, octets: &[u8]) -> Result<Versioned, Failure> {
        let First { version, following, value } = first(key, octets)?;
        let mut value = value.to_vec();
        for index in 0..following {
            let piece = self.db.get(piece_key(key, index))?;
            value.extend_from_slice(&piece.ok_or_else(|| Failure::Broken(format!("{key} lacks piece {index}")))?);
        }
        Ok(Versioned { value, version })
    }
}

fn first_key(key: &Key) -> Vec<u8> {
    [b"v", key.as_str().as_bytes()].concat()
}

fn read_first_key(stored: &IVec) -> Result<Key, Failure> {
    let text = stored.strip_prefix(b"v").and_then(|key| std::str::from_utf8(key).ok());
    text.map(|text| Key::new(text.to_owned())).ok_or_else(|| Failure::Broken(format!("{stored:?} is no key of ours")))
}

fn piece_key(key: &Key, index: u16) -> Vec<u8> {
    [b"p", key.as_str().as_bytes(), &[0], &index.to_be_bytes()].concat()
}

fn first<'a>(key: &Key, octets: &'a [u8]) -> Result<First<'a>, Failure> {
    chunks::read_first(octets).ok_or_else(|| Failure::Broken(format!("{key} has a first piece that is too short")))
}

/// A snapshot that sled was writing when the power or the space went away lies beside the one it
/// was to replace, and sled would take it for a good one and find it corrupt.
fn delete_unfinished_snapshots(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn open_waiting_for_lock(config: &Config) -> Result<Db, Error> {
    let give_up = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match config.open() {
            Err(error) if is_lock_refused(&error) && Instant::now() < give_up => thread::sleep(LOCK_RETRY),
            result @ (Ok(_) | Err(_)) => return result,
        }
    }
}

/// Touches every page; the sequence number of the last batch, which no database of ours is without.
fn read_all(db: &Db) -> Result<Option<u64>, Error> {
    let mut sequence = None;
    for entry in db.iter() {
        let (key, value) = entry?;
        if key == SEQUENCE {
            let octets = <[u8; 8]>::try_from(value.as_ref());
            let octets = octets.map_err(|_| Error::ReportableBug("the sequence number is no number".into()))?;
            sequence = Some(u64::from_be_bytes(octets));
        }
    }
    Ok(sequence)
}

/// Puts the first thing into a new database.
fn begin(db: &Db) -> Result<u64, Error> {
    db.insert(SEQUENCE, &0_u64.to_be_bytes())?;
    db.flush()?;
    Ok(0)
}

fn is_lock_refused(error: &Error) -> bool {
    matches!(error, Error::Io(io) if io.to_string().contains(LOCK_REFUSED))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(io) if is_full(&io) => Self::Full,
            error @ (Error::Io(_)
            | Error::CollectionNotFound(_)
            | Error::Unsupported(_)
            | Error::ReportableBug(_)
            | Error::Corruption { .. }) => Self::Broken(error.to_string()),
        }
    }
}

/// Damage is what the files themselves say. Missing rights, a failing disk or too many open files
/// are not damage: a new database would not help.
fn why_not_opened(error: Error) -> OpenFailure {
    let locked = is_lock_refused(&error);
    match error {
        Error::Io(_) if locked => OpenFailure::Locked,
        Error::Io(io) if is_full(&io) => OpenFailure::Full,
        Error::Io(io)
            if matches!(
                io.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::NotFound | ErrorKind::Other
            ) =>
        {
            OpenFailure::Damaged(io.to_string())
        }
        Error::Io(io) => OpenFailure::Io(io),
        error @ (Error::CollectionNotFound(_)
        | Error::Unsupported(_)
        | Error::ReportableBug(_)
        | Error::Corruption { .. }) => OpenFailure::Damaged(error.to_string()),
    }
}

fn why_panicked(panic: &(dyn Any + Send)) -> OpenFailure {
    let text = panic_text(panic);
    let full = ["StorageFull", "QuotaExceeded", "No space left"].iter().any(|word| text.contains(word));
    if full { OpenFailure::Full } else { OpenFailure::Damaged(format!("panic: {text}")) }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
