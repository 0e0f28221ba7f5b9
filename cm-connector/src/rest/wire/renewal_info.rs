//! Renewal information (CM contract section 4.7).

use std::time::Duration;

use acme::time::Timestamp;
use reqwest::Url;
use serde::Deserialize;

use super::{Broken, parsed};
use crate::{RenewalInfo, rest::exchange::retry_after_secs};

/// Longest URL that is passed on, in octets.
const URL_OCTETS_MAX: usize = 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct RenewalInfoIn {
    suggested_window: WindowIn,
    #[serde(rename = "explanationURL", default)]
    explanation_url: Option<String>,
    #[serde(default)]
    retry_after: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct WindowIn {
    start: String,
    end: String,
}

impl RenewalInfoIn {
    /// `retry_after` is the header's, which counts if the body has none.
    pub(in crate::rest) fn convert(self, retry_after: Option<Duration>) -> Result<RenewalInfo, Broken> {
        let start: Timestamp = parsed("suggestedWindow.start", &self.suggested_window.start)?;
        let end: Timestamp = parsed("suggestedWindow.end", &self.suggested_window.end)?;
        if end <= start {
            return Err(Broken(format!("the renewal window ends at {end}, not later than it starts")));
        }
        Ok(RenewalInfo {
            start,
            end,
            explanation_url: self.explanation_url.filter(|url| is_for_clients(url)),
            retry_after: self.retry_after.map(retry_after_secs).or(retry_after),
        })
    }
}

/// Clients parse it as a URL and show it to people; what is no sound one is worth less than none.
fn is_for_clients(url: &str) -> bool {
    let plain = url.len() <= URL_OCTETS_MAX && url.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'"');
    plain && Url::parse(url).is_ok_and(|parsed| parsed.scheme() == "https" && parsed.has_host())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rest::examples;

    fn converted(change: impl FnOnce(&mut Value)) -> Result<RenewalInfo, Broken> {
        let mut json = examples::renewal_info();
        change(&mut json);
        super::super::read::<RenewalInfoIn>(json)?.convert(Some(Duration::from_secs(7)))
    }

    #[test]
    fn the_contracts_renewal_information_is_understood() {
        let expected = RenewalInfo {
            start: "2027-01-20T00:00:00Z".parse().unwrap(),
            end: "2027-01-24T00:00:00Z".parse().unwrap(),
            explanation_url: None,
            retry_after: Some(Duration::from_secs(21_600)),
        };
        assert_eq!(converted(|_| ()), Ok(expected));
    }

    #[test]
    fn a_window_that_does_not_end_after_its_start_is_broken() {
        for end in ["2027-01-20T00:00:00Z", "2027-01-19T00:00:00Z", "soon"] {
            assert!(converted(|json| json["suggestedWindow"]["end"] = json!(end)).is_err(), "{end}");
        }
    }

    #[test]
    fn only_a_sound_explanation_url_is_passed_on() {
        let passed = |url: &str| converted(|json| json["explanationURL"] = json!(url)).unwrap().explanation_url;
        let good = "https://ca.example.net/incidents/7?why=1";
        assert_eq!(passed(good).as_deref(), Some(good));
        let long = format!("https://ca.example.net/{}", "x".repeat(URL_OCTETS_MAX));
        for bad in
            ["http://ca.example.net/", "/incidents/7", "javascript:alert(1)", "https://", "https://a/\u{e9}", &long]
        {
            assert_eq!(passed(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_header_says_when_to_ask_again_if_the_body_does_not() {
        let info = converted(|json| json["retryAfter"] = json!(null)).unwrap();
        assert_eq!(info.retry_after, Some(Duration::from_secs(7)));
    }
}
