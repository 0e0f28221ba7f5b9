//! JSON Web Signatures as ACME uses them (RFC 8555 §6.2, RFC 7515).
//!
//! Our own strict parser reads a request, josekit is asked one question only: is this signature
//! over these very octets by this key. Nonces, accounts and the value of `url` are judged by the
//! caller. This folder is the only one that names josekit or openssl.

mod algorithm;
pub(crate) mod external_account;
mod flattened;
pub(crate) mod json;
pub(crate) mod key_change;
pub(crate) mod parse;
#[cfg(test)]
mod signing;
mod small_order;
pub(crate) mod verify;

pub(crate) use algorithm::ALGORITHMS;
