//! The radar for missed renewals: what rhythm a certificate is renewed in, and which renewal should
//! have come and did not while there is still time.
//!
//! Certificates of one registration and the same names follow each other in rounds. How much of its
//! life a certificate has behind it when the next one comes is the rhythm; it is kept as a share, so
//! that it outlives a change of the validity.

use std::{collections::BTreeMap, time::Duration};

use acme::time::Timestamp;
use serde_json::json;

use super::{
    Report, counted,
    record::{Issued, Registry, by_registration},
};

/// The rhythm of what was never renewed: clients begin when a third of the life is left.
const ASSUMED_PERMILLE: u64 = 667;
/// What a renewal may be late, at least, and where nothing was learned.
const SLACK_PERMILLE: u64 = 50;
const ASSUMED_SLACK_PERMILLE: u64 = 83;
/// From here on a renewal is missing, whatever the rhythm: somebody must have time to look.
const LATEST_PERMILLE: u64 = 950;
/// Certificates that come within this part of a life are of one round: two kinds of keys, a second try.
const ROUND_PART: u64 = 10;
/// Renewals that a rhythm is learned from: the latest ones.
const RENEWALS_MAX: usize = 5;
const SECONDS_OF_A_DAY: u64 = 86_400;

/// A renewal that should have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missed<'a> {
    /// The one in force that ends last.
    pub(crate) certificate: &'a Issued,
    /// When the renewal comes as a rule.
    pub(crate) due_at: Timestamp,
    /// The share of the life after which it comes, in thousandths.
    pub(crate) permille: u64,
    /// Renewals that this was learned from; none if it is assumed.
    pub(crate) renewals: usize,
}

/// What is missing at `now`, in order of `not_after`.
pub(crate) fn missed(certificates: &[Issued], now: Timestamp) -> Vec<Missed<'_>> {
    let mut missed = Vec::new();
    for siblings in by_registration(certificates).values() {
        let mut series: BTreeMap<&[String], Vec<&Issued>> = BTreeMap::new();
        for one in siblings {
            series.entry(&one.names).or_default().push(one);
        }
        missed.extend(series.into_values().filter_map(|of_series| judge(of_series, siblings, now)));
    }
    missed.sort_by(|a, b| {
        (a.certificate.not_after, &a.certificate.id).cmp(&(b.certificate.not_after, &b.certificate.id))
    });
    missed
}

fn judge<'a>(mut series: Vec<&'a Issued>, siblings: &[&Issued], now: Timestamp) -> Option<Missed<'a>> {
    series.sort_by(|a, b| (a.issued_at, &a.id).cmp(&(b.issued_at, &b.id)));
    let rounds = rounds_of(&series);
    // A round of which nothing is in force has ended, or was taken out of use by a person.
    let in_force = rounds.last()?.iter().filter(|one| one.is_in_force(now));
    let current = *in_force.max_by(|a, b| (a.not_after, &a.id).cmp(&(b.not_after, &b.id)))?;
    let learned = shares(&rounds);
    let (permille, slack) = rhythm(&learned);
    let after = |permille: u64| {
        let share = u128::from(life(current)) * u128::from(permille.min(LATEST_PERMILLE)) / 1_000;
        current.issued_at.plus(Duration::from_secs(u64::try_from(share).unwrap_or(u64::MAX)))
    };
    let is_late = now > after(permille.saturating_add(slack));
    (is_late && !goes_on_elsewhere(current, siblings, now)).then(|| Missed {
        certificate: current,
        due_at: after(permille),
        permille: permille.min(LATEST_PERMILLE),
        renewals: learned.len(),
    })
}

/// Certificates in order of issue, those of one round together.
fn rounds_of<'a>(series: &[&'a Issued]) -> Vec<Vec<&'a Issued>> {
    let mut rounds: Vec<Vec<&Issued>> = Vec::new();
    for one in series {
        let first = rounds.last().and_then(|round| round.first());
        let is_same =
            first.is_some_and(|first| one.issued_at.since(first.issued_at).as_secs() <= life(first) / ROUND_PART);
        match rounds.last_mut().filter(|_| is_same) {
            Some(round) => round.push(one),
            None => rounds.push(vec![one]),
        }
    }
    rounds
}

/// After which share of a life each of the latest renewals came, in thousandths.
fn shares(rounds: &[Vec<&Issued>]) -> Vec<u64> {
    let firsts: Vec<&Issued> = rounds.iter().filter_map(|round| round.first().copied()).collect();
    let pairs = firsts.iter().zip(firsts.iter().skip(1));
    let mut shares: Vec<u64> = pairs
        .map(|(one, next)| {
            let share = u128::from(next.issued_at.since(one.issued_at).as_secs()) * 1_000 / u128::from(life(one));
            u64::try_from(share).unwrap_or(u64::MAX)
        })
        .collect();
    shares.split_off(shares.len().saturating_sub(RENEWALS_MAX))
}

/// The usual share, and how much later a renewal has come or may come.
fn rhythm(learned: &[u64]) -> (u64, u64) {
    let mut shares = learned.to_vec();
    shares.sort_unstable();
    match (shares.get(shares.len() / 2), shares.last()) {
        (Some(middle), Some(latest)) => (*middle, latest.saturating_sub(*middle).max(SLACK_PERMILLE)),
        _ => (ASSUMED_PERMILLE, ASSUMED_SLACK_PERMILLE),
    }
}

/// True if the registration has all the names on later certificates: the names were joined or parted.
fn goes_on_elsewhere(current: &Issued, siblings: &[&Issued], now: Timestamp) -> bool {
    let is_later = |one: &&&Issued| one.issued_at > current.issued_at && one.is_in_force(now);
    let later: Vec<&&Issued> = siblings.iter().filter(is_later).collect();
    current.names.iter().all(|name| later.iter().any(|one| one.names.contains(name)))
}

/// In seconds, and never nothing.
fn life(one: &Issued) -> u64 {
    one.not_after.since(one.issued_at).as_secs().max(1)
}

/// The report. `known_from` is when the oldest certificates that were looked at were issued.
pub(crate) fn report(certificates: &[Issued], registry: &Registry, known_from: Timestamp, now: Timestamp) -> Report {
    let missed = missed(certificates, now);
    let basis = |one: &Missed<'_>| if one.renewals == 0 { "assumed" } else { "learned" };
    let row = |one: &Missed<'_>| {
        let certificate = one.certificate;
        let registration = registry.get(&certificate.registration);
        vec![
            json!(certificate.not_after),
            json!(certificate.not_after.since(now).as_secs() / SECONDS_OF_A_DAY),
            json!(one.due_at),
            json!(now.since(one.due_at).as_secs() / SECONDS_OF_A_DAY),
            json!(certificate.id),
            json!(certificate.registration),
            json!(registration.map(|registration| &registration.status)),
            json!(registration.map(|registration| &registration.owner)),
            json!(certificate.names),
            json!(basis(one)),
            json!(one.permille / 10),
            json!(one.renewals),
        ]
    };
    Report {
        name: "missed",
        title: "Renewals that should have come and did not".to_owned(),
        made_at: now,
        columns: &[
            "not_after",
            "days_left",
            "due_at",
            "days_overdue",
            "certificate",
            "registration",
            "registration_status",
            "owner",
            "names",
            "rhythm",
            "rhythm_percent",
            "renewals",
        ],
        rows: missed.iter().map(row).collect(),
        totals: counted(missed.iter().map(basis))
            .into_iter()
            .map(|(basis, n)| (format!("rhythm {basis}"), n))
            .collect(),
        notes: vec![format!("Certificates issued before {known_from} were not looked at.")],
    }
}

#[cfg(test)]
mod tests;
