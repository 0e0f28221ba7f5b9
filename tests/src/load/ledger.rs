//! What a client was told, and what turned out to be untrue.

use std::{collections::BTreeMap, fmt};

use crate::key::Key;

/// A promise that was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// An order that was acknowledged has no honest end.
    Lost,
    /// An order has two certificates.
    Twice,
    /// Something that was acknowledged is not so any more.
    Missing,
}

/// A breach and what there is to see of it.
pub struct Finding {
    /// Of what kind.
    pub breach: Breach,
    /// What there is to see.
    pub words: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Responses have several lines.
        let words: Vec<_> = self.words.split_whitespace().collect();
        write!(out, "{}: {}", format!("{:?}", self.breach).to_uppercase(), words.join(" "))
    }
}

/// All that one client knows.
pub struct Account {
    /// Of the gateway.
    pub endpoint: &'static str,
    /// The account key.
    pub key: Key,
    /// Its URL, once newAccount was answered.
    pub url: Option<String>,
    /// The contact that was acknowledged last.
    pub contact: Option<String>,
    /// Those whose creation was acknowledged.
    pub orders: Vec<Order>,
    /// Promises that were not kept.
    pub findings: Vec<Finding>,
    /// Refusals by kind, those that only say "not now" included.
    pub refusals: BTreeMap<String, u64>,
}

/// An order whose creation was acknowledged.
pub struct Order {
    /// Its URL.
    pub url: String,
    /// What it is for.
    pub names: Vec<String>,
    /// How far it was seen to be.
    pub stage: Stage,
    /// Challenges whose responses were acknowledged.
    pub responded: Vec<String>,
    /// Why it has no certificate.
    pub problem: Option<String>,
    /// What it got.
    pub certificate: Option<Certificate>,
}

/// A certificate that was downloaded.
pub struct Certificate {
    /// Its URL.
    pub url: String,
    /// The chain as it was downloaded.
    pub pem: String,
    /// What became of it after that.
    pub revocation: Revocation,
}

/// What a client was told of the revocation of its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// Nothing: it did not ask, or was refused.
    None,
    /// That it goes on though it is not confirmed. The client has walked away and never asks again.
    Promised,
    /// That it is done.
    Confirmed,
}

/// The stages of an order (RFC 8555 §7.1.6). None is ever left for an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// There is something to prove.
    Pending,
    /// It can be finalized.
    Ready,
    /// Also what an acknowledged finalize promises.
    Processing,
    /// It has a certificate.
    Valid,
    /// It will never have one.
    Invalid,
}

impl Stage {
    /// The stage of this name.
    pub(super) fn of(status: &str) -> Option<Self> {
        Some(match status {
            "pending" => Self::Pending,
            "ready" => Self::Ready,
            "processing" => Self::Processing,
            "valid" => Self::Valid,
            "invalid" => Self::Invalid,
            _ => return None,
        })
    }

    /// Whether an order that was seen here may be seen there.
    pub(super) fn may_become(self, next: Self) -> bool {
        next >= self && (self < Self::Valid || next == self)
    }
}

impl Account {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new(endpoint: &'static str, key: Key) -> Self {
        let (orders, findings, refusals) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { endpoint, key, url: None, contact: None, orders, findings, refusals }
    }

    /// Notes a promise that was not kept.
    pub(super) fn breach(&mut self, breach: Breach, words: impl Into<String>) {
        self.findings.push(Finding { breach, words: words.into() });
    }
}

impl Order {
    /// One that was just acknowledged.
    #[must_use]
    pub fn new(url: String, names: &[String]) -> Self {
        Self {
            url,
            names: names.to_vec(),
            stage: Stage::Pending,
            responded: Vec::new(),
            problem: None,
            certificate: None,
        }
    }

    /// What the CM calls it.
    #[must_use]
    pub fn reference(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stage_is_left_for_an_earlier_one_and_an_end_is_an_end() {
        let may = |from: &str, to: &str| Stage::of(from).unwrap().may_become(Stage::of(to).unwrap());
        assert!(may("pending", "pending") && may("pending", "ready") && may("ready", "invalid"));
        assert!(!may("processing", "ready") && !may("ready", "pending"));
        assert!(may("valid", "valid") && !may("valid", "invalid") && !may("invalid", "valid"));
    }
}
