//! Decisions from a seed: the same seed decides the same, on every machine and in every version.

use std::ops::RangeInclusive;

/// A generator (SplitMix64). It makes decisions, never keys.
pub struct Random(u64);

impl Random {
    /// The generator of one part of a run. Parts decide independently of each other.
    #[must_use]
    pub fn of(seed: u64, part: &[u64]) -> Self {
        let mut random = Self(seed);
        for word in part {
            random.0 = random.next() ^ word.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range.
    ///
    /// # Panics
    /// It holds all numbers there are.
    pub fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (first, last) = range.into_inner();
        first + self.next() % (last - first + 1)
    }

    /// True so often in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.between(1..=100) <= percent
    }

    /// One of these.
    ///
    /// # Panics
    /// There is none.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let last = u64::try_from(choices.len()).expect("lengths fit") - 1;
        choices[usize::try_from(self.between(0..=last)).expect("it is an index")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_decides_the_same_and_parts_differ() {
        let draw = |seed, part: &[u64]| {
            let mut random = Random::of(seed, part);
            [(); 8].map(|()| random.between(0..=1_000_000))
        };
        assert_eq!(draw(7, &[1, 2]), draw(7, &[1, 2]));
        assert_ne!(draw(7, &[1, 2]), draw(7, &[2, 1]));
        assert_ne!(draw(7, &[1]), draw(8, &[1]));
    }

    #[test]
    fn ranges_are_kept_to_both_ends() {
        let mut random = Random::of(1, &[]);
        let drawn: std::collections::BTreeSet<_> = (0..200).map(|_| random.between(3..=5)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
    }
}
