//! What one round is going to do: drawn from the seed before it begins, and from nothing else.

use std::{fmt, time::Duration};

use ::tests::random::Random;

/// One round: a disk, and the moments at which its power is cut.
pub(crate) struct RoundPlan {
    pub(crate) file_system: FileSystem,
    /// Records that are committed at a time; they share barriers.
    pub(crate) at_once: u64,
    /// After each of them the work goes on with what the cut has left.
    pub(crate) cuts: Vec<Cut>,
}

/// How the disk is formatted and mounted. What is written when differs with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileSystem {
    pub(crate) block_octets: u64,
    /// What ext4 promises about data and names: `ordered`, `writeback` or `journal`.
    pub(crate) data: &'static str,
    /// Between two commits of its journal.
    pub(crate) commit_secs: u64,
}

/// A power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Once so many more records are acknowledged; 0 is while the store is being opened.
    pub(crate) after_records: u64,
    /// And so long after that.
    pub(crate) pause: Duration,
}

impl RoundPlan {
    /// The plan of this round.
    pub(crate) fn draw(seed: u64, round: u64) -> Self {
        let mut random = Random::of(seed, &[round]);
        let file_system = FileSystem {
            block_octets: random.one_of(&[1024, 4096]),
            data: random.one_of(&["ordered", "ordered", "writeback", "journal"]),
            commit_secs: random.one_of(&[1, 5]),
        };
        let at_once = random.one_of(&[1, 4, 16]);
        let cuts = (0..random.between(1..=3)).map(|_| Cut::draw(&mut random)).collect();
        Self { file_system, at_once, cuts }
    }
}

impl Cut {
    fn draw(random: &mut Random) -> Self {
        let (records, micros) = match random.between(0..=9) {
            0 => (0, random.between(0..=300_000)),
            1..=3 => (random.between(1..=20), random.between(0..=2_000)),
            _ => (random.between(21..=1_500), random.between(0..=5_000)),
        };
        Self { after_records: records, pause: Duration::from_micros(micros) }
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block_octets, data, commit_secs } = self;
        write!(out, "ext4 of {block_octets}-octet blocks, data={data}, commit={commit_secs}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_planned_the_same_again() {
        let plan = |round| {
            let RoundPlan { file_system, at_once, cuts } = RoundPlan::draw(7, round);
            (file_system, at_once, cuts)
        };
        assert_eq!(plan(3), plan(3));
        assert_ne!(plan(3), plan(4));
    }

    #[test]
    fn rounds_cut_at_all_times_on_all_file_systems() {
        let plans: Vec<_> = (0..200).map(|round| RoundPlan::draw(1, round)).collect();
        for data in ["ordered", "writeback", "journal"] {
            assert!(plans.iter().any(|plan| plan.file_system.data == data), "{data}");
        }
        for records in [0..=0, 1..=20, 21..=500, 501..=1_500] {
            let cuts = plans.iter().flat_map(|plan| &plan.cuts);
            let count = cuts.filter(|cut| records.contains(&cut.after_records)).count();
            assert!(count > 20, "{records:?}: {count}");
        }
    }
}
