//! The signature algorithms that requests may use, and the keys they go with (RFC 7518 §3.1,
//! RFC 8037). The list is closed: MACs and `none` are not on it (RFC 8555 §6.2).

use acme::account_key::{Curve, PublicKey};

/// The names of all accepted algorithms, for the `algorithms` member of a badSignatureAlgorithm
/// problem (RFC 8555 §6.2).
pub(crate) const ALGORITHMS: &[&str] = &["ES256", "ES384", "ES512", "EdDSA", "RS256"];

/// An accepted signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Es256,
    Es384,
    Es512,
    EdDsa,
    Rs256,
}

impl Algorithm {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            "ES512" => Some(Self::Es512),
            "EdDSA" => Some(Self::EdDsa),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }

    /// The one algorithm that a key signs with here.
    pub(super) const fn of_key(key: &PublicKey) -> Self {
        match key {
            PublicKey::Ec { curve: Curve::P256, .. } => Self::Es256,
            PublicKey::Ec { curve: Curve::P384, .. } => Self::Es384,
            PublicKey::Ec { curve: Curve::P521, .. } => Self::Es512,
            PublicKey::Ed25519 { .. } => Self::EdDsa,
            PublicKey::Rsa { .. } => Self::Rs256,
        }
    }

    /// Octets of a signature; `None` if the key decides (RFC 7518 §3.4, RFC 8032 §5.1.6).
    pub(super) const fn signature_octets(self) -> Option<usize> {
        match self {
            Self::Es256 | Self::EdDsa => Some(64),
            Self::Es384 => Some(96),
            Self::Es512 => Some(132),
            Self::Rs256 => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listed_names_and_no_others_are_accepted() {
        for name in ALGORITHMS {
            assert!(Algorithm::from_name(name).is_some(), "{name}");
        }
        for name in ["", "none", "HS256", "RS1", "RS384", "PS256", "ES256K", "es256", "XX999"] {
            assert_eq!(Algorithm::from_name(name), None, "{name}");
        }
    }
}
