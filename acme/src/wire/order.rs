//! Orders (RFC 8555 §7.1.3, §7.4).

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{empty_is_absent, problem::Problem};
use crate::{identifier::Identifier, order::OrderStatus, time::Timestamp};

/// Payload of newOrder. Identifiers are kept as text, so that each one can be refused by itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members of RFC 8555 section 7.4, RFC 9773 section 5 and draft-ietf-acme-profiles")]
pub struct NewOrder {
    pub identifiers: Vec<IdentifierText>,
    #[serde(default, deserialize_with = "empty_is_absent")]
    pub not_before: Option<String>,
    #[serde(default, deserialize_with = "empty_is_absent")]
    pub not_after: Option<String>,
    #[serde(default, deserialize_with = "empty_is_absent")]
    pub profile: Option<String>,
    #[serde(default, deserialize_with = "empty_is_absent")]
    pub replaces: Option<String>,
}

/// An identifier as the client wrote it.
#[derive(Debug)]
#[expect(missing_docs, reason = "the members of RFC 8555 section 7.1.3")]
pub struct IdentifierText {
    pub kind: String,
    pub value: String,
}

/// By hand, because a derived one takes `["dns", "example.com"]` as well and names itself in errors.
impl<'de> Deserialize<'de> for IdentifierText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(IdentifierVisitor)
    }
}

struct IdentifierVisitor;

impl<'de> Visitor<'de> for IdentifierVisitor {
    type Value = IdentifierText;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an identifier, which is an object with type and value")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<IdentifierText, A::Error> {
        #[derive(Deserialize)]
        struct Members {
            #[serde(rename = "type")]
            kind: String,
            value: String,
        }
        let Members { kind, value } = Members::deserialize(MapAccessDeserializer::new(members))?;
        Ok(IdentifierText { kind, value })
    }
}

/// Payload of finalize.
#[derive(Debug, Deserialize)]
pub struct Finalize {
    /// PKCS#10 in DER, base64url.
    pub csr: String,
}

/// An order object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members of RFC 8555 section 7.1.3")]
pub struct Order {
    pub status: OrderStatus,
    pub expires: Timestamp,
    pub identifiers: Vec<Identifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    pub profile: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    pub authorizations: Vec<String>,
    pub finalize: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}
