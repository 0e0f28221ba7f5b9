//! How the database of a round is damaged: drawn from the seed before the round begins, and from nothing else.

use std::fmt;

use ::tests::random::Random;

/// Most bits that are flipped in one database.
const BITS_MAX: u64 = 64;
/// What disks and file systems lose in one piece.
const PAGE_OCTETS: u64 = 4096;

/// What happens to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Whether it is the file with the records, or one of those beside it.
    pub(crate) is_main_file: bool,
    /// Which of those beside it.
    pub(crate) which: u64,
    kind: Kind,
}

/// Numbers are taken modulo what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// These bits are the other way round.
    Bits(Vec<u64>),
    /// It ends here.
    Cut(u64),
    /// This page is all zeros.
    ZeroPage(u64),
    /// This page is as it was some time before: the disk has lost a write.
    OldPage(u64),
}

impl Damage {
    /// The damage of this round.
    pub(crate) fn draw(seed: u64, round: u64) -> Self {
        let mut random = Random::of(seed, &[round]);
        let mut anywhere = || random.between(0..=u64::from(u32::MAX));
        let (place, which, extent, choice) = (anywhere(), anywhere(), anywhere(), anywhere());
        let kind = match choice % 8 {
            // Few bits are harder to find than many.
            0..=2 => Kind::Bits((0..=extent % 4).map(|_| anywhere()).collect()),
            3 | 4 => Kind::Bits((0..=extent % BITS_MAX).map(|_| anywhere()).collect()),
            5 => Kind::Cut(anywhere()),
            6 => Kind::ZeroPage(anywhere()),
            _ => Kind::OldPage(anywhere()),
        };
        Self { is_main_file: place % 10 < 8, which, kind }
    }

    /// The octets of a file after this damage; `before` is what they were some time before.
    pub(crate) fn applied(&self, mut octets: Vec<u8>, before: &[u8]) -> Vec<u8> {
        // Databases end in space that nobody has written yet.
        let used = octets.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
        let Some(used) = u64::try_from(used).ok().filter(|used| *used > 0) else { return octets };
        let page = |number: u64| index(number % used.div_ceil(PAGE_OCTETS) * PAGE_OCTETS);
        match &self.kind {
            Kind::Bits(bits) => bits.iter().for_each(|bit| octets[index(bit / 8 % used)] ^= 1 << (bit % 8)),
            Kind::Cut(end) => octets.truncate(index(end % used)),
            Kind::ZeroPage(number) => {
                octets.iter_mut().skip(page(*number)).take(index(PAGE_OCTETS)).for_each(|octet| *octet = 0)
            }
            Kind::OldPage(number) => {
                let from = page(*number);
                let old = before.iter().copied().chain(std::iter::repeat(0)).skip(from);
                octets.iter_mut().skip(from).take(index(PAGE_OCTETS)).zip(old).for_each(|(octet, old)| *octet = old);
            }
        }
        octets
    }
}

fn index(place: u64) -> usize {
    usize::try_from(place).expect("files are smaller than memory")
}

impl fmt::Display for Damage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Bits(bits) => write!(out, "{} bits flipped", bits.len()),
            Kind::Cut(_) => write!(out, "cut short"),
            Kind::ZeroPage(_) => write!(out, "a page zeroed"),
            Kind::OldPage(_) => write!(out, "an old page"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(kind: Kind) -> Damage {
        Damage { is_main_file: true, which: 0, kind }
    }

    #[test]
    fn a_round_is_damaged_the_same_again() {
        assert_eq!(Damage::draw(1, 2), Damage::draw(1, 2));
        assert_ne!(Damage::draw(1, 2), Damage::draw(1, 3));
    }

    #[test]
    fn rounds_have_all_kinds_of_damage_and_from_one_bit_to_many() {
        let drawn: Vec<_> = (0..3000).map(|round| Damage::draw(1, round)).collect();
        for words in ["cut short", "a page zeroed", "an old page", "1 bits flipped", "64 bits flipped"] {
            assert!(drawn.iter().any(|damage| damage.to_string() == words), "{words}");
        }
        assert!(drawn.iter().any(|damage| !damage.is_main_file));
    }

    #[test]
    fn each_kind_of_damage_falls_on_what_is_used() {
        let octets = [vec![7; 5000], vec![0; 5000]].concat();
        let flipped = damage(Kind::Bits(vec![8 * 5001 + 3])).applied(octets.clone(), &[]);
        assert_eq!(flipped[1], 7 ^ 8);
        assert_eq!(damage(Kind::Cut(5010)).applied(octets.clone(), &[]), vec![7; 10]);
        let zeroed = damage(Kind::ZeroPage(3)).applied(octets.clone(), &[]);
        assert_eq!(zeroed, [vec![7; 4096], vec![0; 5904]].concat());
        let old = damage(Kind::OldPage(0)).applied(octets.clone(), &[9; 100]);
        assert_eq!(old[..4096], [vec![9; 100], vec![0; 3996]].concat());
        assert_eq!(damage(Kind::Cut(1)).applied(vec![0; 10], &[]), vec![0; 10], "nothing is used");
    }
}
