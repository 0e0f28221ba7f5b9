//! Warnings before a certificate of the gateway itself expires: of what is in use, whatever its files have become.

use std::{collections::BTreeMap, time::Duration};

use acme::{certificate::Validity, time::Timestamp};

const DAY: Duration = Duration::from_secs(86_400);

/// How near the end is. Each stage is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Good,
    Soon,
    /// From here on it is an alarm (CM contract section 8).
    Near,
    VeryNear,
    Last,
    Expired,
}

/// The certificates in use, by what they are called in metrics.
#[derive(Debug, Default)]
pub(super) struct Expiries(BTreeMap<&'static str, InUse>);

#[derive(Debug)]
struct InUse {
    validity: Validity,
    told: Stage,
}

impl Expiries {
    /// It has come into use.
    pub(super) fn begin(&mut self, identity: &'static str, validity: Validity) {
        if self.0.get(identity).is_none_or(|known| known.validity != validity) {
            self.0.insert(identity, InUse { validity, told: Stage::Good });
        }
    }

    /// It is no longer in use.
    pub(super) fn end(&mut self, identity: &'static str) {
        self.0.remove(identity);
    }

    /// Tells what has got near its end since the last time.
    pub(super) fn tell(&mut self, now: Timestamp) {
        for (identity, stage, expires) in self.due(now) {
            match stage {
                Stage::Good => {}
                Stage::Soon => tracing::warn!(
                    identity,
                    %expires,
                    days_left = days_left(expires, now),
                    "a certificate of this gateway expires soon; put a renewed one in its place"
                ),
                Stage::Near | Stage::VeryNear | Stage::Last => tracing::error!(
                    identity,
                    %expires,
                    days_left = days_left(expires, now),
                    "ALARM: a certificate of this gateway is about to expire; put a renewed one in its place"
                ),
                Stage::Expired => tracing::error!(
                    identity,
                    %expires,
                    "ALARM: the certificate has expired; put a renewed one in its place"
                ),
            }
        }
    }

    fn due(&mut self, now: Timestamp) -> Vec<(&'static str, Stage, Timestamp)> {
        let mut due = Vec::new();
        for (identity, in_use) in &mut self.0 {
            let stage = stage(in_use.validity, now);
            if stage > in_use.told {
                in_use.told = stage;
                due.push((*identity, stage, in_use.validity.not_after));
            }
        }
        due
    }
}

fn days_left(expires: Timestamp, now: Timestamp) -> u64 {
    expires.since(now).as_secs() / DAY.as_secs()
}

/// 30, 14, 7 and 1 days before the end; nearer to it for what does not live long, which is renewed later.
fn stage(validity: Validity, now: Timestamp) -> Stage {
    let (life, left) = (validity.not_after.since(validity.not_before), validity.not_after.since(now));
    let stages = [
        (Stage::Last, DAY, 32),
        (Stage::VeryNear, 7 * DAY, 16),
        (Stage::Near, 14 * DAY, 12),
        (Stage::Soon, 30 * DAY, 8),
    ];
    if validity.not_after < now {
        return Stage::Expired;
    }
    let reached = stages.into_iter().find(|(_, most, part)| left <= (*most).min(life / *part));
    reached.map_or(Stage::Good, |(stage, ..)| stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: f64) -> Timestamp {
        Timestamp::from_unix_secs(1_800_000_000).plus(DAY.mul_f64(days))
    }

    #[test]
    fn a_year_is_told_of_thirty_fourteen_seven_and_one_days_before_its_end_and_ninety_days_later() {
        let table = [
            (365.0, [(335.0, Stage::Soon), (351.0, Stage::Near), (358.0, Stage::VeryNear), (364.0, Stage::Last)]),
            (90.0, [(79.0, Stage::Soon), (83.0, Stage::Near), (85.0, Stage::VeryNear), (89.0, Stage::Last)]),
            (7.0, [(6.2, Stage::Soon), (6.5, Stage::Near), (6.6, Stage::VeryNear), (6.8, Stage::Last)]),
        ];
        for (life, stages) in table {
            let validity = Validity { not_before: at(0.0), not_after: at(life) };
            assert_eq!(stage(validity, at(stages[0].0 - 1.0)), Stage::Good, "{life}");
            for (day, wanted) in stages {
                assert_eq!(stage(validity, at(day)), wanted, "day {day} of {life}");
            }
            assert_eq!(stage(validity, at(life + 0.1)), Stage::Expired);
        }
    }

    #[test]
    fn each_stage_is_told_once_until_another_certificate_is_in_use() {
        let mut expiries = Expiries::default();
        let validity = Validity { not_before: at(0.0), not_after: at(365.0) };
        expiries.begin("cm", validity);
        let stages = |expiries: &mut Expiries, day| {
            expiries.due(at(day)).into_iter().map(|(identity, stage, _)| (identity, stage)).collect::<Vec<_>>()
        };
        assert_eq!(stages(&mut expiries, 300.0), []);
        assert_eq!(stages(&mut expiries, 340.0), [("cm", Stage::Soon)]);
        expiries.begin("cm", validity);
        assert_eq!(stages(&mut expiries, 341.0), [], "it was read again and is the same");
        assert_eq!(stages(&mut expiries, 400.0), [("cm", Stage::Expired)], "nobody looked for a while");
        expiries.begin("cm", Validity { not_before: at(340.0), not_after: at(705.0) });
        assert_eq!(stages(&mut expiries, 400.0), []);
        expiries.end("cm");
        assert_eq!(stages(&mut expiries, 1000.0), []);
    }
}
