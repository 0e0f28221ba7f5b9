//! The few DER structures that public keys are written in (X.690, RFC 5280 §4.1.2.7).
//!
//! Writing only, for values of known shape; everything that is read goes through x509-parser.

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

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
}
