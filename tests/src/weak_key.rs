//! RSA keys that work and that nobody should accept. They sign, so that what refuses them is a look at the key.

use openssl::{
    bn::{BigNum, BigNumContext, BigNumRef, MsbOption},
    pkey::Private,
    rsa::{Rsa, RsaPrivateKeyBuilder},
};

/// Octets of the primes of a key of 2048 bits.
const PRIME_BITS: i32 = 1024;
/// The usual exponent.
const E: u32 = 65537;

/// 2048 bits with the exponent 3.
///
/// # Panics
/// The library cannot make it.
#[must_use]
pub fn small_exponent() -> Rsa<Private> {
    Rsa::generate_with_e(2048, &BigNum::from_u32(3).unwrap()).unwrap()
}

/// Two primes so close together that Fermat's method finds them at once.
///
/// # Panics
/// The library cannot make it.
#[must_use]
pub fn close_primes() -> Rsa<Private> {
    let mut context = BigNumContext::new().unwrap();
    let start = random(PRIME_BITS);
    let p = next_prime(&start, 2, &mut context);
    let mut after = BigNum::new().unwrap();
    after.checked_add(&p, &BigNum::from_u32(2).unwrap()).unwrap();
    let q = next_prime(&after, 2, &mut context);
    from_primes(&p, &q, &mut context)
}

/// Primes as a well-known faulty library made them: k · M + 65537^a mod M, M the product of the first primes
/// (CVE-2017-15361).
///
/// # Panics
/// The library cannot make it.
#[must_use]
pub fn roca() -> Rsa<Private> {
    let mut context = BigNumContext::new().unwrap();
    // For keys of 2048 bits the faulty library multiplied the first 126 primes.
    let modulus = product_of_first_primes(126);
    let (p, q) = (roca_prime(&modulus, &mut context), roca_prime(&modulus, &mut context));
    from_primes(&p, &q, &mut context)
}

fn roca_prime(modulus: &BigNumRef, context: &mut BigNumContext) -> BigNum {
    let generator = BigNum::from_u32(E).unwrap();
    loop {
        let exponent = random(60);
        let mut power = BigNum::new().unwrap();
        power.mod_exp(&generator, &exponent, modulus, context).unwrap();
        let factor = random(PRIME_BITS - modulus.num_bits());
        let mut candidate = BigNum::new().unwrap();
        candidate.checked_mul(&factor, modulus, context).unwrap();
        let mut sum = BigNum::new().unwrap();
        sum.checked_add(&candidate, &power).unwrap();
        if sum.num_bits() == PRIME_BITS && sum.is_bit_set(PRIME_BITS - 2) && is_usable_prime(&sum, context) {
            return sum;
        }
    }
}

fn product_of_first_primes(count: usize) -> BigNum {
    let is_prime = |number: &u32| (2..*number).take_while(|d| d * d <= *number).all(|d| !number.is_multiple_of(d));
    let mut product = BigNum::from_u32(1).unwrap();
    for prime in (2..).filter(is_prime).take(count) {
        product.mul_word(prime).unwrap();
    }
    product
}

/// A prime p with gcd(p - 1, e) = 1; e is prime.
fn is_usable_prime(number: &BigNumRef, context: &mut BigNumContext) -> bool {
    number.mod_word(E).unwrap() != 1 && number.is_prime(20, context).unwrap()
}

fn next_prime(start: &BigNumRef, step: u32, context: &mut BigNumContext) -> BigNum {
    let mut number = start.to_owned().unwrap();
    number.set_bit(0).unwrap();
    while !is_usable_prime(&number, context) {
        number.add_word(step).unwrap();
    }
    number
}

fn random(bits: i32) -> BigNum {
    let mut number = BigNum::new().unwrap();
    number.rand(bits, MsbOption::TWO_ONES, false).unwrap();
    number
}

fn from_primes(p: &BigNumRef, q: &BigNumRef, context: &mut BigNumContext) -> Rsa<Private> {
    let e = BigNum::from_u32(E).unwrap();
    let less_one = |number: &BigNumRef| {
        let mut less = number.to_owned().unwrap();
        less.sub_word(1).unwrap();
        less
    };
    let (p_1, q_1) = (less_one(p), less_one(q));
    let mut product = |a: &BigNumRef, b: &BigNumRef| {
        let mut product = BigNum::new().unwrap();
        product.checked_mul(a, b, context).unwrap();
        product
    };
    let (n, phi) = (product(p, q), product(&p_1, &q_1));
    let mut inverse = |number: &BigNumRef, modulus: &BigNumRef| {
        let mut inverse = BigNum::new().unwrap();
        inverse.mod_inverse(number, modulus, context).unwrap();
        inverse
    };
    let (d, dmp1, dmq1, iqmp) = (inverse(&e, &phi), inverse(&e, &p_1), inverse(&e, &q_1), inverse(q, p));
    RsaPrivateKeyBuilder::new(n, e, d)
        .and_then(|key| key.set_factors(p.to_owned()?, q.to_owned()?))
        .and_then(|key| key.set_crt_params(dmp1, dmq1, iqmp))
        .unwrap()
        .build()
}
