//! Audit: every decision and act as a typed event, committed with the change it tells of and
//! written afterwards, once, to files whose records are a signed chain ([`chain`]), and at least once to the log.

mod account_request;
pub(crate) mod chain;
pub(crate) mod checkpoint;
mod event;
mod fingerprints;
mod folder;
mod lines;
pub(crate) mod marker;
mod pen;
pub(crate) mod record;
mod refusals;
#[cfg(test)]
mod testing;
mod trail;
pub(crate) mod verify;

use std::{sync::Arc, time::Duration};

use acme::{ids::EndpointName, time::Timestamp};
use serde_json::{Value, json};
use store::{Commit, CommitError};
use tokio::time::timeout;

pub(crate) use account_request::{AccountAct, AccountRequest};
pub(crate) use event::{Asked, Event};
pub(crate) use fingerprints::Fingerprints;
pub(crate) use refusals::tell as tell_refusals;
pub(crate) use trail::{Act, Trail, has_room, require};

use crate::{
    app::App,
    transcript::{self, Entry, Subject},
};

/// Adds an event to a commit: for auditors and, if it is about an order or an authorization, to the
/// transcript of that.
pub(crate) fn add(app: &App, commit: &mut Commit, now: Timestamp, event: &Event<'_>) {
    commit.audit(now, event.to_json());
    if let Some((subject, entry)) = Entry::of(event, now) {
        transcript::keep(app, commit, &subject, now, &entry);
    }
}

/// Adds to a commit what a transcript tells and no event does: what was looked at, judged and asked on the way. `asked` is
/// who it was refused, if it was.
pub(crate) fn add_entry(
    commit: &mut Commit,
    now: Timestamp,
    subject: &Subject,
    entry: &Entry,
    asked: Option<(&EndpointName, &Asked<'_>)>,
) {
    if entry.has_an_event() {
        return;
    }
    let Ok(Value::Object(mut body)) = serde_json::to_value(entry) else { return };
    let step = body.remove("step").unwrap_or_default();
    body.insert(String::from("event"), step);
    body.insert(String::from("about"), json!(subject.reference));
    if let Some((endpoint, asked)) = asked {
        body.insert(String::from("endpoint"), json!(endpoint));
        body.insert(String::from("account"), json!(asked.registration.id));
        body.insert(String::from("accountKey"), json!(asked.key()));
        body.insert(String::from("client"), json!(asked.client));
        if let Some(rule) = entry.problem().and_then(|problem| problem.rule) {
            body.insert(String::from("rule"), json!(rule));
        }
    }
    commit.audit(now, Value::Object(body));
}

/// Commits an event that is to stand before what it tells of is begun in the CM.
///
/// # Errors
/// It is not written down; do not begin.
pub(crate) async fn announce(app: &App, now: Timestamp, event: &Event<'_>) -> Result<(), CommitError> {
    let mut commit = Commit::new();
    add(app, &mut commit, now, event);
    app.store.commit(commit).await
}

/// Commits an event that stands by itself, because what it tells of has happened in the CM. The
/// client is told of that, not of our trouble with writing it down.
pub(crate) async fn record(app: &App, now: Timestamp, event: &Event<'_>) {
    if let Err(error) = announce(app, now, event).await {
        app.metrics.audit.lost.inc();
        tracing::error!(%error, event = %event.to_json(), "ALARM: an audit event could not be stored");
    }
}

/// Writes all that was committed to the audit files, and that this process ends, for so long at most; the next process
/// writes the rest.
pub(crate) async fn drain_all(app: &Arc<App>, patience: Duration) {
    refusals::tell(app).await;
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

#[cfg(test)]
mod tests {
    use store::backend::ApplyError;

    use super::*;
    use crate::{clock, testing::Gateway};

    #[tokio::test(start_paused = true)]
    async fn an_event_that_the_store_does_not_take_is_counted() {
        let gateway = Gateway::new().await;
        let tell = async || {
            let event = Event::SettingsRefused { why: String::from("they are wrong") };
            record(&gateway.app, clock::now(), &event).await;
            gateway.app.metrics.audit.lost.get()
        };
        assert_eq!(tell().await, 0);
        gateway.disk.refuse_next(ApplyError::Full);
        assert_eq!(tell().await, 1);
        assert_eq!(gateway.audited().await, ["settings.refused"]);
    }
}
