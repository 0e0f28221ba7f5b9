//! The HTTP client of all adapters, and how its failures read in the log.

use std::time::Duration;

use super::SetupError;

/// A client that trusts whom this TLS trusts and nobody else, follows no redirect and uses no proxy: the settings of
/// section 6 that hold for every connection. TCP and TLS set-up share one
/// limit, as the library has but one for both.
pub(crate) fn client(tls: rustls::ClientConfig, connect_max: Duration) -> Result<reqwest::Client, SetupError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .user_agent(concat!("acme-gateway/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect_max)
        .pool_idle_timeout(Duration::from_secs(50))
        .pool_max_idle_per_host(32)
        .http2_keep_alive_interval(Duration::from_secs(15))
        .http2_keep_alive_timeout(Duration::from_secs(5))
        .http2_max_header_list_size(64 * 1024)
        .tcp_keepalive(Duration::from_secs(15))
        .tcp_keepalive_interval(Duration::from_secs(5))
        .tcp_keepalive_retries(3)
        .tcp_user_timeout(Duration::from_secs(20))
        .build()
        .map_err(|error| SetupError::Client(chain_of(&error)))
}

/// An error and what caused it, on one line.
pub(crate) fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
