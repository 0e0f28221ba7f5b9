//! How the CM is, as far as it was noticed: its clock, and which of its feeds are gone (CM contract
//! section 8). It is in memory only, and whoever decides by it gets a value.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use acme::{ids::RealmName, time::Timestamp};

/// How far a proof may lie in the CM's future (CM contract section 4.4, evidence).
pub(crate) const EVIDENCE_AHEAD_MAX: Duration = Duration::from_secs(60);

/// What was noticed last. A CM that nobody has looked at yet is taken for sound.
#[derive(Debug, Default)]
pub(crate) struct CmCondition {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ahead_secs: i64,
    without_feed: BTreeSet<RealmName>,
}

impl CmCondition {
    /// The CM's clock was compared with ours: how many seconds it is ahead, below zero if it is behind.
    pub(crate) fn clock_is_ahead(&self, secs: i64) {
        self.state().ahead_secs = secs;
    }

    /// What the CM's clock shows while ours shows this.
    pub(crate) fn time(&self, ours: Timestamp) -> Timestamp {
        let ahead_secs = self.state().ahead_secs;
        let difference = Duration::from_secs(ahead_secs.unsigned_abs());
        if ahead_secs < 0 { ours.minus(difference) } else { ours.plus(difference) }
    }

    /// How long it takes until something that was seen at this time by our clock lies no longer so far in the CM's
    /// future that the CM does not believe it; zero if it does not now.
    pub(crate) fn until_believed(&self, seen: Timestamp, now: Timestamp) -> Duration {
        seen.since(self.time(now).plus(EVIDENCE_AHEAD_MAX))
    }

    /// Nobody tells any longer what happens in this realm, or somebody does again; says whether that is new.
    pub(crate) fn feed_is_gone(&self, realm: &RealmName, is_gone: bool) -> bool {
        let mut state = self.state();
        if is_gone { state.without_feed.insert(realm.clone()) } else { state.without_feed.remove(realm) }
    }

    /// Whether this realm's feed is gone, or there is none.
    pub(crate) fn is_without_feed(&self, realm: &RealmName) -> bool {
        self.state().without_feed.contains(realm)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cm_sees_in_its_future_is_believed_a_minute_ahead_and_no_more() {
        let now = Timestamp::from_unix_secs(1_800_000_000);
        let ago = |secs| now.minus(Duration::from_secs(secs));
        let table =
            [(0, 0, 0), (-60, 0, 0), (-61, 0, 1), (-180, 0, 120), (-180, 100, 20), (-180, 120, 0), (3600, 0, 0)];
        for (ahead_secs, seen_secs_ago, expected) in table {
            let condition = CmCondition::default();
            condition.clock_is_ahead(ahead_secs);
            let waits = condition.until_believed(ago(seen_secs_ago), now);
            assert_eq!(waits, Duration::from_secs(expected), "{ahead_secs}, {seen_secs_ago}");
        }
    }

    #[test]
    fn a_feed_is_gone_and_back_once() {
        let (condition, realm) = (CmCondition::default(), RealmName::parse("open").unwrap());
        assert!(condition.feed_is_gone(&realm, true) && !condition.feed_is_gone(&realm, true));
        assert!(condition.is_without_feed(&realm) && !condition.is_without_feed(&RealmName::parse("b").unwrap()));
        assert!(condition.feed_is_gone(&realm, false) && !condition.feed_is_gone(&realm, false));
    }
}
