//! What lists are made of: pages of orders, and audit entries.

use std::{fmt, str::FromStr};

use acme::{ids::OrderId, time::Timestamp};
use serde::{Deserialize, Serialize};

/// Some orders of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPage {
    /// Their ids, newest last.
    pub orders: Vec<OrderId>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<OrderCursor>,
}

/// A place in the list of an account's orders. Its text is safe in URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderCursor {
    pub(crate) created: Timestamp,
    pub(crate) order: OrderId,
}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a list of orders; begin at the first page")]
pub struct NotACursor;

impl fmt::Display for OrderCursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.created.unix_secs(), self.order)
    }
}

impl FromStr for OrderCursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (created, order) = text.split_once('-').ok_or(NotACursor)?;
        let created = created.parse().map_err(|_| NotACursor)?;
        let order = OrderId::parse(order).map_err(|_| NotACursor)?;
        Ok(Self { created: Timestamp::from_unix_secs(created), order })
    }
}

/// An audit entry that waits to be handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Names it, to forget it once it was handed on.
    pub sequence: AuditSequence,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub body: serde_json::Value,
}

/// The place of an audit entry among all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditSequence(pub(crate) String);

/// The last audit entry that was handed on, as whoever took it calls it: to tell later whether he still has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// Its number there.
    pub sequence: u64,
    /// Its hash there.
    pub hash: String,
    /// The key that vouches for it there; earlier versions did not remember it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The hashes of entries behind it there that are about to be written and tell of nothing in this store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promised: Vec<String>,
}

impl fmt::Display for AuditSequence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_from_their_text_and_nothing_else_is_one() {
        let cursor =
            OrderCursor { created: Timestamp::from_unix_secs(1_700_000_000), order: OrderId::parse("a-b.c").unwrap() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "1", "1-", "x-a", "1-a/b", "99999999999999999999-a"] {
            assert_eq!(text.parse::<OrderCursor>(), Err(NotACursor), "{text:?}");
        }
    }
}
