//! What `sys/health` says of a node, and what it does not say. Its statuses are its own.

use serde_json::Value;

use super::{exchange::Raw, failure::Failure};

/// Statuses of `sys/health` that say that a node works: active, or one that stands by and forwards. Not 472, which
/// waits for a disaster, nor 501 and 503: not initialized, sealed.
const WORKING: [u16; 3] = [200, 429, 473];

/// What `sys/health` says.
pub(super) struct Health {
    pub(super) json: Value,
    works: bool,
}

impl Health {
    /// What came back. 429 is a standby's word as well as a quota's, which says nothing of the node.
    pub(super) fn of(raw: Raw) -> Result<Self, Failure> {
        let is_openbao = raw.json.get("initialized").is_some();
        match raw.status {
            429 if !is_openbao => raw.judge().map(|json| Self { json, works: false }),
            status => Ok(Self { works: is_openbao && WORKING.contains(&status), json: raw.json }),
        }
    }

    /// Whether the node can do what it is asked for, by itself or by another.
    pub(super) const fn works(&self) -> bool {
        self.works
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_works_if_it_is_active_or_stands_by_and_a_quota_says_nothing_of_it() {
        let health = json!({"initialized": true, "sealed": false, "standby": true, "version": "2.7.2"});
        let works = |status, json| Health::of(Raw::of(status, json)).map(|health| health.works());
        for (status, expected) in [(200, true), (429, true), (473, true), (472, false), (501, false), (503, false)] {
            assert_eq!(works(status, health.clone()).unwrap(), expected, "{status}");
        }
        // A page of something else at that address.
        assert!(!works(200, json!({"status": "ok"})).unwrap() && !works(503, json!({})).unwrap());
        let quota = works(429, json!({"errors": ["request path \"sys/health\": rate limit quota exceeded"]}));
        assert!(matches!(quota, Err(Failure::Busy { .. })), "{quota:?}");
    }
}
