//! Pure decisions: who may ask for which names, under which profile, with which keys and CSRs.
//!
//! Values in, verdicts out: no IO, no clock, no state. What the CM recorded about a registration
//! comes in as a value and so does the time. Every denial names its [`rule::Rule`], in words and
//! by name, because the person who reads it is often not the one who made the rule. The CM
//! decides again by its own rules; these are there so that a client hears of a refusal before it
//! has proven control of a hundred names (RFC 8555 §7.4).

pub mod authority;
pub mod csr;
pub mod identifier;
pub mod key;
mod key_weakness;
pub mod pause;
pub mod profile;
pub mod rate_limit;
pub mod registration;
pub mod reuse;
mod rsa;
pub mod rule;
#[cfg(test)]
mod samples;
pub mod waiver;
mod wording;
