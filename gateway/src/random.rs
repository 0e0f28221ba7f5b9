//! The one place that draws random numbers, from a generator that the system seeds.

use acme::{challenge::Token, ids::Id};
use rand::Rng;

/// An id nobody can guess: 128 random bits.
pub(crate) fn id<Kind>() -> Id<Kind> {
    Id::from_random(octets())
}

/// A challenge token.
pub(crate) fn token() -> Token {
    Token::from_random(octets())
}

/// Random octets from the thread's cryptographic generator.
pub(crate) fn octets<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    rand::rng().fill(octets.as_mut_slice());
    octets
}

/// A number from the first up to the second.
pub(crate) fn between(first: f64, second: f64) -> f64 {
    rand::rng().random_range(first..second)
}
