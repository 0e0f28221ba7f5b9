//! Every adapter passes the one conformance suite, `cm_connector::testing`, against the real CM that it is for. Here is
//! what the suite needs of each: one file an adapter. `--nocapture` shows all; the table of differences comes after the
//! last case of an adapter, if all run in one process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code; a panic is how a test fails"
)]

mod common;
mod cryptography;
mod officer;
mod openbao;
mod rest;

use std::path::PathBuf;

/// A folder that nobody else has.
fn fresh_folder() -> PathBuf {
    tests::machine::new_folder("adapters")
}
