//! What writes the audit files: committed events go from the store into the last file, in order and each once.
//!
//! An event waits in the store until it is on the disk in the file; the store forgets it in the commit that notes how far
//! the file goes. If the process dies between the two, the event is found at the end of the file and not written again
//! ([ADR 39](../../../docs/adr/0039-the-audit-trail-is-a-signed-chain.md)).

mod note;
mod succession;

use std::{io, sync::Arc};

use acme::time::Timestamp;
use serde_json::{Value, json};
use store::{AuditEntry, Commit};
use tokio::time::Instant;

use self::{
    note::{begin_if_new, noted},
    succession::Succession,
};
use super::{
    chain::{self, CRASHED, REOPENED, STARTED, STOPPED},
    checkpoint::{PublicKey, SigningKey},
    folder::{Folder, Found, Left},
    marker,
    record::{Digest, Head},
    trail::Trail,
};
use crate::{app::App, clock};

/// Events handed over at a time; the commit that forgets them has a key for each and one more.
pub(super) const BATCH: usize = 100;
/// Events that are recognised in the files after a crash: a batch, and what other commits have put before some of it.
const RECOGNISED: usize = 5 * BATCH;
/// Events after which a checkpoint is due, however young the last one is.
const CHECKPOINT_EVENTS: usize = 1000;

/// What writing goes on with.
#[derive(Default)]
pub(super) struct Pen {
    folder: Option<Folder>,
    /// How the files were left, while that has not been written.
    found: Option<Found>,
    /// The key that is known to have signed last.
    known_key: Option<PublicKey>,
    /// How our key comes after that.
    succession: Succession,
    /// Whether this process has written that it began.
    has_started: bool,
    /// Events that are in the file and that the store has not forgotten, or may not have.
    written: Vec<String>,
    /// The last record that the store knows of, once it knows of one.
    noted: Option<Head>,
    /// What it was told of the records behind that one.
    promised: Vec<Digest>,
    /// Whether the store knows of the last record.
    is_noted: bool,
    events_since_checkpoint: usize,
    last_checkpoint: Option<Instant>,
}

/// Why events were not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The files cannot be written.
    #[error("{0}")]
    File(#[from] io::Error),
    /// The store does not answer; what was written is written.
    #[error("{0:#}")]
    Store(#[from] anyhow::Error),
}

impl Pen {
    /// Writes the oldest events; says how many.
    pub(super) async fn write(&mut self, app: &App) -> Result<usize, Failure> {
        self.open(app).await?;
        self.note(app).await?;
        let (new, again) = self.waiting(app).await?;
        let count = new.len().saturating_add(again.len());
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

    /// Writes that this process has ended in order, with a last checkpoint.
    pub(super) async fn close(&mut self, app: &App) -> Result<(), Failure> {
        self.append(app, vec![(clock::now(), json!({"event": STOPPED}), None)]).await?;
        self.checkpoint(app).await?;
        self.note(app).await
    }

    /// The oldest events that wait: those that are in no file, and those that are in one and were not forgotten.
    async fn waiting(&mut self, app: &App) -> Result<(Vec<AuditEntry>, Vec<AuditEntry>), Failure> {
        let entries = app.store.audit_entries(BATCH).await.map_err(anyhow::Error::from)?;
        let is_new = |entry: &AuditEntry| !self.written.contains(&entry.sequence.to_string());
        let (new, again): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_new);
        self.written = again.iter().map(|entry| entry.sequence.to_string()).collect();
        // The log had them before the crash, or had not.
        again
            .iter()
            .for_each(|entry| tracing::info!(target: "audit", at = %entry.at, event = %for_the_log(&entry.body)));
        Ok((new, again))
    }

    /// Has the folder open, with the events in it that tell how it was found.
    async fn open(&mut self, app: &App) -> Result<(), Failure> {
        self.find(app).await?;
        if self.found.is_none() {
            return Ok(());
        }
        let changed = self.take_over(app).await?;
        let Some(found) = &self.found else { return Ok(()) };
        let events = [Some(self.beginning(app, found)), changed].into_iter().flatten();
        self.append(app, events.map(|event| (clock::now(), event, None)).collect()).await?;
        (self.found, self.has_started) = (None, true);
        (self.known_key, self.succession) = (Some(app.audit.keys.own.public()), Succession::Same);
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
        let is_certain = left.is_some();
        let (head, unknown) = match left {
            Some(left) => (Some(left), None),
            None => {
                let noted = noted(app.store.audit_head().await)?;
                (self.known_key, self.promised) = (noted.key, noted.promised);
                let (head, unknown) = match (noted.head, noted.unknown) {
                    (None, None) => (begin_if_new(app).await?, None),
                    noted => noted,
                };
                self.noted = head;
                (head, unknown)
            }
        };
        let entries = app.store.audit_entries(RECOGNISED).await.map_err(anyhow::Error::from)?;
        let waiting = entries.into_iter().map(|entry| (entry.sequence.to_string(), (entry.at, entry.body))).collect();
        let keys = [Some(&app.audit.keys.own), app.audit.keys.previous.as_ref()].into_iter().flatten();
        let keys = keys.map(SigningKey::public).chain(self.known_key).collect();
        let left = Left { head, unknown, is_certain, waiting, promised: self.promised.clone(), keys };
        let (trail, now) = (Arc::clone(&app.audit), clock::now());
        let open = move || Folder::open(&trail.folder, left, &trail.keys.own.public(), now);
        let (folder, mut found) = blocking(open).await??;
        self.is_noted = false;
        if let Some(damage) = &found.damage {
            let folder = app.audit.folder.display();
            marker::set(app, damage);
            tracing::error!(%folder, damage, "ALARM: the audit files are not as they were left: somebody has changed or removed them; another file is \
                 begun; keep them all, and see acme-gateway audit verify");
        }
        self.written = std::mem::take(&mut found.outbox);
        self.succeed(app, &folder, &found);
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
        tracing::info!(folder = %app.audit.folder.display(), key = %app.audit.keys.own.public(), "audit events are written");
        json!({
            "event": STARTED, "version": crate::cli::VERSION, "node": node(), "process": std::process::id(),
            "settingsSha256": app.settings.digest(), "before": before, "damage": damage, "tornOctets": torn,
            "isStoreSetAside": app.metrics.store_quarantined.get() == 1,
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
        self.go_on(app).await
    }

    async fn go_on(&mut self, app: &App) -> Result<(), Failure> {
        self.with_folder(app, |folder, trail| folder.go_on(&trail.keys.own.public(), clock::now())).await?;
        self.is_noted = false;
        Ok(())
    }

    async fn checkpoint(&mut self, app: &App) -> Result<(), Failure> {
        let Some(folder) = &self.folder else { return Ok(()) };
        // Whoever began the file signs in it.
        let Some(key) = app.audit.keys.with(folder.key) else { return Ok(()) };
        let checkpoint = key.sign(folder.head);
        self.append(app, vec![(clock::now(), chain::checkpoint(&checkpoint), None)]).await?;
        tracing::info!(target: "audit", %checkpoint, "the audit files are complete up to here");
        self.events_since_checkpoint = 0;
        self.last_checkpoint = Some(Instant::now());
        Ok(())
    }

    async fn append(&mut self, app: &App, records: Vec<(Timestamp, Value, Option<String>)>) -> Result<(), Failure> {
        self.promise(app, &records).await?;
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
        self.head_is_kept();
        Ok(())
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
