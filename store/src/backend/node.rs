//! The backend of a single node: a folder on a local disk, used by one process.
//!
//! Reads are answered in place, without a thread to hand them to: they come from sled's cache in
//! microseconds, and a hop to another thread would cost more than it saves. Writes go to the one
//! writer thread. Everything in here is transient by design, so a database that is damaged is
//! moved aside and the gateway goes on with an empty one.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use super::{
    ApplyError, Backend, Batch, Entry, Key, KeyRange, Unavailable, Versioned,
    ballast::Ballast,
    folder::{Folder, FolderError},
    sled::{Database, OpenFailure, Recovered},
    view::View,
    writer::{Barrier, Request, Writer},
};
use crate::watch::{Watch, Watcher};

/// Most batches that wait to be written; more wait for a place.
const WAITING_MAX: usize = 1024;
/// How long an answer is waited for before the outcome is called unknown.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long the writer is waited for when the backend is dropped.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(10);

/// What can be chosen about the database of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Space kept in reserve, so that a full disk can be recovered from; 0 for none.
    pub ballast_octets: u64,
    /// Memory for sled's page cache.
    pub cache_octets: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { ballast_octets: 64 * 1024 * 1024, cache_octets: 128 * 1024 * 1024 }
    }
}

/// A backend that has been opened, and what happened meanwhile.
pub struct Opened {
    /// Ready for use.
    pub backend: Sled,
    /// Where a damaged database was moved to, if that was necessary. All orders in it are lost, so
    /// somebody should be told.
    pub quarantined: Option<PathBuf>,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{folder} is in use by another process; stop that one, or choose another folder")]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The disk is full, even without the ballast.
    #[error("there is no space left for {folder}; free some and start again")]
    Full {
        /// The folder.
        folder: PathBuf,
    },
    /// The file system refused.
    #[error("{folder} cannot be used as the folder of the store")]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// sled in a folder of this node.
pub struct Sled {
    view: Arc<View>,
    /// Taken away to tell the writer to end.
    queue: Option<Sender<Request>>,
    places: Arc<Semaphore>,
    /// Whether the writer takes nothing new because there is no space.
    full: Arc<AtomicBool>,
    /// Ends when the writer has ended.
    writer_ended: Mutex<Receiver<()>>,
    /// Who is told of each flush.
    watcher: Watcher,
}

/// Opens the store in this folder, which is made if need be and closed to other users. Blocks for
/// as long as reading the whole database takes.
///
/// A database that is damaged is moved aside within the folder, and an empty one is made. A full
/// disk, missing rights and a folder in use are no damage.
///
/// # Errors
/// [`OpenError`], with everything left as it was.
pub fn open(folder: &Path, options: &Options) -> Result<Opened, OpenError> {
    let watcher = Watcher::default();
    let told = watcher.clone();
    let barrier = move |file: &File| {
        let begun = Instant::now();
        let synced = file.sync_data();
        if let Some(watch) = told.watch() {
            watch.flushed(begun.elapsed());
        }
        synced
    };
    let mut opened = open_with_barrier(folder, options, Box::new(barrier))?;
    opened.backend.watcher = watcher;
    Ok(opened)
}

/// Moves the database in this folder aside, which nobody may have open, and tells where it went.
///
/// # Errors
/// [`OpenError`].
pub fn put_aside(folder: &Path) -> Result<PathBuf, OpenError> {
    hold(folder)?.put_database_aside().map_err(|source| OpenError::Io { folder: folder.to_owned(), source })
}

fn hold(path: &Path) -> Result<Folder, OpenError> {
    Folder::hold(path).map_err(|error| match error {
        FolderError::Locked => OpenError::Locked { folder: path.to_owned() },
        FolderError::Io(source) => OpenError::Io { folder: path.to_owned(), source },
    })
}

fn open_with_barrier(path: &Path, options: &Options, mut barrier: Barrier) -> Result<Opened, OpenError> {
    let refused = |source| OpenError::Io { folder: path.to_owned(), source };
    let folder = hold(path)?;
    let mut ballast = Ballast::new(folder.ballast(), options.ballast_octets);
    let open = || Database::open(&folder.database(), options.cache_octets);
    let mut opened = open();
    if matches!(opened, Err(OpenFailure::Full)) {
        ballast.spend();
        opened = open();
    }
    let mut quarantined = None;
    if let Err(OpenFailure::Damaged(why)) = &opened {
        let aside = folder.put_database_aside().map_err(refused)?;
        tracing::error!(%why, aside = %aside.display(), "the store was damaged; it was moved aside, its orders are lost");
        quarantined = Some(aside);
        opened = open();
    }
    let Recovered { database, sequence } = opened.map_err(|failure| match failure {
        OpenFailure::Locked => OpenError::Locked { folder: path.to_owned() },
        OpenFailure::Full => OpenError::Full { folder: path.to_owned() },
        OpenFailure::Damaged(why) => refused(io::Error::other(why)),
        OpenFailure::Io(source) => refused(source),
    })?;
    barrier(database.file()).and_then(|()| folder.sync()).and_then(|()| folder.mark_filled()).map_err(refused)?;
    if let Err(why) = ballast.make() {
        tracing::warn!(%why, "no space for the store's ballast; orders are refused until there is");
    }
    let full = Arc::new(AtomicBool::new(ballast.is_spent()));
    let view = Arc::new(View::new(database));
    let (queue, requests) = mpsc::channel();
    let (running, writer_ended) = mpsc::channel();
    let writer = Writer {
        view: Arc::clone(&view),
        folder,
        ballast,
        cache_octets: options.cache_octets,
        barrier,
        sequence,
        failed: None,
        mended: Instant::now(),
        full: Arc::clone(&full),
    };
    let work = move || {
        writer.run(&requests);
        drop::<Sender<()>>(running);
    };
    thread::Builder::new().name("store-writer".into()).spawn(work).map_err(refused)?;
    let backend = Sled {
        view,
        queue: Some(queue),
        places: Arc::new(Semaphore::new(WAITING_MAX)),
        full,
        writer_ended: Mutex::new(writer_ended),
        watcher: Watcher::default(),
    };
    Ok(Opened { backend, quarantined })
}

impl Sled {
    /// The answer of the writer; `None` if it is gone.
    async fn ask_writer(&self, batch: Batch) -> Option<Result<(), ApplyError>> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let (answer, answered) = oneshot::channel();
        self.queue.as_ref()?.send(Request { batch, answer, place }).ok()?;
        answered.await.ok()
    }
}

#[async_trait]
impl Backend for Sled {
    async fn read(&self, key: &Key) -> Result<Option<Versioned>, Unavailable> {
        self.view.read(key)
    }

    async fn scan(&self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, Unavailable> {
        self.view.scan(range, limit)
    }

    async fn apply(&self, batch: Batch) -> Result<(), ApplyError> {
        match timeout(ANSWER_WAIT_MAX, self.ask_writer(batch)).await {
            Ok(Some(verdict)) => verdict,
            Ok(None) => Err(Unavailable("the writer has ended".into()).into()),
            Err(_) => Err(Unavailable(format!("the disk has not answered for {ANSWER_WAIT_MAX:?}")).into()),
        }
    }

    fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    fn watch(&self, watch: Arc<dyn Watch>) {
        self.watcher.begin(watch);
    }
}

impl Drop for Sled {
    /// Waits until everything is closed, so that the folder can be opened again at once.
    fn drop(&mut self) {
        self.queue = None;
        let ended = self.writer_ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(CLOSE_WAIT_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the store's writer has not ended; leaving it behind");
        }
    }
}

#[cfg(test)]
mod tests;
