//! The audit trail: what was committed with its events is written to the audit files, in order and each event once.
//!
//! An event waits in the store until it is on the disk in the file; the store forgets it in the commit that notes how far
//! the file goes. If the process dies between the two, the event is found at the end of the file and not written again
//! ([ADR 39](../../../docs/adr/0039-the-audit-trail-is-a-signed-chain.md)). While the files cannot be written nothing new is
//! issued, unless the settings say otherwise, and it goes on by itself when they can.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use acme::time::Timestamp;
use serde_json::{Value, json};
use store::{AuditEntry, AuditHead, Commit, ReadError};
use tokio::{
    task::{JoinError, JoinHandle},
    time::{Instant, timeout},
};

use super::{
    chain::{self, CRASHED, REOPENED, STARTED, STOPPED},
    checkpoint::SigningKey,
    folder::{Folder, Found},
    record::{Digest, Head},
    refusals::Told,
};
use crate::{app::App, clock, ra::Error, settings::OnFailure};

/// Events handed over at a time; the commit that forgets them has a key for each and one more.
const BATCH: usize = 100;
/// Events after which a checkpoint is due, however young the last one is.
const CHECKPOINT_EVENTS: usize = 1000;
/// Events that may wait in the store before nothing new is taken, whatever the settings say.
const WAITING_MAX: usize = 10_000;
/// How long a write may be under way before it is taken for one that never ends, as on a disk that dies.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// Between two alarms of the same trouble.
const ALARM_EVERY: Duration = Duration::from_secs(60);

/// Where the events go.
pub(crate) struct Trail {
    folder: PathBuf,
    key: SigningKey,
    state: Mutex<State>,
    refusals: tokio::sync::Mutex<Told>,
    /// Held by whoever writes.
    file: tokio::sync::Mutex<Pen>,
}

/// What requests ask for.
#[derive(Default)]
struct State {
    /// Why the files cannot be written, since when that was told.
    trouble: Option<(String, Instant)>,
    /// As many events wait as may.
    is_full: bool,
    /// Since when a write is under way that has not come back.
    writing_since: Option<Instant>,
}

impl State {
    /// For how long the write under way has not come back, if that is too long.
    fn hangs(&self) -> Option<Duration> {
        self.writing_since.map(|since| since.elapsed()).filter(|long| *long >= WRITE_MAX)
    }
}

/// What writing goes on with.
#[derive(Default)]
struct Pen {
    folder: Option<Folder>,
    /// How the files were left, while that has not been written.
    found: Option<Found>,
    /// Whether this process has written that it began.
    has_started: bool,
    /// Events that are in the file and that the store has not forgotten, or may not have.
    written: Vec<String>,
    /// Whether the store knows of the last record.
    is_noted: bool,
    events_since_checkpoint: usize,
    last_checkpoint: Option<Instant>,
}

/// Why events were not written.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The files cannot be written.
    #[error("{0}")]
    File(#[from] io::Error),
    /// The store does not answer; what was written is written.
    #[error("{0:#}")]
    Store(#[from] anyhow::Error),
}

impl Trail {
    pub(crate) fn new(folder: PathBuf, key: SigningKey) -> Self {
        Self {
            folder,
            key,
            state: Mutex::default(),
            refusals: tokio::sync::Mutex::default(),
            file: tokio::sync::Mutex::default(),
        }
    }

    /// What was told of refusals that have no event of their own.
    pub(super) async fn refusals(&self) -> tokio::sync::MutexGuard<'_, Told> {
        self.refusals.lock().await
    }

    /// Why the files cannot be written, if they cannot; for operators.
    pub(crate) fn trouble(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let full = || state.is_full.then(|| format!("more than {WAITING_MAX} events wait to be written"));
        let hangs = state.hangs().map(|long| self.hanging(long));
        hangs.or_else(|| state.trouble.as_ref().map(|(why, _)| why.clone())).or_else(full)
    }

    fn hanging(&self, long: Duration) -> String {
        format!("writing audit events to {} has not come back for {} seconds", self.folder.display(), long.as_secs())
    }

    /// Whether nothing new may be issued, because nobody could tell later that it was.
    pub(crate) fn stops(&self, on_failure: OnFailure) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_full || (state.trouble.is_some() || state.hangs().is_some()) && on_failure == OnFailure::Stop
    }
}

/// Refuses what leads to a certificate while nobody could tell later how it came about.
///
/// # Errors
/// 503 with `Retry-After`, in words for the client.
pub(crate) fn require(app: &App) -> Result<(), Error> {
    if app.audit.stops(app.settings.audit.on_failure) {
        return Err(Error::unavailable("this server cannot keep its records at the moment; try again later", None));
    }
    Ok(())
}

/// Writes what was committed; says how many events.
///
/// # Errors
/// The files cannot be written, which is told and remembered in here, or the store does not answer.
pub(super) async fn write(app: &Arc<App>) -> anyhow::Result<usize> {
    let own = Arc::clone(app);
    // Whoever waits may be dropped; a write that has begun comes to its end before another begins.
    let written = tokio::spawn(async move {
        let mut pen = own.audit.file.lock().await;
        own.audit.state.lock().unwrap_or_else(PoisonError::into_inner).writing_since = Some(Instant::now());
        let outcome = pen.write(&own).await;
        judge(&own, &outcome).await;
        outcome
    });
    Ok(watch(app, written).await??)
}

/// Waits for a write, and tells of one that does not come back and of what waits meanwhile: it may hang for ever in the
/// kernel, where nothing can end it.
async fn watch<Done>(app: &App, mut written: JoinHandle<Done>) -> Result<Done, JoinError> {
    let mut told: Option<Instant> = None;
    loop {
        if let Ok(done) = timeout(WRITE_MAX, &mut written).await {
            return done;
        }
        let waiting = app.store.audit_waiting(WAITING_MAX).await.unwrap_or(0);
        app.metrics.audit.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let why = {
            let mut state = app.audit.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.is_full = waiting >= WAITING_MAX;
            let Some(long) = state.hangs() else { continue };
            app.metrics.audit.unwritable.set(1);
            app.audit.hanging(long)
        };
        if told.is_none_or(|told| told.elapsed() >= ALARM_EVERY) {
            let stops = app.audit.stops(app.settings.audit.on_failure);
            tracing::error!(
                why,
                waiting,
                "ALARM: the audit files cannot be written; {}; nothing is lost, events wait in the store",
                if stops {
                    "new orders and finalize are refused until they can"
                } else {
                    "issuance goes on, by audit.on_failure"
                }
            );
            told = Some(Instant::now());
        }
    }
}

/// Writes that this process has ended in order, with a last checkpoint.
pub(super) async fn close(app: &App) -> anyhow::Result<()> {
    let mut pen = app.audit.file.lock().await;
    pen.append(app, vec![(clock::now(), json!({"event": STOPPED}), None)]).await?;
    pen.checkpoint(app).await?;
    Ok(pen.note(app).await?)
}

/// Tells of trouble and of its end, and remembers it for those who ask.
async fn judge(app: &App, outcome: &Result<usize, Failure>) {
    let waiting = match outcome {
        Ok(count) if *count < BATCH => 0,
        // A store that does not answer is told elsewhere.
        Ok(_) | Err(_) => app.store.audit_waiting(WAITING_MAX).await.unwrap_or(0),
    };
    app.metrics.audit.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    let mut state = app.audit.state.lock().unwrap_or_else(PoisonError::into_inner);
    state.is_full = waiting >= WAITING_MAX;
    let has_hung = state.hangs().is_some();
    state.writing_since = None;
    let folder = app.audit.folder.display();
    match outcome {
        Ok(_) => {
            if state.trouble.take().is_some() || has_hung {
                tracing::warn!(%folder, "the audit files can be written again");
                app.wake.now();
            }
            app.metrics.audit.unwritable.set(0);
        }
        Err(Failure::File(error)) => {
            app.metrics.audit.unwritable.set(1);
            let told = state.trouble.as_ref().map(|(_, told)| *told).filter(|told| told.elapsed() < ALARM_EVERY);
            if told.is_none() {
                let stops = app.settings.audit.on_failure == OnFailure::Stop;
                tracing::error!(%folder, %error, waiting, "ALARM: the audit files cannot be written; {}; nothing is lost, events wait in the store",
                    if stops { "new orders and finalize are refused until they can" } else { "issuance goes on, by audit.on_failure" });
            }
            let why = format!("audit events cannot be written to {folder}: {error}");
            state.trouble = Some((why, told.unwrap_or_else(Instant::now)));
        }
        Err(Failure::Store(_)) => {}
    }
}

impl Pen {
    async fn write(&mut self, app: &App) -> Result<usize, Failure> {
        self.open(app).await?;
        self.note(app).await?;
        let entries = app.store.audit_entries(BATCH).await.map_err(anyhow::Error::from)?;
        let count = entries.len();
        let is_new = |entry: &AuditEntry| !self.written.contains(&entry.sequence.to_string());
        let (new, again): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_new);
        self.written = again.iter().map(|entry| entry.sequence.to_string()).collect();
        // The log had them before the crash, or had not.
        again
            .iter()
            .for_each(|entry| tracing::info!(target: "audit", at = %entry.at, event = %for_the_log(&entry.body)));
        if !new.is_empty() {
            // What may have to be recognised after a crash stands in one file.
            if again.is_empty() {
                self.begin_another_if_long(app).await?;
            }
            let first = self.folder.as_ref().map_or(0, |folder| folder.head.sequence.saturating_add(1));
            let records = new.iter().map(|entry| (entry.at, entry.body.clone(), Some(entry.sequence.to_string())));
            self.append(app, records.collect()).await?;
            self.events_since_checkpoint = self.events_since_checkpoint.saturating_add(new.len());
            for (sequence, entry) in (first..).zip(&new) {
                tracing::info!(target: "audit", sequence, at = %entry.at, event = %for_the_log(&entry.body));
            }
        }
        self.forget(app, again.into_iter().chain(new)).await?;
        let every = app.settings.audit.checkpoint.duration();
        let is_old = self.last_checkpoint.is_none_or(|last| last.elapsed() >= every);
        let is_due = self.events_since_checkpoint > 0 && is_old || self.events_since_checkpoint >= CHECKPOINT_EVENTS;
        // After trouble it also shows whether the files can be written again.
        if is_due || app.audit.trouble().is_some() {
            self.checkpoint(app).await?;
            self.note(app).await?;
        }
        Ok(count)
    }

    /// Has the folder open, with the event in it that tells how it was found.
    async fn open(&mut self, app: &App) -> Result<(), Failure> {
        self.find(app).await?;
        let Some(found) = &self.found else { return Ok(()) };
        let event = self.beginning(app, found);
        self.append(app, vec![(clock::now(), event, None)]).await?;
        (self.found, self.has_started) = (None, true);
        self.checkpoint(app).await
    }

    /// Opens the folder unless it is open and as we left it.
    async fn find(&mut self, app: &App) -> Result<(), Failure> {
        let mut left = None;
        if let Some(folder) = &self.folder {
            match folder.is_ours() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // What cannot be looked at cannot be written either, and may come back as it was.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                Err(error) if !app.audit.folder.is_dir() => return Err(error.into()),
                Err(_) => {}
            }
            left = Some(folder.head);
            self.folder = None;
        }
        let (left, unknown) = match left {
            Some(left) => (Some(left), None),
            None => noted(app.store.audit_head().await)?,
        };
        let (trail, now) = (Arc::clone(&app.audit), clock::now());
        let open = move || Folder::open(&trail.folder, (left, unknown), &trail.key, BATCH, now);
        let (folder, mut found) = blocking(open).await??;
        if let Some(damage) = &found.damage {
            let folder = app.audit.folder.display();
            app.metrics.audit.damaged.set(1);
            tracing::error!(%folder, damage, "ALARM: the audit files are not as they were left: somebody has changed or removed them; another file is \
                 begun; keep them all, and see acme-gateway audit verify");
        }
        self.written = std::mem::take(&mut found.outbox).into();
        self.folder = Some(folder);
        // What an earlier try has found and could not write is still to be told.
        self.found = Some(match self.found.take() {
            Some(earlier) => earlier.and(found),
            None => found,
        });
        Ok(())
    }

    /// The event with which this process begins to write, and how the files were left.
    fn beginning(&self, app: &App, found: &Found) -> Value {
        let (damage, torn) = (&found.damage, found.torn_octets);
        if self.has_started {
            return json!({"event": REOPENED, "damage": damage, "tornOctets": torn});
        }
        let before = match (found.seen.records, found.seen.is_stopped) {
            (0, _) => Value::Null,
            (_, true) => json!("stopped"),
            (_, false) => json!(CRASHED),
        };
        tracing::info!(folder = %app.audit.folder.display(), key = %app.audit.key.public(), "audit events are written");
        json!({
            "event": STARTED, "version": crate::cli::VERSION, "node": node(), "process": std::process::id(),
            "settingsSha256": app.settings.digest(), "before": before, "damage": damage, "tornOctets": torn,
        })
    }

    /// Goes on in another file when this one is long; a checkpoint ends it.
    async fn begin_another_if_long(&mut self, app: &App) -> Result<(), Failure> {
        if self.folder.as_ref().is_some_and(Folder::is_over) { self.begin_another(app).await } else { Ok(()) }
    }

    async fn begin_another(&mut self, app: &App) -> Result<(), Failure> {
        self.checkpoint(app).await?;
        // After a crash the other file alone is read, and it must begin right behind what the store knows of.
        self.note(app).await?;
        self.with_folder(app, |folder, trail| folder.go_on(&trail.key, clock::now())).await?;
        self.is_noted = false;
        Ok(())
    }

    async fn checkpoint(&mut self, app: &App) -> Result<(), Failure> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let checkpoint = app.audit.key.sign(folder.head);
        self.append(app, vec![(clock::now(), chain::checkpoint(&checkpoint), None)]).await?;
        tracing::info!(target: "audit", %checkpoint, "the audit files are complete up to here");
        self.events_since_checkpoint = 0;
        self.last_checkpoint = Some(Instant::now());
        Ok(())
    }

    async fn append(&mut self, app: &App, records: Vec<(Timestamp, Value, Option<String>)>) -> Result<(), Failure> {
        self.is_noted = false;
        let append = move |folder: &mut Folder, _: &Trail| {
            let records = records.iter().map(|(at, event, outbox)| (*at, event, outbox.clone()));
            folder.append(records)
        };
        self.with_folder(app, append).await
    }

    /// Does something that blocks with the folder. If it cannot be left as it was it is opened anew next time.
    async fn with_folder(
        &mut self,
        app: &App,
        work: impl FnOnce(&mut Folder, &Trail) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Failure> {
        let closed = || io::Error::other("the audit file is not open");
        let mut folder = self.folder.take().ok_or_else(closed)?;
        let trail = Arc::clone(&app.audit);
        let work = move || {
            let done = work(&mut folder, &trail);
            let kept = done.is_ok() || folder.take_back().is_ok();
            (done, kept.then_some(folder))
        };
        let (done, folder) = blocking(work).await?;
        self.folder = folder;
        Ok(done?)
    }

    /// Has the store forget events that are in the file.
    async fn forget(&mut self, app: &App, entries: impl Iterator<Item = AuditEntry>) -> Result<(), Failure> {
        let mut commit = Commit::new();
        let entries: Vec<_> = entries.collect();
        if entries.is_empty() {
            return Ok(());
        }
        self.written = entries.iter().map(|entry| entry.sequence.to_string()).collect();
        entries.iter().for_each(|entry| commit.forget_audit(&entry.sequence));
        self.keep_head(&mut commit);
        app.store.commit(commit).await.map_err(anyhow::Error::from)?;
        self.written.clear();
        self.is_noted = true;
        Ok(())
    }

    /// Has the store know of the last record.
    async fn note(&mut self, app: &App) -> Result<(), Failure> {
        if self.is_noted {
            return Ok(());
        }
        let mut commit = Commit::new();
        self.keep_head(&mut commit);
        app.store.commit(commit).await.map_err(anyhow::Error::from)?;
        self.is_noted = true;
        Ok(())
    }

    fn keep_head(&self, commit: &mut Commit) {
        if let Some(folder) = &self.folder {
            let Head { sequence, hash } = folder.head;
            commit.keep_audit_head(&AuditHead { sequence, hash: hash.to_string() });
        }
    }
}

/// The last record that the store knows of, or why that cannot be known any more, which is damage.
///
/// # Errors
/// The store does not answer now. Files that are not held against it would be taken as somebody may have cut them.
fn noted(answer: Result<Option<AuditHead>, ReadError>) -> Result<(Option<Head>, Option<String>), Failure> {
    match answer {
        Ok(None) => Ok((None, None)),
        Ok(Some(AuditHead { sequence, hash })) => match Digest::parse(&hash) {
            Some(hash) => Ok((Some(Head { sequence, hash }), None)),
            None => Ok((None, Some(String::from("what the store knows of the last record is no hash")))),
        },
        Err(error @ ReadError::Unavailable(_)) => Err(Failure::Store(error.into())),
        Err(error) => Ok((None, Some(format!("what the store knows of the last record cannot be read: {error}")))),
    }
}

async fn blocking<Done: Send + 'static>(work: impl FnOnce() -> Done + Send + 'static) -> Result<Done, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::File(io::Error::other(error)))
}

/// The event without the thumbprints of account keys: with a token, which more people see, one is a proof of control.
fn for_the_log(event: &Value) -> Value {
    const ACCOUNT_KEYS: [&str; 3] = ["accountKey", "oldKey", "newKey"];
    let mut event = event.clone();
    if let Some(members) = event.as_object_mut() {
        members.retain(|name, _| !ACCOUNT_KEYS.contains(&name.as_str()));
    }
    event
}

/// What this host calls itself; the unit of systemd hides the file that says so too.
fn node() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
