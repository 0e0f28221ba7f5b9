//! The radar on tables of certificates, and on rhythms at random.

use proptest::prelude::*;

use super::*;

const DAY: i64 = 86_400;
const LIFE: i64 = 90;

fn at(day: i64) -> Timestamp {
    Timestamp::from_unix_secs(1_700_000_000 + day * DAY)
}

/// Issued on a day, with a life of 90 days.
fn one(names: &[&str], day: i64) -> Issued {
    Issued {
        id: format!("{}-{day}", names.join("+")),
        status: "good".to_owned(),
        registration: "reg_1".to_owned(),
        profile: "p".to_owned(),
        serial: "0a".to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        issued_at: at(day),
        not_after: at(day + LIFE),
        revoked_at: None,
    }
}

fn days(days: &[i64]) -> Vec<Issued> {
    days.iter().map(|day| one(&["a.test"], *day)).collect()
}

fn is_missed(certificates: &[Issued], day: i64) -> bool {
    !missed(certificates, at(day)).is_empty()
}

#[test]
fn the_rhythm_is_learned_and_a_renewal_that_stays_away_is_told_before_the_end() {
    // What was issued on which days, the last day that is still good, the first that is not.
    let table: [(&str, &[i64], i64, i64); 7] = [
        ("never renewed: two thirds are assumed", &[0], 67, 68),
        ("every 60 of 90 days", &[0, 60, 120, 180], 180 + 64, 180 + 65),
        ("every 30 days by a timer", &[0, 30, 60, 90], 90 + 34, 90 + 35),
        ("one renewal is a rhythm", &[0, 80], 80 + 84, 80 + 85),
        ("now and then later: that much later is good", &[0, 60, 120, 192], 192 + 72, 192 + 73),
        ("always in the last hour: told at 95 per cent even so", &[0, 90, 180], 180 + 85, 180 + 86),
        ("two kinds of keys a round", &[0, 0, 60, 61, 120, 120], 120 + 64, 120 + 65),
    ];
    for (what, issued, good, missing) in table {
        let certificates = days(issued);
        assert!(!is_missed(&certificates, good), "{what}: {:?}", missed(&certificates, at(good)));
        assert!(is_missed(&certificates, missing), "{what}");
    }
}

#[test]
fn what_was_learned_is_told() {
    let certificates = days(&[0, 60, 120]);
    let found = missed(&certificates, at(120 + 70));
    let found = found.first().unwrap();
    assert_eq!((found.renewals, found.permille), (2, 666));
    assert_eq!(found.certificate.id, "a.test-120");
    assert!(found.due_at <= at(180) && found.due_at > at(179), "{found:?}");
}

#[test]
fn a_rhythm_outlives_a_change_of_the_validity() {
    let mut certificates = days(&[0, 60, 120]);
    let short = Issued { not_after: at(180 + 45), ..one(&["a.test"], 180) };
    certificates.push(short);
    assert!(!is_missed(&certificates, 180 + 31));
    assert!(is_missed(&certificates, 180 + 33));
}

#[test]
fn names_that_went_on_elsewhere_are_not_missed() {
    let day = 85;
    let parted = [one(&["a.test", "b.test"], 0), one(&["a.test"], 50), one(&["b.test", "c.test"], 50)];
    assert!(!is_missed(&parted, day));
    assert!(is_missed(parted.get(..2).unwrap(), day), "b.test is left over");
    let foreign = Issued { registration: "reg_2".to_owned(), ..one(&["a.test"], 50) };
    assert!(is_missed(&[one(&["a.test"], 0), foreign], day), "each machine renews for itself");
    let revoked = Issued { revoked_at: Some(at(55)), ..one(&["a.test", "b.test"], 50) };
    assert!(is_missed(&[one(&["a.test"], 0), revoked], day));
}

#[test]
fn what_was_taken_out_of_use_is_not_waited_for() {
    let revoked = |day: i64| Issued { revoked_at: Some(at(day + 1)), ..one(&["a.test"], day) };
    assert!(!is_missed(&[revoked(0)], 85));
    assert!(!is_missed(&[one(&["a.test"], 0), revoked(60)], 85));
    assert!(!is_missed(&days(&[0]), LIFE), "it has ended");
}

#[test]
fn the_report_names_whom_to_ask() {
    let registered = super::super::record::Registered {
        id: "reg_1".to_owned(),
        status: "suspended".to_owned(),
        owner: "print room".to_owned(),
        parent: None,
        created_at: None,
        bound_at: None,
    };
    let registry = Registry::from([("reg_1".to_owned(), registered)]);
    let report = report(&days(&[0, 60]), &registry, at(-300), at(60 + 70));
    let json = report.json();
    let item = json.pointer("/items/0").unwrap();
    assert_eq!(item.get("owner").unwrap(), "print room");
    assert_eq!(item.get("registration_status").unwrap(), "suspended");
    assert_eq!((item.get("days_left").unwrap(), item.get("days_overdue").unwrap()), (&json!(20), &json!(10)));
    assert_eq!((item.get("rhythm").unwrap(), item.get("rhythm_percent").unwrap()), (&json!("learned"), &json!(66)));
}

proptest! {
    #[test]
    fn a_steady_rhythm_is_never_blamed_and_its_end_is_always_told(
        every in 10i64..80, rounds in 2i64..8, order in any::<u64>(), later in 0i64..90,
    ) {
        let mut certificates = days(&(0..rounds).map(|round| round * every).collect::<Vec<_>>());
        let last = (rounds - 1) * every;
        let place = usize::try_from(order % u64::try_from(certificates.len()).unwrap()).unwrap();
        certificates.rotate_left(place);
        let found = is_missed(&certificates, last + later);
        // Five per cent of slack are four days and a half; a share is rounded down to a thousandth.
        if later <= every + 4 {
            prop_assert!(!found, "{later} days after the last of {every} days each");
        }
        if later > every + 5 {
            prop_assert!(found, "{later} days after the last of {every} days each");
        }
    }

    #[test]
    fn whatever_was_issued_only_what_is_in_force_is_told_and_once(
        issued in proptest::collection::vec((0i64..400, 1i64..400, 0usize..3, any::<bool>()), 0..40), day in 0i64..500,
    ) {
        let names = [&["a.test"][..], &["b.test"], &["a.test", "b.test"]];
        let certificates: Vec<Issued> = issued
            .iter()
            .enumerate()
            .map(|(place, (from, span, which, revoked))| Issued {
                id: place.to_string(),
                not_after: at(from + span),
                revoked_at: revoked.then(|| at(from + 1)),
                ..one(names.get(*which).unwrap(), *from)
            })
            .collect();
        let found = missed(&certificates, at(day));
        for one in &found {
            prop_assert!(one.certificate.is_in_force(at(day)) && one.due_at < at(day));
        }
        let mut series: Vec<_> = found.iter().map(|one| &one.certificate.names).collect();
        series.sort();
        series.dedup();
        prop_assert_eq!(series.len(), found.len());
    }
}
