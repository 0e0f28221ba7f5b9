//! RFC 8555 as types and pure functions.
//!
//! Values in, values out: nothing here reads a clock, draws a random number, waits or touches a
//! network. Whatever the protocol says about identifiers, keys, orders, authorizations,
//! challenges, CSRs, certificates and problem documents is decided here once, and every other
//! crate builds on it. It imports no sibling.

pub mod account;
pub mod account_key;
mod allowed_identifiers;
pub mod authorization;
pub mod base64url;
pub mod caa;
pub mod certificate;
pub mod challenge;
mod challenge_kind;
pub mod csr;
mod der;
mod extension;
pub mod failure_run;
pub mod identifier;
pub mod ids;
pub mod order;
pub mod pem;
pub mod problem;
pub mod profile;
pub mod registration;
pub mod revocation;
pub mod secret;
pub mod signature;
pub mod subject_names;
pub mod time;
pub mod waiver;
pub mod wire;
