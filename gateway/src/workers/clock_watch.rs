//! Compares our clock with the CM's, now and then (CM contract section 8, clock skew). Its answer also
//! says whether it is still as we need it (section 8, capability lost).
//!
//! Nothing is refused for it here: proofs and certificates are judged where they are used. It is said
//! before they are refused.

use std::time::Duration;

use acme::{ids::RealmName, time::Timestamp};
use cm_connector::CmError;

use crate::{app::Current, clock};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(300);
/// From when on operators are warned, and from when on they are alarmed.
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

/// Watches the difference, for ever. While the CM is away nothing is known and nothing said.
pub(crate) async fn watch_clocks(current: Current) {
    loop {
        look(&current).await;
        tokio::time::sleep(EVERY).await;
    }
}

async fn look(current: &Current) {
    let app = current.app();
    let realms: Vec<RealmName> = app.endpoints.values().map(|endpoint| endpoint.realm.clone()).collect();
    let before = clock::now();
    let identity = match app.cm.check_identity(&realms).await {
        Ok(identity) => identity,
        Err(CmError::Unavailable { .. } | CmError::RateLimited { .. }) => return,
        Err(error) => {
            tracing::error!(%error, "ALARM: the CM is not as this gateway needs it any more: role, realms or capabilities");
            return;
        }
    };
    let Some(ahead_secs) = ahead_secs(identity.time, before, clock::now()) else { return };
    app.metrics.cm_clock_ahead.set(ahead_secs);
    match weight(ahead_secs) {
        Weight::Harmless => {}
        Weight::Warn => tracing::warn!(
            ahead_secs,
            "the CM's clock differs from ours; its proofs of time and ours disagree: compare both with NTP"
        ),
        Weight::Alarm => tracing::error!(
            ahead_secs,
            "ALARM: the CM's clock differs so much from ours that it may refuse proofs, and its certificates are \
             held or withheld; compare both with NTP"
        ),
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
