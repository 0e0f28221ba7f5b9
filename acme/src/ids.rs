//! Typed identifiers of things: a function that takes an order's and an authorization's id does
//! not compile when they are swapped.
//!
//! Ids that we make carry 128 random bits (RFC 8555 §10.5 asks for URLs nobody can guess) in
//! lowercase base32, so they are safe in URLs, file names and shells. Ids of the CM are taken as
//! they are, within the alphabet and length of the contract.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest id, in characters.
const LENGTH_MAX: usize = 64;

/// The id of one kind of thing.
pub struct Id<Kind> {
    text: Box<str>,
    kind: PhantomData<fn() -> Kind>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident as $name:ident;)*) => {$(
        #[doc = concat!("Marks the id behind [`", stringify!($name), "`].")]
        #[derive(Debug, Clone, Copy)]
        pub enum $kind {}
        $(#[$doc])*
        pub type $name = Id<$kind>;
    )*};
}

kinds! {
    /// An ACME order; also the CM's `orderRef`.
    OrderKind as OrderId;
    /// An ACME authorization; also the CM's `authzRef`.
    AuthorizationKind as AuthorizationId;
    /// What a transcript is found by: the id of the order or of the authorization that it tells of.
    ReferenceKind as Reference;
    /// A registration in the CM. The account URL ends in it, so it is the account's id as well.
    RegistrationKind as RegistrationId;
    /// A certificate request in the CM (`req_…`).
    CertificateRequestKind as CertificateRequestId;
    /// A waiver in the CM (`wav_…`).
    WaiverKind as WaiverId;
    /// The key under which one order is submitted to the CM, and never another one
    /// (CM contract section 3, Idempotency-Key).
    IdempotencyKind as IdempotencyKey;
    /// A job of the gateway: one piece of slow work.
    JobKind as JobId;
    /// One ACME directory of this gateway: `/acme/{endpoint}/directory`.
    EndpointKind as EndpointName;
    /// The CM's scope of registrations that one endpoint belongs to.
    RealmKind as RealmName;
    /// What the CM issues by, in the CM's own words (draft-ietf-acme-profiles).
    ProfileKind as ProfileName;
    /// The CM's name of one of its issuers.
    IssuerKind as IssuerName;
}

/// The text cannot be an id: 1 to 64 characters of `A-Z a-z 0-9 _ - .`, beginning with a letter
/// or a digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 characters of A-Z a-z 0-9 _ - . and begin with a letter or a digit")]
pub struct NotAnId;

impl<Kind> Id<Kind> {
    /// An id made of 128 random bits.
    #[must_use]
    pub fn from_random(bits: [u8; 16]) -> Self {
        let text = data_encoding::BASE32_NOPAD.encode(&bits).to_ascii_lowercase();
        Self { text: text.into(), kind: PhantomData }
    }

    /// Takes an id that came from outside.
    ///
    /// # Errors
    /// [`NotAnId`] if the text is too long or leaves the alphabet.
    pub fn parse(text: &str) -> Result<Self, NotAnId> {
        let begins_well = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-' | b'.');
        if begins_well && text.len() <= LENGTH_MAX && text.bytes().all(allowed) {
            Ok(Self { text: text.into(), kind: PhantomData })
        } else {
            Err(NotAnId)
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<&OrderId> for Reference {
    fn from(id: &OrderId) -> Self {
        Self { text: id.text.clone(), kind: PhantomData }
    }
}

impl From<&AuthorizationId> for Reference {
    fn from(id: &AuthorizationId) -> Self {
        Self { text: id.text.clone(), kind: PhantomData }
    }
}

impl<Kind> Clone for Id<Kind> {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), kind: PhantomData }
    }
}

impl<Kind> PartialEq for Id<Kind> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<Kind> Eq for Id<Kind> {}

impl<Kind> PartialOrd for Id<Kind> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<Kind> Ord for Id<Kind> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl<Kind> std::hash::Hash for Id<Kind> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl<Kind> fmt::Debug for Id<Kind> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl<Kind> fmt::Display for Id<Kind> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl<Kind> FromStr for Id<Kind> {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        Self::parse(text)
    }
}

impl<Kind> Serialize for Id<Kind> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, Kind> Deserialize<'de> for Id<Kind> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_we_make_are_safe_in_urls_and_shells() {
        let id = OrderId::from_random([0xff; 16]);
        assert_eq!(id.as_str().len(), 26);
        assert_eq!(OrderId::parse(id.as_str()), Ok(id));
    }

    #[test]
    fn ids_from_outside_keep_to_the_alphabet() {
        assert!(RegistrationId::parse("reg_01KANM3T9V5R8YFZ2Q6W4XH7CE").is_ok());
        for refused in ["", "-a", "a/b", "a%2e", "ä", "..", &"a".repeat(65)] {
            assert_eq!(RegistrationId::parse(refused), Err(NotAnId), "{refused:?}");
        }
    }
}
