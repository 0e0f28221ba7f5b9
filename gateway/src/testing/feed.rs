//! The event feed of the scripted Certificate Manager.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cm_connector::{CmError, Event, EventCursor, Events, Outcome};
use tokio::{sync::Notify, time::timeout};

use super::away;

/// What has happened, and how the feed is asked.
#[derive(Default)]
pub(crate) struct Feed {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    events: Vec<Event>,
    /// Cursors before this place have expired.
    begins: usize,
    is_away: bool,
    is_missing: bool,
    asked: usize,
}

impl Feed {
    /// Something happens.
    pub(crate) fn tell(&self, event: Event) {
        self.state().events.push(event);
        self.changed.notify_waiters();
    }

    /// It cannot be asked, or can be again.
    pub(crate) fn is_away(&self, is_away: bool) {
        self.state().is_away = is_away;
        self.changed.notify_waiters();
    }

    /// From now on it is a CM without a feed.
    pub(crate) fn is_missing(&self) {
        self.state().is_missing = true;
    }

    /// The capabilities that come with it.
    pub(super) fn capabilities(&self) -> BTreeSet<String> {
        let is_missing = self.state().is_missing;
        ["events"].into_iter().filter(|_| !is_missing).map(String::from).collect()
    }

    /// Something happens, and what happened before now is told to nobody.
    pub(crate) fn lose(&self) {
        let mut state = self.state();
        state.begins = state.events.len() + 1;
        state.events.push(Event::Offer);
        drop(state);
        self.changed.notify_waiters();
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.state().asked
    }

    /// Answers as section 4.8 of the contract says.
    pub(super) async fn read(&self, after: Option<&EventCursor>, wait: Duration) -> Result<Events, CmError> {
        self.state().asked += 1;
        let from = after.map(|cursor| cursor.as_str().parse::<usize>().unwrap());
        let changed = self.changed.notified();
        if let Some(answer) = self.answer(from, wait.is_zero()) {
            return answer;
        }
        // Both outcomes mean the same: look again.
        let _changed = timeout(wait, changed).await;
        self.answer(from, true).unwrap()
    }

    fn answer(&self, from: Option<usize>, even_if_empty: bool) -> Option<Result<Events, CmError>> {
        let state = self.state();
        if state.is_away {
            return Some(Err(away(Outcome::NotSent)));
        }
        let newest = state.events.len();
        if from.is_some_and(|from| from < state.begins) {
            return Some(Ok(Events::CursorExpired));
        }
        let events = state.events[from.unwrap_or(newest)..].to_vec();
        let next = EventCursor::parse(&newest.to_string()).unwrap();
        (even_if_empty || from.is_none() || !events.is_empty()).then_some(Ok(Events::Page { events, next }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
