//! The harness of everything that proves the product from outside: a world of real processes on loopback, an ACME
//! client that can be wrong on purpose, and whole responses as text.
//!
//! It imports nothing of the product. What it signs, parses and verifies it does with other libraries than the
//! product uses where it can, so that the same mistake cannot sit on both sides. It panics where a test would: its
//! callers are tests, and a panic with a sentence is their way of failing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this whole crate is test code; a panic is how a test fails"
)]

pub mod binaries;
pub mod client;
pub mod console;
pub mod csr;
pub mod desk;
pub mod device;
pub mod http;
pub mod jws;
pub mod key;
pub mod load;
pub mod machine;
pub mod officer;
pub mod openbao;
pub mod problem;
pub mod process;
pub mod prometheus;
pub mod random;
pub mod response;
pub mod site;
pub mod snapshot;
pub mod time;
pub mod tls_server;
pub mod weak_key;
pub mod world;

use std::{
    cell::Cell,
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Pause between two looks at something that will become true.
const LOOK_EVERY: Duration = Duration::from_millis(20);

thread_local! {
    /// Whether the panic of this thread is awaited.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Whether this panics as it should, without the words and logs that a failing test leaves behind.
pub fn panics(act: impl FnOnce()) -> bool {
    QUIET.set(true);
    let panicked = catch_unwind(AssertUnwindSafe(act)).is_err();
    QUIET.set(false);
    panicked
}

/// Prints a line past the test runner, which shows nothing of what a test that passes has printed. A line that begins
/// with `NOT RUN: ` is repeated in the summary of `cargo xtask test`.
pub fn tell(line: &str) {
    // Whole, so that other threads do not come between; and a reader that went away is no reason to fail.
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}

/// base64url without padding.
#[must_use]
pub fn base64url(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// The octets of base64url without padding.
#[must_use]
pub fn from_base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url without padding")
}

/// Waits until `look` finds something, looking again and again.
///
/// # Panics
/// It finds nothing in time; the text says what was awaited.
pub fn wait_for<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < within, "{what}: not within {} s", within.as_secs());
        thread::sleep(LOOK_EVERY);
    }
}
