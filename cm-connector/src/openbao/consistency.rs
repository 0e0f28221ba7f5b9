//! Reads that see our own writes. A standby answers reads by itself, and right after a write at the leader most
//! of its answers are stale: unless it is told how far it has to be, and to ask the leader if it is not.
//!
//! A restore into the cluster that a snapshot is of goes on counting. One into new nodes counts from the beginning, by
//! the same name once they have started again: then every standby asks the leader for everything, until the leader's
//! own answer shows that what we remember is over.

use std::sync::{Mutex, PoisonError};

use reqwest::header::HeaderMap;
use serde::Deserialize;

/// How far the store is, in answers and questions.
const INDEX: &str = "x-vault-index";
/// What a standby does that is not so far.
pub(super) const IF_BEHIND: (&str, &str) = ("x-vault-inconsistent", "forward-active-node");

/// The furthest state of OpenBao that we have seen.
#[derive(Debug, Default)]
pub(super) struct Consistency(Mutex<Option<Seen>>);

#[derive(Debug, Clone)]
struct Seen {
    cluster: String,
    value: u64,
    header: String,
}

/// What went with a question.
#[derive(Debug, Clone)]
pub(super) struct Sent(Option<Seen>);

#[derive(Deserialize)]
struct Index {
    cluster: String,
    value: String,
}

impl Consistency {
    /// How far the store has to be for the next question.
    pub(super) fn asked(&self) -> Sent {
        Sent(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Learns from an answer. Only the leader writes, and it is never behind what it told anybody before it was asked: if
    /// its answer to a write is, then it has another past than we know. An answer that is late is behind the others, but
    /// not behind its own question.
    pub(super) fn learn(&self, headers: &HeaderMap, sent: &Sent, is_write: bool) {
        let Some(header) = headers.get(INDEX).and_then(|value| value.to_str().ok()) else { return };
        let Some(seen) = read(header) else { return };
        let mut furthest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = furthest.as_ref().is_none_or(|known| {
            let is_over = is_write && sent.is_beyond(&seen) && !sent.is_beyond(known);
            // Of another cluster's count this one says nothing.
            known.cluster != seen.cluster || known.value < seen.value || is_over
        });
        if is_news {
            *furthest = Some(seen);
        }
    }
}

impl Sent {
    /// What to send.
    pub(super) fn header(&self) -> Option<(&'static str, &str)> {
        self.0.as_ref().map(|seen| (INDEX, seen.header.as_str()))
    }

    fn is_beyond(&self, seen: &Seen) -> bool {
        self.0.as_ref().is_some_and(|sent| sent.cluster == seen.cluster && sent.value > seen.value)
    }
}

fn read(header: &str) -> Option<Seen> {
    const OCTETS_MAX: usize = 512;
    let octets = data_encoding::BASE64.decode(header.as_bytes().get(..header.len().min(OCTETS_MAX))?).ok()?;
    let index: Index = serde_json::from_slice(&octets).ok()?;
    Some(Seen { cluster: index.cluster, value: index.value.parse().ok()?, header: header.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(cluster: &str, value: u64) -> HeaderMap {
        let json = format!("{{\"cluster\":\"{cluster}\",\"value\":\"{value}\"}}");
        let mut headers = HeaderMap::new();
        let _ = headers.insert(INDEX, data_encoding::BASE64.encode(json.as_bytes()).parse().unwrap());
        headers
    }

    fn text(headers: &HeaderMap) -> String {
        headers[INDEX].to_str().unwrap().to_owned()
    }

    fn knows(consistency: &Consistency, cluster: &str, value: u64) -> bool {
        consistency.asked().header().is_some_and(|(_, header)| header == text(&answer(cluster, value)))
    }

    #[test]
    fn the_furthest_state_of_the_cluster_is_remembered() {
        let consistency = Consistency::default();
        assert_eq!(consistency.asked().header(), None);
        for (cluster, value, furthest) in [("a", 84, 84), ("a", 9, 84), ("a", 100, 100), ("b", 3, 3)] {
            consistency.learn(&answer(cluster, value), &consistency.asked(), false);
            assert!(knows(&consistency, cluster, furthest), "{cluster} {value}");
        }
        let mut strange = HeaderMap::new();
        let _ = strange.insert(INDEX, "no index".parse().unwrap());
        consistency.learn(&strange, &consistency.asked(), true);
        assert!(knows(&consistency, "b", 3));
    }

    #[test]
    fn a_leader_that_is_behind_what_it_was_asked_for_counts_anew() {
        let consistency = Consistency::default();
        consistency.learn(&answer("a", 138), &consistency.asked(), true);
        let before = consistency.asked();
        // A standby may be behind.
        consistency.learn(&answer("a", 66), &before, false);
        assert!(knows(&consistency, "a", 138));
        consistency.learn(&answer("a", 67), &before, true);
        assert!(knows(&consistency, "a", 67), "restored into new nodes");
        // What was asked before that goes on as before.
        for (value, furthest) in [(66, 67), (70, 70), (69, 70)] {
            consistency.learn(&answer("a", value), &before, true);
            assert!(knows(&consistency, "a", furthest), "{value}");
        }
    }

    #[test]
    fn answers_that_overtake_each_other_take_nothing_back() {
        let consistency = Consistency::default();
        consistency.learn(&answer("a", 10), &consistency.asked(), true);
        let both = consistency.asked();
        for value in [12, 11] {
            consistency.learn(&answer("a", value), &both, true);
            assert!(knows(&consistency, "a", 12), "{value}");
        }
    }
}
