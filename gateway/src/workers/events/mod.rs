//! The CM's feed of events: what has changed there is forgotten here within moments, and what waited
//! for it goes on (CM contract section 4.8).
//!
//! The cursor is in memory, as everything is that an event makes stale. At the start, after a gap and
//! after a crash of this task all of it is forgotten, and every order that waits for the CM looks again.

mod apply;

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use acme::ids::RealmName;
use cm_connector::{EventCursor, Events};
use tokio::{task::JoinHandle, time::Instant};

use self::apply::{apply, forget_everything, look_again};
use crate::{app::Current, clock};

/// How long the CM may keep a question until something happens.
const WAIT: Duration = Duration::from_secs(25);
/// Between two questions to a CM that does not wait.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause after a failure (CM contract section 6, in the background); the dice halve it.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a registration is believed while nobody tells what changes: an officer's word takes effect within two
/// seconds. That is one question a registration in use and second at most, to a CM that answers.
const BELIEVED_WITHOUT_FEED: Duration = Duration::from_secs(1);
/// From when on a feed that is gone makes us look more often at what waits (CM contract section 8).
const GONE: Duration = Duration::from_secs(120);
/// How often a request that waits is looked at then.
pub(super) const POLLED_WHEN_GONE: Duration = Duration::from_secs(30);
/// Between two looks at what the CM can do, and at the realms of the settings.
const CAPABILITY_EVERY: Duration = Duration::from_secs(3600);
const REALMS_EVERY: Duration = Duration::from_secs(5);
/// What the CM calls it.
const CAPABILITY: &str = "events";

/// Follows the feeds of all realms, for ever.
pub(crate) async fn follow_events(current: Current) {
    wait_for_capability(&current).await;
    let mut feeds = Feeds::default();
    loop {
        feeds.keep(&current).await;
        tokio::time::sleep(REALMS_EVERY).await;
    }
}

/// One for each realm of the settings.
#[derive(Default)]
struct Feeds(HashMap<RealmName, Feed>);

impl Feeds {
    /// Begins what is missing, and ends what is no longer in the settings.
    async fn keep(&mut self, current: &Current) {
        let (realms, metrics) = (realms(current), Arc::clone(&current.app().metrics));
        let gone: Vec<_> = self.0.keys().filter(|realm| !realms.contains(*realm)).cloned().collect();
        for realm in gone {
            if let Some(feed) = self.0.remove(&realm) {
                feed.end().await;
            }
            metrics.event_feed_gone(&realm);
        }
        for realm in realms {
            let follow = || Feed(tokio::spawn(follow(current.clone(), realm.clone())));
            match self.0.entry(realm.clone()) {
                Entry::Vacant(new) => {
                    // From now on it may be late, also if it never answers.
                    metrics.event_feed_answered(&realm, clock::now());
                    new.insert(follow());
                }
                // It has crashed: the answer before was its last one.
                Entry::Occupied(mut known) if known.get().0.is_finished() => drop(known.insert(follow())),
                Entry::Occupied(_) => {}
            }
        }
    }
}

/// The task that follows one realm; it ends with this.
struct Feed(JoinHandle<()>);

impl Feed {
    /// Returns when it does nothing any more.
    async fn end(mut self) {
        self.0.abort();
        let _how = (&mut self.0).await;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn realms(current: &Current) -> BTreeSet<RealmName> {
    current.app().endpoints.values().map(|endpoint| endpoint.realm.clone()).collect()
}

/// Returns when the CM says that it has a feed.
async fn wait_for_capability(current: &Current) {
    let (mut failed, mut told) = (0_u32, false);
    loop {
        believe_briefly(current);
        let realms: Vec<_> = realms(current).into_iter().collect();
        match current.app().cm.check_identity(&realms).await {
            Ok(identity) if identity.capabilities.contains(CAPABILITY) => return,
            Ok(_) => {
                for realm in realms {
                    current.app().cm_condition.feed_is_gone(&realm, true);
                }
                if !told {
                    tracing::warn!("the CM has no event feed: each registration in use is asked for every second");
                    told = true;
                }
                let looked = Instant::now();
                while looked.elapsed() < CAPABILITY_EVERY {
                    tokio::time::sleep(REALMS_EVERY).await;
                    believe_briefly(current);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "cannot ask the CM for its event feed");
                failed = failed.saturating_add(1);
                tokio::time::sleep(pause(failed, rand::random())).await;
            }
        }
    }
}

/// Nobody follows any feed.
fn believe_briefly(current: &Current) {
    for realm in realms(current) {
        current.app().registrations.limit_age(&realm, Some(BELIEVED_WITHOUT_FEED));
    }
}

/// Follows the feed of one realm, for ever.
async fn follow(current: Current, realm: RealmName) {
    let mut cursor: Option<EventCursor> = None;
    let (mut failed, mut heard) = (0_u32, Instant::now());
    current.app().registrations.limit_age(&realm, Some(BELIEVED_WITHOUT_FEED));
    loop {
        let (app, asked) = (current.app(), Instant::now());
        // The first question only finds the place: what is remembered is not to be believed until then.
        let wait = if cursor.is_some() { WAIT } else { Duration::ZERO };
        match app.cm.events(&realm, cursor.as_ref(), wait).await {
            Ok(Events::Page { events, next }) => {
                if cursor.is_none() {
                    forget_everything(&app, &realm).await;
                }
                for event in &events {
                    apply(&app, &realm, event).await;
                }
                if failed > 0 {
                    tracing::info!(%realm, "the CM's event feed is back");
                }
                (cursor, failed, heard) = (Some(next), 0, Instant::now());
                app.cm_condition.feed_is_gone(&realm, false);
                app.registrations.limit_age(&realm, None);
                app.metrics.event_feed_answered(&realm, clock::now());
                if events.is_empty() && wait != Duration::ZERO {
                    tokio::time::sleep(PAUSE_MIN.saturating_sub(asked.elapsed())).await;
                }
                continue;
            }
            Ok(Events::CursorExpired) => {
                tracing::warn!(%realm, "the CM's event feed has a gap; everything remembered is asked for again");
                cursor = None;
                forget_everything(&app, &realm).await;
            }
            Err(error) if failed == 0 => tracing::warn!(%realm, %error, "the CM's event feed broke off"),
            Err(error) => tracing::debug!(%realm, %error, "the CM's event feed is still away"),
        }
        failed = failed.saturating_add(1);
        app.registrations.limit_age(&realm, Some(BELIEVED_WITHOUT_FEED));
        if heard.elapsed() > GONE && app.cm_condition.feed_is_gone(&realm, true) {
            tracing::warn!(%realm, "the CM's event feed is gone; what waits is looked at every half a minute");
            look_again(&app, &realm, POLLED_WHEN_GONE).await;
        }
        tokio::time::sleep(pause(failed, rand::random())).await;
    }
}

/// How long to wait after so many failures in a row; `dice` is in 0..1. The first pause is short: an
/// officer may be waiting to see a suspension take effect.
fn pause(failed: u32, dice: f64) -> Duration {
    const FIRST: Duration = Duration::from_millis(250);
    let ceiling = FIRST.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1).min(16))).min(PAUSE_MAX);
    ceiling / 2 + (ceiling / 2).mul_f64(dice.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
