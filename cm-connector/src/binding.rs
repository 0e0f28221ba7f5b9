//! What an account key is bound to a pre-registration by (CM contract section 4.3).

use std::fmt;

use acme::secret::Secret;

use crate::Jws;

/// How newAccount names the pre-registration that it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// By an `externalAccountBinding`; only the CM can check its MAC.
    ExternalAccount(Jws),
    /// By the directory URL that the client came by; only the CM knows whose it is.
    DirectoryLink(DirectoryToken),
}

/// The secret in a directory URL. It goes to the CM and nowhere else: its `Debug` form shows nothing.
#[derive(Clone)]
pub struct DirectoryToken(Secret<String>);

/// A text that cannot be the token of a directory link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 43 characters of base64url")]
pub struct NoDirectoryToken;

impl DirectoryToken {
    /// How many characters it has: 32 octets in base64url.
    pub const CHARACTERS: usize = 43;

    /// Takes the segment of a path.
    ///
    /// # Errors
    /// [`NoDirectoryToken`] if no CM can have drawn it.
    pub fn parse(text: &str) -> Result<Self, NoDirectoryToken> {
        let is_base64url = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        if text.len() == Self::CHARACTERS && text.bytes().all(is_base64url) {
            Ok(Self(Secret::new(text.to_owned())))
        } else {
            Err(NoDirectoryToken)
        }
    }

    /// Gives the token to the one place that needs it.
    #[must_use]
    pub const fn expose_secret(&self) -> &String {
        self.0.expose_secret()
    }
}

impl PartialEq for DirectoryToken {
    fn eq(&self, other: &Self) -> bool {
        self.expose_secret() == other.expose_secret()
    }
}

impl Eq for DirectoryToken {}

impl fmt::Debug for DirectoryToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[directory token]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_43_characters_of_base64url() {
        let token = "FX4DBzTpxeLNRsHBPtsUEmcfFytOfMDdAg-Pq1PALAs";
        assert_eq!(DirectoryToken::parse(token).unwrap().expose_secret(), token);
        for text in ["", "FX4D", &format!("{token}A"), &token.replace('-', "+"), &token.replace('-', "%")] {
            assert_eq!(DirectoryToken::parse(text), Err(NoDirectoryToken), "{text}");
        }
    }

    #[test]
    fn a_token_does_not_show_when_it_is_printed() {
        let token = "FX4DBzTpxeLNRsHBPtsUEmcfFytOfMDdAg-Pq1PALAs";
        let binding = Binding::DirectoryLink(DirectoryToken::parse(token).unwrap());
        assert_eq!(format!("{binding:?}"), "DirectoryLink([directory token])");
    }
}
