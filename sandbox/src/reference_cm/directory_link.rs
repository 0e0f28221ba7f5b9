//! Directory links: URLs that bind an account to a pre-registration, for devices that cannot send an
//! external account binding (contract section 4.3).
//!
//! A link's token is shown once. What stays of it is its SHA-256, so that nobody who reads the
//! database can use it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, header};
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::ReferenceCm;
use super::call::{Answer, Call};
use super::create::{NEW_ACCOUNT, announce};
use super::ids::random_octets;
use super::key::PublicKey;
use super::moment::{Moment, Span};
use super::problem::{Code, Problem};
use super::proof::{self, Proof};
use super::registrations::{self, Registration, Status, not_active};
use super::settings::{Capability, Realm};
use super::wire::are_contacts_of;

/// Longest time that a former token is taken beside the new one.
const OVERLAP_SECS_MAX: i64 = 30 * 86_400;
/// Characters of a token: 32 octets in base64url.
const TOKEN_CHARACTERS: usize = 43;
/// The one sentence for every token that does not lead anywhere.
const REJECTED: &str = "this directory URL is not accepted";

/// What is shown of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DirectoryLink {
    /// When the token was drawn.
    pub(crate) since: Moment,
    /// When binding by it ends.
    pub(crate) not_after: Option<Moment>,
    /// Until when the token before it is taken.
    pub(crate) previous_until: Option<Moment>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewDirectoryLink {
    overlap: Option<Span>,
    not_after: Option<Moment>,
}

/// A token as a gateway hands it on. It is not printed.
pub(crate) struct Token(String);

impl Token {
    /// Takes the text of a request.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let plain = text.len() == TOKEN_CHARACTERS
            && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'));
        if plain {
            Ok(Self(text.to_owned()))
        } else {
            Err(Problem::malformed("/directoryToken", "must be 43 characters of base64url"))
        }
    }

    fn hash(&self) -> Vec<u8> {
        Sha256::digest(&self.0).to_vec()
    }
}

/// `POST …/registrations/{id}/directory-link`
pub(crate) fn new_directory_link(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    must_be_offered(cm)?;
    let version = call.if_match()?;
    let (realm, _) = cm.realm(call)?;
    let wish: NewDirectoryLink = if call.body.is_empty() { NewDirectoryLink::default() } else { call.json()? };
    let overlap_secs = wish.overlap.map_or(0, Span::seconds);
    if overlap_secs > OVERLAP_SECS_MAX {
        return Err(Problem::malformed("/overlap", "at most P30D"));
    }
    if wish.not_after.is_some_and(|end| end <= call.now) {
        return Err(Problem::new(Code::ValidityNotAllowed, "/notAfter: this time is over"));
    }
    cm.database.write(|tx| {
        let mut registration = registrations::load(tx, realm, call.parameter("id"))?;
        registration.must_match(version)?;
        if matches!(registration.status, Status::Revoked | Status::Deactivated) {
            return Err(not_active(&registration.id, registration.status));
        }
        if registration.eab.is_none() {
            return Err(Problem::new(
                Code::NotFound,
                "the registration is no pre-registration, so nothing can be bound to it by a link",
            ));
        }
        let token = draw_token();
        let until = (overlap_secs > 0).then(|| call.now.plus_seconds(overlap_secs));
        let is_overlapping = replace_token(tx, &registration, &token, until)?;
        registration.directory_link = Some(DirectoryLink {
            since: call.now,
            not_after: wish.not_after,
            previous_until: until.filter(|_| is_overlapping),
        });
        registration.update(tx, call.now)?;
        announce(tx, call, &registration, "registration.updated")?;
        let mut view = registration.view(cm, call, tx)?;
        if let Some(members) = view.as_object_mut() {
            members.insert("directoryToken".to_owned(), json!(token.0));
        }
        Ok(Answer::json(201, &view)
            .with_version(registration.version)
            .with(header::LOCATION, registration.location())
            .with(HeaderName::from_static("cache-control"), "no-store".to_owned()))
    })
}

/// `DELETE …/registrations/{id}/directory-link`
pub(crate) fn remove_directory_link(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    must_be_offered(cm)?;
    let version = call.if_match()?;
    let (realm, _) = cm.realm(call)?;
    cm.database.write(|tx| {
        let mut registration = registrations::load(tx, realm, call.parameter("id"))?;
        if registration.directory_link.is_none() {
            return registration.answer(200, cm, call, tx);
        }
        registration.must_match(version)?;
        forget_tokens(tx, &registration.id)?;
        registration.directory_link = None;
        registration.update(tx, call.now)?;
        announce(tx, call, &registration, "registration.updated")?;
        registration.answer(200, cm, call, tx)
    })
}

/// Every token of a registration is dead.
pub(crate) fn forget_tokens(tx: &Transaction<'_>, registration: &str) -> Result<(), Problem> {
    tx.execute("DELETE FROM directory_token WHERE registration = ?1", [registration])?;
    Ok(())
}

/// Refuses what a CM without the capability does not know.
pub(crate) fn must_be_offered(cm: &ReferenceCm) -> Result<(), Problem> {
    if cm.settings.lacks.contains(&Capability::DirectoryLinks) {
        Err(Problem::new(Code::CapabilityMissing, "this CM has no directory links"))
    } else {
        Ok(())
    }
}

/// The proof of a binding by a link: newAccount by this key, sent to this very link.
pub(crate) fn verify_proof(
    realm: &Realm,
    proof: Option<&Proof>,
    key: &PublicKey,
    contacts: &[String],
    token: &Token,
) -> Result<(), Problem> {
    let path = format!("/r/{}{NEW_ACCOUNT}", token.0);
    let Some(verified) = proof::by_key(realm, proof, key, &path)? else {
        return Ok(());
    };
    let payload: Value = verified.read()?;
    if payload.get("externalAccountBinding").is_some_and(|binding| !binding.is_null()) {
        return Err(proof::invalid("the proof contains an external account binding too"));
    }
    if payload.get("onlyReturnExisting") == Some(&json!(true)) {
        return Err(proof::invalid("the proof asks for an existing account only"));
    }
    if !are_contacts_of(&payload, contacts) {
        return Err(proof::invalid("the contacts are not those of the proof"));
    }
    Ok(())
}

/// The registration that a token leads to now. Tokens that never were, were replaced or were
/// removed are one and the same.
pub(crate) fn by_token(
    tx: &Transaction<'_>,
    realm: &str,
    token: &Token,
    now: Moment,
) -> Result<Option<Registration>, Problem> {
    // A look-up by hash tells nothing of the token by the time it takes.
    let id: Option<String> = tx
        .query_row(
            "SELECT directory_token.registration FROM directory_token
             JOIN registration ON registration.id = directory_token.registration
             WHERE hash = ?1 AND realm = ?2 AND (until IS NULL OR until > ?3)",
            params![token.hash(), realm, now.millis()],
            |row| row.get(0),
        )
        .optional()?;
    id.map(|id| registrations::load(tx, realm, &id)).transpose()
}

/// The refusal of a token that does not lead anywhere.
pub(crate) fn rejected() -> Problem {
    Problem::new(Code::LinkRejected, REJECTED)
}

/// The window of a link.
pub(crate) fn must_be_in_window(registration: &Registration, now: Moment) -> Result<(), Problem> {
    let link = registration.directory_link.as_ref();
    if link.and_then(|link| link.not_after).is_some_and(|end| now >= end) {
        return Err(Problem::new(
            Code::PreregistrationNotInWindow,
            "the directory URL can no longer be used for new accounts",
        ));
    }
    Ok(())
}

/// Draws until the token has no `-` and no `_`: people type it, and a double click takes all of it.
fn draw_token() -> Token {
    loop {
        let text = URL_SAFE_NO_PAD.encode(random_octets::<32>());
        if !text.contains(['-', '_']) {
            return Token(text);
        }
    }
}

/// Puts the token in the place of the one before, which is taken until the time given or dies now.
/// Whether there was one that is still taken.
fn replace_token(
    tx: &Transaction<'_>,
    registration: &Registration,
    token: &Token,
    until: Option<Moment>,
) -> Result<bool, Problem> {
    tx.execute("DELETE FROM directory_token WHERE registration = ?1 AND until IS NOT NULL", [&registration.id])?;
    let kept = match until {
        Some(until) => tx.execute(
            "UPDATE directory_token SET until = ?2 WHERE registration = ?1",
            params![registration.id, until.millis()],
        )?,
        None => {
            tx.execute("DELETE FROM directory_token WHERE registration = ?1", [&registration.id])?;
            0
        }
    };
    tx.execute(
        "INSERT INTO directory_token (hash, registration, until) VALUES (?1, ?2, NULL)",
        params![token.hash(), registration.id],
    )?;
    Ok(kept > 0)
}
