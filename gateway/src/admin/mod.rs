//! The door for operators of this machine: a socket in the file system, never on the network
//! ([ADR 18](../../../docs/adr/0018-operators-come-by-a-local-socket.md)).
//!
//! Who may open the socket may ask: its mode is 0600, and only the gateway's own user and root are
//! answered. One connection is one question and one answer, each one line of JSON: [`Request`] one
//! way, `{"ok": …}` or `{"error": "…"}` the other.

mod answer;
mod ask;
mod listen;

use std::path::PathBuf;

use acme::ids::{ProfileName, RealmName};
use serde::{Deserialize, Serialize};

pub(crate) use self::{ask::ask, listen::Listener};
use crate::settings::Settings;

/// Longest question and longest answer, in octets.
const QUESTION_OCTETS_MAX: usize = 16 * 1024;
const ANSWER_OCTETS_MAX: usize = 8 * 1024 * 1024;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// The profiles that are stopped, and the bad certificates that are kept.
    ProfileList {},
    /// What happened to an order or an authorization, and how it stands.
    OrderShow {
        /// Its id, or any URL that has it.
        reference: String,
    },
    /// Lifts the stop of a profile, or of a realm.
    ProfileResume {
        /// The CM's realm.
        realm: RealmName,
        /// Which of its profiles; none for the stop of them all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<ProfileName>,
    },
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// It was done, or this is what was asked for.
    Ok(serde_json::Value),
    /// It was not done; the text is for the operator.
    Error(String),
}

/// Where the socket is.
pub(crate) fn socket(settings: &Settings) -> PathBuf {
    settings.ops.admin_socket.clone().unwrap_or_else(|| settings.store.dir.join("admin.sock"))
}

#[cfg(test)]
mod tests;
