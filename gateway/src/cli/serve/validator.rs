//! The validator that the settings make, and what it never dials.

use std::net::{IpAddr, ToSocketAddrs as _};

use anyhow::Context as _;
use ipnet::IpNet;
use validation::Validator;

use crate::settings::Settings;

/// Asks for the addresses of this host and of the CM, which can take a while.
pub(super) fn validator(settings: &Settings) -> anyhow::Result<Validator> {
    let validation = &settings.validation;
    let contact = validation.contact_url.as_deref().unwrap_or("no contact configured");
    Ok(Validator::new(validation::Settings {
        resolvers: validation.resolvers.clone(),
        dns_timeout: validation.dns_timeout.duration(),
        http_port: validation.http_port,
        https_port: validation.https_port,
        tls_port: validation.tls_port,
        allow: validation.allow.clone(),
        public_addresses: validation.public_addresses,
        never: never_dialled(settings)?,
        danger_allow_loopback: validation.danger_allow_loopback,
        dial_timeout: validation.dial_timeout.duration(),
        attempt_timeout: validation.attempt_timeout.duration(),
        redirects_max: validation.redirects_max,
        user_agent: format!("acme-gateway/{} (domain validation; {contact})", env!("CARGO_PKG_VERSION")),
        ..validation::Settings::default()
    })?)
}

/// This host and the CM are never dialled for validation, whoever's name points at them. Loopback
/// has a rule of its own, so that a demonstration on one host can lift it.
fn never_dialled(settings: &Settings) -> anyhow::Result<Vec<IpNet>> {
    let own = if_addrs::get_if_addrs().context("cannot list the addresses of this host")?;
    let cm = cm_addresses(&settings.cm.url);
    let found = own.into_iter().map(|interface| interface.ip()).chain(cm).filter(|address| !address.is_loopback());
    Ok(settings.validation.never.iter().copied().chain(found.map(IpNet::from)).collect())
}

/// A CM whose name does not resolve now is not known by address; its network can be listed in
/// `validation.never`.
fn cm_addresses(url: &str) -> Vec<IpAddr> {
    const HTTPS: u16 = 443;
    let Ok(uri) = url.parse::<::http::Uri>() else { return Vec::new() };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    match (host, uri.port_u16().unwrap_or(HTTPS)).to_socket_addrs() {
        Ok(addresses) => addresses.map(|address| address.ip()).collect(),
        Err(error) => {
            tracing::warn!(host, error = %error, "the CM's name does not resolve; add its network to validation.never");
            Vec::new()
        }
    }
}
