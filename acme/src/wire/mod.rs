//! The JSON of RFC 8555, one file a resource: request payloads as they are read, objects as they
//! are written.
//!
//! Wire types carry what the protocol says and nothing else: URLs are strings made by whoever
//! knows the external URL. Unknown members of requests are ignored (RFC 8555 §7.3), members of
//! the wrong JSON type are refused, duplicate members too.

pub mod account;
pub mod authorization;
pub mod directory;
pub mod order;
pub mod problem;
pub mod renewal_info;
pub mod revocation;

use serde::de::DeserializeOwned;

/// A payload that is not the JSON object this resource takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payload is not what this resource takes: {0}")]
pub struct PayloadError(String);

/// Reads a request payload.
///
/// # Errors
/// [`PayloadError`] naming the member that is missing, doubled or of the wrong type.
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, PayloadError> {
    if payload.first().is_none_or(|first| *first != b'{') && !starts_with_space(payload) {
        return Err(PayloadError(String::from("a JSON object is expected")));
    }
    let mut json = serde_json::Deserializer::from_slice(payload);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| in_words(&error))?;
    json.end().map_err(|_| PayloadError(String::from("something follows the JSON object")))?;
    Ok(read)
}

/// Names the member and speaks of JSON, where the library speaks of lines and of Rust.
fn in_words(error: &serde_path_to_error::Error<serde_json::Error>) -> PayloadError {
    if !error.inner().is_data() {
        return PayloadError(format!("it is not JSON (RFC 8259): {}", error.inner()));
    }
    let text = error.inner().to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let mut words = text.replace('`', "");
    for (rust, json) in [
        ("missing field", "this member is missing:"),
        ("duplicate field", "this member occurs twice:"),
        ("invalid type: sequence", "invalid type: array"),
        ("invalid type: map", "invalid type: object"),
        ("invalid type: floating point", "invalid type: number"),
        ("expected a sequence", "expected an array"),
        ("expected a map", "expected an object"),
        ("expected i64", "expected an integer"),
    ] {
        words = words.replace(rust, json);
    }
    match error.path().to_string().as_str() {
        "." => PayloadError(words),
        path => PayloadError(format!("{path}: {words}")),
    }
}

fn starts_with_space(payload: &[u8]) -> bool {
    payload.trim_ascii_start().first() == Some(&b'{')
}

/// Reads an optional string member in which some clients send the empty string for "not given".
pub(crate) fn empty_is_absent<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = serde::Deserialize::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// Reads a member in which some clients send null for "not given".
pub(crate) fn null_is_absent<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de> + Default,
{
    let given: Option<T> = serde::Deserialize::deserialize(deserializer)?;
    Ok(given.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_the_empty_string_are_absent_in_accounts() {
        for payload in [
            r#"{"contact":null}"#,
            r#"{"contact":null,"termsOfServiceAgreed":null,"onlyReturnExisting":null,"externalAccountBinding":null}"#,
        ] {
            let read: account::NewAccount = decode(payload.as_bytes()).unwrap();
            assert_eq!((read.contact, read.terms_of_service_agreed, read.only_return_existing), (vec![], false, false));
            assert_eq!(read.external_account_binding, None);
        }
        for payload in [r#"{"contact":null,"status":""}"#, r#"{"status":null}"#, "{}"] {
            let read: account::AccountUpdate = decode(payload.as_bytes()).unwrap();
            assert_eq!((read.contact, read.status), (None, None), "{payload}");
        }
        let wrong = [r#"{"contact":""}"#, r#"{"contact":[null]}"#, r#"{"contact":{}}"#];
        for payload in wrong {
            assert!(decode::<account::NewAccount>(payload.as_bytes()).is_err(), "{payload}");
            assert!(decode::<account::AccountUpdate>(payload.as_bytes()).is_err(), "{payload}");
        }
    }

    #[test]
    fn a_refused_payload_names_the_member_and_what_is_expected_there() {
        let refused = |payload: &str| decode::<order::NewOrder>(payload.as_bytes()).unwrap_err().0;
        let table = [
            (
                r#"{"identifiers":[{"type":"dns","value":7}]}"#,
                "identifiers[0].value: invalid type: integer 7, expected a string",
            ),
            (r#"{"identifiers":{}}"#, "identifiers: invalid type: object, expected an array"),
            (r#"{"identifiers":[],"profile":["a"]}"#, "profile: invalid type: array, expected a string"),
            (r#"{"identifiers":[]}, {}"#, "something follows the JSON object"),
            ("[]", "a JSON object is expected"),
        ];
        for (payload, words) in table {
            assert_eq!(refused(payload), words, "{payload}");
        }
        let words = decode::<revocation::Revocation>(br#"{"reason":1}"#).unwrap_err().0;
        assert_eq!(words, "this member is missing: certificate");
        let words = decode::<revocation::Revocation>(br#"{"certificate":"AA","reason":true}"#).unwrap_err().0;
        assert_eq!(words, "reason: invalid type: boolean true, expected an integer");
        assert!(refused(r#"{"identifiers":"#).starts_with("it is not JSON (RFC 8259): "));
    }
}
