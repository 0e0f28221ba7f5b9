//! Runs one case in a runtime of its own, and prints the table of differences after the last one.

use std::{
    collections::BTreeMap,
    io::Write as _,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{CASES, Subject, difference, selection};

/// A case that takes longer hangs. Nothing else is judged by the clock of a busy machine.
const CASE_TIME_MAX: Duration = Duration::from_secs(300);
/// Enough that a subject that blocks one of them does not stop the others.
const WORKERS: usize = 4;

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// One case.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) run: for<'a> fn(&'a Subjects<'a>) -> Running<'a>,
}

/// The CM under test: one that cases share, and one of a case's own.
pub(super) struct Subjects<'a> {
    shared: &'a dyn Fn() -> &'static dyn Subject,
    own: &'a dyn Fn() -> Box<dyn Subject>,
}

impl Subjects<'_> {
    /// The one that all cases share, which do it no harm.
    pub(super) fn shared(&self) -> &'static dyn Subject {
        (self.shared)()
    }

    /// One that may be killed.
    pub(super) fn own(&self) -> Box<dyn Subject> {
        (self.own)()
    }
}

/// Runs the case of this name. `module` is the path of the test, as `module_path!` has it.
///
/// # Panics
/// It fails, or there is none.
pub fn run(module: &str, name: &str, shared: impl Fn() -> &'static dyn Subject, own: impl Fn() -> Box<dyn Subject>) {
    let case = CASES.iter().find(|case| case.name == name).expect("a case is called by its name");
    // Tests are called by their path below the crate.
    let below = module.split_once("::").map(|(_, below)| format!("{below}::")).unwrap_or_default();
    selection::tell(shared().adapter(), &below);
    let _ended = Ended { adapter: shared().adapter() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().unwrap();
    let subjects = Subjects { shared: &shared, own: &own };
    let in_time = runtime.block_on(async { tokio::time::timeout(CASE_TIME_MAX, (case.run)(&subjects)).await });
    assert!(in_time.is_ok(), "{name}: not within {} s", CASE_TIME_MAX.as_secs());
}

/// Counts a case when it ends, in whatever way. After the last one it prints the table, in which nothing may be missing.
struct Ended {
    adapter: &'static str,
}

impl Drop for Ended {
    fn drop(&mut self) {
        static COUNTS: Mutex<BTreeMap<&'static str, usize>> = Mutex::new(BTreeMap::new());
        let is_last = {
            let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(self.adapter).or_default();
            *count += 1;
            *count == CASES.len()
        };
        if is_last {
            let table = difference::table(self.adapter);
            // Past the test runner, which shows nothing of a test that passes.
            let _ = std::io::stdout().write_all(table.as_bytes());
            let is_told = !table.contains(difference::UNTOLD) || std::thread::panicking();
            assert!(is_told, "a capability was neither found nor was anything asserted in its place:\n{table}");
        }
    }
}
