//! What a list says about a name, rule by rule: part of the pages that edit a list.

use acme::ids::ProfileName;

use super::table::{Cell, Table};
use crate::{
    cli::explain::{judge, row},
    error::Failure,
    explain::{Decision, Explanation, Facts, Outcome},
    output::shown,
};

/// What a list says about a name.
pub(super) struct Verdict {
    pub(super) name: String,
    pub(super) decision: &'static str,
    /// The same by the list that is saved, where it is another one.
    pub(super) now: Option<&'static str>,
    pub(super) reason: Option<String>,
    pub(super) table: Table,
    /// Entries that do not cover the name.
    pub(super) passed: usize,
}

/// Walks the rules. An empty profile is the one that an order gets that names none.
///
/// # Errors
/// [`Failure::Usage`] if the profile is none.
pub(super) fn judged(name: &str, profile: &str, facts: &Facts) -> Result<Explanation, Failure> {
    let profile: Option<ProfileName> = match profile {
        "" => None,
        name => Some(name.parse().map_err(|reason| Failure::Usage(format!("the name of a profile {reason}")))?),
    };
    Ok(judge(name, profile, None, facts))
}

impl Verdict {
    /// The answer `then`, beside that of now where there is one.
    pub(super) fn of(name: &str, now: Option<&Explanation>, then: &Explanation) -> Self {
        let word = |explanation: &Explanation| match explanation.decision {
            Decision::Allow => "allow",
            Decision::Refuse => "refuse",
        };
        let looked = then.rules.iter().filter(|step| step.outcome != Outcome::Passes);
        let rows: Vec<Vec<Cell>> =
            looked.map(|step| row(step).iter().map(|cell| Cell::plain(cell)).collect()).collect();
        let passed = then.rules.len().saturating_sub(rows.len());
        let headings = &["Looked at", "Name", "Outcome", "Entry or rule", "Detail"];
        Self {
            name: shown(name),
            decision: word(then),
            now: now.map(word).filter(|now| *now != word(then)),
            reason: then.reason.as_deref().map(shown),
            table: Table::of("Rules that were looked at", headings, "None.", Ok((rows, true))),
            passed,
        }
    }
}
