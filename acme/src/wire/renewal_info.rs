//! Renewal information (RFC 9773 §4.2).

use serde::Serialize;

use crate::time::Timestamp;

/// A renewal information object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the members of RFC 9773 section 4.2")]
pub struct RenewalInfo {
    pub suggested_window: SuggestedWindow,
    #[serde(rename = "explanationURL", skip_serializing_if = "Option::is_none")]
    pub explanation_url: Option<String>,
}

/// When to renew.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the members of RFC 9773 section 4.2")]
pub struct SuggestedWindow {
    pub start: Timestamp,
    pub end: Timestamp,
}
