//! Looks after the CM, every minute and whenever there is reason to: whether it answers, whether it is still as we
//! need it, and how its clock goes (CM contract section 8: clock skew, capability lost, alarms).
//!
//! What is noticed is told to operators; those who have to wait for the clock find it in
//! [`CmCondition`](crate::cm_condition::CmCondition).

use std::{collections::BTreeSet, time::Duration};

use acme::{ids::RealmName, time::Timestamp};
use cm_connector::{CmError, Identity};
use tokio::time::Instant;

use crate::{
    app::{App, Current},
    clock,
};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(60);
/// The same while it does not answer, so that it is looked at when it is back.
const EVERY_WHILE_AWAY: Duration = Duration::from_secs(10);
/// Looks that somebody asks for are at least so far apart.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// From when on a CM that does not answer is an alarm.
const AWAY_ALARM: Duration = Duration::from_secs(120);
/// From when on operators are warned of a difference of the clocks, and from when on they are alarmed.
const WARN: Duration = Duration::from_secs(60);
const ALARM: Duration = Duration::from_secs(300);
/// An answer that took longer says too little about the time.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How much a difference matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    Harmless,
    Warn,
    Alarm,
}

/// What was told already.
#[derive(Debug)]
struct Watch {
    /// When it answered last.
    answered: Instant,
    is_away_told: bool,
    /// What it could do at one time.
    capabilities: BTreeSet<String>,
}

/// Watches the CM, for ever.
pub(crate) async fn watch_cm(current: Current) {
    let mut watch = Watch::new();
    loop {
        let app = current.app();
        let pause = if watch.look(&app).await { EVERY } else { EVERY_WHILE_AWAY };
        tokio::time::sleep(PAUSE_MIN).await;
        // Both outcomes mean the same: look.
        let _either = tokio::time::timeout(pause.saturating_sub(PAUSE_MIN), app.cm.reconnected()).await;
    }
}

impl Watch {
    fn new() -> Self {
        Self { answered: Instant::now(), is_away_told: false, capabilities: BTreeSet::new() }
    }

    /// Looks once; says whether there was an answer.
    async fn look(&mut self, app: &App) -> bool {
        let (was_unfit, before) = (app.cm.unfit().is_some(), clock::now());
        let answer = app.cm.check_identity(&realms(app)).await;
        if let Err(CmError::Unavailable { .. } | CmError::RateLimited { .. }) = answer {
            self.tell_away();
            return false;
        }
        let now = clock::now();
        app.metrics.cm_answered.set(now.unix_secs());
        if self.is_away_told {
            tracing::info!("the CM answers again");
        }
        (self.answered, self.is_away_told) = (Instant::now(), false);
        match answer {
            Ok(identity) => {
                if was_unfit {
                    tracing::info!("the CM is again as this gateway needs it");
                }
                self.tell_lost(&identity);
                judge_clock(app, ahead_secs(identity.time, before, now));
            }
            Err(error) => {
                tracing::error!(%error, "ALARM: the CM is not as this gateway needs it any more: role, realms or capabilities");
            }
        }
        true
    }

    fn tell_away(&mut self) {
        if self.answered.elapsed() > AWAY_ALARM && !self.is_away_told {
            tracing::error!("ALARM: the CM has not answered for two minutes; orders and revocations wait for it");
            self.is_away_told = true;
        }
    }

    /// What no issuance needs may be missing from the start; what was there and is gone was counted on.
    fn tell_lost(&mut self, identity: &Identity) {
        let lost: Vec<_> = self.capabilities.difference(&identity.capabilities).cloned().collect();
        if !lost.is_empty() {
            tracing::error!(lost = lost.join(", "), "ALARM: the CM has lost capabilities; what needs them fails");
        }
        self.capabilities.clone_from(&identity.capabilities);
    }
}

fn realms(app: &App) -> Vec<RealmName> {
    app.endpoints.values().map(|endpoint| endpoint.realm.clone()).collect()
}

/// Says how the CM's clock goes, for those who wait for it and for operators.
fn judge_clock(app: &App, ahead_secs: Option<i64>) {
    let Some(ahead_secs) = ahead_secs else { return };
    app.cm_condition.clock_is_ahead(ahead_secs);
    app.metrics.cm_clock_ahead.set(ahead_secs);
    match weight(ahead_secs) {
        Weight::Harmless => {}
        Weight::Warn => tracing::warn!(
            ahead_secs,
            "the CM's clock differs from ours; its proofs of time and ours disagree: compare both with NTP"
        ),
        Weight::Alarm => tracing::error!(
            ahead_secs,
            "ALARM: the CM's clock differs so much from ours that requests wait for it, and its certificates are \
             held or withheld; compare both with NTP"
        ),
    }
}

/// Looks at the CM's clock now, because it has refused what it may find to lie in its future.
pub(super) async fn look_at_clock(app: &App) {
    let before = clock::now();
    if let Ok(identity) = app.cm.check_identity(&realms(app)).await {
        judge_clock(app, ahead_secs(identity.time, before, clock::now()));
    }
}

/// How far the CM's clock is ahead of ours, in seconds; below zero if it is behind. What the way of
/// question and answer explains is no difference. `None` if the answer took too long to tell.
fn ahead_secs(theirs: Timestamp, asked: Timestamp, answered: Timestamp) -> Option<i64> {
    if answered.since(asked) > ANSWER_MAX {
        return None;
    }
    let (theirs, asked, answered) = (theirs.unix_secs(), asked.unix_secs(), answered.unix_secs());
    Some(if theirs > answered { theirs.saturating_sub(answered) } else { theirs.saturating_sub(asked).min(0) })
}

fn weight(ahead_secs: i64) -> Weight {
    let difference = Duration::from_secs(ahead_secs.unsigned_abs());
    if difference > ALARM {
        Weight::Alarm
    } else if difference > WARN {
        Weight::Warn
    } else {
        Weight::Harmless
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Gateway, Operation};

    #[tokio::test(start_paused = true)]
    async fn the_cm_is_looked_at_every_minute_and_when_it_is_back() {
        let gateway = Gateway::new().await;
        let watching = tokio::spawn(watch_cm(Current::from(gateway.app.clone())));
        tokio::time::sleep(EVERY * 3 / 2).await;
        assert_eq!(gateway.cm.calls(Operation::Identity).len(), 2);
        gateway.cm.clock_is_ahead(-180);
        gateway.cm.is_away(true);
        gateway.cm.is_away(false);
        tokio::time::sleep(PAUSE_MIN).await;
        assert_eq!(gateway.app.metrics.cm_clock_ahead.get(), -180);
        watching.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_cm_that_does_not_answer_is_told_of_once_after_two_minutes() {
        let (gateway, mut watch) = (Gateway::new().await, Watch::new());
        assert!(watch.look(&gateway.app).await);
        gateway.cm.is_away(true);
        assert!(!watch.look(&gateway.app).await && !watch.is_away_told);
        tokio::time::sleep(AWAY_ALARM + EVERY).await;
        assert!(!watch.look(&gateway.app).await && watch.is_away_told);
        gateway.cm.is_away(false);
        assert!(watch.look(&gateway.app).await && !watch.is_away_told);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_the_cm_is_known_after_a_look() {
        let (gateway, mut watch) = (Gateway::new().await, Watch::new());
        let now = Timestamp::from_unix_secs(1_800_000_000);
        assert_eq!(gateway.app.cm_condition.time(now), now);
        gateway.cm.clock_is_ahead(-180);
        assert!(watch.look(&gateway.app).await);
        assert_eq!(gateway.app.metrics.cm_clock_ahead.get(), -180);
        assert_eq!(gateway.app.cm_condition.time(now), now.minus(Duration::from_secs(180)));
    }

    #[test]
    fn the_way_of_the_answer_is_no_difference_and_a_slow_one_tells_nothing() {
        let at = Timestamp::from_unix_secs;
        let table = [
            (100, 100, 100, Some(0)),
            (103, 100, 105, Some(0)),
            (106, 100, 105, Some(1)),
            (99, 100, 105, Some(-1)),
            (500, 100, 110, Some(390)),
            (500, 100, 111, None),
        ];
        for (theirs, asked, answered, ahead) in table {
            assert_eq!(ahead_secs(at(theirs), at(asked), at(answered)), ahead, "{theirs}, {asked}, {answered}");
        }
    }

    #[test]
    fn a_minute_is_told_and_five_are_an_alarm_in_both_directions() {
        for (secs, expected) in [
            (60, Weight::Harmless),
            (61, Weight::Warn),
            (300, Weight::Warn),
            (301, Weight::Alarm),
            (i64::MAX, Weight::Alarm),
        ] {
            assert_eq!((weight(secs), weight(-secs)), (expected, expected), "{secs}");
        }
    }
}
