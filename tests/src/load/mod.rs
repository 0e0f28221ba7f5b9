//! Clients under load while others die: each goes by what it is told, and in the end that is compared with what is so.

pub mod client;
pub mod hand;
pub mod ledger;
pub mod plan;
pub mod reckoning;
pub mod responder;
