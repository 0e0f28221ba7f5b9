//! Ed25519 points that are no keys: a signature under them proves nothing (RFC 8032 §5.1.3, §5.1.7).
//!
//! Crypto libraries take any 32 octets as a key. A point of small order verifies signatures that
//! nobody made, and an ordinate that is not reduced is a second spelling of another point.

/// The prime 2^255 - 19, little-endian as points are written.
const PRIME: [u8; 32] = [
    0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
];

/// The reduced ordinates of all points whose order divides 8.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
];

/// Whether this encoded point is of small order or not in its reduced spelling.
pub(super) fn is_no_key(point: &[u8; 32]) -> bool {
    let mut ordinate = *point;
    if let Some(last) = ordinate.last_mut() {
        *last &= 0x7f; // the highest bit is the sign of the abscissa
    }
    let reduced = ordinate.iter().rev().lt(PRIME.iter().rev());
    !reduced || SMALL_ORDER.contains(&ordinate)
}

#[cfg(test)]
mod tests {
    use openssl::{
        pkey::{Id, PKey},
        sign::Verifier,
    };

    use super::*;

    /// Whether the library takes a signature that nobody made: the identity and zero.
    fn is_forgeable(point: &[u8; 32]) -> bool {
        let signature = [[1].as_slice(), &[0; 63]].concat();
        let key = PKey::public_key_from_raw_bytes(point, Id::ED25519).unwrap();
        (0_u32..200).any(|message| {
            let mut verifier = Verifier::new_without_digest(&key).unwrap();
            verifier.verify_oneshot(&signature, &message.to_be_bytes()).unwrap_or(false)
        })
    }

    #[test]
    fn keys_under_which_signatures_can_be_made_up_are_no_keys() {
        let mut forgeable = 0;
        for point in SMALL_ORDER {
            let mut negative = point;
            negative[31] |= 0x80;
            assert!(is_no_key(&point) && is_no_key(&negative), "{point:02x?}");
            forgeable += usize::from(is_forgeable(&point));
        }
        assert_eq!(forgeable, SMALL_ORDER.len(), "the library itself refuses none of them");
    }

    #[test]
    fn ordinates_are_reduced() {
        let mut unreduced = PRIME;
        assert!(is_no_key(&unreduced));
        unreduced[0] = 0xff;
        assert!(is_no_key(&unreduced));
        let mut reduced = PRIME;
        reduced[0] = 0xe0;
        assert!(!is_no_key(&reduced));
    }

    #[test]
    fn honest_keys_are_keys() {
        for _ in 0..20 {
            let key = PKey::generate_ed25519().unwrap().raw_public_key().unwrap();
            assert!(!is_no_key(&key.try_into().unwrap()));
        }
    }
}
