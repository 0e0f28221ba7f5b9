//! The audit trail as the rest of the gateway sees it: whether the audit files can be written, and what is refused while they
//! cannot.
//!
//! Events wait in the store; [`Pen`] brings them into the files. While it cannot, nothing new is issued unless the settings
//! say otherwise, and what waits is bounded: first no account is changed any more and no validation begun, and when the
//! reserve for what was promised is gone, nothing is revoked or given up. It goes on by itself when the files can be written.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    task::{JoinError, JoinHandle},
    time::{Instant, timeout},
};

use super::{
    checkpoint::Keys,
    pen::{BATCH, Failure, Pen},
    refusals::Told,
};
use crate::{app::App, ra::Error, settings::OnFailure};

/// Events that may wait in the store before nothing new is taken, whatever the settings say.
const WAITING_MAX: usize = 10_000;
/// Events that may wait beyond those: of what was promised before, and of what leads to less danger.
const RESERVE: usize = 10_000;
/// How long a write may be under way before it is taken for one that never ends, as on a disk that dies.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// Between two alarms of the same trouble.
const ALARM_EVERY: Duration = Duration::from_secs(60);

/// Where the events go.
pub(crate) struct Trail {
    pub(super) folder: PathBuf,
    pub(super) keys: Keys,
    state: Mutex<State>,
    refusals: tokio::sync::Mutex<Told>,
    /// Held by whoever writes.
    pub(super) pen: tokio::sync::Mutex<Pen>,
}

/// What requests ask for.
#[derive(Default)]
struct State {
    /// Why the files cannot be written, since when that was told.
    trouble: Option<(String, Instant)>,
    /// Events that wait, when they were last counted: with every write, and while one does not come back.
    waiting: usize,
    /// Since when a write is under way that has not come back.
    writing_since: Option<Instant>,
}

impl State {
    /// For how long the write under way has not come back, if that is too long.
    fn hangs(&self) -> Option<Duration> {
        self.writing_since.map(|since| since.elapsed()).filter(|long| *long >= WRITE_MAX)
    }
}

/// What an operation that auditors are told of leads to, which decides for how long it goes on while they cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// A certificate.
    Issuance,
    /// Another account, another key or contact of one, a validation.
    Change,
    /// Less danger: a revocation, something given up.
    Ending,
}

impl Trail {
    pub(crate) fn new(folder: PathBuf, keys: Keys) -> Self {
        Self {
            folder,
            keys,
            state: Mutex::default(),
            refusals: tokio::sync::Mutex::default(),
            pen: tokio::sync::Mutex::default(),
        }
    }

    /// What was told of refusals that have no event of their own.
    pub(super) async fn refusals(&self) -> tokio::sync::MutexGuard<'_, Told> {
        self.refusals.lock().await
    }

    /// Why the files cannot be written, if they cannot; for operators.
    pub(crate) fn trouble(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let full =
            || (state.waiting >= WAITING_MAX).then(|| format!("more than {WAITING_MAX} events wait to be written"));
        let hangs = state.hangs().map(|long| self.hanging(long));
        hangs.or_else(|| state.trouble.as_ref().map(|(why, _)| why.clone())).or_else(full)
    }

    fn hanging(&self, long: Duration) -> String {
        format!("writing audit events to {} has not come back for {} seconds", self.folder.display(), long.as_secs())
    }

    /// Whether this may not be done, because nobody could tell later that it was.
    pub(crate) fn stops(&self, act: Act, on_failure: OnFailure) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = state.waiting >= WAITING_MAX;
        match act {
            Act::Issuance => {
                is_full || (state.trouble.is_some() || state.hangs().is_some()) && on_failure == OnFailure::Stop
            }
            Act::Change => is_full,
            Act::Ending => state.waiting >= WAITING_MAX + RESERVE,
        }
    }
}

/// Refuses what nobody could tell later how it came about.
///
/// # Errors
/// 503 with `Retry-After`, in words for the client.
pub(crate) fn require(app: &App, act: Act) -> Result<(), Error> {
    if app.audit.stops(act, app.settings.audit.on_failure) {
        return Err(Error::unavailable("this server cannot keep its records at the moment; try again later", None));
    }
    Ok(())
}

/// Whether there is room for events that change nothing: of refusals, which are counted all the same.
pub(crate) fn has_room(app: &App) -> bool {
    !app.audit.stops(Act::Change, app.settings.audit.on_failure)
}

/// Writes what was committed; says how many events.
///
/// # Errors
/// The files cannot be written, which is told and remembered in here, or the store does not answer.
pub(super) async fn write(app: &Arc<App>) -> anyhow::Result<usize> {
    let own = Arc::clone(app);
    // Whoever waits may be dropped; a write that has begun comes to its end before another begins.
    let written = tokio::spawn(async move {
        let mut pen = own.audit.pen.lock().await;
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
        let waiting = app.store.audit_waiting(WAITING_MAX + RESERVE).await.unwrap_or(0);
        app.metrics.audit.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let why = {
            let mut state = app.audit.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waiting = waiting;
            let Some(long) = state.hangs() else { continue };
            app.metrics.audit.unwritable.set(1);
            app.audit.hanging(long)
        };
        if told.is_none_or(|told| told.elapsed() >= ALARM_EVERY) {
            let stops = app.audit.stops(Act::Issuance, app.settings.audit.on_failure);
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
    app.audit.pen.lock().await.close(app).await.map_err(anyhow::Error::from)
}

/// Tells of trouble and of its end, and remembers it for those who ask.
async fn judge(app: &App, outcome: &Result<usize, Failure>) {
    let waiting = match outcome {
        Ok(count) if *count < BATCH => 0,
        // A store that does not answer is told elsewhere.
        Ok(_) | Err(_) => app.store.audit_waiting(WAITING_MAX + RESERVE).await.unwrap_or(0),
    };
    app.metrics.audit.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    let mut state = app.audit.state.lock().unwrap_or_else(PoisonError::into_inner);
    state.waiting = waiting;
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

#[cfg(test)]
mod tests;
