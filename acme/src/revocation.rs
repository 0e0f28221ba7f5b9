//! Revocation reasons (RFC 8555 §7.6, RFC 5280 §5.3.1).

use serde::{Deserialize, Serialize};

/// Why a subscriber revokes: the reasons that the CM takes from a gateway
/// (CM contract section 4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RevocationReason {
    /// No reason given (0).
    Unspecified,
    /// The private key is or may be in other hands (1).
    KeyCompromise,
    /// The subject's name or affiliation changed (3).
    AffiliationChanged,
    /// A newer certificate took its place (4).
    Superseded,
    /// It is no longer needed (5).
    CessationOfOperation,
}

impl RevocationReason {
    /// The codes that clients may use, for a refusal's text.
    pub const ALLOWED_CODES: &'static str = "0, 1, 3, 4, 5";

    /// Takes a `reasonCode` as clients send it; absent means unspecified. `None` for every code
    /// that is not a subscriber's to use.
    #[must_use]
    pub const fn from_code(code: Option<i64>) -> Option<Self> {
        match code {
            None | Some(0) => Some(Self::Unspecified),
            Some(1) => Some(Self::KeyCompromise),
            Some(3) => Some(Self::AffiliationChanged),
            Some(4) => Some(Self::Superseded),
            Some(5) => Some(Self::CessationOfOperation),
            Some(_) => None,
        }
    }

    /// Its `reasonCode` (RFC 5280 §5.3.1).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_the_code_that_it_is_read_from() {
        let codes =
            (-1..=20).filter_map(|code| RevocationReason::from_code(Some(code)).map(|read| (code, read.code())));
        assert_eq!(codes.collect::<Vec<_>>(), [(0, 0), (1, 1), (3, 3), (4, 4), (5, 5)]);
    }
}
