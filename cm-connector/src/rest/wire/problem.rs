//! Problem documents of the CM (CM contract section 5). Never shown to clients as they are.
//!
//! Read leniently: only `code` must be there, for it alone decides.

use serde::Deserialize;
use serde_json::Value;

use super::IdentifierIn;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct ProblemIn {
    pub(in crate::rest) code: String,
    #[serde(default)]
    pub(in crate::rest) status: u16,
    #[serde(default)]
    pub(in crate::rest) detail: Option<String>,
    #[serde(default)]
    pub(in crate::rest) retryable: Option<bool>,
    #[serde(default)]
    pub(in crate::rest) scope: Option<String>,
    #[serde(default)]
    pub(in crate::rest) request_id: Option<String>,
    #[serde(default)]
    pub(in crate::rest) registration: Option<String>,
    #[serde(default)]
    pub(in crate::rest) certificate: Option<Value>,
    #[serde(default)]
    pub(in crate::rest) subproblems: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
pub(in crate::rest) struct SubproblemIn {
    #[serde(default)]
    pub(in crate::rest) code: String,
    pub(in crate::rest) identifier: IdentifierIn,
    #[serde(default)]
    pub(in crate::rest) detail: Option<String>,
}
