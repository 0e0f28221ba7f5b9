//! The one place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use acme::time::Timestamp;

/// The time now.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_secs(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX))
}
