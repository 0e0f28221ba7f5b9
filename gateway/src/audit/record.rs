//! A record of the audit file: one line of JSON, and the chain that it stands in.
//!
//! ```text
//! {"sequence":7,"at":"2026-11-22T10:30:00Z","event":{…},"outbox":"…","previous":"…","hash":"…"}
//! ```
//!
//! `hash` is the SHA-256, in base64url, of the line's own octets before `,"hash":`; `previous` is the hash of the record
//! before, 32 zero octets in the first of all. Nothing is ever written anew to be verified, so there is no canonical
//! form that two programs could differ about. `outbox` is where the event waited in the store; records of the chain
//! about itself have none.

use std::fmt;

use acme::{base64url, time::Timestamp};
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use crate::jws::json;

/// Longest line; an event is at most as long as a commit of the store.
pub(crate) const LINE_OCTETS_MAX: usize = 2 * 1024 * 1024;

const HASH_BEGINS: &str = ",\"hash\":\"";
const HASH_ENDS: &str = "\"}";
const NO_RECORD: &str = "it has a hash and is no record of this format";
/// Characters of a digest in base64url.
const DIGEST_CHARACTERS: usize = 43;

/// A SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// What stands before the first record of all.
    pub(crate) const NONE: Self = Self([0; 32]);

    pub(crate) fn of(octets: &[u8]) -> Self {
        let mut own = [0; 32];
        own.iter_mut().zip(digest(&SHA256, octets).as_ref()).for_each(|(to, from)| *to = *from);
        Self(own)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        base64url::decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&base64url::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a SHA-256 in base64url"))
    }
}

/// The place of a record in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) sequence: u64,
    pub(crate) hash: Digest,
}

impl Head {
    /// Before the first record of all.
    pub(crate) const NONE: Self = Self { sequence: 0, hash: Digest::NONE };
}

/// A record as it was read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    pub(crate) event: Value,
    #[serde(default)]
    pub(crate) outbox: Option<String>,
    pub(crate) previous: Digest,
    pub(crate) hash: Digest,
}

/// The octets of a line are not those that its hash was made of, or it is no record at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(&'static str);

impl Record {
    /// Writes the record after `previous`, with its line feed.
    pub(crate) fn write(previous: &Head, at: Timestamp, event: &Value, outbox: Option<&str>) -> (Head, String) {
        let sequence = previous.sequence.saturating_add(1);
        // A position has digits and a slash in it, nothing that JSON would escape.
        let outbox = outbox.map(|outbox| format!(",\"outbox\":\"{outbox}\"")).unwrap_or_default();
        let before = &previous.hash;
        let mut line =
            format!("{{\"sequence\":{sequence},\"at\":\"{at}\",\"event\":{event}{outbox},\"previous\":\"{before}\"");
        let hash = Digest::of(line.as_bytes());
        line.push_str(&format!("{HASH_BEGINS}{hash}{HASH_ENDS}\n"));
        (Head { sequence, hash }, line)
    }

    /// Reads a line without its line feed.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(crate) fn read(line: &[u8]) -> Result<Self, Unreadable> {
        const END_OCTETS: usize = HASH_BEGINS.len() + DIGEST_CHARACTERS + HASH_ENDS.len();
        let no_hash = Unreadable("it does not end with its hash");
        let at = line.len().checked_sub(END_OCTETS).ok_or(no_hash.clone())?;
        let (hashed, end) = line.split_at_checked(at).ok_or(no_hash.clone())?;
        let end = std::str::from_utf8(end).ok();
        let hash = end.and_then(|end| end.strip_prefix(HASH_BEGINS)?.strip_suffix(HASH_ENDS)).and_then(Digest::parse);
        if hash.ok_or(no_hash)? != Digest::of(hashed) {
            return Err(Unreadable("its octets do not have the hash that it ends with"));
        }
        // Of two members with one name other programs may take the other one.
        let members = json::object(line).map_err(|refused| match refused {
            json::Refused::Duplicate => Unreadable("it has a hash, and two members of one name"),
            json::Refused::Syntax | json::Refused::NotAnObject | json::Refused::TooDeep => Unreadable(NO_RECORD),
        })?;
        serde_json::from_value(Value::Object(members)).map_err(|_| Unreadable(NO_RECORD))
    }

    pub(crate) const fn head(&self) -> Head {
        Head { sequence: self.sequence, hash: self.hash }
    }

    /// The name of its event.
    pub(crate) fn name(&self) -> &str {
        self.event.get("event").and_then(Value::as_str).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn at() -> Timestamp {
        Timestamp::from_unix_secs(1_795_343_400)
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let event = json!({"event": "order.created", "identifiers": ["a\"b\u{7}.test"]});
        let (first, line) = Record::write(&Head::NONE, at(), &event, Some("000000000001/0f"));
        let read = Record::read(line.trim_end().as_bytes()).unwrap();
        assert_eq!((read.head(), read.at, &read.event), (first, at(), &event));
        assert_eq!((read.sequence, read.previous, read.outbox.as_deref()), (1, Digest::NONE, Some("000000000001/0f")));
        assert_eq!(read.name(), "order.created");
        let (second, line) = Record::write(&first, at(), &event, None);
        let read = Record::read(line.trim_end().as_bytes()).unwrap();
        assert_eq!((second.sequence, read.previous, read.outbox), (2, first.hash, None));
    }

    /// Whoever reads the first of two members and whoever reads the last of them would read two histories.
    #[test]
    fn two_members_of_one_name_are_refused_at_any_depth() {
        let twice = [r#"{"event":"order.created","event":"audit.stopped"}"#, r#"{"event":"x","of":[{"a":1,"a":2}]}"#];
        for event in twice {
            let (_, line) = Record::write(&Head::NONE, at(), &json!({"event": "EVENT"}), None);
            let body = line.split_once(",\"hash\"").unwrap().0.replace(r#"{"event":"EVENT"}"#, event);
            let line = format!("{body}{HASH_BEGINS}{}{HASH_ENDS}", Digest::of(body.as_bytes()));
            let refused = Record::read(line.as_bytes()).unwrap_err();
            assert_eq!(refused.to_string(), "it has a hash, and two members of one name", "{line}");
        }
    }

    /// The chain is verified by other people's programs too.
    #[test]
    fn the_form_of_a_record_stays_as_it_is() {
        let (_, line) = Record::write(&Head::NONE, at(), &json!({"event": "x"}), None);
        let expected = "{\"sequence\":1,\"at\":\"2026-11-22T10:30:00Z\",\"event\":{\"event\":\"x\"},\
                        \"previous\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"hash\":\"";
        assert!(line.starts_with(expected), "{line}");
        assert_eq!(line.len(), expected.len() + DIGEST_CHARACTERS + HASH_ENDS.len() + 1);
    }

    proptest! {
        #[test]
        fn no_octet_of_a_line_can_be_changed(place in 0_usize..1000, to in any::<u8>()) {
            let (_, line) = Record::write(&Head::NONE, at(), &json!({"event": "x", "of": "a.test"}), Some("1/2"));
            let mut line = line.trim_end().as_bytes().to_vec();
            let place = place % line.len();
            prop_assume!(line[place] != to);
            line[place] = to;
            prop_assert!(Record::read(&line).is_err());
        }

        #[test]
        fn whatever_is_read_does_no_harm(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Record::read(&line).is_err());
        }
    }
}
