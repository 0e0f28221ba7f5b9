//! Weak RSA keys: what can be told from the public half alone.
//!
//! Not judged: whether the modulus is a product of two primes, and lists of keys known to be
//! compromised.

use num_bigint::BigUint;

use crate::key_weakness::KeyWeakness;

/// Shortest and longest modulus, in bits. Longer ones cost more to verify than they bring.
const MODULUS_BITS: std::ops::RangeInclusive<u64> = 2048..=4096;
/// Smallest exponent; every smaller one has had its attack.
const EXPONENT_MIN: u32 = 65_537;
/// The odd primes below 752. No sound key generator leaves one in.
const SMALL_PRIMES: [u32; 132] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181, 191, 193, 197, 199, 211, 223, 227, 229, 233, 239,
    241, 251, 257, 263, 269, 271, 277, 281, 283, 293, 307, 311, 313, 317, 331, 337, 347, 349, 353, 359, 367, 373, 379,
    383, 389, 397, 401, 409, 419, 421, 431, 433, 439, 443, 449, 457, 461, 463, 467, 479, 487, 491, 499, 503, 509, 521,
    523, 541, 547, 557, 563, 569, 571, 577, 587, 593, 599, 601, 607, 613, 617, 619, 631, 641, 643, 647, 653, 659, 661,
    673, 677, 683, 691, 701, 709, 719, 727, 733, 739, 743, 751,
];
/// The largest prime in whose residues the ROCA mark shows.
const ROCA_PRIME_MAX: u32 = 167;
/// Steps of Fermat's method: enough for factors whose difference is up to some 28 times the
/// fourth root of the modulus; factors drawn at random lie further apart by hundreds of bits.
const FERMAT_STEPS: usize = 100;

/// Judges modulus and exponent, both big-endian. The cheap rules come first, so that what comes
/// after them works on numbers of bounded size.
pub(crate) fn check(n: &[u8], e: &[u8]) -> Result<(), KeyWeakness> {
    let n = BigUint::from_bytes_be(n);
    if !MODULUS_BITS.contains(&n.bits()) || !n.bits().is_multiple_of(8) {
        return Err(KeyWeakness::RsaSize(n.bits()));
    }
    let exponent = u32::try_from(BigUint::from_bytes_be(e)).map_err(|_| KeyWeakness::RsaExponent)?;
    if exponent < EXPONENT_MIN || exponent % 2 == 0 {
        return Err(KeyWeakness::RsaExponent);
    }
    if let Some(factor) = [2].iter().chain(&SMALL_PRIMES).find(|prime| residue(&n, **prime) == 0) {
        return Err(KeyWeakness::RsaSmallFactor(*factor));
    }
    if has_roca_mark(&n) {
        return Err(KeyWeakness::RsaRoca);
    }
    if has_close_factors(&n) { Err(KeyWeakness::RsaCloseFactors) } else { Ok(()) }
}

/// Length of a modulus in bits.
pub(crate) fn modulus_bits(n: &[u8]) -> u64 {
    BigUint::from_bytes_be(n).bits()
}

/// Zero, which refuses the key, stands for what cannot be: a residue that outgrew its divisor.
fn residue(n: &BigUint, divisor: u32) -> u32 {
    u32::try_from(n % divisor).unwrap_or(0)
}

/// The broken library draws its primes as k·M + (65537^a mod M), M being the product of the first
/// primes. So modulo each of these the modulus is a power of 65537, which holds for about one in
/// 2^27 other keys (Nemec et al., The Return of Coppersmith's Attack, section 2).
fn has_roca_mark(n: &BigUint) -> bool {
    SMALL_PRIMES
        .iter()
        .take_while(|prime| **prime <= ROCA_PRIME_MAX)
        .all(|prime| is_power_of_65537(residue(n, *prime), *prime))
}

fn is_power_of_65537(residue: u32, prime: u32) -> bool {
    let generator = 65_537 % prime;
    let mut power = 1;
    for _ in 0..prime {
        if power == residue {
            return true;
        }
        power = power * generator % prime;
    }
    false
}

/// Fermat's method: an odd n is a² - b² with the factors a - b and a + b, and the closer they
/// lie, the sooner a search from √n upwards finds an a for which a² - n is a square.
fn has_close_factors(n: &BigUint) -> bool {
    let mut a = n.sqrt();
    if &a * &a < *n {
        a += 1_u32;
    }
    let mut b_squared = &a * &a - n;
    for _ in 0..FERMAT_STEPS {
        if is_square(&b_squared) {
            return true;
        }
        b_squared += 2_u32 * &a + 1_u32;
        a += 1_u32;
    }
    false
}

/// Squares have few residues, so most numbers need no root to be ruled out.
fn is_square(number: &BigUint) -> bool {
    let has_residue_of_square =
        |modulus: u32| (0..modulus).any(|root| root * root % modulus == residue(number, modulus));
    [64, 63, 65, 11].into_iter().all(has_residue_of_square) && {
        let root = number.sqrt();
        &root * &root == *number
    }
}

#[cfg(test)]
mod tests {
    use acme::base64url;

    use super::*;

    const E: [u8; 3] = [1, 0, 1];
    /// The key of RFC 7638 section 3.1.
    const SOUND: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    fn power_of_two(exponent: u32) -> BigUint {
        BigUint::from(1_u32) << exponent
    }

    fn judged(n: &BigUint) -> Result<(), KeyWeakness> {
        check(&n.to_bytes_be(), &E)
    }

    /// The first odd number from `start` on that no small prime divides, in steps of `step`. As
    /// far as these rules can see it is a prime.
    fn factor(start: &BigUint, step: &BigUint) -> BigUint {
        let mut candidate = start | BigUint::from(1_u32);
        while SMALL_PRIMES.iter().any(|prime| residue(&candidate, *prime) == 0) || !candidate.bit(0) {
            candidate += step;
        }
        candidate
    }

    /// About 1.5 · 2^(bits - 1), so that two of them make a modulus of twice the bits.
    fn start(bits: u32) -> BigUint {
        power_of_two(bits - 1) + power_of_two(bits - 2) + BigUint::from(0x1234_5678_9abc_def1_u64)
    }

    #[test]
    fn the_table_has_every_odd_prime_below_752() {
        let is_prime = |number: &u32| !(2..*number).any(|divisor| number.is_multiple_of(divisor));
        assert!(SMALL_PRIMES.into_iter().eq((3..752).filter(is_prime)));
    }

    #[test]
    fn sound_keys_of_the_usual_sizes_are_taken() {
        assert_eq!(check(&base64url::decode(SOUND).unwrap(), &E), Ok(()));
        for size in [rcgen::RsaKeySize::_2048, rcgen::RsaKeySize::_3072, rcgen::RsaKeySize::_4096] {
            let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap();
            let rsa = openssl::rsa::Rsa::public_key_from_der_pkcs1(key.public_key_raw()).unwrap();
            assert_eq!(check(&rsa.n().to_vec(), &rsa.e().to_vec()), Ok(()));
        }
    }

    #[test]
    fn the_modulus_has_2048_to_4096_bits_in_whole_octets() {
        let refused = |bits: u32| judged(&(power_of_two(bits - 1) + 1_u32)) == Err(KeyWeakness::RsaSize(bits.into()));
        for bits in [512, 1024, 2040, 2047, 2049, 3071, 4095, 4097, 4104, 8192, 16_384] {
            assert!(refused(bits), "{bits} bits");
        }
        for bits in [2048, 2056, 3072, 4096] {
            assert!(!refused(bits), "{bits} bits");
        }
        assert_eq!(check(&[], &E), Err(KeyWeakness::RsaSize(0)));
    }

    #[test]
    fn the_exponent_is_odd_and_has_17_to_32_bits() {
        let n = base64url::decode(SOUND).unwrap();
        let table: [(&[u8], bool); 10] = [
            (&[1, 0, 1], true),
            (&[1, 0, 3], true),
            (&[0xff, 0xff, 0xff, 0xff], true),
            (&[], false),
            (&[1], false),
            (&[3], false),
            (&[0xff, 0xff], false),
            (&[1, 0, 2], false),
            (&[1, 0, 0, 0, 1], false),
            (&[0xff; 256], false),
        ];
        for (e, taken) in table {
            assert_eq!(check(&n, e), if taken { Ok(()) } else { Err(KeyWeakness::RsaExponent) }, "{e:?}");
        }
    }

    #[test]
    fn a_modulus_with_a_small_factor_is_refused() {
        for small in [2_u32, 3, 131, 751] {
            let cofactor = factor(&(power_of_two(2047) / small + 1_u32), &BigUint::from(2_u32));
            let n = cofactor * small;
            assert_eq!(judged(&n), Err(KeyWeakness::RsaSmallFactor(small)));
        }
    }

    #[test]
    fn a_modulus_as_the_roca_library_makes_it_is_refused() {
        let primes = || SMALL_PRIMES.into_iter().take_while(|prime| *prime <= ROCA_PRIME_MAX);
        let product = primes().fold(BigUint::from(2_u32), |product, prime| product * prime);
        let weak_factor = |exponent: u32, bits: u32| {
            let power = BigUint::from(65_537_u32).modpow(&exponent.into(), &product);
            let below = start(bits) / &product * &product;
            factor(&(below + power), &product)
        };
        for (first, second) in [(1_234_567, 7_654_321), (1, 2), (65_537, 99)] {
            let n = weak_factor(first, 1024) * weak_factor(second, 1032);
            assert_eq!(judged(&n), Err(KeyWeakness::RsaRoca), "{first} {second}");
        }
    }

    #[test]
    fn the_roca_mark_is_rare_among_other_keys() {
        let chance: f64 = SMALL_PRIMES
            .iter()
            .take_while(|prime| **prime <= ROCA_PRIME_MAX)
            .map(|prime| {
                (1..*prime).filter(|residue| is_power_of_65537(*residue, *prime)).count() as f64 / f64::from(prime - 1)
            })
            .product();
        assert!(chance < 2_f64.powi(-27), "{chance:e}");
    }

    #[test]
    fn close_factors_are_found_and_distant_ones_are_not() {
        let two = BigUint::from(2_u32);
        let p = factor(&start(1024), &two);
        for (gap_bits, weak) in [(1, true), (100, true), (500, true), (515, true), (522, false), (700, false)] {
            let q = factor(&(&p + power_of_two(gap_bits)), &two);
            let verdict = if weak { Err(KeyWeakness::RsaCloseFactors) } else { Ok(()) };
            assert_eq!(judged(&(&p * q)), verdict, "factors 2^{gap_bits} apart");
        }
        assert_eq!(judged(&(&p * &p)), Err(KeyWeakness::RsaCloseFactors), "equal factors");
    }

    #[test]
    fn squares_are_told_from_other_numbers() {
        let root = start(600);
        let square = &root * &root;
        assert!(is_square(&square));
        assert!(!is_square(&(&square + 1_u32)));
        let small_squares: Vec<u32> = (0..1000).filter(|number| is_square(&BigUint::from(*number))).collect();
        assert!(small_squares.into_iter().eq((0..32).map(|root| root * root)));
    }
}
