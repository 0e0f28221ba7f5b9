//! The JSON of the CM REST API and its conversion, by hand, into our types (CM contract
//! section 10).
//!
//! Unknown members of answers are ignored. Words that are not understood become the strictest
//! thing they could mean (section 3), and what cannot be taken at all is [`Broken`].

use std::time::Duration;

use acme::{base64url, identifier::Identifier};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Client, Jws};

pub(super) mod allowed_identifiers;
pub(super) mod certificate;
pub(super) mod event;
pub(super) mod problem;
pub(super) mod profile;
pub(super) mod realm;
pub(super) mod registration;
pub(super) mod renewal_info;
pub(super) mod request;
pub(super) mod revocation;
pub(super) mod service;
pub(super) mod validation;
mod waiver;

/// Most characters of a user agent that the contract takes.
const USER_AGENT_CHARACTERS_MAX: usize = 256;

/// An answer that breaks the contract; the text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the CM's answer breaks the contract: {0}")]
pub(super) struct Broken(pub(super) String);

/// A page of a list (section 3, Pages).
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) items: Vec<serde_json::Value>,
    #[serde(default)]
    pub(super) next: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ProofOut<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    jws: &'a Jws,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientOut {
    ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct IdentifierIn {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) value: String,
}

impl<'a> ProofOut<'a> {
    pub(super) const fn of(proof: &'a crate::Proof) -> Self {
        Self { kind: "acme", jws: &proof.0 }
    }
}

impl ClientOut {
    pub(super) fn of(client: &Client) -> Self {
        let shown = |agent: &String| agent.chars().take(USER_AGENT_CHARACTERS_MAX).collect();
        Self { ip: client.ip.to_canonical().to_string(), user_agent: client.user_agent.as_ref().map(shown) }
    }
}

/// Takes an answer apart.
pub(super) fn read<T: DeserializeOwned>(json: serde_json::Value) -> Result<T, Broken> {
    serde_json::from_value(json).map_err(|error| Broken(error.to_string()))
}

fn identifiers(list: &[IdentifierIn]) -> Result<Vec<Identifier>, Broken> {
    let take = |name: &IdentifierIn| {
        Identifier::parse(&name.kind, &name.value).map_err(|error| Broken(format!("identifier: {error}")))
    };
    list.iter().map(take).collect()
}

fn sha256(hex: &str) -> Result<[u8; 32], Broken> {
    let octets = data_encoding::HEXLOWER.decode(hex.as_bytes()).ok();
    let digest = octets.and_then(|octets| <[u8; 32]>::try_from(octets).ok());
    digest.ok_or_else(|| Broken(String::from("a digest is not 64 lowercase hexadecimal digits")))
}

fn octets(text: &str) -> Result<Vec<u8>, Broken> {
    base64url::decode(text).map_err(|error| Broken(error.to_string()))
}

fn parsed<T: std::str::FromStr>(member: &str, text: &str) -> Result<T, Broken>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| Broken(format!("{member}: {error}")))
}

/// Takes a duration such as `P90D` or `P1DT12H`: the subset of ISO 8601 that section 10 names.
pub(in crate::rest) fn duration(text: &str) -> Result<Duration, Broken> {
    let broken = || Broken(format!("{} is not a duration such as P90D", acme::problem::shown(text)));
    let rest = text.strip_prefix('P').ok_or_else(broken)?;
    let (days, clock) = rest.split_once('T').unwrap_or((rest, ""));
    let units = [("D", 86_400_u64), ("H", 3600), ("M", 60), ("S", 1)];
    let (day, hours) = units.split_at(1);
    if rest.is_empty() || rest.ends_with('T') {
        return Err(broken());
    }
    let seconds = span(days, day).and_then(|days| days.checked_add(span(clock, hours)?));
    seconds.map(Duration::from_secs).ok_or_else(broken)
}

/// Adds up numbers with units, each unit at most once and in this order.
fn span(mut text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let mut seconds = 0_u64;
    for (unit, length_secs) in units {
        if let Some((count, rest)) = text.split_once(unit)
            && count.bytes().all(|octet| octet.is_ascii_digit())
        {
            seconds = seconds.checked_add(count.parse::<u64>().ok()?.checked_mul(*length_secs)?)?;
            text = rest;
        }
    }
    text.is_empty().then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_days_hours_minutes_and_seconds() {
        let table = [("P90D", 90 * 86_400), ("PT1M", 60), ("P1DT12H", 129_600), ("PT1H2M3S", 3723), ("P0D", 0)];
        for (text, seconds) in table {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        let refused =
            ["", "P", "PT", "90D", "P1Y", "P1M", "PT1D", "P-1D", "P1.5D", "PT1M1H", "P1DT", "P99999999999999999999D"];
        for text in refused {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn digests_are_lowercase_and_complete() {
        assert!(sha256(&"0a".repeat(32)).is_ok());
        for refused in ["", "0a", &"0A".repeat(32), &"0a".repeat(33)] {
            assert!(sha256(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_user_agent_is_cut_and_an_address_has_one_form() {
        let client = Client { ip: "::ffff:192.0.2.1".parse().unwrap(), user_agent: Some("ü".repeat(300)) };
        let out = ClientOut::of(&client);
        assert_eq!((out.ip.as_str(), out.user_agent.unwrap().chars().count()), ("192.0.2.1", 256));
    }
}
