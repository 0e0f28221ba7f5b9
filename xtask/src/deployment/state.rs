//! What must outlive an upgrade, and a package that is removed and comes again: orders, keys, and the audit.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::machine::Machine;

const STATE: &str = "var/lib/acme-gateway";

/// The state of a gateway that runs, as it was once.
pub(super) struct State {
    order: String,
    told: Value,
    seal_key: Vec<u8>,
    /// Audit files and what was in them.
    audit: BTreeMap<PathBuf, Vec<u8>>,
    records: u64,
}

impl State {
    /// As it is now, with the order of the latest certificate.
    pub(super) fn of(machine: &Machine) -> anyhow::Result<Self> {
        Self::with_order(machine, order(machine)?)
    }

    /// Asserts that the gateway that runs now has all of it, and that its audit goes on where that one ended. Answers a
    /// line about it.
    pub(super) fn ensure_kept(&self, machine: &Machine) -> anyhow::Result<String> {
        let now = Self::with_order(machine, self.order.clone())?;
        ensure!(now.told == self.told, "order {} is not what it was, {}, but {}", self.order, self.told, now.told);
        ensure!(now.seal_key == self.seal_key, "the seal key is another one");
        for (file, was) in &self.audit {
            let is = now.audit.get(file).with_context(|| format!("{} is gone", file.display()))?;
            ensure!(is.starts_with(was), "{} does not begin as it was", file.display());
        }
        ensure!(now.records > self.records, "the audit has {} records and had {}", now.records, self.records);
        Ok(format!(
            "order, seal key and audit are what they were; {} records, {} before, verified",
            now.records, self.records
        ))
    }

    fn with_order(machine: &Machine, order: String) -> anyhow::Result<Self> {
        let told = shown(machine, &order)?;
        let seal_key = fs::read(machine.root().join(STATE).join("seal.key")).context("there is no seal key")?;
        let records = verified(machine)?;
        Ok(Self { order, told, seal_key, audit: audit(machine.root())?, records })
    }
}

fn audit(root: &Path) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let files = fs::read_dir(root.join(STATE).join("audit")).context("there are no audit files")?;
    let mut found = BTreeMap::new();
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let text = fs::read(&path)?;
            found.insert(path, text);
        }
    }
    ensure!(found.values().any(|text| !text.is_empty()), "the audit files are empty");
    Ok(found)
}

/// The number of records, all of which are as they were written.
fn verified(machine: &Machine) -> anyhow::Result<u64> {
    let said = machine.run(&["acme-gateway", "audit", "verify", "--json", &format!("/{STATE}/audit")])?;
    let verdict: Value = serde_json::from_str(&said).with_context(|| format!("no JSON: {said}"))?;
    let number = |name: &str| verdict.get(name).and_then(Value::as_u64);
    ensure!(number("crashes") == Some(0), "the gateway was not stopped in order: {said}");
    number("records").with_context(|| format!("no records: {said}"))
}

/// The order of the latest certificate, by the gateway's log.
fn order(machine: &Machine) -> anyhow::Result<String> {
    let log = machine.run(&["journalctl", "--no-pager", "--output=cat", "--unit=acme-gateway"])?;
    let after = log.rsplit("/order/").next().filter(|rest| rest.len() < log.len()).context("the log names no order")?;
    let id: String =
        after.chars().take_while(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_')).collect();
    ensure!(!id.is_empty(), "the log names no order");
    Ok(id)
}

/// What the running gateway tells of an order: status, names, authorizations, times. What happened to it may go on.
fn shown(machine: &Machine, order: &str) -> anyhow::Result<Value> {
    let told = machine.run(&["acme-gateway", "order", "show", "--json", order])?;
    let told: Value = serde_json::from_str(&told).with_context(|| format!("no JSON: {told}"))?;
    told.get("about").cloned().with_context(|| format!("nothing about the order: {told}"))
}
