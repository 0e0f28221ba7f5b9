//! The registration authority: one file an operation, each reads, decides, writes once.
//!
//! Nothing here knows HTTP. What decides is pure (`acme`, `policies`); what is here asks the
//! store and the CM for facts, hands them to the pure code and commits what comes out.

pub(crate) mod account;
pub(crate) mod authorization;
pub(crate) mod catalogue;
pub(crate) mod certificate;
pub(crate) mod challenge;
pub(crate) mod error;
pub(crate) mod finalize;
mod identifiers;
pub(crate) mod key_change;
pub(crate) mod new_authorization;
pub(crate) mod order;
mod order_view;
pub(crate) mod pause;
pub(crate) mod profile_stop;
mod quota;
pub(crate) mod recent;
pub(crate) mod renewal_info;
pub(crate) mod replacement;
pub(crate) mod revocation;
pub(crate) mod waiver;

pub(crate) use error::{Error, Refusal, again_on_conflict};
