//! Who may see the pages: the browser that came by the link, and no other, and no other site by
//! way of that browser.
//!
//! The link works once and is exchanged for a cookie. Both are of 128 random bits and end with the
//! program. Cookies do not know ports, so all pages lie below a random path that the cookie is for:
//! another server on this machine is not sent it. Requests must name this very address (a name
//! that is turned to 127.0.0.1 by a stranger's DNS is another host), and forms must come from pages
//! of this session: by their `Origin` and by a token that other sites cannot read.

use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::HEXLOWER;
use subtle::ConstantTimeEq as _;

/// What the cookie is called.
const COOKIE: &str = "acme-officer-console";
/// The path of the link, before its token.
const ENTER: &str = "/enter/";

/// The one session of this program. Its `Debug` form shows no secret.
pub(super) struct Session {
    /// Address and port.
    authority: String,
    /// The path that everything lies below.
    at: String,
    link: String,
    cookie: String,
    form_token: String,
    is_link_used: AtomicBool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "session at {}", self.authority)
    }
}

/// Why a request is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    WrongHost,
    NoSession,
    LinkUsed,
    ForeignForm,
}

impl Refused {
    /// For the person in front of the browser.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::WrongHost => "This is the officer's console. Open it by the address that acme-officer printed.",
            Self::NoSession => {
                "This browser has no session here. Start acme-officer console again and open the link that it prints."
            }
            Self::LinkUsed => {
                "This link does not work (any more): it works once. If you did not use it, end the program with \
                 Ctrl-C: somebody else may have. Start it again for a new link."
            }
            Self::ForeignForm => {
                "Nothing was done: the form did not come from a page of this session. Go back, load the page again \
                 and send the form from there."
            }
        }
    }
}

impl Session {
    /// A session that nobody has joined yet.
    pub(super) fn new(authority: String) -> Self {
        let random = || HEXLOWER.encode(&rand::random::<[u8; 16]>());
        Self {
            authority,
            at: format!("/{}", random()),
            link: random(),
            cookie: random(),
            form_token: random(),
            is_link_used: AtomicBool::new(false),
        }
    }

    /// What lets one browser in.
    pub(super) fn link(&self) -> String {
        format!("{}{}{ENTER}{}", self.origin(), self.at, self.link)
    }

    /// The path that everything lies below; no slash at its end.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// What every form carries.
    pub(super) fn form_token(&self) -> &str {
        &self.form_token
    }

    /// # Errors
    /// The request is for another host.
    pub(super) fn check_host(&self, host: Option<&str>) -> Result<(), Refused> {
        if host == Some(self.authority.as_str()) { Ok(()) } else { Err(Refused::WrongHost) }
    }

    /// Exchanges a link for the value of `Set-Cookie`; `None` if the path is no link.
    pub(super) fn enter(&self, path: &str) -> Option<Result<String, Refused>> {
        let token = path.strip_prefix(self.at.as_str())?.strip_prefix(ENTER)?;
        if !is_same(token, &self.link) || self.is_link_used.swap(true, Ordering::SeqCst) {
            return Some(Err(Refused::LinkUsed));
        }
        Some(Ok(format!("{COOKIE}={}; Path={}; HttpOnly; SameSite=Strict", self.cookie, self.at)))
    }

    /// # Errors
    /// None of the `Cookie` headers has the session's cookie.
    pub(super) fn check_cookie<'a>(&self, headers: impl Iterator<Item = &'a str>) -> Result<(), Refused> {
        let mut cookies = headers.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let is_known = cookies.any(|(name, value)| name == COOKIE && is_same(value, &self.cookie));
        if is_known { Ok(()) } else { Err(Refused::NoSession) }
    }

    /// # Errors
    /// The form is not one of our pages.
    pub(super) fn check_form(&self, origin: Option<&str>, token: Option<&str>) -> Result<(), Refused> {
        let is_ours = origin == Some(self.origin().as_str());
        if is_ours && token.is_some_and(|token| is_same(token, &self.form_token)) {
            Ok(())
        } else {
            Err(Refused::ForeignForm)
        }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.authority)
    }
}

/// Takes as long wherever the two differ.
fn is_same(given: &str, secret: &str) -> bool {
    given.as_bytes().ct_eq(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new("127.0.0.1:1".to_owned())
    }

    fn path(session: &Session) -> String {
        session.link().strip_prefix("http://127.0.0.1:1").unwrap().to_owned()
    }

    #[test]
    fn a_link_lets_one_browser_in() {
        let session = session();
        let path = path(&session);
        assert_eq!(session.enter(&path.replace("enter/", "enter/0")), Some(Err(Refused::LinkUsed)));
        let cookie = session.enter(&path).unwrap().unwrap();
        assert_eq!(session.enter(&path), Some(Err(Refused::LinkUsed)));
        assert_eq!(session.enter(session.at()), None);
        let (pair, flags) = cookie.split_once(';').unwrap();
        assert_eq!(flags, format!(" Path={}; HttpOnly; SameSite=Strict", session.at()));
        assert_eq!(session.check_cookie(["a=b", &format!("c=d; {pair}")].into_iter()), Ok(()));
        for stranger in ["", "acme-officer-console=", "acme-officer-console", &pair.replace("console=", "console=0")] {
            assert_eq!(session.check_cookie([stranger].into_iter()), Err(Refused::NoSession), "{stranger}");
        }
    }

    #[test]
    fn only_the_printed_address_is_this_host() {
        assert_eq!(session().check_host(Some("127.0.0.1:1")), Ok(()));
        for other in [None, Some("localhost:1"), Some("127.0.0.1"), Some("127.0.0.1:2"), Some("evil.test:1")] {
            assert_eq!(session().check_host(other), Err(Refused::WrongHost), "{other:?}");
        }
    }

    #[test]
    fn a_form_needs_our_origin_and_our_token() {
        let session = session();
        let (origin, token) = (Some("http://127.0.0.1:1"), Some(session.form_token()));
        assert_eq!(session.check_form(origin, token), Ok(()));
        for (origin, token) in [
            (None, token),
            (Some("null"), token),
            (Some("http://127.0.0.1:2"), token),
            (Some("https://127.0.0.1:1"), token),
            (origin, None),
            (origin, Some("")),
            (origin, Some("0")),
        ] {
            assert_eq!(session.check_form(origin, token), Err(Refused::ForeignForm), "{origin:?} {token:?}");
        }
    }

    #[test]
    fn no_two_secrets_are_the_same_and_none_is_shown() {
        let session = session();
        let secrets = [session.at.trim_start_matches('/'), &session.link, &session.cookie, &session.form_token];
        for (index, secret) in secrets.iter().enumerate() {
            assert_eq!(secret.len(), 32);
            assert!(secrets.iter().skip(index + 1).all(|other| other != secret));
            assert!(!format!("{session:?}").contains(secret));
        }
    }
}
