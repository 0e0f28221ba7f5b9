//! Accounts (RFC 8555 §7.1.2, §7.3).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{empty_is_absent, null_is_absent};
use crate::account::AccountStatus;

/// Payload of newAccount.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the members of RFC 8555 section 7.3")]
pub struct NewAccount {
    #[serde(deserialize_with = "null_is_absent")]
    pub contact: Vec<String>,
    #[serde(deserialize_with = "null_is_absent")]
    pub terms_of_service_agreed: bool,
    #[serde(deserialize_with = "null_is_absent")]
    pub only_return_existing: bool,
    pub external_account_binding: Option<Value>,
}

/// Payload of an account update. Only these members can be changed (RFC 8555 §7.3.2).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members of RFC 8555 section 7.3.2")]
pub struct AccountUpdate {
    pub contact: Option<Vec<String>>,
    #[serde(default, deserialize_with = "empty_is_absent")]
    pub status: Option<String>,
    /// Counts where the terms have changed and the account must agree again (RFC 8555 §7.3.3), and is
    /// ignored everywhere else, whatever it is.
    pub terms_of_service_agreed: Option<Value>,
}

/// An account object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members of RFC 8555 section 7.1.2")]
pub struct Account {
    pub status: AccountStatus,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contact: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms_of_service_agreed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_account_binding: Option<Value>,
    pub orders: String,
}

/// A page of an account's orders (RFC 8555 §7.1.2.1).
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the member of RFC 8555 section 7.1.2.1")]
pub struct Orders {
    pub orders: Vec<String>,
}
