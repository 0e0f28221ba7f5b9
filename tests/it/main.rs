//! The product from outside, over real TLS, with the real programs: one file a feature, one behaviour a test.
//!
//! Most tests share one world and keep out of each other's way by names and accounts of their own. A test that kills
//! the gateway or makes the CM fail has a world to itself, and leaves it to another such test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this whole crate is test code; a panic is how a test fails"
)]

mod account;
mod alternate_chains;
mod audit;
mod audit_queue;
mod authorization;
mod authorization_reuse;
mod caa;
mod canary;
mod certificate;
mod challenge;
mod chaos;
mod compatibility;
mod crash;
mod damage;
mod deployment;
mod directory;
mod directory_link;
mod disk_full;
mod dns_drafts;
mod doctor;
mod drain;
mod events;
mod external_account;
mod fault_matrix;
mod faults;
mod finalize;
mod heads;
mod help;
mod incident;
mod jws;
mod key_change;
mod live_authority;
mod load;
mod metrics;
mod negative;
mod nonce;
mod officer;
mod officer_revocation;
mod open_files;
mod operations;
mod order;
mod outage;
mod pause;
mod positive;
mod power;
mod pre_authorization;
mod profile_stop;
mod rate_limit;
mod rebinding;
mod reconnection;
mod registration;
mod reload;
mod renewal_info;
mod replacement;
mod revocation;
mod revocation_journal;
mod server_certificate;
mod settings;
mod stalled;
mod terms_of_service;
mod tls_alpn_01;
mod tolerance;
mod transcript;
mod transport;
mod waiver;

use std::{
    ops::{Deref, DerefMut},
    sync::{LazyLock, Mutex},
    thread,
};

use tests::world::World;

/// The world of tests that do each other no harm.
fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(World::start);
    &WORLD
}

/// A world for a test that harms it. The test leaves it as it was; if it fails, nobody gets that world again.
fn fragile_world() -> FragileWorld {
    let idle = IDLE.lock().unwrap().pop();
    FragileWorld(Some(idle.unwrap_or_else(World::start)))
}

/// Worlds between two tests: never more than there are tests at once.
static IDLE: Mutex<Vec<World>> = Mutex::new(Vec::new());

/// A world that one test has to itself.
struct FragileWorld(Option<World>);

impl Deref for FragileWorld {
    type Target = World;

    fn deref(&self) -> &World {
        self.0.as_ref().unwrap()
    }
}

impl DerefMut for FragileWorld {
    fn deref_mut(&mut self) -> &mut World {
        self.0.as_mut().unwrap()
    }
}

impl Drop for FragileWorld {
    fn drop(&mut self) {
        if !thread::panicking() {
            IDLE.lock().unwrap().extend(self.0.take());
        }
    }
}
