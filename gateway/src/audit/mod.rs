//! Audit: every decision and act as a typed event, committed with the change it tells of and
//! handed to the log afterwards, at least once.

mod event;

use acme::time::Timestamp;
use store::Commit;

pub(crate) use event::Event;

use crate::app::App;

/// Events handed over at a time.
const BATCH: usize = 50;

/// Commits an event that stands by itself, because what it tells of has happened in the CM. The
/// client is told of that, not of our trouble with writing it down.
pub(crate) async fn record(app: &App, now: Timestamp, event: &Event<'_>) {
    let mut commit = Commit::new();
    commit.audit(now, event.to_json());
    if let Err(error) = app.store.commit(commit).await {
        tracing::error!(%error, event = %event.to_json(), "ALARM: an audit event could not be stored");
    }
}

/// Writes the oldest committed events to the log and forgets them; says how many.
pub(crate) async fn drain(app: &App) -> anyhow::Result<usize> {
    let entries = app.store.audit_entries(BATCH).await?;
    let mut commit = Commit::new();
    for entry in &entries {
        tracing::info!(target: "audit", at = %entry.at, event = %entry.body);
        commit.forget_audit(&entry.sequence);
    }
    if !entries.is_empty() {
        app.store.commit(commit).await?;
    }
    Ok(entries.len())
}
