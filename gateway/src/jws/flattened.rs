//! The container: a JWS in flattened JSON serialization (RFC 7515 §7.2.2), with the further bans of
//! RFC 8555 §6.2. What the protected header says is none of its business.

use std::fmt;

use acme::base64url;
use serde_json::{Map, Value};

use super::json;

/// The three parts of a JWS exactly as they were received: what a signature is verified over, and
/// what is handed on as proof.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Flattened {
    /// The protected header in base64url.
    pub(crate) protected: String,
    /// The payload in base64url; empty in a POST-as-GET.
    pub(crate) payload: String,
    /// The signature or MAC in base64url.
    pub(crate) signature: String,
}

/// The parts of a JWS, decoded.
pub(super) struct Opened {
    pub(super) header: Map<String, Value>,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// Why something is no flattened JWS. The texts are for ACME clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContainerError {
    /// Not JSON, or no object.
    #[error(
        "a JWS in flattened JSON serialization is expected (RFC 8555 section 6.2); send one JSON object in UTF-8 with the members protected, payload and signature"
    )]
    NotAnObject,
    /// A member name occurs twice in the JWS, in the protected header or below.
    #[error("a member name occurs twice in one object (RFC 7515 section 4); send each member once")]
    Duplicate,
    /// Too many objects and arrays within each other.
    #[error("objects and arrays are nested more than 16 deep; no JWS of ACME needs that")]
    TooDeep,
    /// There is an unprotected header.
    #[error(
        "the unprotected header member header is not allowed (RFC 8555 section 6.2); move its members into protected"
    )]
    UnprotectedHeader,
    /// General serialization.
    #[error(
        "the member signatures is not allowed (RFC 8555 section 6.2); send one signature in flattened serialization"
    )]
    Signatures,
    /// A part is absent.
    #[error(
        "the member {0} is missing (RFC 8555 section 6.2); a JWS has protected, payload and signature, and an empty payload is the empty string"
    )]
    Missing(&'static str),
    /// A part is no string.
    #[error("the member {0} must be a string of base64url (RFC 7515 section 7.2.2)")]
    NotAString(&'static str),
    /// A part is not canonical base64url.
    #[error(
        "the member {0} is not base64url without padding, white space and left-over bits (RFC 8555 section 6.1, RFC 7515 section 2)"
    )]
    NotBase64Url(&'static str),
    /// The protected header is something else than one JSON object.
    #[error("the protected header does not decode to a JSON object in UTF-8 (RFC 7515 section 4)")]
    Header,
    /// There is a `crit` member.
    #[error(
        "the protected header member crit is not allowed: no extension is understood here (RFC 7515 section 4.1.11)"
    )]
    Critical,
    /// There is a `b64` member.
    #[error(
        "the protected header member b64 is not allowed (RFC 8555 section 6.2); leave it out and encode the payload"
    )]
    UnencodedPayload,
}

impl Flattened {
    /// Reads the octets of a request body.
    pub(super) fn parse(octets: &[u8]) -> Result<Self, ContainerError> {
        let members = json::object(octets).map_err(|refused| match refused {
            json::Refused::Syntax | json::Refused::NotAnObject => ContainerError::NotAnObject,
            json::Refused::Duplicate => ContainerError::Duplicate,
            json::Refused::TooDeep => ContainerError::TooDeep,
        })?;
        Self::from_members(&members)
    }

    /// Takes an object that was already read. Unknown members are ignored (RFC 7515 §7.2).
    pub(super) fn from_members(members: &Map<String, Value>) -> Result<Self, ContainerError> {
        if members.contains_key("header") {
            return Err(ContainerError::UnprotectedHeader);
        }
        if members.contains_key("signatures") {
            return Err(ContainerError::Signatures);
        }
        let part = |name: &'static str| match members.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(ContainerError::NotAString(name)),
            None => Err(ContainerError::Missing(name)),
        };
        Ok(Self { protected: part("protected")?, payload: part("payload")?, signature: part("signature")? })
    }

    /// Decodes the parts.
    pub(super) fn open(&self) -> Result<Opened, ContainerError> {
        let decode =
            |name: &'static str, text: &str| base64url::decode(text).map_err(|_| ContainerError::NotBase64Url(name));
        let header = decode("protected", &self.protected)?;
        let payload = decode("payload", &self.payload)?;
        let signature = decode("signature", &self.signature)?;
        let header = json::object(&header).map_err(|refused| match refused {
            json::Refused::Syntax | json::Refused::NotAnObject => ContainerError::Header,
            json::Refused::Duplicate => ContainerError::Duplicate,
            json::Refused::TooDeep => ContainerError::TooDeep,
        })?;
        if header.contains_key("crit") {
            return Err(ContainerError::Critical);
        }
        if header.contains_key("b64") {
            return Err(ContainerError::UnencodedPayload);
        }
        Ok(Opened { header, payload, signature })
    }

    /// The octets that the signature covers (RFC 7515 §5.2).
    pub(super) fn signing_input(&self) -> Vec<u8> {
        [self.protected.as_bytes(), b".", self.payload.as_bytes()].concat()
    }
}

/// For the CM, which verifies it again.
impl From<Flattened> for cm_connector::Jws {
    fn from(received: Flattened) -> Self {
        Self { protected: received.protected, payload: received.payload, signature: received.signature }
    }
}

/// Shows nothing: a JWS does not belong in a log.
impl fmt::Debug for Flattened {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Flattened").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn opened(value: &Value) -> Result<Opened, ContainerError> {
        Flattened::parse(value.to_string().as_bytes())?.open()
    }

    fn refusal(value: &Value) -> ContainerError {
        opened(value).err().unwrap()
    }

    fn with_header(header: &str) -> Value {
        json!({"protected": base64url::encode(header), "payload": "", "signature": ""})
    }

    #[test]
    fn the_parts_are_decoded_and_kept_as_they_were_received() {
        let value =
            json!({"protected": base64url::encode(r#"{"alg":"x"}"#), "payload": "e30", "signature": "AQ", "typ": [1]});
        let flattened = Flattened::parse(value.to_string().as_bytes()).unwrap();
        assert_eq!(flattened.signing_input(), b"eyJhbGciOiJ4In0.e30");
        let opened = flattened.open().unwrap();
        assert_eq!((opened.payload.as_slice(), opened.signature.as_slice()), (b"{}".as_slice(), [1].as_slice()));
        assert_eq!(opened.header["alg"], "x");
        assert_eq!(format!("{flattened:?}"), "Flattened { .. }");
    }

    #[test]
    fn other_serializations_are_refused() {
        let one = json!({"protected": "e30", "signature": "AA"});
        let general = |signatures: Value| refusal(&json!({"payload": "", "signatures": signatures}));
        assert_eq!(Flattened::parse(b"").unwrap_err(), ContainerError::NotAnObject);
        assert_eq!(Flattened::parse(b"e30.e30.AA").unwrap_err(), ContainerError::NotAnObject);
        assert_eq!(Flattened::parse(b"[{}]").unwrap_err(), ContainerError::NotAnObject);
        assert_eq!(Flattened::parse(b"{\"protected\":\"\xc3\x28\"}").unwrap_err(), ContainerError::NotAnObject);
        assert_eq!(general(json!([one])), ContainerError::Signatures);
        assert_eq!(general(json!([one, one])), ContainerError::Signatures);
        let both = json!({"protected": "e30", "payload": "", "signature": "", "signatures": []});
        assert_eq!(refusal(&both), ContainerError::Signatures);
        let header = json!({"protected": "e30", "payload": "", "signature": "", "header": {}});
        assert_eq!(refusal(&header), ContainerError::UnprotectedHeader);
    }

    #[test]
    fn each_part_is_a_string_of_canonical_base64url() {
        for name in ["protected", "payload", "signature"] {
            let mut jws = json!({"protected": "e30", "payload": "e30", "signature": "AAAA"});
            for bad in ["e30=", "e3 0", "e30\n", "+/+/", "e31"] {
                jws[name] = json!(bad);
                assert_eq!(refusal(&jws), ContainerError::NotBase64Url(name), "{bad:?}");
            }
            for bad in [json!(null), json!(7), json!({}), json!(["e30"])] {
                jws[name] = bad;
                assert_eq!(refusal(&jws), ContainerError::NotAString(name));
            }
            jws.as_object_mut().unwrap().remove(name);
            assert_eq!(refusal(&jws), ContainerError::Missing(name));
        }
    }

    #[test]
    fn the_protected_header_is_one_object_without_extensions() {
        for bad in ["", "[]", "null", "{} ,", "\"a\"", "{\"a\":1"] {
            assert_eq!(refusal(&with_header(bad)), ContainerError::Header, "{bad:?}");
        }
        assert_eq!(refusal(&with_header(r#"{"url":"a","url":"a"}"#)), ContainerError::Duplicate);
        assert_eq!(refusal(&with_header(r#"{"jwk":{"x":"a","x":"b"}}"#)), ContainerError::Duplicate);
        for bad in [r#"{"crit":["foo"],"foo":1}"#, r#"{"crit":[]}"#, r#"{"crit":null}"#] {
            assert_eq!(refusal(&with_header(bad)), ContainerError::Critical, "{bad}");
        }
        for bad in [r#"{"b64":false}"#, r#"{"b64":true}"#, r#"{"b64":null}"#] {
            assert_eq!(refusal(&with_header(bad)), ContainerError::UnencodedPayload, "{bad}");
        }
        let twice = br#"{"protected":"e30","payload":"","payload":"e30","signature":""}"#;
        assert_eq!(Flattened::parse(twice).unwrap_err(), ContainerError::Duplicate);
    }
}
