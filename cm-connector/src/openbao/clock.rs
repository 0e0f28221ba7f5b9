//! What time it is.

use acme::time::Timestamp;

/// Our clock: OpenBao has no conditions on time.
pub(super) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_secs(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
