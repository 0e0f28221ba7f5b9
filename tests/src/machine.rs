//! What the tests need of the machine, wherever they run: a disk, and open files.

use std::{
    env,
    path::PathBuf,
    process,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files of a process that tests with thousands of connections.
const OPEN_FILES: u64 = 65_536;

/// The path of a folder that nobody else has and that is not there yet, for files of a test.
///
/// They are where files outlive a reboot, as those of the gateway in service are: many systems keep `/tmp` in memory,
/// where the doctor rightly finds no place for a store and a flush takes no time. `TMPDIR` says another place.
pub fn new_folder(whose: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let place = env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    place.join(format!("acme-gateway-{whose}-{}-{count}", process::id()))
}

/// Lets this process, and those that it starts, open as many files as it may: a login shell mostly allows 1024 at first.
pub fn allow_open_files() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let limit = getrlimit(Resource::Nofile);
        let possible = limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
        if limit.current.is_some_and(|current| current < possible) {
            setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum: limit.maximum }).unwrap();
        }
    });
}
