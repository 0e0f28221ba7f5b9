//! Times and durations as the contract writes them (section 3 and schemas `Time`, `Duration`).
//!
//! A [`Moment`] is UTC with millisecond precision; a [`Span`] is a fixed number of seconds. Both
//! refuse every other spelling, so that a value never has two forms.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(i64);

impl Moment {
    /// The clock of this machine.
    pub(crate) fn now() -> Self {
        Self::from_offset(OffsetDateTime::now_utc())
    }

    /// From milliseconds since the epoch.
    pub(crate) fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From the `time` crate's form; finer parts are dropped.
    pub(crate) fn from_offset(time: OffsetDateTime) -> Self {
        let millis = time.unix_timestamp_nanos() / 1_000_000;
        Self(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    /// Milliseconds since the epoch.
    pub(crate) fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub(crate) fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The same moment without its part of a second, as certificates need it.
    pub(crate) fn whole_second(self) -> Self {
        Self(self.seconds().saturating_mul(1_000))
    }

    /// This moment plus (or minus) seconds.
    pub(crate) fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000)))
    }

    /// This moment plus milliseconds.
    pub(crate) fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// For libraries that want the `time` crate's form.
    pub(crate) fn to_offset(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// Reads `2026-11-22T00:43:00Z` with at most three fractional digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('Z')?;
        let (date, clock) = text.split_once('T')?;
        let (clock, fraction) = match clock.split_once('.') {
            Some((clock, fraction)) => (clock, Some(fraction)),
            None => (clock, None),
        };
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
        let millis = match fraction {
            None => 0,
            Some(digits) if (1..=3).contains(&digits.len()) => format!("{digits:0<3}")
                .parse::<u16>()
                .ok()
                .filter(|_| digits.bytes().all(|octet| octet.is_ascii_digit()))?,
            Some(_) => return None,
        };
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        let date = Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()?;
        let time = Time::from_hms_milli(
            u8::try_from(hour).ok()?,
            u8::try_from(minute).ok()?,
            u8::try_from(second).ok()?,
            millis,
        )
        .ok()?;
        Some(Self::from_offset(PrimitiveDateTime::new(date, time).assume_utc()))
    }
}

fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[u16; 3]> {
    let mut parts = text.split(separator);
    let mut values = [0_u16; 3];
    for (value, width) in values.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|octet| octet.is_ascii_digit()) {
            return None;
        }
        *value = part.parse().ok()?;
    }
    parts.next().is_none().then_some(values)
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.to_offset();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        )?;
        match time.millisecond() {
            0 => f.write_str("Z"),
            millis => write!(f, ".{millis:03}Z"),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not an RFC 3339 time in UTC with Z"))
    }
}

/// A length of time, `P90D` or `PT1M` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    seconds: i64,
}

impl Span {
    /// Its length in seconds.
    pub(crate) fn seconds(self) -> i64 {
        self.seconds
    }

    /// Reads `P(nD)(T(nH)(nM)(nS))` of at most a hundred years.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('P')?;
        let (days, clock) = match rest.split_once('T') {
            Some((days, clock)) if !clock.is_empty() => (days, clock),
            Some(_) => return None,
            None => (rest, ""),
        };
        if days.is_empty() && clock.is_empty() {
            return None;
        }
        let mut seconds = 0_i64;
        if !days.is_empty() {
            seconds = amount(days.strip_suffix('D')?)?.checked_mul(86_400)?;
        }
        let mut rest = clock;
        for (unit, factor) in [('H', 3_600), ('M', 60), ('S', 1)] {
            if let Some((number, behind)) = rest.split_once(unit) {
                seconds = seconds.checked_add(amount(number)?.checked_mul(factor)?)?;
                rest = behind;
            }
        }
        (rest.is_empty() && seconds <= 100 * 366 * 86_400).then_some(Self { seconds })
    }
}

fn amount(digits: &str) -> Option<i64> {
    let plain = !digits.is_empty() && digits.len() <= 12 && digits.bytes().all(|octet| octet.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.seconds / 86_400, self.seconds % 86_400);
        f.write_str("P")?;
        if days > 0 || rest == 0 {
            write!(f, "{days}D")?;
        }
        if rest > 0 {
            f.write_str("T")?;
            for (unit, value) in [('H', rest / 3_600), ('M', rest % 3_600 / 60), ('S', rest % 60)] {
                if value > 0 {
                    write!(f, "{value}{unit}")?;
                }
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a duration like P90D or PT1M"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_form_and_survive_the_round_trip() {
        for text in ["2026-11-22T00:43:00Z", "2024-02-29T23:59:59.250Z"] {
            assert_eq!(Moment::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "2026-11-22T00:43:00+00:00",
            "2026-11-22 00:43:00Z",
            "2026-11-22T00:43Z",
            "2026-13-22T00:43:00Z",
            "2026-11-22T00:43:00.1234Z",
            "2026-11-22T00:43:00.Z",
            "26-11-22T00:43:00Z",
            "2026-11-22T+0:43:00Z",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn spans_have_one_form_and_survive_the_round_trip() {
        for (text, seconds) in [("P90D", 7_776_000), ("PT1M", 60), ("P1DT2H3M4S", 93_784)] {
            let span = Span::parse(text).unwrap();
            assert_eq!((span.seconds(), span.to_string()), (seconds, text.to_owned()));
        }
        for text in ["", "P", "PT", "90D", "P1M", "PT1S1H", "P-1D", "P1.5D"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
