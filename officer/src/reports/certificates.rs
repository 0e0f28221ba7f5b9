//! Certificates that were issued, and those that end soon.

use acme::time::Timestamp;
use serde_json::{Value, json};

use super::{
    Report, counted,
    record::{Issued, Registry, by_registration},
};

const SECONDS_OF_A_DAY: i64 = 86_400;

/// Issued from `from` on and before `to`, oldest first.
pub(crate) fn issued(mut certificates: Vec<Issued>, from: Timestamp, to: Timestamp, now: Timestamp) -> Report {
    certificates.retain(|one| one.issued_at >= from && one.issued_at < to);
    certificates.sort_by(|a, b| (a.issued_at, &a.id).cmp(&(b.issued_at, &b.id)));
    let mut totals = counted(certificates.iter().map(|one| one.profile.as_str()).map(or_none));
    totals = totals.into_iter().map(|(profile, number)| (format!("profile {profile}"), number)).collect();
    let statuses = counted(certificates.iter().map(|one| one.status.as_str()));
    totals.extend(statuses.into_iter().map(|(status, number)| (format!("status {status}"), number)));
    let row = |one: &Issued| {
        vec![
            json!(one.issued_at),
            json!(one.not_after),
            json!(one.id),
            json!(one.serial),
            json!(one.status),
            json!(one.registration),
            json!(one.profile),
            json!(one.names),
        ]
    };
    Report {
        name: "issued",
        title: format!("Certificates issued from {from} to before {to}"),
        made_at: now,
        columns: &["issued_at", "not_after", "certificate", "serial", "status", "registration", "profile", "names"],
        rows: certificates.iter().map(row).collect(),
        totals,
        notes: Vec::new(),
    }
}

/// In force and ending before `before`, the next one first. `later` are those that could have taken their place.
pub(crate) fn expiring(
    mut certificates: Vec<Issued>,
    later: &[Issued],
    registry: &Registry,
    before: Timestamp,
    now: Timestamp,
) -> Report {
    certificates.retain(|one| one.is_in_force(now) && one.not_after < before);
    certificates.sort_by(|a, b| (a.not_after, &a.id).cmp(&(b.not_after, &b.id)));
    let later = by_registration(later);
    let successor = |one: &Issued| successor(one, later.get(one.registration.as_str())?, now);
    let renewed: Vec<_> = certificates.iter().map(successor).collect();
    let words = renewed.iter().map(|by| if by.is_some() { "renewed" } else { "not renewed" });
    let totals = counted(words);
    let row = |(one, by): (&Issued, &Option<&Issued>)| {
        let left = one.not_after.unix_secs().saturating_sub(now.unix_secs()) / SECONDS_OF_A_DAY;
        vec![
            json!(one.not_after),
            json!(left),
            json!(one.id),
            json!(one.registration),
            json!(registry.get(&one.registration).map(|registration| &registration.owner)),
            json!(one.profile),
            json!(one.names),
            by.map_or(Value::Null, |by| json!(by.id)),
        ]
    };
    Report {
        name: "expiring",
        title: format!("Certificates that end before {before}"),
        made_at: now,
        columns: &["not_after", "days_left", "certificate", "registration", "owner", "profile", "names", "renewed_by"],
        rows: certificates.iter().zip(&renewed).map(row).collect(),
        totals,
        notes: Vec::new(),
    }
}

/// The one of its siblings in the registration that has all its names and lasts longest beyond it.
fn successor<'a>(one: &Issued, siblings: &[&'a Issued], now: Timestamp) -> Option<&'a Issued> {
    let takes_its_place = |other: &&'a Issued| {
        other.not_after > one.not_after
            && other.is_in_force(now)
            && one.names.iter().all(|name| other.names.contains(name))
    };
    let fitting = siblings.iter().copied().filter(takes_its_place);
    fitting.max_by(|a, b| (a.not_after, &a.id).cmp(&(b.not_after, &b.id)))
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "(none)" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = SECONDS_OF_A_DAY;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_unix_secs(1_790_000_000 + day * DAY)
    }

    fn one(id: &str, names: &[&str], from: i64, until: i64) -> Issued {
        Issued {
            id: id.to_owned(),
            status: "good".to_owned(),
            registration: "reg_1".to_owned(),
            profile: "p".to_owned(),
            serial: "0a".to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            issued_at: at(from),
            not_after: at(until),
            revoked_at: None,
        }
    }

    fn column(report: &Report, name: &str) -> Vec<Value> {
        let place = report.columns.iter().position(|column| *column == name).unwrap();
        report.rows.iter().map(|row| row.get(place).unwrap().clone()).collect()
    }

    #[test]
    fn neighbouring_reports_have_each_certificate_once() {
        let all = || vec![one("c", &["c.test"], 2, 92), one("a", &["a.test"], 0, 90), one("b", &["b.test"], 1, 91)];
        let ids = |from, to| column(&issued(all(), at(from), at(to), at(9)), "certificate");
        assert_eq!((ids(0, 1), ids(1, 3)), (vec![json!("a")], vec![json!("b"), json!("c")]));
        let report = issued(all(), at(0), at(9), at(9));
        assert_eq!(report.totals.get("profile p"), Some(&3));
        assert_eq!(report.totals.get("status good"), Some(&3));
    }

    #[test]
    fn what_was_renewed_is_told_from_what_was_not() {
        let revoked = Issued { revoked_at: Some(at(70)), ..one("revoked", &["a.test"], 60, 150) };
        let other = Issued { registration: "reg_2".to_owned(), ..one("other", &["a.test"], 60, 150) };
        let table = [
            (one("next", &["a.test", "b.test"], 60, 150), json!("next")),
            (one("less", &["b.test"], 60, 150), Value::Null),
            (one("shorter", &["a.test"], 60, 85), Value::Null),
            (revoked, Value::Null),
            (other, Value::Null),
        ];
        for (later, expected) in table {
            let report = expiring(
                vec![one("a", &["a.test"], 0, 90)],
                std::slice::from_ref(&later),
                &Registry::new(),
                at(100),
                at(80),
            );
            assert_eq!(column(&report, "renewed_by"), [expected], "{later:?}");
            assert_eq!(column(&report, "days_left"), [json!(10)]);
        }
    }

    #[test]
    fn only_what_is_in_force_can_end() {
        let ended = one("ended", &["a.test"], 0, 79);
        let late = one("late", &["a.test"], 0, 100);
        let revoked = Issued { revoked_at: Some(at(1)), ..one("revoked", &["a.test"], 0, 90) };
        let report = expiring(vec![ended, late, revoked], &[], &Registry::new(), at(100), at(80));
        assert_eq!(report.rows, Vec::<Vec<Value>>::new());
    }
}
