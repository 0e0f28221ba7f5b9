//! One GET to one address that passed the policy, and what can be wrong with its answer.
//!
//! The address is dialled literally: no lookup, no proxy, no redirect, no pool, no HTTP/2, no
//! decompression happens behind this file. Error texts of the libraries stay here, for they may
//! quote what a stranger sent.

use std::{error::Error, future, io, net::SocketAddr, time::Duration};

use acme::problem::shown;
use reqwest::{
    Client, Response, Url,
    dns::{Name, Resolve, Resolving},
    header::{ACCEPT, CONNECTION, HOST, HeaderMap, HeaderValue},
    redirect, retry,
};
use tokio::time::{Instant, timeout_at};

use crate::{
    egress::Dialable,
    settings::{Settings, SettingsError},
    tls,
};

/// Most octets of all header fields together.
const HEADER_OCTETS_MAX: usize = 16 * 1024;

/// Makes requests, each over its own connection.
pub(crate) struct Fetcher {
    tls: rustls::ClientConfig,
    user_agent: HeaderValue,
}

/// Whom to ask for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The resource; its host is a name, or the address itself.
    pub(crate) url: &'a Url,
    /// What goes into `Host`: the name or the address, never a port.
    pub(crate) host: &'a str,
    /// The address that passed the policy.
    pub(crate) address: Dialable,
    /// The TCP port.
    pub(crate) port: u16,
}

/// Why there is no answer. The texts are for clients: they continue "`address:port` …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FetchError {
    /// No connection came about; another address may do.
    NotConnected(&'static str),
    /// The TLS handshake failed.
    Tls(String),
    /// Connected, but no usable answer came.
    NoAnswer(&'static str),
    /// What came is not what anybody should serve there.
    NotHttp(&'static str),
    /// Our own fault.
    Internal,
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Longer than the limit; the rest was not read.
    TooLarge,
    /// It did not end in time.
    TimedOut,
    /// The connection broke first.
    Broken,
}

impl Fetcher {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            tls: tls::with_any_certificate().map_err(|error| SettingsError::Tls(error.to_string()))?,
            user_agent: HeaderValue::from_str(&settings.user_agent).map_err(|_| SettingsError::UserAgent)?,
        })
    }

    /// Sends the request and takes the answer up to the end of its header.
    pub(crate) async fn get(
        &self,
        target: Target<'_>,
        dial_timeout: Duration,
        deadline: Instant,
    ) -> Result<Response, FetchError> {
        let request = self.request(target, dial_timeout).ok_or(FetchError::Internal)?;
        let response = match timeout_at(deadline, request.send()).await {
            Ok(result) => result.map_err(|error| classify(&error))?,
            Err(_) => return Err(FetchError::NoAnswer("did not answer in time")),
        };
        let octets = |(name, value): (&reqwest::header::HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        if response.headers().iter().map(octets).sum::<usize>() > HEADER_OCTETS_MAX {
            return Err(FetchError::NotHttp("answered with more than 16 KiB of header fields"));
        }
        Ok(response)
    }

    /// A client per request, because the dial timeout and the pinned name are the client's; TLS
    /// settings, the costly part, are shared.
    fn request(&self, target: Target<'_>, dial_timeout: Duration) -> Option<reqwest::RequestBuilder> {
        let address = SocketAddr::new(target.address.address(), target.port);
        let builder = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .http1_only()
            .pool_max_idle_per_host(0)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .dns_resolver(NoLookups)
            .connect_timeout(dial_timeout);
        let mut url = target.url.clone();
        url.set_port(Some(target.port)).ok()?;
        let client = match url.domain() {
            // The name has to stay in the URL for SNI; it is pinned to the address.
            Some(name) if url.scheme() == "https" => builder.resolve(name, address).build().ok()?,
            Some(_) | None => {
                url.set_ip_host(address.ip()).ok()?;
                builder.build().ok()?
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(target.host).ok()?);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(reqwest::header::USER_AGENT, self.user_agent.clone());
        Some(client.get(url).headers(headers))
    }
}

/// Reads a body to its end, but never more than `octets_max` of it.
pub(crate) async fn read_body(
    mut response: Response,
    octets_max: usize,
    deadline: Instant,
) -> Result<Vec<u8>, BodyError> {
    let fits = |octets: u64| usize::try_from(octets).is_ok_and(|octets| octets <= octets_max);
    if response.content_length().is_some_and(|octets| !fits(octets)) {
        return Err(BodyError::TooLarge);
    }
    let mut body = Vec::with_capacity(octets_max);
    loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() > octets_max => return Err(BodyError::TooLarge),
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            Ok(Ok(None)) => return Ok(body),
            Ok(Err(_)) => return Err(BodyError::Broken),
            Err(_) => return Err(BodyError::TimedOut),
        }
    }
}

/// Refuses every lookup: addresses come from our own resolver, through the policy, or not at all.
struct NoLookups;

impl Resolve for NoLookups {
    fn resolve(&self, _name: Name) -> Resolving {
        Box::pin(future::ready(Err("no lookups here".into())))
    }
}

fn classify(error: &reqwest::Error) -> FetchError {
    if error.is_builder() || error.is_dns() {
        return FetchError::Internal;
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        return FetchError::Tls(shown(&tls.to_string()).into_owned());
    }
    let io = cause::<io::Error>(error).map(io::Error::kind);
    if error.is_connect() {
        return FetchError::NotConnected(match io {
            _ if error.is_timeout() => "did not complete a connection in time",
            Some(io::ErrorKind::TimedOut) => "did not complete a connection in time",
            Some(io::ErrorKind::ConnectionRefused) => "refused the connection",
            Some(io::ErrorKind::ConnectionReset) => "reset the connection",
            Some(io::ErrorKind::UnexpectedEof) => "closed the connection during the TLS handshake",
            Some(_) | None => "could not be reached",
        });
    }
    match cause::<hyper::Error>(error) {
        Some(answer) if answer.is_parse_version_h2() => {
            FetchError::NotHttp("speaks HTTP/2 without being asked; plain HTTP/1.1 is expected there")
        }
        Some(answer) if answer.is_parse() => FetchError::NotHttp(
            "did not answer with a sound HTTP/1.1 header; if TLS or HTTP/2 is spoken on that port, serve plain HTTP/1.1",
        ),
        Some(answer) if answer.is_incomplete_message() => {
            FetchError::NoAnswer("closed the connection before it answered")
        }
        Some(_) | None => FetchError::NoAnswer("broke the connection before it answered"),
    }
}

/// The first error of this type among an error and its causes. An [`io::Error`] hides the error it
/// wraps from `source`, so it is asked for by name.
fn cause<'error, Wanted: Error + 'static>(error: &'error (dyn Error + 'static)) -> Option<&'error Wanted> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<Wanted>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_found_behind_io_errors() {
        let tls = rustls::Error::HandshakeNotComplete;
        let error = io::Error::other(io::Error::other(tls.clone()));
        assert_eq!(cause::<rustls::Error>(&error), Some(&tls));
        assert_eq!(cause::<hyper::Error>(&error).map(ToString::to_string), None);
    }
}
