//! What is printed: a line a round, everything that was found, and the counts at the end.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use tests::load::ledger::{Account, Breach, Finding, Revocation, Stage};

use super::round::Outcome;

/// Counts of all rounds.
#[derive(Default)]
pub(crate) struct Totals {
    rounds: u64,
    failed_rounds: u64,
    gateway_kills: u64,
    cm_kills: u64,
    accounts: u64,
    orders: u64,
    certificates: u64,
    revocations: u64,
    refusals: BTreeMap<String, u64>,
    breaches: BTreeMap<Breach, u64>,
}

impl Totals {
    /// Adds a round and what the books say about it, and prints its line.
    pub(crate) fn add(&mut self, outcome: &Outcome, books: &[Finding]) {
        let findings = outcome.accounts.iter().map(|account| account.findings.len()).sum::<usize>() + books.len();
        println!("{}", line(outcome, findings));
        self.rounds += 1;
        self.failed_rounds += u64::from(findings > 0);
        self.gateway_kills += count(outcome.kills.iter().filter(|kill| kill.target.is_gateway()));
        self.cm_kills += count(outcome.kills.iter().filter(|kill| kill.target.is_certificate_manager()));
        self.accounts += count(outcome.accounts.iter().filter(|account| account.url.is_some()));
        for account in &outcome.accounts {
            self.orders += count(account.orders.iter());
            let certificates = account.orders.iter().filter_map(|order| order.certificate.as_ref());
            self.revocations += count(certificates.filter(|certificate| certificate.revocation != Revocation::None));
            self.certificates += count(account.orders.iter().filter(|order| order.stage == Stage::Valid));
            for (kind, count) in &account.refusals {
                *self.refusals.entry(kind.clone()).or_default() += count;
            }
            self.find(&account.findings);
        }
        self.find(books);
    }

    fn find(&mut self, findings: &[Finding]) {
        for finding in findings {
            *self.breaches.entry(finding.breach).or_default() += 1;
            println!("        {finding}");
        }
    }

    /// Adds what was found when all rounds were over.
    pub(crate) fn add_after_all(&mut self, findings: &[Finding]) {
        self.failed_rounds += u64::from(!findings.is_empty() && self.failed_rounds == 0);
        self.find(findings);
    }

    /// Whether everything that was promised was kept.
    pub(crate) fn is_clean(&self) -> bool {
        self.breaches.is_empty() && self.rounds > 0
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let breaches = |breach| self.breaches.get(&breach).copied().unwrap_or(0);
        let refusals: u64 = self.refusals.values().sum();
        let kills = self.gateway_kills + self.cm_kills;
        let (gateway, cm) = (self.gateway_kills, self.cm_kills);
        writeln!(out, "{} rounds, {kills} kills ({gateway} of the gateway, {cm} of the CM)", self.rounds)?;
        writeln!(
            out,
            "{} accounts, {} orders, {} certificates, {} revocations, {refusals} refusals",
            self.accounts, self.orders, self.certificates, self.revocations
        )?;
        for (kind, count) in &self.refusals {
            writeln!(out, "{count:>8}  {kind}")?;
        }
        writeln!(
            out,
            "{} orders lost, {} orders with two certificates, {} acknowledged writes missing",
            breaches(Breach::Lost),
            breaches(Breach::Twice),
            breaches(Breach::Missing)
        )?;
        write!(out, "{} passed, {} failed", self.rounds - self.failed_rounds, self.failed_rounds)
    }
}

fn line(outcome: &Outcome, findings: usize) -> String {
    let orders = || outcome.accounts.iter().flat_map(|account: &Account| &account.orders);
    let valid = count(orders().filter(|order| order.stage == Stage::Valid));
    let result = if findings == 0 { "ok" } else { "FAILED" };
    let took = outcome.took.as_secs_f64();
    let orders = count(orders());
    let mut line =
        format!("{result:<7} round {:>4} {took:>6.1} s  {valid} of {orders} orders valid; killed", outcome.round);
    for kill in &outcome.kills {
        // Writing to a String cannot fail.
        let _ = write!(line, " {kill}");
    }
    line
}

fn count<T>(things: impl Iterator<Item = T>) -> u64 {
    things.map(|_| 1).sum()
}
