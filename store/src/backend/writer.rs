//! The one thread that writes.
//!
//! It takes the batches that wait, stages them as one group, writes the group, syncs the file and
//! only then answers: no answer says more than the disk knows. Batches that arrive meanwhile are
//! the next group.
//!
//! A full disk closes the database, spends the ballast, opens it again and looks whether the group
//! got in. Until the ballast is back, only batches that delete are taken. Any other failure is
//! final for this process: after a failed sync the kernel may forget pages it has not written, so
//! nothing read from then on could be trusted.

use std::{
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{error, info, warn};

use super::{
    ApplyError, Batch, Unavailable,
    ballast::Ballast,
    folder::Folder,
    group::Group,
    sled::{Database, Failure, OpenFailure, panic_text},
    view::View,
};

/// Most batches in one group.
const GROUP_BATCHES_MAX: usize = 64;
/// A group that has so many octets takes no further batch.
const GROUP_OCTETS: usize = 4 * 1024 * 1024;
/// How often it is tried to undo what a full disk has left.
const MEND_EVERY: Duration = Duration::from_secs(2);

/// Makes the disk keep what was written to a file.
pub(crate) type Barrier = Box<dyn FnMut(&File) -> io::Result<()> + Send>;

/// A batch that waits to be written.
pub(crate) struct Request {
    pub(crate) batch: Batch,
    pub(crate) answer: oneshot::Sender<Result<(), ApplyError>>,
    /// Bounds how many wait; let go of after the answer.
    pub(crate) place: OwnedSemaphorePermit,
}

/// What the thread owns.
pub(crate) struct Writer {
    pub(crate) view: Arc<View>,
    pub(crate) folder: Folder,
    pub(crate) ballast: Ballast,
    pub(crate) cache_octets: u64,
    pub(crate) barrier: Barrier,
    /// The number of the last batch.
    pub(crate) sequence: u64,
    /// Why nothing works any more.
    pub(crate) failed: Option<String>,
    /// When it was last tried to undo what a full disk has left.
    pub(crate) mended: Instant,
    /// Whether a full disk is why nothing new is taken; for others to look at.
    pub(crate) full: Arc<AtomicBool>,
}

/// What became of a group when the disk was full.
enum Outcome {
    Written,
    NotWritten,
    Unknown(Unavailable),
}

impl Writer {
    /// Works until every sender is gone, then closes the database.
    pub(crate) fn run(mut self, queue: &Receiver<Request>) {
        loop {
            match queue.recv_timeout(MEND_EVERY) {
                Ok(request) => {
                    self.mend_if_due();
                    self.write_waiting(request, queue);
                }
                Err(RecvTimeoutError::Timeout) => self.mend_if_due(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        drop(self.view.close("the store was closed"));
    }

    fn write_waiting(&mut self, first: Request, queue: &Receiver<Request>) {
        let mut octets = first.batch.octets();
        let mut waiting = vec![first];
        while waiting.len() < GROUP_BATCHES_MAX && octets < GROUP_OCTETS {
            let Ok(request) = queue.try_recv() else { break };
            octets = octets.saturating_add(request.batch.octets());
            waiting.push(request);
        }
        let (batches, answers): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|request| (request.batch, (request.answer, request.place))).unzip();
        let count = batches.len();
        let verdicts = catch_unwind(AssertUnwindSafe(|| self.write(batches))).unwrap_or_else(|panic| {
            let unavailable = self.fail(format!("panic while writing: {}", panic_text(panic.as_ref())));
            vec![Err(unavailable.into()); count]
        });
        for ((answer, place), verdict) in answers.into_iter().zip(verdicts) {
            // Nobody waits any more if the request was given up: that is its right.
            let _ = answer.send(verdict);
            drop(place);
        }
    }

    /// One verdict a batch, in order.
    fn write(&mut self, batches: Vec<Batch>) -> Vec<Result<(), ApplyError>> {
        let count = batches.len();
        if let Some(why) = &self.failed {
            return vec![Err(Unavailable(why.clone()).into()); count];
        }
        if !self.view.is_open() {
            return vec![Err(ApplyError::Full); count];
        }
        let mut group = Group::after(self.sequence);
        let mut verdicts = Vec::with_capacity(count);
        for batch in batches {
            if self.ballast.is_spent() && batch.puts() {
                verdicts.push(Err(ApplyError::Full));
                continue;
            }
            match group.add(batch, |key| self.view.stored_version(key)) {
                Ok(true) => verdicts.push(Ok(())),
                Ok(false) => verdicts.push(Err(ApplyError::Conflict)),
                Err(failure) => return vec![Err(self.fail(text(failure)).into()); count],
            }
        }
        if group.writes().is_empty() {
            return verdicts;
        }
        let outcome = match self.write_group(&group) {
            Ok(()) => Outcome::Written,
            Err(Failure::Full) => self.make_room(&group),
            Err(Failure::Broken(why)) => Outcome::Unknown(self.fail(why)),
        };
        let refusal = match outcome {
            Outcome::Written => return verdicts,
            Outcome::NotWritten => ApplyError::Full,
            Outcome::Unknown(unavailable) => unavailable.into(),
        };
        verdicts.into_iter().map(|verdict| verdict.and(Err(refusal.clone()))).collect()
    }

    fn write_group(&mut self, group: &Group) -> Result<(), Failure> {
        self.view.hold_back(group)?;
        let Self { view, barrier, folder, .. } = self;
        view.with_database(|database| {
            database.write(group)?;
            sync(barrier, database)?;
            database.remember(&folder.database(), group.sequence());
            Ok(())
        })?;
        self.sequence = group.sequence();
        self.view.show_written();
        Ok(())
    }

    /// The disk is full: opens the database again with the help of the ballast and looks whether
    /// the group is in it. sled takes no more writes after one that failed, so it has to be opened
    /// again in any case.
    fn make_room(&mut self, group: &Group) -> Outcome {
        error!("no space left for the store; orders are refused until there is some");
        drop(self.view.close("the disk is full"));
        self.ballast.spend();
        self.full.store(true, Ordering::Relaxed);
        match self.reopen() {
            Ok(()) if self.sequence == group.sequence() => Outcome::Written,
            Ok(()) => Outcome::NotWritten,
            Err(unavailable) => Outcome::Unknown(unavailable),
        }
    }

    fn reopen(&mut self) -> Result<(), Unavailable> {
        let recovered = match Database::open(&self.folder.database(), self.cache_octets) {
            Ok(recovered) => recovered,
            Err(OpenFailure::Full) => return Err(Unavailable("the disk is full".into())),
            Err(OpenFailure::Locked) => return Err(self.fail("another process took the lock".into())),
            Err(OpenFailure::Damaged(why)) => return Err(self.fail(format!("damaged: {why}"))),
            Err(OpenFailure::Io(why)) => return Err(self.fail(why.to_string())),
        };
        let synced = sync(&mut self.barrier, &recovered.database)
            .and_then(|()| self.folder.sync().map_err(|why| Failure::Broken(why.to_string())));
        match synced {
            Ok(()) => {
                self.sequence = recovered.sequence;
                self.view.open(recovered.database);
                Ok(())
            }
            Err(failure) => Err(self.fail(text(failure))),
        }
    }

    fn mend_if_due(&mut self) {
        let healthy = self.view.is_open() && !self.ballast.is_spent();
        if healthy || self.failed.is_some() || self.mended.elapsed() < MEND_EVERY {
            return;
        }
        self.mended = Instant::now();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.mend())) {
            self.fail(format!("panic while opening: {}", panic_text(panic.as_ref())));
        }
    }

    /// Opens the database again if the full disk has kept it closed, and brings the ballast back.
    fn mend(&mut self) {
        if !self.view.is_open() && self.reopen().is_err() {
            return;
        }
        if self.ballast.is_spent() {
            match self.ballast.make() {
                Ok(()) => {
                    self.full.store(false, Ordering::Relaxed);
                    info!("the store has space again");
                }
                Err(why) => warn!(%why, "still no space for the store's ballast; orders are refused"),
            }
        }
    }

    /// Gives up for good. The database is dropped elsewhere: sled may wait for threads of its own
    /// that have come to grief.
    fn fail(&mut self, why: String) -> Unavailable {
        error!(%why, "the store has failed; restart the process");
        let why = format!("{why}; the process has to be restarted");
        let database = self.view.close(&why);
        let _ = thread::Builder::new().name("store-drop".into()).spawn(move || drop(database));
        self.failed = Some(why.clone());
        Unavailable(why)
    }
}

fn sync(barrier: &mut Barrier, database: &Database) -> Result<(), Failure> {
    barrier(database.file()).map_err(|why| Failure::Broken(format!("sync: {why}")))
}

fn text(failure: Failure) -> String {
    match failure {
        Failure::Full => "the disk is full".into(),
        Failure::Broken(why) => why,
    }
}

#[cfg(test)]
mod tests;
