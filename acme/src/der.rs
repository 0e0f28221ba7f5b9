//! DER (X.690 §8 to §11): the few structures that public keys are written in, and whether octets
//! are DER at all.
//!
//! What values mean is read by x509-parser. It takes some BER and passes over what follows the
//! last part of a structure; a CM may read such octets otherwise than we did, so they are refused
//! here.

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONSTRUCTED: u8 = 0x20;
const CLASS: u8 = 0xc0;
const UNIVERSAL: u8 = 0x00;
const CONTEXT_SPECIFIC: u8 = 0x80;

/// Deepest nesting; names inside extensions inside certificates have about ten levels.
const DEPTH_MAX: usize = 24;

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// Identifier octet.
    pub(crate) tag: u8,
    /// What follows the length.
    pub(crate) content: &'a [u8],
    /// All of it.
    pub(crate) der: &'a [u8],
}

impl<'a> Element<'a> {
    /// The parts of a structure, if it has exactly so many.
    pub(crate) fn parts<const N: usize>(self) -> Option<[Element<'a>; N]> {
        all(self.content)?.try_into().ok()
    }

    /// Whether it is an object identifier; x509-parser reads any tag as one.
    pub(crate) fn names(&self) -> bool {
        self.tag == OBJECT_IDENTIFIER
    }
}

/// The parts of a certificate or CSR in DER: what is signed, the algorithm, the signature.
pub(crate) fn signed_parts(der: &[u8]) -> Option<[Element<'_>; 3]> {
    let parts = one(der).filter(|whole| whole.tag == SEQUENCE && is_exact(der))?.parts()?;
    let [_, algorithm, _] = parts;
    let named = all(algorithm.content)?.first().is_some_and(Element::names);
    (named && parts.map(|part| part.tag) == [SEQUENCE, SEQUENCE, BIT_STRING]).then_some(parts)
}

/// Reads one value that nothing follows.
fn one(der: &[u8]) -> Option<Element<'_>> {
    let (element, rest) = read(der)?;
    rest.is_empty().then_some(element)
}

/// Reads values that follow one another.
pub(crate) fn all(mut octets: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut elements = Vec::new();
    while !octets.is_empty() {
        let (element, rest) = read(octets)?;
        elements.push(element);
        octets = rest;
    }
    Some(elements)
}

/// Whether this is one value in DER, through all its parts.
pub(crate) fn is_exact(der: &[u8]) -> bool {
    one(der).is_some_and(|element| is_exact_within(element, DEPTH_MAX))
}

fn is_exact_within(element: Element<'_>, depth: usize) -> bool {
    match (element.tag, element.content) {
        (BOOLEAN, content) => matches!(content, [0x00 | 0xff]),
        (INTEGER, content) => match content {
            [] => false,
            [0x00, next, ..] => *next >= 0x80,
            [0xff, next, ..] => *next < 0x80,
            [_, ..] => true,
        },
        (BIT_STRING, content) => match content {
            [unused @ 0..=7, .., last] => last.trailing_zeros() >= u32::from(*unused),
            [unused] => *unused == 0,
            [] | [_, ..] => false,
        },
        (OBJECT_IDENTIFIER, content) => {
            let padded = content.first() == Some(&0x80) || content.windows(2).any(|two| matches!(two, [..0x80, 0x80]));
            content.last().is_some_and(|last| *last < 0x80) && !padded
        }
        (tag, content) => match (tag & CLASS, tag & CONSTRUCTED != 0) {
            (UNIVERSAL | CONTEXT_SPECIFIC, false) => !matches!(tag | CONSTRUCTED, SEQUENCE | SET),
            (UNIVERSAL, true) if !matches!(tag, SEQUENCE | SET) => false,
            (UNIVERSAL | CONTEXT_SPECIFIC, true) => {
                let parts = depth.checked_sub(1).zip(all(content));
                parts.is_some_and(|(depth, parts)| parts.into_iter().all(|part| is_exact_within(part, depth)))
            }
            _ => false, // X.509 has no application or private classes where we look
        },
    }
}

fn read(octets: &[u8]) -> Option<(Element<'_>, &[u8])> {
    const LENGTH_OCTETS_MAX: usize = 3;
    const LONG_TAG: u8 = 0x1f; // not used in X.509
    let (&tag, rest) = octets.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        _ => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let shortest = length.first().is_some_and(|first| *first != 0);
            if !shortest || length.len() > LENGTH_OCTETS_MAX {
                return None;
            }
            let value = length.iter().fold(0, |value: usize, octet| value << 8 | usize::from(*octet));
            (value >= 0x80).then_some((value, rest))?
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    let (der, _) = octets.split_at_checked(octets.len() - rest.len())?;
    (tag & LONG_TAG != LONG_TAG).then_some((Element { tag, content, der }, rest))
}

/// One TLV with a definite length.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.extend(u8::try_from(length));
    } else {
        let octets: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
        out.extend(u8::try_from(octets.len()).map(|count| 0x80 | count));
        out.extend(octets);
    }
    out.extend(content);
    out
}

/// A SEQUENCE of parts that are DER already.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}

/// A non-negative INTEGER from big-endian octets without leading zeros.
pub(crate) fn unsigned_integer(octets: &[u8]) -> Vec<u8> {
    let sign_octet_needed = octets.first().is_none_or(|first| *first >= 0x80);
    if sign_octet_needed { tlv(INTEGER, &[&[0], octets].concat()) } else { tlv(INTEGER, octets) }
}

/// A BIT STRING of whole octets.
pub(crate) fn bit_string(octets: &[u8]) -> Vec<u8> {
    tlv(BIT_STRING, &[&[0], octets].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_their_shortest_form() {
        assert_eq!(tlv(4, &[7; 3]), [4, 3, 7, 7, 7]);
        assert_eq!(tlv(4, &[7; 200]).get(..3), Some([4, 0x81, 200].as_slice()));
        assert_eq!(tlv(4, &[7; 300]).get(..4), Some([4, 0x82, 1, 44].as_slice()));
    }

    #[test]
    fn integers_stay_positive() {
        assert_eq!(unsigned_integer(&[0x7f]), [2, 1, 0x7f]);
        assert_eq!(unsigned_integer(&[0x80]), [2, 2, 0, 0x80]);
    }

    #[test]
    fn values_are_read_as_they_are_written() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000] {
            let content = vec![7; length];
            let der = tlv(4, &content);
            assert_eq!(one(&der), Some(Element { tag: 4, content: &content, der: &der }));
            let two = [der.as_slice(), &[5, 0]].concat();
            assert_eq!(one(&two), None);
            assert_eq!(all(&two).unwrap().len(), 2);
            assert!(is_exact(&der) && !is_exact(&two) && !is_exact(der.get(..der.len() - 1).unwrap()));
        }
    }

    #[test]
    fn what_is_ber_only_is_refused() {
        let table: [&[u8]; 23] = [
            &[],
            &[0x30],
            &[0x30, 0x80, 0, 0],
            &[0x04, 0x81, 0x01, 7],
            &[0x04, 0x82, 0x00, 0x01, 7],
            &[0x04, 0x84, 0, 0, 0, 1, 7],
            &[0x1f, 0x81, 0x00, 0],
            &[0x01, 0x01, 0x01],
            &[0x01, 0x00],
            &[0x02, 0x00],
            &[0x02, 0x02, 0x00, 0x7f],
            &[0x02, 0x02, 0xff, 0x80],
            &[0x03, 0x00],
            &[0x03, 0x02, 0x01, 0x01],
            &[0x24, 0x03, 0x04, 0x01, 7],
            &[0x30, 0x03, 0x01, 0x01, 0x01],
            &[0x70, 0x00],
            &[0xc4, 0x00],
            &[0x10, 0x00],
            &[0x06, 0x00],
            &[0x06, 0x02, 0x2a, 0x83],
            &[0x06, 0x02, 0x80, 0x2a],
            &[0x06, 0x03, 0x2a, 0x80, 0x03],
        ];
        for octets in table {
            assert!(!is_exact(octets), "{octets:02x?}");
        }
        assert!(is_exact(&[0x06, 0x04, 0x2a, 0x83, 0x80, 0x03]), "an arc may have 0x80 inside");
        let nested = |depth| (0..depth).fold(vec![5, 0], |inner, _| tlv(SEQUENCE, &inner));
        assert!(is_exact(&nested(DEPTH_MAX)) && !is_exact(&nested(DEPTH_MAX + 1)) && !is_exact(&nested(5000)));
    }
}
