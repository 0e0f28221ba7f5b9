//! When the gateway's own server certificate is renewed, and how long it waits after a failure. Pure.

use std::time::Duration;

use acme::{certificate::Validity, time::Timestamp};

/// Between the first failures, and the longest pause.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_AWAY_MAX: Duration = Duration::from_secs(60);
const PAUSE_REFUSED_MAX: Duration = Duration::from_secs(1800);
/// A certificate that is to be renewed sooner than this after it came is of no use.
const USEFUL_MIN: Duration = Duration::from_secs(30);
/// The longest rest after a certificate that is of use.
const REST_MAX: Duration = Duration::from_secs(3600);

/// What a failure says about the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Something is away, such as the CM: the next try may succeed.
    Away,
    /// It was refused, and will be until a person has mended something.
    Refused,
}

/// When to renew: a moment of the window that the CM gives (RFC 9773 §4.2), else after two thirds of its
/// life and a little; never later than seven eighths. `dice` is in 0..1 and drawn once for each certificate.
pub(super) fn renew_at(validity: Validity, window: Option<(Timestamp, Timestamp)>, dice: f64) -> Timestamp {
    let dice = dice.clamp(0.0, 1.0);
    let life = validity.not_after.since(validity.not_before);
    let wanted = match window {
        Some((start, end)) => start.plus(end.since(start).mul_f64(dice)),
        None => validity.not_before.plus(life * 2 / 3 + (life / 20).mul_f64(dice)),
    };
    wanted.min(validity.not_before.plus(life * 7 / 8))
}

/// Whether less than a quarter of its life is left.
pub(super) fn is_late(validity: Validity, now: Timestamp) -> bool {
    validity.not_after.since(now) < validity.not_after.since(validity.not_before) / 4
}

/// How long to wait after so many failures in a row; `dice` is in 0..1.
pub(super) fn pause(failure: Failure, failed: u32, dice: f64) -> Duration {
    let most = match failure {
        Failure::Away => PAUSE_AWAY_MAX,
        Failure::Refused => PAUSE_REFUSED_MAX,
    };
    let ceiling = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(failed.min(16))).min(most);
    ceiling / 2 + (ceiling / 2).mul_f64(dice.clamp(0.0, 1.0))
}

/// Whether a certificate is to be renewed so soon after it came that the next would be no better.
pub(super) fn is_too_soon(due_in: Duration) -> bool {
    due_in < USEFUL_MIN
}

/// How long no other certificate is asked for after one of this validity came: a twentieth of its life, which is over
/// long before it is to be renewed, at most an hour.
pub(super) fn rest(validity: Validity) -> Duration {
    (validity.not_after.since(validity.not_before) / 20).min(REST_MAX)
}

/// The same after so many in a row that were of no use: a minute at least; `dice` is in 0..1.
pub(super) fn rest_after_useless(useless: u32, dice: f64) -> Duration {
    /// As if so much had gone wrong before.
    const FAILED_BEFORE: u32 = 5;
    pause(Failure::Refused, useless.saturating_add(FAILED_BEFORE), dice)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: u64 = 86_400;

    fn at(days: u64) -> Timestamp {
        Timestamp::from_unix_secs(1_800_000_000).plus(Duration::from_secs(days * DAY))
    }

    fn ninety_days() -> Validity {
        Validity { not_before: at(0), not_after: at(90) }
    }

    #[test]
    fn the_window_of_the_cm_decides_and_two_thirds_of_the_life_without_one() {
        let table = [
            (Some((at(50), at(52))), 0.0, at(50)),
            (Some((at(50), at(52))), 0.5, at(51)),
            (Some((at(0), at(1))), 1.0, at(1)),
            (None, 0.0, at(60)),
            (Some((at(88), at(89))), 0.0, at(0).plus(Duration::from_secs(90 * DAY * 7 / 8))),
        ];
        for (window, dice, wanted) in table {
            assert_eq!(renew_at(ninety_days(), window, dice), wanted, "{window:?}");
        }
        assert!(!is_late(ninety_days(), at(67)) && is_late(ninety_days(), at(68)) && is_late(ninety_days(), at(91)));
    }

    proptest! {
        #[test]
        fn a_certificate_is_renewed_while_an_eighth_of_its_life_is_left(
            life in 8_u64..400 * DAY, start in 0_u64..500, length in 1_u64..500, dice in 0.0..1.0,
        ) {
            let validity = Validity { not_before: at(0), not_after: at(0).plus(Duration::from_secs(life)) };
            let last = validity.not_after.minus(Duration::from_secs(life / 8));
            for window in [None, Some((at(start), at(start + length)))] {
                prop_assert!(renew_at(validity, window, dice) <= last);
            }
        }

        #[test]
        fn no_certificate_follows_another_at_once(
            useless in 1_u32..100, life in 600_u64..400 * DAY, dice in 0.0..1.0,
        ) {
            let after = rest_after_useless(useless, dice);
            prop_assert!(after >= Duration::from_secs(60) && after <= PAUSE_REFUSED_MAX);
            prop_assert!(rest_after_useless(useless + 1, dice) >= after);
            // Whoever rests is in time for what the life says, and does not ask more than twenty times in one life.
            let validity = Validity { not_before: at(0), not_after: at(0).plus(Duration::from_secs(life)) };
            let due = renew_at(validity, None, dice).since(validity.not_before);
            prop_assert!(!is_too_soon(due) && rest(validity) < due && rest(validity) <= REST_MAX);
            prop_assert!(rest(validity) >= Duration::from_secs(life / 20).min(REST_MAX));
        }

        #[test]
        fn pauses_grow_and_are_bounded(failed in 1_u32..100, dice in 0.0..1.0) {
            let (away, refused) = (pause(Failure::Away, failed, dice), pause(Failure::Refused, failed, dice));
            prop_assert!(away >= PAUSE_MIN && away <= PAUSE_AWAY_MAX);
            prop_assert!(refused >= away && refused <= PAUSE_REFUSED_MAX);
            prop_assert!(pause(Failure::Refused, failed + 1, dice) >= refused);
        }
    }
}
