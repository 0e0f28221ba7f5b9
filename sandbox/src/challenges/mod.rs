//! Responders for http-01 (RFC 8555 §8.3) and tls-alpn-01 (RFC 8737), for clients that have no server of their own
//! and for tests that need a server behaving badly. dns-01 needs no responder: its records are in [`crate::dns`].
//!
//! No port is open until somebody asks for it, so that real clients can bind the challenge ports themselves.

mod behaviour;
mod http_01;
mod tls_alpn_01;

use std::collections::VecDeque;

pub(crate) use self::behaviour::Behaviour;
pub(crate) use self::http_01::HttpResponder;
pub(crate) use self::tls_alpn_01::{Flaw, TlsResponder};

/// Tokens, behaviours or names one responder holds.
const ENTRIES_MAX: usize = 65_536;
/// Requests or handshakes one responder remembers; the oldest is forgotten first.
const SEEN_KEPT_MAX: usize = 4_096;

/// Both responders. Clones are handles to the same responders.
#[derive(Clone, Default)]
pub(crate) struct Challenges {
    /// Answers http-01 challenges.
    pub(crate) http_01: HttpResponder,
    /// Answers tls-alpn-01 challenges.
    pub(crate) tls_alpn_01: TlsResponder,
}

/// Remembers what was seen, up to a bound.
fn remember<T>(seen: &mut VecDeque<T>, entry: T) {
    if seen.len() >= SEEN_KEPT_MAX {
        seen.pop_front();
    }
    seen.push_back(entry);
}
