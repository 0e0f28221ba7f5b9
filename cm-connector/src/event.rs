//! Events: what has changed in the CM, for those who remember what it said (CM contract section 4.8).

use acme::{
    certificate::CertificateId,
    ids::{OrderId, RegistrationId},
};

/// What a page of the feed tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Events {
    /// What happened since the cursor, in the order in which it happened to each thing.
    Page {
        /// May be empty.
        events: Vec<Event>,
        /// Where to go on once all of them are dealt with.
        next: EventCursor,
    },
    /// The feed no longer reaches back to the cursor: whatever is remembered may be wrong.
    CursorExpired,
}

/// Something that has changed. It may be told more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A registration, in whatever way.
    Registration {
        /// Which one.
        id: RegistrationId,
        /// Its version since then, if the CM says so; who has read that one knows.
        version: Option<u64>,
    },
    /// The request for this order's certificate was decided, or has ended.
    CertificateRequest(OrderId),
    /// A certificate, or when it should be renewed.
    Certificate(CertificateId),
    /// Profiles or issuers.
    Offer,
    /// The realm itself: what it offers, and what it allows to anybody.
    Realm,
}

/// A place in the feed of a realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventCursor(String);

impl EventCursor {
    /// Takes a cursor that the CM gave out; `None` if it is no token of at most 512 characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const CHARACTERS_MAX: usize = 512;
        let safe = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b'~' | b'=');
        let is_token = !text.is_empty() && text.len() <= CHARACTERS_MAX && text.bytes().all(safe);
        is_token.then(|| Self(text.to_owned()))
    }

    /// As the CM gave it out.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
