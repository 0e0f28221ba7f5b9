//! When a certificate should be renewed, as the CM decides it (CM contract section 4.7, RFC 9773).

use std::time::Duration;

use acme::time::Timestamp;

/// When a certificate should be renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalInfo {
    /// Start of the window in which clients renew. It lies in the past if they should do it at once.
    pub start: Timestamp,
    /// End of the window, later than its start.
    pub end: Timestamp,
    /// An `https` page for people about why the window is what it is.
    pub explanation_url: Option<String>,
    /// When to ask again, if the CM says so.
    pub retry_after: Option<Duration>,
}
