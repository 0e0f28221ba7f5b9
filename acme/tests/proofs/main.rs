//! Proofs of what `acme` decides, from outside: tables of wrong inputs, and random histories.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by panicking what must hold"
)]

mod arrows;
mod caa;
mod certificate;
mod csr;
mod made;
mod shared_authorizations;
mod state_machine;
