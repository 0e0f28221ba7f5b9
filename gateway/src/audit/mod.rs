//! Audit: every decision and act as a typed event, committed with the change it tells of and
//! written afterwards, once, to files whose records are a signed chain ([`chain`]), and at least once to the log.

pub(crate) mod chain;
pub(crate) mod checkpoint;
mod event;
mod folder;
mod lines;
pub(crate) mod record;
mod trail;
pub(crate) mod verify;

use std::{sync::Arc, time::Duration};

use acme::time::Timestamp;
use store::Commit;
use tokio::time::timeout;

pub(crate) use event::Event;
pub(crate) use trail::{Trail, require};

use crate::{
    app::App,
    transcript::{self, Entry},
};

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

/// Writes all that was committed to the audit files, and that this process ends, for so long at most; the next process
/// writes the rest.
pub(crate) async fn drain_all(app: &Arc<App>, patience: Duration) {
    let all = async {
        while drain(app).await? > 0 {}
        trail::close(app).await
    };
    match timeout(patience, all).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(error = format!("{error:#}"), "audit events are left to the next process");
        }
        Err(_) => tracing::warn!("not all audit events were written in time; the next process writes the others"),
    }
}

/// Writes the oldest committed events to the audit files and the log, and forgets them; says how many.
pub(crate) async fn drain(app: &Arc<App>) -> anyhow::Result<usize> {
    trail::write(app).await
}
