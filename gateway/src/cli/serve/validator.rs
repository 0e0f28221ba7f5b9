//! The validator that the settings make, and what it never dials.

use std::net::{IpAddr, ToSocketAddrs as _};

use acme::identifier::DnsName;
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
        never: never_dialled(settings),
        own: own_addresses()?,
        own_names: own_names(settings),
        danger_allow_loopback: validation.danger_allow_loopback,
        dial_timeout: validation.dial_timeout.duration(),
        attempt_timeout: validation.attempt_timeout.duration(),
        redirects_max: validation.redirects_max,
        concurrent_per_network_max: validation.concurrent_per_target_max,
        user_agent: format!("acme-gateway/{} (domain validation; {contact})", env!("CARGO_PKG_VERSION")),
        ..validation::Settings::default()
    })?)
}

/// The CM is never dialled for validation, whoever's name points at it.
fn never_dialled(settings: &Settings) -> Vec<IpNet> {
    let cm = settings.cm.urls().flat_map(cm_addresses);
    settings.validation.never.iter().copied().chain(without_loopback(cm)).collect()
}

/// Nor is this host, whoever's name points at it, except to prove its own name.
fn own_addresses() -> anyhow::Result<Vec<IpNet>> {
    let own = if_addrs::get_if_addrs().context("cannot list the addresses of this host")?;
    Ok(without_loopback(own.into_iter().map(|interface| interface.ip())).collect())
}

/// Loopback has a rule of its own, so that a demonstration on one host can lift it.
fn without_loopback(addresses: impl IntoIterator<Item = IpAddr>) -> impl Iterator<Item = IpNet> {
    addresses.into_iter().filter(|address| !address.is_loopback()).map(IpNet::from)
}

/// The names that the gateway asks certificates for itself.
fn own_names(settings: &Settings) -> Vec<DnsName> {
    let names = if settings.server_certificate.from_endpoint.is_some() { settings.server_names() } else { Vec::new() };
    names.iter().filter_map(|name| DnsName::parse(name).ok()).collect()
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
