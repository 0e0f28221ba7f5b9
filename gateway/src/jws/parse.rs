//! Reading a signed request (RFC 8555 §6.2, §6.4, §6.5).
//!
//! A [`Jws`] has the right shape, nothing more: its signature is not verified, its nonce not
//! redeemed, its `url` not compared, its `kid` not looked up.

use std::fmt;

use acme::{
    account_key::{KeyError, PublicKey},
    base64url,
    problem::{Problem, ProblemKind},
};
use serde_json::{Map, Value};

use super::{
    algorithm::Algorithm,
    flattened::{ContainerError, Flattened},
};

/// Longest `url` and `kid`, in octets.
const URL_OCTETS_MAX: usize = 2048;
/// Longest nonce, in characters.
const NONCE_CHARACTERS_MAX: usize = 256;
/// Longest `jwk`, in octets of compact JSON.
const JWK_OCTETS_MAX: usize = 4 * 1024;

/// A signed request, before its signature is verified.
pub(crate) struct Jws {
    /// The anti-replay nonce as it was sent: canonical base64url, at most 256 characters.
    pub(crate) nonce: String,
    /// All the rest.
    pub(crate) signed: Signed,
}

/// What a signature covers and what it is verified with, apart from the nonce.
pub(crate) struct Signed {
    /// The parts as they were received, for handing on as proof.
    pub(crate) received: Flattened,
    /// The `url` it was made for, as it was sent.
    pub(crate) url: String,
    /// Whose signature it claims to bear.
    pub(crate) signer: Signer,
    /// The decoded payload; empty in a POST-as-GET.
    pub(crate) payload: Vec<u8>,
    pub(super) algorithm: Algorithm,
    pub(super) signature: Vec<u8>,
}

/// Who signed, as the protected header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signer {
    /// The `jwk`: this very key.
    Key(PublicKey),
    /// The `kid`: an account URL, as it was sent.
    Account(String),
}

/// Why a request is not taken. The texts are for ACME clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    /// It is no flattened JWS.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A member of the protected header is absent.
    #[error("the protected header lacks the member {0} (RFC 8555 section 6.2)")]
    Missing(&'static str),
    /// A member of the protected header has another JSON type.
    #[error("the protected header member {0} must be {1} (RFC 8555 section 6.2)")]
    WrongType(&'static str, &'static str),
    /// A member of the protected header is longer than any honest one.
    #[error("the protected header member {0} is too long; at most {1} octets are accepted")]
    TooLong(&'static str, usize),
    /// The nonce cannot be one of ours.
    #[error(
        "the nonce is not base64url without padding (RFC 8555 section 6.5.2); send a Replay-Nonce exactly as received"
    )]
    NonceEncoding,
    /// `jwk` and `kid` together.
    #[error(
        "the protected header has both jwk and kid (RFC 8555 section 6.2); send jwk for newAccount and revocation by certificate key, else kid"
    )]
    TwoSigners,
    /// Neither `jwk` nor `kid`.
    #[error(
        "the protected header has neither jwk nor kid (RFC 8555 section 6.2); send jwk for newAccount and revocation by certificate key, else kid"
    )]
    NoSigner,
    /// The jwk is meant for another algorithm.
    #[error(
        "the alg inside the jwk is not the alg of the protected header (RFC 7517 section 4.4); make them equal or leave the inner one out"
    )]
    KeyAlgorithm,
    /// The algorithm is not on our list.
    #[error(
        "the signature algorithm is not accepted (RFC 8555 section 6.2); sign with ES256, ES384, ES512, EdDSA or RS256"
    )]
    Algorithm,
    /// There is no nonce, or an empty one.
    #[error(
        "JWS has an invalid anti-replay nonce: it is missing (RFC 8555 section 6.5); use the Replay-Nonce of this answer"
    )]
    NoNonce,
    /// The jwk is no key that can sign.
    #[error("the jwk is refused: {0}")]
    Key(#[from] KeyError),
}

impl From<&ParseError> for Problem {
    fn from(error: &ParseError) -> Self {
        let kind = match error {
            ParseError::Container(_)
            | ParseError::Missing(_)
            | ParseError::WrongType(..)
            | ParseError::TooLong(..)
            | ParseError::NonceEncoding
            | ParseError::TwoSigners
            | ParseError::NoSigner
            | ParseError::KeyAlgorithm => ProblemKind::Malformed,
            ParseError::Algorithm => ProblemKind::BadSignatureAlgorithm,
            ParseError::NoNonce => ProblemKind::BadNonce,
            ParseError::Key(_) => ProblemKind::BadPublicKey,
        };
        Self::new(kind, error.to_string())
    }
}

impl Jws {
    /// Reads the body of a POST.
    ///
    /// # Errors
    /// [`ParseError`] with the first rule the body breaks; a missing nonce comes last, because a
    /// client repeats such a request unchanged.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let (signed, header) = Signed::read(body)?;
        let nonce = match header.get("nonce") {
            None => return Err(ParseError::NoNonce),
            Some(Value::String(nonce)) if nonce.is_empty() => return Err(ParseError::NoNonce),
            Some(Value::String(nonce)) => nonce.clone(),
            Some(_) => return Err(ParseError::WrongType("nonce", "a string")),
        };
        if nonce.len() > NONCE_CHARACTERS_MAX {
            return Err(ParseError::TooLong("nonce", NONCE_CHARACTERS_MAX));
        }
        base64url::decode(&nonce).map_err(|_| ParseError::NonceEncoding)?;
        Ok(Self { nonce, signed })
    }
}

impl Signed {
    /// Reads a JWS and hands out its protected header, for what only one kind of JWS has in it.
    pub(super) fn read(octets: &[u8]) -> Result<(Self, Map<String, Value>), ParseError> {
        let received = Flattened::parse(octets)?;
        let opened = received.open()?;
        let header = opened.header;
        let name = text(&header, "alg")?;
        let url = bounded(text(&header, "url")?, "url")?;
        let algorithm = Algorithm::from_name(name).ok_or(ParseError::Algorithm)?;
        let signer = signer(&header, name)?;
        let signed = Self { url, signer, payload: opened.payload, algorithm, signature: opened.signature, received };
        Ok((signed, header))
    }
}

/// The nonce of a request that [`Jws::parse`] refuses, as far as anybody could read one there.
pub(crate) fn nonce_of_refused(body: &[u8]) -> Option<String> {
    let members: Value = serde_json::from_slice(body).ok()?;
    let protected = base64url::decode(members.get("protected")?.as_str()?).ok()?;
    let header: Value = serde_json::from_slice(&protected).ok()?;
    let nonce = header.get("nonce")?.as_str()?;
    (nonce.len() <= NONCE_CHARACTERS_MAX).then(|| nonce.to_owned())
}

/// Shows nothing: a request does not belong in a log.
impl fmt::Debug for Jws {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Jws").finish_non_exhaustive()
    }
}

/// Shows nothing: a request does not belong in a log.
impl fmt::Debug for Signed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Signed").finish_non_exhaustive()
    }
}

fn signer(header: &Map<String, Value>, algorithm: &str) -> Result<Signer, ParseError> {
    match (header.get("jwk"), header.get("kid")) {
        (Some(_), Some(_)) => Err(ParseError::TwoSigners),
        (None, None) => Err(ParseError::NoSigner),
        (None, Some(Value::String(kid))) => Ok(Signer::Account(bounded(kid, "kid")?)),
        (None, Some(_)) => Err(ParseError::WrongType("kid", "a string")),
        (Some(jwk @ Value::Object(members)), None) => {
            if jwk.to_string().len() > JWK_OCTETS_MAX {
                return Err(ParseError::TooLong("jwk", JWK_OCTETS_MAX));
            }
            if members.get("alg").is_some_and(|inner| inner.as_str() != Some(algorithm)) {
                return Err(ParseError::KeyAlgorithm);
            }
            Ok(Signer::Key(PublicKey::from_jwk(members)?))
        }
        (Some(_), None) => Err(ParseError::WrongType("jwk", "an object")),
    }
}

fn text<'h>(header: &'h Map<String, Value>, member: &'static str) -> Result<&'h str, ParseError> {
    match header.get(member) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(ParseError::WrongType(member, "a string")),
        None => Err(ParseError::Missing(member)),
    }
}

fn bounded(text: &str, member: &'static str) -> Result<String, ParseError> {
    if text.len() > URL_OCTETS_MAX { Err(ParseError::TooLong(member, URL_OCTETS_MAX)) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const URL: &str = "https://acme.example.net/acme/tls/new-account";
    const X: &str = "_gjcgbP2cGgPl_VSlAiYy_Db4XSk_lsHXnatnSLD7i8";
    const Y: &str = "43HGvYbvqinnQ1uLaxp3Z72dIUGkYkL2OkB0hIqVg0E";

    fn key() -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y})
    }

    fn header() -> Value {
        json!({"alg": "ES256", "nonce": "W1Yt0w4J", "url": URL, "jwk": key()})
    }

    fn body(header: &Value) -> Vec<u8> {
        json!({"protected": base64url::encode(header.to_string()), "payload": "e30", "signature": "AAAA"})
            .to_string()
            .into_bytes()
    }

    /// What comes of a good header with one member replaced, or removed if there is no value.
    fn with(member: &str, value: Option<Value>) -> Result<Jws, ParseError> {
        let mut header = header();
        match value {
            Some(value) => header[member] = value,
            None => drop(header.as_object_mut().unwrap().remove(member)),
        }
        Jws::parse(&body(&header))
    }

    fn problem(error: &ParseError) -> ProblemKind {
        Problem::from(error).kind
    }

    #[test]
    fn a_request_is_read_with_all_its_parts() {
        let jws = with("typ", Some(json!({"ignored": true}))).unwrap();
        assert_eq!((jws.nonce.as_str(), jws.signed.url.as_str()), ("W1Yt0w4J", URL));
        assert_eq!(jws.signed.signer, Signer::Key(PublicKey::from_jwk(key().as_object().unwrap()).unwrap()));
        assert_eq!((jws.signed.payload.as_slice(), jws.signed.received.payload.as_str()), (b"{}".as_slice(), "e30"));
    }

    #[test]
    fn a_request_by_an_account_names_its_url() {
        let kid = "https://acme.example.net/acme/tls/acct/1";
        let jws = Jws::parse(&body(&json!({"alg": "RS256", "nonce": "AA", "url": URL, "kid": kid}))).unwrap();
        assert_eq!(jws.signed.signer, Signer::Account(kid.to_owned()));
    }

    #[test]
    fn what_is_no_flattened_jws_is_malformed() {
        for octets in [b"".as_slice(), b"hello", b"\xff\xfe", b"a.b.c", b"[]", b"{}"] {
            assert_eq!(problem(&Jws::parse(octets).unwrap_err()), ProblemKind::Malformed);
        }
        let mut outside = json!({"protected": "e30", "payload": "", "signature": ""});
        outside["header"] = header();
        let refused = Jws::parse(outside.to_string().as_bytes()).unwrap_err();
        assert_eq!(refused, ParseError::Container(ContainerError::UnprotectedHeader));
    }

    #[test]
    fn members_of_the_protected_header_are_required_and_typed() {
        let refused = |member, value| with(member, value).unwrap_err();
        for member in ["alg", "url"] {
            assert_eq!(refused(member, None), ParseError::Missing(member));
            for value in [json!(null), json!(1), json!([URL])] {
                assert_eq!(refused(member, Some(value)), ParseError::WrongType(member, "a string"));
            }
        }
        assert_eq!(refused("nonce", None), ParseError::NoNonce);
        assert_eq!(refused("nonce", Some(json!(""))), ParseError::NoNonce);
        assert_eq!(refused("nonce", Some(json!(7))), ParseError::WrongType("nonce", "a string"));
        assert_eq!(refused("nonce", Some(json!(null))), ParseError::WrongType("nonce", "a string"));
        for value in ["!!!", "AA==", "A A", "AB"] {
            assert_eq!(refused("nonce", Some(json!(value))), ParseError::NonceEncoding, "{value}");
        }
        assert_eq!(refused("kid", Some(json!(URL))), ParseError::TwoSigners);
        assert_eq!(refused("jwk", None), ParseError::NoSigner);
        assert_eq!(refused("jwk", Some(json!("key"))), ParseError::WrongType("jwk", "an object"));
        let kid = json!({"alg": "ES256", "nonce": "AA", "url": URL, "kid": 7});
        assert_eq!(Jws::parse(&body(&kid)).unwrap_err(), ParseError::WrongType("kid", "a string"));
    }

    #[test]
    fn members_have_a_longest_length() {
        let refused = |member, value| with(member, Some(value)).unwrap_err();
        assert!(with("url", Some(json!("u".repeat(2048)))).is_ok());
        assert_eq!(refused("url", json!("u".repeat(2049))), ParseError::TooLong("url", 2048));
        assert!(with("nonce", Some(json!("A".repeat(256)))).is_ok());
        assert_eq!(refused("nonce", json!("A".repeat(260))), ParseError::TooLong("nonce", 256));
        let mut jwk = key();
        jwk["x5c"] = json!("A".repeat(4 * 1024));
        assert_eq!(refused("jwk", jwk), ParseError::TooLong("jwk", 4 * 1024));
        let kid = json!({"alg": "ES256", "nonce": "AA", "url": URL, "kid": "k".repeat(2049)});
        assert_eq!(Jws::parse(&body(&kid)).unwrap_err(), ParseError::TooLong("kid", 2048));
    }

    #[test]
    fn algorithms_off_the_list_are_refused_as_such() {
        for name in ["none", "HS256", "HS512", "RS1", "RS384", "PS256", "XX999", ""] {
            let refused = with("alg", Some(json!(name))).unwrap_err();
            assert_eq!(problem(&refused), ProblemKind::BadSignatureAlgorithm, "{name}");
        }
    }

    #[test]
    fn a_jwk_that_is_no_public_key_is_refused_as_such() {
        let changed = |member: &str, value: Value| {
            let mut jwk = key();
            jwk[member] = value;
            with("jwk", Some(jwk))
        };
        assert_eq!(changed("alg", json!("ES384")).unwrap_err(), ParseError::KeyAlgorithm);
        assert_eq!(changed("alg", json!(7)).unwrap_err(), ParseError::KeyAlgorithm);
        assert!(changed("alg", json!("ES256")).is_ok());
        for (member, value) in [("kty", json!("oct")), ("d", json!(X)), ("crv", json!("P-384")), ("x", json!("AA"))] {
            let refused = changed(member, value).unwrap_err();
            assert_eq!(problem(&refused), ProblemKind::BadPublicKey, "{member}");
        }
    }

    #[test]
    fn of_65_ways_to_split_one_point_only_one_is_a_key() {
        let point = [base64url::decode(X).unwrap(), base64url::decode(Y).unwrap()].concat();
        let accepted = (0..=64).filter(|split| {
            let (x, y) = point.split_at(*split);
            let jwk = json!({"kty": "EC", "crv": "P-256", "x": base64url::encode(x), "y": base64url::encode(y)});
            with("jwk", Some(jwk)).is_ok()
        });
        assert_eq!(accepted.count(), 1);
    }

    #[test]
    fn refusals_name_their_rule_in_one_clean_line() {
        let all = [
            ParseError::Missing("alg"),
            ParseError::NonceEncoding,
            ParseError::TwoSigners,
            ParseError::NoSigner,
            ParseError::KeyAlgorithm,
            ParseError::Algorithm,
            ParseError::NoNonce,
            ParseError::Container(ContainerError::Critical),
        ];
        for error in all {
            let text = error.to_string();
            assert_eq!(Problem::from(&error).detail, text, "the text needed mending");
            assert!(text.contains("RFC"), "{text}");
        }
        let detail = Problem::from(&ParseError::NoNonce).detail;
        assert!(detail.contains("JWS has an invalid anti-replay nonce"), "a shell client looks for these words");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Jws::parse(&octets);
        }

        #[test]
        fn parsing_survives_any_protected_header(header in "\\PC{0,200}") {
            let body = json!({"protected": base64url::encode(header), "payload": "", "signature": ""});
            let _ = Jws::parse(body.to_string().as_bytes());
        }

        #[test]
        fn a_mutated_request_is_read_or_refused(
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut inner = header().to_string().into_bytes();
            let mut outer = body(&header());
            let part = cut.index(outer.len());
            prop_assert!(Jws::parse(&outer[..part]).is_err(), "a JWS that was cut off is none");
            for (place, octet) in &changes {
                let at = place.index(inner.len());
                inner[at] = *octet;
                let at = place.index(outer.len());
                outer[at] = *octet;
            }
            let wrapped = json!({"protected": base64url::encode(&inner), "payload": "", "signature": ""});
            let _ = Jws::parse(wrapped.to_string().as_bytes());
            let _ = Jws::parse(&outer);
        }
    }
}
