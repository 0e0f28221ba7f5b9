//! Where the programs under test are: beside the running test, as cargo lays them out.

use std::{env, path::PathBuf};

/// The gateway.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn gateway() -> PathBuf {
    find("acme-gateway")
}

/// The sandbox.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn sandbox() -> PathBuf {
    find("acme-sandbox")
}

/// The probe of the store, which is an example.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn power_probe() -> PathBuf {
    find("examples/power_probe")
}

/// The officer's program.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn officer() -> PathBuf {
    find("acme-officer")
}

/// Test programs lie in `target/PROFILE/deps`, other programs one folder up.
fn find(name: &str) -> PathBuf {
    let running = env::current_exe().expect("a running program has a path");
    let folders = running.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| {
        let release = if running.components().any(|part| part.as_os_str() == "release") { " --release" } else { "" };
        panic!("{name} is not built; run: cargo build{release} -p gateway -p sandbox -p store --bins --examples")
    })
}
