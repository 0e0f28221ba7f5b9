//! Times on the command line: RFC 3339, or a day, which begins at midnight UTC.

use acme::time::Timestamp;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_or_a_day() {
        assert_eq!(parse("2026-12-04").unwrap(), parse("2026-12-04T00:00:00Z").unwrap());
        for refused in ["tomorrow", "2026-13-01", "", "04.12.2026"] {
            assert!(parse(refused).unwrap_err().contains("2026-12-04"), "{refused}");
        }
    }
}
