//! The sheet: one printed page (A4) for the person who stands at the machine and types.
//!
//! A page of its own: no scripts, nothing from elsewhere, black on white. It has a secret on it, so whoever shows or
//! keeps it does so once, and with [`policy`] if it is served.

mod authority;
mod file;
mod qr;
mod typed;

use std::fmt::Write as _;

use askama::Template;
use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};

use crate::{
    allowlist::{Entry, List},
    cm::registration::View,
    output::shown,
};
pub(crate) use authority::described;
pub(crate) use file::Reserved;
use qr::QrCode;
use typed::Typed;

/// Characters of the owner that the title has room for.
const OWNER_CHARACTERS: usize = 60;
/// Most entries of the list of names that the page has room for.
const ENTRIES_MAX: usize = 6;
/// Octets of the check value, of the SHA-256 of what was typed.
const CHECK_OCTETS: usize = 4;
const STYLE: &str = include_str!("../../templates/sheet.css");

/// What is on the page. Nothing is looked up. Its `Debug` form shows nothing, for it has a secret in it.
#[derive(Clone)]
pub(crate) struct Sheet {
    /// The registration, `reg_...`.
    pub(crate) registration: String,
    /// Whose it is, in the officer's words.
    pub(crate) owner: Option<String>,
    /// The officer to ask, as the CM names her: `urn:cm:officer:NAME`.
    pub(crate) officer: Option<String>,
    /// The ACME directory.
    pub(crate) directory_url: String,
    /// What binds the machine.
    pub(crate) secret: Secret,
    /// How many machines it binds; `None` without a limit.
    pub(crate) machines: Option<u64>,
    /// From when it binds, RFC 3339.
    pub(crate) not_before: Option<String>,
    /// Until when it binds, RFC 3339.
    pub(crate) not_after: Option<String>,
    /// The names that may be asked for; `None` if the CM's list is not understood.
    pub(crate) allowed: Option<List>,
    /// The CA that the machine must be told to trust, if any, as [`described`].
    pub(crate) ca: Option<String>,
    /// When it was drawn, by the CM's clock, RFC 3339.
    pub(crate) made_at: Option<String>,
}

/// What binds the machine to the registration.
#[derive(Clone)]
pub(crate) enum Secret {
    /// An external account key.
    Key {
        /// Its id.
        id: String,
        /// The key, base64url.
        hmac_key: String,
    },
    /// The directory URL itself, which has the secret in its path.
    Link,
}

impl std::fmt::Debug for Sheet {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "[sheet of {}]", self.registration)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("[secret]")
    }
}

impl Sheet {
    /// The sheet of a registration whose key is in the answer; `None` if there is none.
    pub(crate) fn of_key(view: &View, directory_url: &str, ca: Option<String>) -> Option<Self> {
        let (eab, secret) = (view.eab.as_ref()?, view.eab_secret.as_ref()?);
        let key = Secret::Key { id: eab.kid.clone(), hmac_key: secret.hmac_key.clone() };
        let window = (eab.not_before.clone(), eab.not_after.clone());
        Some(Self::new(view, directory_url, key, window, ca))
    }

    /// The sheet of a registration with a directory link of its own, which binds until `not_after`.
    pub(crate) fn of_link(view: &View, directory_url: &str, not_after: Option<String>, ca: Option<String>) -> Self {
        Self::new(view, directory_url, Secret::Link, (None, not_after), ca)
    }

    fn new(
        view: &View,
        directory_url: &str,
        secret: Secret,
        (not_before, not_after): (Option<String>, Option<String>),
        ca: Option<String>,
    ) -> Self {
        let machines = view.eab.as_ref().map_or(Some(1), |eab| match eab.usage.as_str() {
            "multi" => eab.max_bindings.map(|most| most.saturating_sub(eab.bindings)),
            _ => Some(1),
        });
        Self {
            registration: view.id.clone(),
            owner: view.owner.clone(),
            officer: view.officer.clone(),
            directory_url: directory_url.to_owned(),
            secret,
            machines,
            not_before,
            not_after,
            allowed: List::of(&view.allowed_identifiers),
            ca,
            made_at: view.updated_at.clone(),
        }
    }

    /// The whole page.
    pub(crate) fn html(&self) -> String {
        let text = |text: &Option<String>| text.as_deref().map(shown).unwrap_or_default();
        let (key_id, key, check) = match &self.secret {
            Secret::Key { id, hmac_key } => {
                (Some(Typed::text(id)), Some(Typed::text(hmac_key)), Some(check_value(hmac_key)))
            }
            Secret::Link => (None, None, None),
        };
        let (allows, excludes, more) = self.names();
        let page = Page {
            style: STYLE,
            policy: policy(),
            title: format!("Certificates for {}", self.owner.as_deref().map_or_else(|| "a machine".to_owned(), short)),
            registration: shown(&self.registration),
            officer: text(&self.officer).rsplit(':').next().unwrap_or_default().to_owned(),
            directory: Typed::url(&self.directory_url),
            // Where the directory is not known, words stand in its place.
            qr: self.directory_url.contains("://").then(|| QrCode::of(&self.directory_url)).flatten(),
            key_id,
            key,
            check,
            machines: self.machines,
            window: window(self.not_before.as_deref(), self.not_after.as_deref()),
            allows,
            excludes,
            more,
            ca: text(&self.ca),
            made_at: self.made_at.as_deref().map(time).unwrap_or_default(),
        };
        // Nothing of it can fail: there are texts and numbers.
        page.render().unwrap_or_default()
    }

    /// What is allowed, what is not, and how many entries there is no room for.
    fn names(&self) -> (Vec<String>, Vec<String>, usize) {
        let Some(list) = &self.allowed else { return (Vec::new(), Vec::new(), 0) };
        let words = |entries: &[Entry]| entries.iter().map(Entry::words).collect::<Vec<_>>();
        let mut allows = list.rules.as_deref().map_or_else(|| vec!["every name of this machine".to_owned()], words);
        let mut excludes = words(&list.exclude);
        let number = allows.len().saturating_add(excludes.len());
        allows.truncate(ENTRIES_MAX);
        excludes.truncate(ENTRIES_MAX.saturating_sub(allows.len()));
        let more = number.saturating_sub(allows.len()).saturating_sub(excludes.len());
        (allows, excludes, more)
    }
}

/// As much of an owner's name as the title has room for.
fn short(owner: &str) -> String {
    let text = shown(owner);
    let short: String = text.chars().take(OWNER_CHARACTERS).collect();
    if short.len() < text.len() { format!("{short}…") } else { text }
}

/// The content security policy that the page is made for: its own style and nothing else.
pub(crate) fn policy() -> String {
    format!("default-src 'none'; style-src 'sha256-{}'", BASE64.encode(&Sha256::digest(STYLE)))
}

/// The beginning of the SHA-256, which a shell can tell: `printf %s KEY | sha256sum`.
fn check_value(typed: &str) -> String {
    Sha256::digest(typed).iter().take(CHECK_OCTETS).fold(String::new(), |mut hex, octet| {
        // Writing to a string never fails.
        let _ = write!(hex, "{octet:02x}");
        hex
    })
}

fn window(not_before: Option<&str>, not_after: Option<&str>) -> String {
    match (not_before.map(time), not_after.map(time)) {
        (Some(begin), Some(end)) => format!("It works from {begin} until {end}."),
        (Some(begin), None) => format!("It works from {begin}."),
        (None, Some(end)) => format!("It works until {end}."),
        (None, None) => "It works until the officer below ends it.".to_owned(),
    }
}

/// `2026-12-04T00:00:00Z` as people read it.
fn time(rfc3339: &str) -> String {
    let Some((day, rest)) = rfc3339.split_once('T') else { return shown(rfc3339) };
    match rest.strip_suffix('Z').and_then(|time| time.get(..5)) {
        Some(minute) => shown(&format!("{day} {minute} UTC")),
        None => shown(rfc3339),
    }
}

#[derive(Template)]
#[template(path = "sheet.html")]
struct Page {
    style: &'static str,
    policy: String,
    title: String,
    registration: String,
    officer: String,
    directory: Typed,
    qr: Option<QrCode>,
    key_id: Option<Typed>,
    key: Option<Typed>,
    check: Option<String>,
    machines: Option<u64>,
    window: String,
    allows: Vec<String>,
    excludes: Vec<String>,
    more: usize,
    ca: String,
    made_at: String,
}

#[cfg(test)]
mod tests;
