//! Problem documents: the only list of ACME error types and their HTTP statuses
//! (RFC 8555 §6.7, RFC 9457).
//!
//! A `detail` is for the person at the client: one line, no double quotes (a widespread shell
//! client cuts the text at the first one), nothing from inside the house.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::identifier::Identifier;

/// What went wrong, as far as a client must tell it apart. Several kinds share one error type and
/// differ in their HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the error type of RFC 8555 section 6.7 of that name")]
pub enum ProblemKind {
    AccountDoesNotExist,
    /// RFC 9773 §7.4.
    AlreadyReplaced,
    AlreadyRevoked,
    BadCsr,
    BadNonce,
    BadPublicKey,
    BadRevocationReason,
    BadSignatureAlgorithm,
    Caa,
    Compound,
    Connection,
    Dns,
    ExternalAccountRequired,
    IncorrectResponse,
    InvalidContact,
    InvalidProfile,
    /// The request is not what the protocol asks for.
    Malformed,
    /// `malformed` with 404: there is no such resource.
    NotFound,
    /// `malformed` with 405: the resource does not know this method.
    MethodNotAllowed,
    /// `malformed` with 408: the request did not arrive in time.
    RequestTimeout,
    /// `malformed` with 409: something else has this key.
    Conflict,
    /// `malformed` with 413: the body is too large.
    PayloadTooLarge,
    /// `malformed` with 415: the body is not a JWS.
    UnsupportedMediaType,
    OrderNotReady,
    RateLimited,
    RejectedIdentifier,
    /// Our fault.
    ServerInternal,
    /// `serverInternal` with 503: try again later.
    Unavailable,
    Tls,
    /// Not allowed.
    Unauthorized,
    /// `unauthorized` with 401: the account is deactivated or revoked (RFC 8555 §7.3.6).
    AccountNotActive,
    UnsupportedContact,
    UnsupportedIdentifier,
    UserActionRequired,
}

impl ProblemKind {
    /// Every kind, for tests that walk them all.
    pub const ALL: [Self; 34] = [
        Self::AccountDoesNotExist,
        Self::AlreadyReplaced,
        Self::AlreadyRevoked,
        Self::BadCsr,
        Self::BadNonce,
        Self::BadPublicKey,
        Self::BadRevocationReason,
        Self::BadSignatureAlgorithm,
        Self::Caa,
        Self::Compound,
        Self::Connection,
        Self::Dns,
        Self::ExternalAccountRequired,
        Self::IncorrectResponse,
        Self::InvalidContact,
        Self::InvalidProfile,
        Self::Malformed,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Conflict,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::OrderNotReady,
        Self::RateLimited,
        Self::RejectedIdentifier,
        Self::ServerInternal,
        Self::Unavailable,
        Self::Tls,
        Self::Unauthorized,
        Self::AccountNotActive,
        Self::UnsupportedContact,
        Self::UnsupportedIdentifier,
        Self::UserActionRequired,
    ];

    /// The error type's name and the HTTP status it is sent with.
    #[must_use]
    pub const fn name_and_status(self) -> (&'static str, u16) {
        match self {
            Self::AccountDoesNotExist => ("accountDoesNotExist", 400),
            Self::AlreadyReplaced => ("alreadyReplaced", 409),
            Self::AlreadyRevoked => ("alreadyRevoked", 400),
            Self::BadCsr => ("badCSR", 400),
            Self::BadNonce => ("badNonce", 400),
            Self::BadPublicKey => ("badPublicKey", 400),
            Self::BadRevocationReason => ("badRevocationReason", 400),
            Self::BadSignatureAlgorithm => ("badSignatureAlgorithm", 400),
            Self::Caa => ("caa", 403),
            Self::Compound => ("compound", 403),
            Self::Connection => ("connection", 400),
            Self::Dns => ("dns", 400),
            Self::ExternalAccountRequired => ("externalAccountRequired", 403),
            Self::IncorrectResponse => ("incorrectResponse", 403),
            Self::InvalidContact => ("invalidContact", 400),
            Self::InvalidProfile => ("invalidProfile", 400),
            Self::Malformed => ("malformed", 400),
            Self::NotFound => ("malformed", 404),
            Self::MethodNotAllowed => ("malformed", 405),
            Self::RequestTimeout => ("malformed", 408),
            Self::Conflict => ("malformed", 409),
            Self::PayloadTooLarge => ("malformed", 413),
            Self::UnsupportedMediaType => ("malformed", 415),
            Self::OrderNotReady => ("orderNotReady", 403),
            Self::RateLimited => ("rateLimited", 429),
            Self::RejectedIdentifier => ("rejectedIdentifier", 403),
            Self::ServerInternal => ("serverInternal", 500),
            Self::Unavailable => ("serverInternal", 503),
            Self::Tls => ("tls", 400),
            Self::Unauthorized => ("unauthorized", 403),
            Self::AccountNotActive => ("unauthorized", 401),
            Self::UnsupportedContact => ("unsupportedContact", 400),
            Self::UnsupportedIdentifier => ("unsupportedIdentifier", 400),
            Self::UserActionRequired => ("userActionRequired", 403),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.name_and_status().1
    }

    /// The `type` member.
    #[must_use]
    pub fn urn(self) -> String {
        format!("urn:ietf:params:acme:error:{}", self.name_and_status().0)
    }
}

/// A refusal that a client may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What went wrong.
    pub kind: ProblemKind,
    /// What was refused, by which rule, and what to do about it.
    pub detail: Cow<'static, str>,
    /// The same for single identifiers (RFC 8555 §6.7.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subproblems: Vec<Subproblem>,
    /// The stable name of the rule that refused it first, if it was a rule of policy: for those who count. Clients read
    /// it in the detail, and it is not stored.
    #[serde(skip)]
    pub rule: Option<&'static str>,
}

/// What is wrong with one identifier of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subproblem {
    /// What went wrong.
    pub kind: ProblemKind,
    /// The refusal in words.
    pub detail: Cow<'static, str>,
    /// The identifier as the client wrote it: type and value.
    pub identifier: (String, String),
    /// As in [`Problem::rule`].
    #[serde(skip)]
    pub rule: Option<&'static str>,
}

impl Problem {
    /// A problem without subproblems. Double quotes and control characters are replaced, and a detail
    /// of more than a kibibyte is cut.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: one_line(detail.into()), subproblems: Vec::new(), rule: None }
    }

    /// The same, refused by the rule with this name.
    #[must_use]
    pub fn by(self, rule: &'static str) -> Self {
        Self { rule: Some(rule), ..self }
    }

    /// One problem about several identifiers. The top level takes the subproblems' kind if they
    /// agree, for clients switch on it, and else says that it is several (RFC 8555 §6.7.1).
    #[must_use]
    pub fn about_identifiers(subproblems: Vec<Subproblem>, of: usize) -> Self {
        let kind = match subproblems.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other.kind == first.kind) => first.kind,
            Some(_) | None => ProblemKind::Compound,
        };
        let detail = match subproblems.as_slice() {
            [only] => Cow::from(format!("{}: {}", shown(&only.identifier.1), only.detail)),
            several => Cow::from(format!("{} of {of} identifiers were refused; see subproblems", several.len())),
        };
        let rule = subproblems.iter().find_map(|one| one.rule);
        Self { kind, detail: one_line(detail), subproblems, rule }
    }
}

impl Subproblem {
    /// A refusal of an identifier that could be parsed.
    #[must_use]
    pub fn new(kind: ProblemKind, identifier: &Identifier, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::about_text(kind, identifier.kind(), &identifier.to_string(), detail)
    }

    /// A refusal of an identifier that could not be parsed, as the client wrote it.
    #[must_use]
    pub fn about_text(
        kind: ProblemKind,
        identifier_type: &str,
        value: &str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            kind,
            detail: one_line(detail.into()),
            identifier: (recognisable(identifier_type), recognisable(value)),
            rule: None,
        }
    }

    /// The same, refused by the rule with this name.
    #[must_use]
    pub fn by(self, rule: &'static str) -> Self {
        Self { rule: Some(rule), ..self }
    }
}

/// The longest text of a client that is shown, in characters: that of a name.
const SHOWN_CHARACTERS_MAX: usize = 253;

/// A client's own text, safe to be shown in a problem: printable ASCII, one line, at most 253
/// characters.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN_CHARACTERS_MAX && text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(only(text, harmless))
}

/// A client's own text where it is to find again what it sent (RFC 8555 §6.7.1): letters of all scripts stay, and
/// nothing that a terminal obeys or that changes the direction of text.
fn recognisable(text: &str) -> String {
    only(text, |character| harmless(character) || character.is_alphanumeric())
}

fn only(text: &str, kept: impl Fn(char) -> bool) -> String {
    text.chars().take(SHOWN_CHARACTERS_MAX).map(|character| if kept(character) { character } else { '?' }).collect()
}

fn harmless(character: char) -> bool {
    character == ' ' || (character.is_ascii_graphic() && !matches!(character, '"' | '\\'))
}

fn one_line(text: Cow<'static, str>) -> Cow<'static, str> {
    const OCTETS_MAX: usize = 1024;
    const CUT: &str = " ...";
    if text.len() > OCTETS_MAX {
        let kept = text.char_indices().take_while(|(at, one)| at + one.len_utf8() <= OCTETS_MAX - CUT.len());
        let kept: String = kept.map(|(_, one)| one).collect();
        return one_line(Cow::Owned(kept + CUT));
    }
    if text.chars().any(|character| character.is_control() || character == '"') {
        let mended = |character: char| match character {
            '"' => '\'',
            other if other.is_control() => ' ',
            other => other,
        };
        Cow::Owned(text.chars().map(mended).collect())
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once_and_is_an_error() {
        for (index, kind) in ProblemKind::ALL.iter().enumerate() {
            assert!((400..600).contains(&kind.status()), "{kind:?}");
            assert!(!ProblemKind::ALL[..index].contains(kind), "{kind:?} is listed twice");
        }
    }

    #[test]
    fn details_are_one_line_without_double_quotes() {
        let problem = Problem::new(ProblemKind::Malformed, "the \"name\"\r\nis bad");
        assert_eq!(problem.detail, "the 'name'  is bad");
        assert_eq!(shown("a\u{1b}[31mb\"ü"), "a?[31mb??");
    }

    #[test]
    fn an_identifier_is_named_as_the_client_wrote_it_but_for_what_is_no_text() {
        let about = |value: &str| Subproblem::about_text(ProblemKind::Malformed, "dns", value, "no").identifier.1;
        assert_eq!(about("münchen.例え.test"), "münchen.例え.test");
        assert_eq!(about("a\u{1b}[31m\u{202e}\"\n"), "a?[31m???");
        assert_eq!(about(&"ü".repeat(300)).chars().count(), 253);
        let problem = Problem::about_identifiers(
            vec![Subproblem::about_text(ProblemKind::Malformed, "dns", "münchen.test", "no")],
            1,
        );
        assert_eq!(problem.detail, "m?nchen.test: no");
    }

    #[test]
    fn details_have_a_longest_length() {
        let whole = "x".repeat(1024);
        assert_eq!(Problem::new(ProblemKind::Malformed, whole.clone()).detail, whole);
        for text in ["x".repeat(1025), "\"".repeat(5000), "ü".repeat(5000)] {
            let detail = Problem::new(ProblemKind::Malformed, text).detail;
            assert!((1022..=1024).contains(&detail.len()) && detail.ends_with(" ..."), "{}", detail.len());
        }
    }

    #[test]
    fn a_problem_about_identifiers_takes_the_kind_they_share() {
        let name = Identifier::parse_dns("a.test").unwrap();
        let refused = |kind| Subproblem::new(kind, &name, "no");
        let same = Problem::about_identifiers(vec![refused(ProblemKind::Caa), refused(ProblemKind::Caa)], 3);
        assert_eq!(
            (same.kind, same.detail.as_ref()),
            (ProblemKind::Caa, "2 of 3 identifiers were refused; see subproblems")
        );
        let mixed = Problem::about_identifiers(vec![refused(ProblemKind::Caa), refused(ProblemKind::Malformed)], 3);
        assert_eq!(mixed.kind, ProblemKind::Compound);
    }
}
