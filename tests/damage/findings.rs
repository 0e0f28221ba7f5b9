//! What was read back, and what must not have been.

use std::fmt;

/// A promise that was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Breach {
    /// Something was served that is not as it was.
    Wrong,
    /// A certificate, or the way to one, for what was not proven.
    Unproven,
    /// The CM was asked for a certificate again.
    Twice,
    /// The gateway did not start, or does not go on.
    Stuck,
}

/// What one round has shown.
#[derive(Default)]
pub(crate) struct Findings {
    /// Things that were read back as they were.
    pub(crate) as_before: u64,
    /// Things that were refused.
    pub(crate) refused: u64,
    /// Whether the database was moved aside.
    pub(crate) is_quarantined: bool,
    pub(crate) breaches: Vec<(Breach, String)>,
}

impl Findings {
    /// Notes a breach.
    pub(crate) fn add(&mut self, breach: Breach, words: String) {
        self.breaches.push((breach, words));
    }
}

/// Counts of all rounds.
#[derive(Default)]
pub(crate) struct Totals {
    rounds: u64,
    failed: u64,
    quarantined: u64,
    as_before: u64,
    refused: u64,
    breaches: Vec<Breach>,
}

impl Totals {
    /// Adds a round and prints its line.
    pub(crate) fn add(&mut self, round: u64, damage: &str, seconds: f64, findings: &Findings) {
        let Findings { as_before, refused, is_quarantined, breaches } = findings;
        let result = if breaches.is_empty() { "ok" } else { "FAILED" };
        let aside = if *is_quarantined { "moved aside" } else { "kept" };
        println!(
            "{result:<7} round {round:>4} {seconds:>6.1} s  {as_before:>2} as before, {refused:>2} refused; {aside}; {damage}"
        );
        for (breach, words) in breaches {
            // Responses have several lines.
            let words: Vec<_> = words.split_whitespace().collect();
            println!("        {}: {}", format!("{breach:?}").to_uppercase(), words.join(" "));
        }
        self.rounds += 1;
        self.failed += u64::from(!breaches.is_empty());
        self.quarantined += u64::from(*is_quarantined);
        self.as_before += as_before;
        self.refused += refused;
        self.breaches.extend(breaches.iter().map(|(breach, _)| *breach));
    }

    /// Whether nothing was found, and something was read.
    pub(crate) fn is_clean(&self) -> bool {
        self.failed == 0 && self.as_before + self.refused > 0
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |breach| self.breaches.iter().filter(|found| **found == breach).count();
        let Self { rounds, failed, quarantined, as_before, refused, breaches: _ } = self;
        writeln!(out, "{rounds} damaged databases, {quarantined} moved aside, {} did not go on", count(Breach::Stuck))?;
        writeln!(
            out,
            "{as_before} things as before, {refused} refused, {} wrong; {} without proof, {} asked for twice",
            count(Breach::Wrong),
            count(Breach::Unproven),
            count(Breach::Twice)
        )?;
        write!(out, "{} passed, {failed} failed", rounds - failed)
    }
}
