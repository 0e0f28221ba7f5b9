//! Differences between CMs: a case asks whether something is offered, and says what it asserts in its place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use acme::ids::RealmName;

use super::{Realm, Subject};
use crate::{CertificateManager, Identity};

/// What a gateway gets along without (CM contract section 3); the rest is an officer's or an auditor's, or every CM has
/// it.
pub(super) const OPTIONAL: [&str; 10] = [
    "proofs",
    "approvals",
    "revocation-reasons",
    "renewal-info",
    "events",
    "delivery",
    "alternate-chains",
    "directory-links",
    "waivers",
    "realm-policy",
];

/// What the table says of a capability about which it knows nothing.
pub(super) const UNTOLD: &str = "NO CASE HAS SAID ANYTHING";

/// Adapter → capability → what was asserted: of one that is offered nothing.
type Table = BTreeMap<&'static str, BTreeMap<&'static str, Option<String>>>;

static TABLE: Mutex<Table> = Mutex::new(BTreeMap::new());

/// A CM that was asked what it can do.
pub(super) struct Asked {
    adapter: &'static str,
    pub(super) identity: Identity,
}

impl Asked {
    /// Asks it, for the realms of the gateway.
    pub(super) async fn of(subject: &dyn Subject, cm: &dyn CertificateManager) -> Self {
        let identity = cm.check_identity(&realms(subject)).await.expect("the gateway is one of its realms");
        Self { adapter: subject.adapter(), identity }
    }

    /// Whether the CM has this capability. If it has not, the caller asserts what takes its place and then says so by
    /// [`Asked::instead`].
    pub(super) fn offers(&self, capability: &'static str) -> bool {
        assert!(OPTIONAL.contains(&capability), "{capability} is none that a CM may lack");
        let offered = self.identity.capabilities.contains(capability);
        if offered {
            record(self.adapter, capability, None);
        }
        offered
    }

    /// Writes down what was asserted in place of a capability that is not there.
    pub(super) fn instead(&self, capability: &'static str, asserted: &str) {
        assert!(!self.identity.capabilities.contains(capability), "{capability} is offered");
        record(self.adapter, capability, Some(asserted.to_owned()));
    }
}

/// The realms that the gateway serves.
pub(super) fn realms(subject: &dyn Subject) -> [RealmName; 2] {
    [subject.realm(Realm::Open), subject.realm(Realm::Registered)]
}

fn record(adapter: &'static str, capability: &'static str, asserted: Option<String>) {
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let known = table.entry(adapter).or_default().entry(capability).or_default();
    let mut all: BTreeSet<String> = known.iter().flat_map(|words| words.split("; ")).map(str::to_owned).collect();
    all.extend(asserted);
    *known = (!all.is_empty()).then(|| all.into_iter().collect::<Vec<_>>().join("; "));
}

/// What was found out about an adapter's CM, as the cases said it. A capability that no case asked for is said so: a
/// case of it failed before, or it has none.
pub(super) fn table(adapter: &str) -> String {
    let table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = format!("{:<10}{:<20}asserted instead\n", "adapter", "capability");
    for capability in OPTIONAL {
        let words = match table.get(adapter).and_then(|known| known.get(capability)) {
            Some(None) => "(offered)",
            Some(Some(words)) => words,
            None => UNTOLD,
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{adapter:<10}{capability:<20}{words}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_was_asserted_and_what_nobody_asked_for() {
        record("example", "proofs", None);
        record("example", "events", Some(String::from("events is refused")));
        record("example", "events", Some(String::from("a suspension is seen at the next look")));
        record("example", "events", Some(String::from("events is refused")));
        let table = table("example");
        let line = |capability: &str| table.lines().find(|line| line.contains(capability)).unwrap();
        assert!(line("proofs").ends_with("(offered)"));
        assert!(line("events ").ends_with("a suspension is seen at the next look; events is refused"), "{table}");
        assert!(line("waivers").ends_with(UNTOLD));
        assert_eq!(table.lines().count(), OPTIONAL.len() + 1);
    }
}
