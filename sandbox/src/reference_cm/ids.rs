//! Identifiers that the CM makes: a prefix and a ULID (contract section 3).

use rand::RngCore as _;

use super::moment::Moment;

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new id such as `reg_01KANM3T9V5R8YFZ2Q6W4XH7CE`: sortable by time, 80 random bits.
pub(crate) fn new_id(prefix: &str, now: Moment) -> String {
    let mut random = [0_u8; 10];
    rand::rng().fill_bytes(&mut random);
    let mut value = u128::from(u64::try_from(now.millis()).unwrap_or(0)) << 80;
    for (position, octet) in random.iter().rev().enumerate() {
        value |= u128::from(*octet) << (8 * position);
    }
    let mut text = String::with_capacity(prefix.len() + 26);
    text.push_str(prefix);
    for position in (0..26).rev() {
        let index = usize::try_from((value >> (5 * position)) & 31).unwrap_or(0);
        text.push(CROCKFORD.get(index).copied().map_or('0', char::from));
    }
    text
}

/// Whether a text could be an id with this prefix; anything else is not worth a look-up.
#[cfg(test)]
pub(crate) fn is_id(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 26 && rest.bytes().all(|octet| CROCKFORD.contains(&octet)))
}

/// `length` octets from the operating system's generator, by way of a thread's ChaCha.
pub(crate) fn random_octets<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut octets = [0_u8; LENGTH];
    rand::rng().fill_bytes(&mut octets);
    octets
}

/// Lowercase hexadecimal, two digits an octet.
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_prefix_and_26_crockford_characters() {
        let id = new_id("reg_", Moment::parse("2026-11-22T00:40:12Z").unwrap());
        assert!(is_id("reg_", &id), "{id}");
        assert!(id.starts_with("reg_01"), "{id}");
        assert!(!is_id("req_", &id));
        assert!(!is_id("reg_", &id.to_lowercase()));
    }

    #[test]
    fn ids_of_different_milliseconds_sort_by_time() {
        let first = new_id("evt_", Moment::from_millis(1_000));
        let second = new_id("evt_", Moment::from_millis(1_001));
        assert!(first < second);
    }
}
