//! The product from outside, over real TLS, with the real programs: one file a feature, one behaviour a test.
//!
//! Most tests share one world and keep out of each other's way by names and accounts of their own. Tests that kill
//! the gateway or make the CM fail share another one, one at a time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this whole crate is test code; a panic is how a test fails"
)]

mod account;
mod authorization;
mod certificate;
mod challenge;
mod crash;
mod directory;
mod external_account;
mod faults;
mod finalize;
mod jws;
mod nonce;
mod operations;
mod order;
mod registration;
mod revocation;
mod settings;
mod transport;

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tests::world::World;

/// The world of tests that do each other no harm.
fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(World::start);
    &WORLD
}

/// The world of tests that harm it, one at a time. Each leaves it as it was.
fn fragile_world() -> MutexGuard<'static, World> {
    static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| Mutex::new(World::start()));
    // A test that failed may have left anything behind; the next one starts from a running gateway.
    let poisoned = WORLD.is_poisoned();
    let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    if poisoned {
        WORLD.clear_poison();
        world.clear_faults();
        world.kill_gateway();
        world.restart_gateway();
    }
    world
}
