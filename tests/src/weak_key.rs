//! RSA keys that work and that nobody should accept. They sign, so that what refuses them is a look at the key.

use openssl::{
    bn::{BigNum, BigNumContext, BigNumRef, MsbOption},
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::{Rsa, RsaPrivateKeyBuilder},
    stack::Stack,
    x509::{X509ReqBuilder, extension::SubjectAlternativeName},
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

/// A PKCS#10 request for `name` and a key of 2048 bits with the exponent 1, under which anybody can sign: what is signed
/// is the signature.
///
/// # Panics
/// The library cannot make it.
#[must_use]
pub fn csr_with_exponent_one(name: &str) -> Vec<u8> {
    /// Before the SHA-256 in the block that is signed (RFC 8017 section 9.2).
    const DIGEST_INFO: [u8; 19] = [0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
    let rsa = Rsa::generate(2048).unwrap();
    let public = Rsa::from_public_components(rsa.n().to_owned().unwrap(), BigNum::from_u32(1).unwrap()).unwrap();
    let mut request = X509ReqBuilder::new().unwrap();
    request.set_pubkey(&PKey::from_rsa(public).unwrap()).unwrap();
    let names = SubjectAlternativeName::new().dns(name).build(&request.x509v3_context(None)).unwrap();
    let mut extensions = Stack::new().unwrap();
    extensions.push(names).unwrap();
    request.add_extensions(&extensions).unwrap();
    // By another exponent, and so wrong: it leaves room for the right one.
    request.sign(&PKey::from_rsa(rsa).unwrap(), MessageDigest::sha256()).unwrap();
    let mut der = request.build().to_der().unwrap();
    // Two headers of four octets stand before and within what is signed.
    let length = usize::from(u16::from_be_bytes([der[6], der[7]]));
    let digest = openssl::sha::sha256(&der[4..8 + length]);
    let filler = vec![0xff; 256 - 3 - DIGEST_INFO.len() - digest.len()];
    let block = [&[0, 1], filler.as_slice(), &[0], &DIGEST_INFO, &digest].concat();
    let at = der.len() - block.len();
    der[at..].copy_from_slice(&block);
    der
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

#[cfg(test)]
mod tests {
    use openssl::x509::X509Req;

    use super::*;

    #[test]
    fn a_csr_under_the_exponent_1_is_rightly_signed() {
        let request = X509Req::from_der(&csr_with_exponent_one("one.test")).unwrap();
        let key = request.public_key().unwrap();
        assert_eq!(key.rsa().unwrap().e(), &BigNum::from_u32(1).unwrap());
        assert!(request.verify(&key).unwrap());
    }
}
