//! The directory (RFC 8555 §7.1.1).

use std::collections::BTreeMap;

use serde::Serialize;

/// A directory object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members of RFC 8555 section 7.1.1 and RFC 9773 section 3")]
pub struct Directory {
    pub new_nonce: String,
    pub new_account: String,
    pub new_order: String,
    pub revoke_cert: String,
    pub key_change: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_authz: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_info: Option<String>,
    pub meta: Meta,
}

/// What a client should know before it begins. Present even if empty: a client needs it so.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members of RFC 8555 section 7.1.1 and draft-ietf-acme-profiles")]
pub struct Meta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms_of_service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caa_identities: Vec<String>,
    pub external_account_required: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, String>,
}
