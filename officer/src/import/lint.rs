//! The old list beside the new one: names at the edges of every entry, and which of the two allows
//! them. A difference is no mistake; it is what an officer wants to know before she says yes.

use acme::{identifier::Identifier, registration::AllowedIdentifiers};
use cm_connector::rest::door;
use policies::identifier::{Verdict, allowed};

use super::Dialect;
use crate::allowlist::List;

/// A name that only one of the lists allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Such a name.
    pub(crate) name: String,
    /// True if the new list allows it and the old one did not.
    pub(crate) gained: bool,
}

/// Tries names at the edges of every entry on both lists.
pub(crate) fn differences(dialect: Dialect, entries: &[String], list: &List) -> Vec<Difference> {
    if dialect == Dialect::Own {
        return Vec::new();
    }
    let new = door::allowed_identifiers(list.to_json());
    let mut found: Vec<Difference> = Vec::new();
    for name in entries.iter().flat_map(|entry| edges(entry)) {
        let (before, after) = (dialect.allows(entries, &name), is_allowed(&name, &new));
        if before != after && !found.iter().any(|known| known.name == name) {
            found.push(Difference { name, gained: after });
        }
    }
    found
}

fn is_allowed(name: &str, list: &AllowedIdentifiers) -> bool {
    let identifier = Identifier::parse_ip(name).or_else(|_| Identifier::parse_dns(name));
    identifier.is_ok_and(|identifier| matches!(allowed(&identifier, list), Verdict::Allowed { .. }))
}

/// The entry's own name, those around it, and those that only look like it.
fn edges(entry: &str) -> Vec<String> {
    let entry = entry.split_once('=').map_or(entry, |(_, value)| value).to_lowercase();
    let base = entry.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.');
    if base.parse::<std::net::IpAddr>().is_ok() {
        return vec![base.to_owned()];
    }
    let around = ["", "www.", "a.b.", "*.", "*.a.", "bad", "*.bad"];
    around.map(|before| format!("{before}{base}")).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(dialect: Dialect, text: &str) -> Vec<(String, bool)> {
        let entries: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let list = dialect.translate(&entries).unwrap();
        differences(dialect, &entries, &list).into_iter().map(|one| (one.name, one.gained)).collect()
    }

    #[test]
    fn what_only_one_list_allows_is_told() {
        let lost = |name: &str| (name.to_owned(), false);
        assert_eq!(found(Dialect::Nexus, "a.test"), [lost("bada.test"), lost("*.bada.test")]);
        assert_eq!(found(Dialect::Acme2certifier, "*.a.test"), [lost("*.bada.test")]);
        assert_eq!(found(Dialect::Acme2certifier, "www.a.test"), []);
        assert_eq!(found(Dialect::Ejbca, "dNSName=*.a.test dNSName=b.test iPAddress=192.0.2.7"), []);
        assert_eq!(found(Dialect::Own, "suffix:a.test"), []);
    }

    #[test]
    fn a_list_that_was_widened_by_hand_is_told_too() {
        let entries = ["a.test".to_owned()];
        let wider = Dialect::Own.translate(&["suffix:a.test".to_owned()]).unwrap();
        let gained: Vec<_> =
            differences(Dialect::Ejbca, &entries, &wider).into_iter().filter(|one| one.gained).collect();
        assert!(gained.iter().any(|one| one.name == "www.a.test"), "{gained:?}");
    }
}
