//! Points in time as ACME writes them: RFC 3339, UTC, whole seconds, suffix `Z`.
//!
//! There is no `now()` here: the shell owns the clock and hands the time in as an argument.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A point in time with a resolution of one second, kept as seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 date and time between the years 0 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 date and time such as 2026-11-22T10:00:00Z")]
pub struct NotATimestamp;

/// 9999-12-31T23:59:59Z, the last second that RFC 3339 can write.
const LAST_SECOND: i64 = 253_402_300_799;

impl Timestamp {
    /// The time that lies `seconds` after the Unix epoch, clamped to what RFC 3339 can write.
    #[must_use]
    pub const fn from_unix_secs(seconds: i64) -> Self {
        if seconds < 0 {
            Self(0)
        } else if seconds > LAST_SECOND {
            Self(LAST_SECOND)
        } else {
            Self(seconds)
        }
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub const fn unix_secs(self) -> i64 {
        self.0
    }

    /// The time `span` later, in whole seconds.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self::from_unix_secs(self.0.saturating_add_unsigned(span.as_secs()))
    }

    /// The time `span` earlier, in whole seconds.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self::from_unix_secs(self.0.saturating_sub_unsigned(span.as_secs()))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from_unix_timestamp(self.0).map_err(|_| fmt::Error)?;
        write!(
            out,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        )
    }
}

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    /// Any offset and any fraction are read; the fraction is dropped.
    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NotATimestamp)?;
        Ok(Self::from_unix_secs(time.unix_timestamp()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_in_utc_without_a_fraction() {
        let time: Timestamp = "2026-11-22T12:30:00.25+02:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-22T10:30:00Z");
    }

    #[test]
    fn arithmetic_stays_within_what_can_be_written() {
        let time = Timestamp::from_unix_secs(10);
        assert_eq!(time.minus(Duration::from_secs(99)).unix_secs(), 0);
        assert_eq!(time.plus(Duration::MAX).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(time.since(time.plus(Duration::from_secs(5))), Duration::ZERO);
    }

    #[test]
    fn dates_that_are_not_rfc_3339_are_refused() {
        for text in ["", "2026-11-22", "2026-11-22T10:00:00", "22 Nov 2026 10:00:00 GMT"] {
            assert_eq!(text.parse::<Timestamp>(), Err(NotATimestamp), "{text:?}");
        }
    }
}
