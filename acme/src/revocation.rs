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
}
