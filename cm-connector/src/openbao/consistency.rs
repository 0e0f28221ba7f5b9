//! Reads that see our own writes. A standby answers reads by itself, and right after a write at the leader most
//! of its answers are stale: unless it is told how far it has to be, and to ask the leader if it is not.

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

#[derive(Debug)]
struct Seen {
    cluster: String,
    value: u64,
    header: String,
}

#[derive(Deserialize)]
struct Index {
    cluster: String,
    value: String,
}

impl Consistency {
    /// Learns from an answer.
    pub(super) fn learn(&self, headers: &HeaderMap) {
        let Some(header) = headers.get(INDEX).and_then(|value| value.to_str().ok()) else { return };
        let Some(seen) = read(header) else { return };
        let mut furthest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A cluster restored from a snapshot counts anew.
        let is_further =
            furthest.as_ref().is_none_or(|known| known.cluster != seen.cluster || known.value < seen.value);
        if is_further {
            *furthest = Some(seen);
        }
    }

    /// What to send with a question.
    pub(super) fn header(&self) -> Option<(&'static str, String)> {
        let furthest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        furthest.as_ref().map(|seen| (INDEX, seen.header.clone()))
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

    #[test]
    fn the_furthest_state_of_the_cluster_is_remembered() {
        let consistency = Consistency::default();
        assert_eq!(consistency.header(), None);
        let sent = |headers: &HeaderMap| headers[INDEX].to_str().unwrap().to_owned();
        for (cluster, value, furthest) in [("a", 84, 84), ("a", 9, 84), ("a", 100, 100), ("b", 3, 3)] {
            consistency.learn(&answer(cluster, value));
            assert_eq!(consistency.header().unwrap().1, sent(&answer(cluster, furthest)), "{cluster} {value}");
        }
        let mut strange = HeaderMap::new();
        let _ = strange.insert(INDEX, "no index".parse().unwrap());
        consistency.learn(&strange);
        assert_eq!(consistency.header().unwrap().1, sent(&answer("b", 3)));
    }
}
