//! The console of one person as a process, and the link that it prints.

use std::{fs, path::Path, time::Duration};

use crate::{binaries, process::Process, wait_for, world::World};

/// From the program's start to its link.
const STARTED_WITHIN: Duration = Duration::from_secs(120);

/// Starts the console of this person (`officer`, `approver`, `auditor`), who trusts the gateway; `name` is for its files.
/// Also its link, which nobody has used yet.
///
/// # Panics
/// It prints no link in time, or its settings cannot be written.
#[must_use]
pub fn start(world: &World, person: &str, name: &str) -> (Process, String) {
    let _ = world.desk(person);
    let site = world.site();
    let config = site.dir.join(format!("console-{name}.toml"));
    let theirs = fs::read_to_string(site.dir.join(format!("desk-of-{person}.toml"))).unwrap();
    fs::write(&config, format!("{theirs}[acme]\nca_file = {:?}\n", site.pki(site.authority))).unwrap();
    start_with(world, &config, name)
}

/// The same with these settings.
///
/// # Panics
/// It prints no link in time.
#[must_use]
pub fn start_with(world: &World, config: &Path, name: &str) -> (Process, String) {
    let log = world.site().log(&format!("console-{name}"));
    let arguments = ["--config".to_owned(), config.display().to_string(), "console".to_owned()];
    let mut process = Process::start("console", &binaries::officer(), &arguments, &log, None);
    let link = wait_for("the link", STARTED_WITHIN, || {
        process.check_alive();
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().find(|line| line.starts_with("http://") && text.contains('\n')).map(str::to_owned)
    });
    (process, link)
}
