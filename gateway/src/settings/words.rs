//! Words, addresses and networks in settings. A wrong one is told with those that there are, or with an example.

use std::{net::SocketAddr, str::FromStr};

use acme::{caa::Weight, challenge::ChallengeKind};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{ClientCertificates, CmKind, LogFormat, Mode, OnFailure};

pub(super) fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
    one_of(deserializer, "mode", &[("open", Mode::Open), ("registered", Mode::Registered)])
}

pub(super) fn log_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LogFormat, D::Error> {
    one_of(deserializer, "format", &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

pub(super) fn cm_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CmKind, D::Error> {
    one_of(deserializer, "kind of CM", &[("rest", CmKind::Rest), ("openbao", CmKind::OpenBao)])
}

pub(super) fn on_failure<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OnFailure, D::Error> {
    one_of(deserializer, "way", &[("stop", OnFailure::Stop), ("continue", OnFailure::Continue)])
}

pub(super) fn client_certificates<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ClientCertificates, D::Error> {
    let known = [("ignore", ClientCertificates::Ignore), ("request", ClientCertificates::Request)];
    one_of(deserializer, "way", &known)
}

pub(super) fn caa<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Weight, D::Error> {
    let known = [("enforce", Weight::Enforce), ("advisory", Weight::Advisory), ("off", Weight::Off)];
    one_of(deserializer, "weight", &known)
}

pub(super) fn challenges<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ChallengeKind>, D::Error> {
    let known = ChallengeKind::ALL.map(|kind| (kind.as_str(), kind));
    texts(deserializer)?.iter().map(|text| chosen(text, "challenge", &known).map_err(D::Error::custom)).collect()
}

/// An address to listen at.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parsed(&String::deserialize(deserializer)?, LISTEN).map_err(D::Error::custom)
}

/// Addresses to listen at.
pub(super) fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    all(deserializer, LISTEN)
}

pub(super) fn resolvers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    all(deserializer, "address with a port; give both, such as 10.0.0.53:53")
}

pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    all(deserializer, "network; give an address and a length, such as 10.0.0.0/8 or 10.0.0.1/32")
}

const LISTEN: &str = "address with a port; give both, such as [::1]:443 or 127.0.0.1:443";

fn one_of<'de, D: Deserializer<'de>, T: Copy>(deserializer: D, what: &str, known: &[(&str, T)]) -> Result<T, D::Error> {
    chosen(&String::deserialize(deserializer)?, what, known).map_err(D::Error::custom)
}

fn chosen<T: Copy>(text: &str, what: &str, known: &[(&str, T)]) -> Result<T, String> {
    known.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let mut words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
        let last = words.pop().unwrap_or_default();
        format!("there is no {what} {text}; give {} or {last}", words.join(", "))
    })
}

fn all<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D, what: &str) -> Result<Vec<T>, D::Error> {
    texts(deserializer)?.iter().map(|text| parsed(text, what).map_err(D::Error::custom)).collect()
}

fn parsed<T: FromStr>(text: &str, what: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("{text} is no {what}"))
}

/// A list. An environment variable that is empty stands for the empty one.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let is_nothing = matches!(texts.as_slice(), [one] if one.is_empty());
    Ok(if is_nothing { Vec::new() } else { texts })
}
