//! Audit: every decision and act as a typed event, committed with the change it tells of and
//! handed to the log afterwards, at least once.

mod event;

use std::time::Duration;

use acme::time::Timestamp;
use store::Commit;
use tokio::time::timeout;

pub(crate) use event::Event;

use crate::{
    app::App,
    transcript::{self, Entry},
};

/// Events handed over at a time.
const BATCH: usize = 50;

/// Adds an event to a commit: for auditors and, if it is about an order or an authorization, to the
/// transcript of that.
pub(crate) fn add(app: &App, commit: &mut Commit, now: Timestamp, event: &Event<'_>) {
    commit.audit(now, event.to_json());
    if let Some((subject, entry)) = Entry::of(event, now) {
        transcript::tell(app, commit, &subject, now, &entry);
    }
}

/// Commits an event that stands by itself, because what it tells of has happened in the CM. The
/// client is told of that, not of our trouble with writing it down.
pub(crate) async fn record(app: &App, now: Timestamp, event: &Event<'_>) {
    let mut commit = Commit::new();
    add(app, &mut commit, now, event);
    if let Err(error) = app.store.commit(commit).await {
        tracing::error!(%error, event = %event.to_json(), "ALARM: an audit event could not be stored");
    }
}

/// Writes all that was committed to the log, at the end, for so long at most; the next process writes the rest.
pub(crate) async fn drain_all(app: &App, patience: Duration) {
    let all = async {
        while drain(app).await? > 0 {}
        anyhow::Ok(())
    };
    match timeout(patience, all).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(error = format!("{error:#}"), "audit events are left to the next process");
        }
        Err(_) => tracing::warn!("not all audit events were written in time; the next process writes the others"),
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
