//! Times on the command line: RFC 3339, or a day, which begins at midnight UTC. And spans: `7d`, `12h`.

use acme::time::Timestamp;

use crate::{cm::Cm, error::Failure};

/// Takes `2026-12-04T00:00:00Z` or `2026-12-04`.
///
/// # Errors
/// What to write instead.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    let day = format!("{text}T00:00:00Z");
    text.parse().or_else(|_| day.parse()).map_err(|_| {
        format!("{text} is no time; write 2026-12-04T00:00:00Z, or 2026-12-04 for the beginning of that day in UTC")
    })
}

/// Refuses a time at which something is to end and that is over, by the CM's clock. `option` is where it stands.
///
/// # Errors
/// [`Failure::Usage`] names both times.
pub(crate) async fn must_be_ahead(option: &str, time: Option<Timestamp>, cm: &Cm) -> Result<(), Failure> {
    match time {
        None => Ok(()),
        Some(time) => ahead(time, cm.time().await?).map_err(|reason| Failure::Usage(format!("{option} {reason}"))),
    }
}

/// # Errors
/// Which time it is now.
pub(crate) fn ahead(time: Timestamp, now: Timestamp) -> Result<(), String> {
    if time > now {
        return Ok(());
    }
    Err(format!("{time} is over: the CM's clock says {now}; write a time that is yet to come"))
}

/// Takes `7d`, `12h` or the contract's `P7D` and gives the contract's form.
///
/// # Errors
/// What to write instead.
pub(crate) fn span(text: &str) -> Result<String, String> {
    let number = |digits: &str| (1..=5).contains(&digits.len()) && digits.bytes().all(|octet| octet.is_ascii_digit());
    let forms = [("", "d", "P", "D"), ("P", "D", "P", "D"), ("", "h", "PT", "H"), ("PT", "H", "PT", "H")];
    let found = forms.iter().find_map(|(before, unit, first, last)| {
        let digits = text.strip_prefix(before)?.strip_suffix(unit)?;
        number(digits).then(|| format!("{first}{digits}{last}"))
    });
    found.ok_or_else(|| format!("{text} is no span; write 7d for days or 12h for hours"))
}

/// The same where an empty text removes what is there.
///
/// # Errors
/// What to write instead.
pub(crate) fn span_or_nothing(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { span(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_in_days_or_hours() {
        for (text, span) in [("7d", "P7D"), ("12h", "PT12H"), ("P30D", "P30D"), ("PT1H", "PT1H")] {
            assert_eq!(super::span(text).unwrap(), span);
        }
        for refused in ["", "d", "7", "-7d", "7 d", "1.5h", "P7d", "100000d"] {
            assert!(super::span(refused).unwrap_err().contains("7d"), "{refused}");
        }
        assert_eq!(span_or_nothing("30d").unwrap(), "P30D");
        assert_eq!(span_or_nothing("").unwrap(), "");
        assert!(span_or_nothing(" ").is_err());
    }

    #[test]
    fn what_is_to_end_ends_in_the_time_to_come() {
        let now = parse("2026-12-04").unwrap();
        assert!(ahead(parse("2026-12-04T00:00:01Z").unwrap(), now).is_ok());
        for over in ["2026-12-04", "2020-01-01"] {
            assert!(ahead(parse(over).unwrap(), now).unwrap_err().contains("2026-12-04T00:00:00Z"), "{over}");
        }
    }

    #[test]
    fn a_time_is_a_moment_or_a_day() {
        assert_eq!(parse("2026-12-04").unwrap(), parse("2026-12-04T00:00:00Z").unwrap());
        for refused in ["tomorrow", "2026-13-01", "", "04.12.2026"] {
            assert!(parse(refused).unwrap_err().contains("2026-12-04"), "{refused}");
        }
    }
}
