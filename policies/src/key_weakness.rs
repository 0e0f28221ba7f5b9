//! Why a key is not taken, in words that its owner can act on.

use acme::{ids::ProfileName, problem::shown};

use crate::{
    rule::{Refusal, Rule},
    wording::list,
};

/// Why a key is not taken. The texts are for ACME clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.refusal())]
pub enum KeyWeakness {
    /// An RSA modulus of this many bits.
    RsaSize(u64),
    /// An RSA exponent that is even, below 65537 or above 2^32.
    RsaExponent,
    /// An RSA modulus that this number divides.
    RsaSmallFactor(u32),
    /// An RSA modulus with the mark of the library behind CVE-2017-15361 (ROCA): its factors can
    /// be computed.
    RsaRoca,
    /// An RSA modulus whose factors lie so close together that Fermat's method finds them.
    RsaCloseFactors,
    /// A kind of key that the profile does not take.
    KeyType {
        /// The kind, in the CM's words.
        found: String,
        /// Which profile.
        profile: ProfileName,
        /// What it takes.
        taken: Vec<String>,
    },
}

impl KeyWeakness {
    /// The rule that the key breaks.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        match self {
            Self::RsaSize(_) => Rule::KeyRsaSize,
            Self::RsaExponent => Rule::KeyRsaExponent,
            Self::RsaSmallFactor(_) => Rule::KeyRsaSmallFactor,
            Self::RsaRoca => Rule::KeyRsaRoca,
            Self::RsaCloseFactors => Rule::KeyRsaCloseFactors,
            Self::KeyType { .. } => Rule::ProfileKeyType,
        }
    }

    fn refusal(&self) -> Refusal {
        const NEW_KEY: &str = "make a new key with another library";
        let (what, cure) = match self {
            Self::RsaSize(bits) => (
                format!("RSA keys must have 2048 to 4096 bits in whole octets, and this one has {bits}"),
                String::from("make a key of 2048, 3072 or 4096 bits"),
            ),
            Self::RsaExponent => (
                String::from("the RSA exponent must be odd, at least 65537 and below 2^32"),
                String::from("make a key with exponent 65537"),
            ),
            Self::RsaSmallFactor(factor) => {
                (format!("the RSA modulus can be divided by {factor}"), String::from(NEW_KEY))
            }
            Self::RsaRoca => (
                String::from("the RSA key has the mark of a library whose keys can be broken (ROCA, CVE-2017-15361)"),
                String::from("update the device or smart card and make a new key, or use an EC key"),
            ),
            Self::RsaCloseFactors => {
                (String::from("the factors of the RSA modulus lie too close together"), String::from(NEW_KEY))
            }
            Self::KeyType { found, profile, taken } => (
                format!("the profile {profile} takes no {found} keys"),
                format!("make a key of one of the kinds {}", list(taken.iter().map(|word| shown(word)))),
            ),
        };
        Refusal::new(self.rule(), what, cure)
    }
}
