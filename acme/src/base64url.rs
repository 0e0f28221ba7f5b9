//! base64url without padding, the only binary form on the ACME wire (RFC 8555 §6.1, RFC 7515 §2).
//!
//! Decoding is strict: padding, the standard alphabet, white space and non-zero trailing bits are
//! refused, so that one octet string has exactly one spelling.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Encodes octets as base64url without padding.
#[must_use]
pub fn encode(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// The text is not canonical base64url without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not base64url without padding (RFC 8555 section 6.1)")]
pub struct NotBase64Url;

/// Decodes canonical base64url without padding.
///
/// # Errors
/// [`NotBase64Url`] for anything that [`encode`] would not have written.
pub fn decode(text: &str) -> Result<Vec<u8>, NotBase64Url> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NotBase64Url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_accepted() {
        assert_eq!(decode("_-8"), Ok(vec![0xff, 0xef]));
        for refused in ["_-8=", "/+8", "_-9", "_ -8", "_-8\n", "_"] {
            assert_eq!(decode(refused), Err(NotBase64Url), "{refused:?}");
        }
    }
}
