//! What the sandbox's name server knows: records that tests and demos set while it runs, the names that resolve
//! without being set, forced failures, and a log of the questions asked.
//!
//! It is no zone file and no DNSSEC; it has no wildcard owners. Owner names match without case (RFC 4343).

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, ensure};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, RecordType};
use serde::Serialize;

use super::owner::{CaaProperty, Outcome, Owner, a_records, character_strings};

/// Names under these suffixes resolve to loopback when nothing else was set.
pub(crate) const DEFAULT_SUFFIXES: [&str; 3] = ["quickstart.test", "example.test", "test"];

/// Owner names with records or forced outcomes.
const OWNERS_MAX: usize = 65_536;
/// Questions kept in the log; the oldest is forgotten first.
const QUERIES_KEPT_MAX: usize = 4_096;
/// What a name under a suffix resolves to when nothing else was set.
const DEFAULT_ADDRESSES: [Ipv4Addr; 1] = [Ipv4Addr::LOCALHOST];

/// One question that reached the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LoggedQuery {
    /// The name as the client wrote it, in its case, with the final dot.
    pub(crate) name: String,
    /// The record type, for example `TXT`.
    pub(crate) record_type: String,
    /// `udp` or `tcp`.
    pub(crate) transport: &'static str,
}

/// What the zone holds for one name and type.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The name exists; there may be no record of the type.
    Records(Vec<RData>),
    /// The name is an alias for another (RFC 1034 §3.6.2).
    Alias(Name),
    /// There is no such name.
    NoSuchName,
}

/// The shared, changeable contents of the name server. Clones are handles to the same contents.
#[derive(Clone)]
pub(crate) struct Zone {
    contents: Arc<Mutex<Contents>>,
}

struct Contents {
    suffixes: Vec<Name>,
    owners: BTreeMap<Name, Owner>,
    queries: VecDeque<LoggedQuery>,
}

impl Zone {
    /// An empty zone in which every name at or under `suffixes` resolves to 127.0.0.1.
    ///
    /// # Errors
    /// A suffix is no domain name.
    pub(crate) fn new(suffixes: &[&str]) -> anyhow::Result<Self> {
        let suffixes = suffixes.iter().map(|suffix| owner_name(suffix)).collect::<anyhow::Result<_>>()?;
        let contents = Contents { suffixes, owners: BTreeMap::new(), queries: VecDeque::new() };
        Ok(Self { contents: Arc::new(Mutex::new(contents)) })
    }

    /// Adds IPv4 addresses to `host`, in place of the default address. An empty list means: no address at all.
    ///
    /// # Errors
    /// As every setter here: `host` is no domain name, or a limit is reached.
    pub(crate) fn add_a(&self, host: &str, addresses: &[Ipv4Addr]) -> anyhow::Result<()> {
        self.change(host, |owner| owner.add_a(addresses))
    }

    /// Makes successive A questions about `host` see successive entries; the last entry stays. This is how a
    /// rebinding name behaves: one address when checked, another when dialled.
    ///
    /// # Errors
    /// `host` is no domain name, there is no entry, or a limit is reached.
    pub(crate) fn set_a_sequence(&self, host: &str, answers: Vec<Vec<Ipv4Addr>>) -> anyhow::Result<()> {
        self.change(host, |owner| owner.set_a_sequence(answers))
    }

    /// Goes back to the default address of `host`.
    ///
    /// # Errors
    /// `host` is no domain name.
    pub(crate) fn clear_a(&self, host: &str) -> anyhow::Result<()> {
        self.clear(host, |owner| owner.a.clear())
    }

    /// Adds IPv6 addresses to `host`. Its IPv4 addresses, the default one too, stay as they are.
    ///
    /// # Errors
    /// `host` is no domain name, or a limit is reached.
    pub(crate) fn add_aaaa(&self, host: &str, addresses: &[Ipv6Addr]) -> anyhow::Result<()> {
        self.change(host, |owner| owner.add_aaaa(addresses))
    }

    /// Removes the IPv6 addresses of `host`.
    ///
    /// # Errors
    /// `host` is no domain name.
    pub(crate) fn clear_aaaa(&self, host: &str) -> anyhow::Result<()> {
        self.clear(host, |owner| owner.aaaa.clear())
    }

    /// Adds one TXT record with `value`, cut into character-strings of 255 bytes. Records already there stay: a
    /// domain and its wildcard are validated at the same owner name (RFC 8555 §8.4).
    ///
    /// # Errors
    /// `host` is no domain name, or a limit is reached.
    pub(crate) fn add_txt(&self, host: &str, value: &[u8]) -> anyhow::Result<()> {
        self.add_txt_strings(host, character_strings(value))
    }

    /// Adds one TXT record with exactly these character-strings.
    ///
    /// # Errors
    /// `host` is no domain name, there is no string, one is longer than 255 bytes, or a limit is reached.
    pub(crate) fn add_txt_strings(&self, host: &str, strings: Vec<Vec<u8>>) -> anyhow::Result<()> {
        self.change(host, |owner| owner.add_txt(strings))
    }

    /// Removes every TXT record of `host`.
    ///
    /// # Errors
    /// `host` is no domain name.
    pub(crate) fn clear_txt(&self, host: &str) -> anyhow::Result<()> {
        self.clear(host, |owner| owner.txt.clear())
    }

    /// Makes `host` an alias for `target`, in place of whatever other records it has.
    ///
    /// # Errors
    /// `host` or `target` is no domain name, or a limit is reached.
    pub(crate) fn set_cname(&self, host: &str, target: &str) -> anyhow::Result<()> {
        let target = owner_name(target)?;
        self.change(host, |owner| {
            owner.cname = Some(target);
            Ok(())
        })
    }

    /// Removes the alias of `host`.
    ///
    /// # Errors
    /// `host` is no domain name.
    pub(crate) fn clear_cname(&self, host: &str) -> anyhow::Result<()> {
        self.clear(host, |owner| owner.cname = None)
    }

    /// Adds CAA properties to `host`.
    ///
    /// # Errors
    /// `host` is no domain name, a tag cannot be encoded, or a limit is reached.
    pub(crate) fn add_caa(&self, host: &str, properties: Vec<CaaProperty>) -> anyhow::Result<()> {
        self.change(host, |owner| owner.add_caa(properties))
    }

    /// Removes the CAA properties of `host`.
    ///
    /// # Errors
    /// `host` is no domain name.
    pub(crate) fn clear_caa(&self, host: &str) -> anyhow::Result<()> {
        self.clear(host, |owner| owner.caa.clear())
    }

    /// Forces `outcome` for questions about `host`: those of `record_type`, or (`None`) of all types that have no
    /// outcome of their own. It also holds when `host` is reached through an alias.
    ///
    /// # Errors
    /// `host` is no domain name, or a limit is reached.
    pub(crate) fn set_outcome(
        &self,
        host: &str,
        record_type: Option<RecordType>,
        outcome: Outcome,
    ) -> anyhow::Result<()> {
        self.change(host, |owner| owner.set_outcome(record_type, outcome))
    }

    /// Removes every forced outcome of `host`.
    ///
    /// # Errors
    /// `host` is no domain name.
    pub(crate) fn clear_outcomes(&self, host: &str) -> anyhow::Result<()> {
        self.clear(host, |owner| owner.outcomes.clear())
    }

    /// The questions asked so far, oldest first; with `host`, only those about that name.
    ///
    /// # Errors
    /// `host` is no domain name.
    pub(crate) fn queries(&self, host: Option<&str>) -> anyhow::Result<Vec<LoggedQuery>> {
        let wanted = host.map(owner_name).transpose()?.map(|name| name.to_ascii());
        let contents = self.lock();
        let queries = contents
            .queries
            .iter()
            .filter(|query| wanted.as_ref().is_none_or(|wanted| query.name.eq_ignore_ascii_case(wanted)));
        Ok(queries.cloned().collect())
    }

    /// Forgets the questions asked so far.
    pub(crate) fn clear_queries(&self) {
        self.lock().queries.clear();
    }

    pub(super) fn record_query(&self, query: LoggedQuery) {
        let mut contents = self.lock();
        if contents.queries.len() >= QUERIES_KEPT_MAX {
            contents.queries.pop_front();
        }
        contents.queries.push_back(query);
    }

    pub(super) fn outcome(&self, name: &Name, record_type: RecordType) -> Option<Outcome> {
        self.lock().owners.get(name)?.outcome(record_type)
    }

    /// What is held for `name` and `record_type`. A question for A moves an address sequence one step on.
    pub(super) fn find(&self, name: &Name, record_type: RecordType) -> Found {
        let mut contents = self.lock();
        let in_suffix = contents.suffixes.iter().any(|suffix| suffix.zone_of(name));
        let default_addresses = if in_suffix { DEFAULT_ADDRESSES.as_slice() } else { &[] };
        if let Some(owner) = contents.owners.get_mut(name) {
            return match &owner.cname {
                Some(target) if record_type == RecordType::CNAME => {
                    Found::Records(vec![RData::CNAME(CNAME(target.clone()))])
                }
                Some(target) => Found::Alias(target.clone()),
                None => Found::Records(owner.records(record_type, default_addresses)),
            };
        }
        // A name between a set name and the root exists too, without records (RFC 8020).
        if !in_suffix && !contents.owners.keys().any(|owner| name.zone_of(owner)) {
            return Found::NoSuchName;
        }
        match record_type == RecordType::A {
            true => Found::Records(a_records(default_addresses)),
            false => Found::Records(Vec::new()),
        }
    }

    /// The longest configured suffix that holds `name`; the root when none does. It names the SOA of empty answers.
    pub(super) fn apex(&self, name: &Name) -> Name {
        let contents = self.lock();
        let holding = contents.suffixes.iter().filter(|suffix| suffix.zone_of(name));
        holding.max_by_key(|suffix| suffix.num_labels()).cloned().unwrap_or_else(Name::root)
    }

    fn change(&self, host: &str, change: impl FnOnce(&mut Owner) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let name = owner_name(host)?;
        let mut contents = self.lock();
        ensure!(
            contents.owners.len() < OWNERS_MAX || contents.owners.contains_key(&name),
            "the zone holds {OWNERS_MAX} names, the most there may be: clear some first"
        );
        let owner = contents.owners.entry(name.clone()).or_default();
        let changed = change(owner);
        if owner.is_empty() {
            contents.owners.remove(&name);
        }
        changed
    }

    fn clear(&self, host: &str, clear: impl FnOnce(&mut Owner)) -> anyhow::Result<()> {
        let name = owner_name(host)?;
        let mut contents = self.lock();
        if let Some(owner) = contents.owners.get_mut(&name) {
            clear(owner);
            if owner.is_empty() {
                contents.owners.remove(&name);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads an owner name, with or without the final dot, and brings it into the one form the zone compares.
fn owner_name(host: &str) -> anyhow::Result<Name> {
    let name = Name::from_ascii(host).with_context(|| format!("{host:?} is no domain name"))?;
    ensure!(!name.is_root(), "the root is not a name that can be set here");
    let mut name = name.to_lowercase();
    name.set_fqdn(true);
    Ok(name)
}

#[cfg(test)]
mod tests;
