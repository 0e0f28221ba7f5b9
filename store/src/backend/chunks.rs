//! How a value lies in sled: in pieces of at most 4 KiB.
//!
//! sled keeps up to about twenty neighbouring entries in one page, and moves a page of more than
//! 128 KiB into a file of its own, which it never syncs and which a power cut would therefore
//! tear. Pieces this small keep every page far below that.
//!
//! The first piece begins with the version (8 octets, big endian) and the number of the pieces
//! that follow (2 octets); those lie under the same key, numbered from 0.

use super::{Version, Versioned};

/// Longest piece of a value, in octets.
const PIECE_OCTETS: usize = 4096;

/// A value cut to pieces.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// Version, count and the beginning of the value.
    pub(crate) first: Vec<u8>,
    /// What follows.
    pub(crate) rest: Vec<Vec<u8>>,
}

/// What the first piece tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct First<'a> {
    /// The version of the whole value.
    pub(crate) version: Version,
    /// How many pieces follow.
    pub(crate) following: u16,
    /// The beginning of the value.
    pub(crate) value: &'a [u8],
}

/// Cuts a value; `None` if it would take more than 65535 pieces.
pub(crate) fn cut(held: &Versioned) -> Option<Pieces> {
    let (value, rest) = held.value.split_at_checked(PIECE_OCTETS).unwrap_or((&held.value, &[]));
    let rest: Vec<Vec<u8>> = rest.chunks(PIECE_OCTETS).map(<[u8]>::to_vec).collect();
    let following = u16::try_from(rest.len()).ok()?;
    let mut first = held.version.0.to_be_bytes().to_vec();
    first.extend(following.to_be_bytes());
    first.extend(value);
    Some(Pieces { first, rest })
}

/// Reads a first piece; `None` if it is too short to be one.
pub(crate) fn read_first(octets: &[u8]) -> Option<First<'_>> {
    let (version, rest) = octets.split_first_chunk()?;
    let (following, value) = rest.split_first_chunk()?;
    Some(First { version: Version(u64::from_be_bytes(*version)), following: u16::from_be_bytes(*following), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_any_length_comes_back_from_its_pieces() {
        for (octets, following) in [(0, 0), (1, 0), (4096, 0), (4097, 1), (8192, 1), (300_000, 73)] {
            let held = Versioned { value: vec![9; octets], version: Version(0x0102_0304_0506_0708) };
            let pieces = cut(&held).unwrap();
            let first = read_first(&pieces.first).unwrap();
            assert_eq!((first.version, usize::from(first.following)), (held.version, following), "{octets}");
            let whole = [first.value.to_vec(), pieces.rest.concat()].concat();
            assert_eq!(whole, held.value);
            assert!(pieces.rest.iter().all(|piece| piece.len() <= PIECE_OCTETS && !piece.is_empty()));
        }
    }

    #[test]
    fn what_is_too_short_is_no_first_piece() {
        assert_eq!(read_first(&[0; 9]), None);
    }
}
