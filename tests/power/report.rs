//! What is printed: a line a round, and the counts at the end.

use std::fmt;

use super::{plan::RoundPlan, round::Outcome};

/// Counts of all rounds.
#[derive(Default)]
pub(crate) struct Totals {
    rounds: u64,
    failed_rounds: u64,
    reopened: u64,
    cuts: u64,
    acknowledged: u64,
    lost: u64,
    torn: u64,
}

impl Totals {
    /// Adds a round and prints its line.
    pub(crate) fn add(&mut self, round: u64, plan: &RoundPlan, outcome: &Outcome) {
        let Outcome { cuts, acknowledged, lost, torn, not_reopened, took } = outcome;
        let is_kept = lost + torn == 0 && not_reopened.is_none();
        let result = if is_kept { "ok" } else { "FAILED" };
        println!(
            "{result:<7} round {round:>4} {:>6.1} s  {acknowledged:>5} records, {lost} lost, {torn} torn in {cuts} cuts; {} at once, {}",
            took.as_secs_f64(),
            plan.at_once,
            plan.file_system
        );
        if let Some(why) = not_reopened {
            // What comes before the end is where a panic was.
            println!("        not reopened: {}", why.lines().last().unwrap_or_default());
        }
        self.rounds += 1;
        self.failed_rounds += u64::from(!is_kept);
        self.reopened += u64::from(not_reopened.is_none());
        self.cuts += cuts;
        self.acknowledged += acknowledged;
        self.lost += lost;
        self.torn += torn;
    }

    /// Whether everything that was acknowledged is there, and there was something.
    pub(crate) fn is_clean(&self) -> bool {
        self.failed_rounds == 0 && self.acknowledged > 0
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, failed_rounds, reopened, cuts, acknowledged, lost, torn } = self;
        writeln!(
            out,
            "{rounds} rounds with {cuts} power cuts: {reopened} reopened, {acknowledged} acknowledged records, {lost} lost, \
             {torn} torn"
        )?;
        write!(out, "{} passed, {failed_rounds} failed", rounds - failed_rounds)
    }
}
