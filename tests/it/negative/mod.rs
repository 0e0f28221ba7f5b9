//! Requests that must be refused and proofs that must not count: one table, N-001 to N-165, in files by area.
//!
//! A row says what is asked and what comes of it; [`trial`] asserts of every single request what holds for all
//! refusals: the status, also in the document; the media type; a detail on one plain line; one good nonce; the way
//! back to the directory; no 5xx and no hang; and that nothing changed. The whole answers lie in
//! `snapshots/negative/`, a file a row.

mod account;
mod attempt;
mod attestation;
mod authorization;
mod caa;
mod certificate;
mod challenge;
mod concurrency;
mod external_account;
mod finalize;
mod http;
mod jwk;
mod jws;
mod key_change;
mod limits;
mod nonce;
mod order;
mod proof;
mod renewal_info;
mod revocation;
mod tls_alpn_01;
mod trial;
mod url;
mod validation;

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tests::world::World;
use trial::Trial;

/// All rows.
const TABLES: [&[Row]; 21] = [
    account::ROWS,
    attestation::ROWS,
    authorization::ROWS,
    caa::ROWS,
    certificate::ROWS,
    challenge::ROWS,
    concurrency::ROWS,
    external_account::ROWS,
    finalize::ROWS,
    http::ROWS,
    jwk::ROWS,
    jws::ROWS,
    key_change::ROWS,
    limits::ROWS,
    nonce::ROWS,
    order::ROWS,
    renewal_info::ROWS,
    revocation::ROWS,
    tls_alpn_01::ROWS,
    url::ROWS,
    validation::ROWS,
];
/// The numbers of the rows.
const NUMBERS: std::ops::RangeInclusive<usize> = 1..=165;
/// Rows of one table that are proven at once; most of them wait for the gateway.
const AT_ONCE: usize = 3;

/// One row of the table.
pub(crate) struct Row {
    /// `N-092`.
    id: &'static str,
    /// What is refused, as a sentence.
    title: &'static str,
    /// What comes of it.
    outcome: Outcome,
    /// Why it comes out otherwise than the list of requirements has it, or cannot come up at all.
    departure: Option<&'static str>,
    /// Makes the requests.
    prove: fn(&mut Trial),
}

/// What comes of a row.
#[derive(Clone, Copy)]
enum Outcome {
    /// The requests are refused with this status and error type.
    Refused(u16, &'static str),
    /// The challenges fail with this error type.
    Fails(&'static str),
    /// Something else, which the row asserts itself.
    Told,
}

impl Row {
    const fn refused(
        id: &'static str,
        title: &'static str,
        status: u16,
        kind: &'static str,
        prove: fn(&mut Trial),
    ) -> Self {
        Self { id, title, outcome: Outcome::Refused(status, kind), departure: None, prove }
    }

    const fn fails(id: &'static str, title: &'static str, kind: &'static str, prove: fn(&mut Trial)) -> Self {
        Self { id, title, outcome: Outcome::Fails(kind), departure: None, prove }
    }

    const fn told(id: &'static str, title: &'static str, prove: fn(&mut Trial)) -> Self {
        Self { id, title, outcome: Outcome::Told, departure: None, prove }
    }

    const fn because(self, departure: &'static str) -> Self {
        Self { departure: Some(departure), ..self }
    }
}

/// The world of all rows: validation fails at once rather than trying again.
fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(|| World::start_with(&[("validation", "attempts_max = 1")]));
    &WORLD
}

/// Proves every row of a table and says which ones failed.
fn prove(rows: &'static [Row]) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let proven = catch_unwind(AssertUnwindSafe(|| {
                        let mut trial = Trial::new(row, world());
                        (row.prove)(&mut trial);
                        trial.finish();
                    }));
                    if proven.is_err() {
                        failed.lock().unwrap().push(format!("{}: {}", row.id, row.title));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} rows failed; their panics are above\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn every_number_has_one_row_and_every_row_one_snapshot() {
    let mut ids: Vec<_> = TABLES.into_iter().flatten().map(|row| row.id.to_owned()).collect();
    ids.sort();
    let wanted: Vec<_> = NUMBERS.map(|number| format!("N-{number:03}")).collect();
    assert_eq!(ids, wanted);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/snapshots/negative");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<_> = files.collect();
    let wanted: BTreeSet<_> = ids.iter().map(|id| format!("{id}.txt")).collect();
    let different: Vec<_> = files.symmetric_difference(&wanted).collect();
    assert!(different.is_empty(), "snapshots without a row, or rows without a snapshot: {different:?}");
}

#[test]
fn every_table_is_proven_by_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/negative");
    let sources = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let with_table = sources.filter(|source| source.contains("\npub(super) const ROWS: &[Row]"));
    let with_test = with_table.map(|source| source.matches("() {\n    prove(ROWS);\n}").count());
    assert_eq!(with_test.collect::<Vec<_>>(), [1; TABLES.len()]);
}

#[test]
fn what_departs_from_the_list_of_requirements_says_why() {
    for row in TABLES.into_iter().flatten() {
        assert!(row.title.len() > 10 && !row.title.ends_with('.'), "{}: {}", row.id, row.title);
        assert!(row.departure.is_none_or(|reason| reason.split(' ').count() >= 5), "{}: {:?}", row.id, row.departure);
    }
}
