//! http-01: a resource on the identifier's web server (RFC 8555 §8.3, RFC 8738 §3).
//!
//! Each hop is looked up, judged by the address policy and dialled literally: one IPv6 address
//! first, and if it cannot be connected to, one IPv4 address. Any answer is final.

use std::{net::SocketAddr, time::Duration};

use acme::{
    challenge::{KeyAuthorization, Token},
    identifier::Identifier,
    problem::ProblemKind,
};
use reqwest::{
    Response, StatusCode, Url,
    header::{CONTENT_ENCODING, LOCATION},
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use crate::{
    Failure, Parts, Reached,
    dial::{self, Candidates, NO_TURN},
    egress::Dialable,
    fetch::{BodyError, FetchError, Target, read_body},
    observation::{self, Observation, ms_since, note},
    redirect::{self, Ports},
    source,
};

/// One URL on the way to the proof.
struct Hop {
    /// The URL without a port, as it was asked for or redirected to.
    url: Url,
    /// Whose web server it is: a name or an address, never a wildcard.
    host: Identifier,
    /// What a client is told of it. A redirect's path is a stranger's header and is left out.
    label: String,
}

/// What came of one hop, up to the end of its header.
struct Answer {
    response: Response,
    address: SocketAddr,
    _turn: OwnedSemaphorePermit,
}

/// Follows the redirects to the key authorization.
pub(crate) async fn validate(
    parts: &Parts,
    identifier: &Identifier,
    token: &Token,
    key_authorization: &KeyAuthorization,
    deadline: Instant,
) -> Result<Reached, Failure> {
    let ports = Ports { http: parts.settings.http_port, https: parts.settings.https_port };
    let mut hop = Hop::first(identifier, token)?;
    let mut visited = vec![hop.url.clone()];
    loop {
        // The turn lasts until the answer has been read.
        let Answer { response, address, _turn } = reach(parts, &hop, deadline).await?;
        let status = response.status();
        tracing::info!(%identifier, host = %hop.host, %address, status = status.as_u16(), "http-01 answer");
        if redirect::is_redirect(status) {
            let redirects = visited.len();
            if redirects > parts.settings.redirects_max {
                let most = parts.settings.redirects_max;
                return Err(policy(&hop, address, &format!("redirects once too often; at most {most} are followed")));
            }
            let location = response.headers().get(LOCATION).map(|location| location.as_bytes());
            let followed = redirect::follow(&hop.url, location, ports);
            note(|| Observation::Redirect {
                to: followed.as_ref().ok().map(|(url, _)| observation::url(url)),
                refused: followed.as_ref().err().map(|refused| observation::text(&refused.to_string())),
            });
            let (url, host) = followed
                .map_err(|refused| policy(&hop, address, &format!("answered {}: {refused}", status.as_u16())))?;
            if visited.contains(&url) {
                return Err(policy(&hop, address, "redirects in a loop"));
            }
            visited.push(url.clone());
            hop = Hop::redirected(url, host, redirects);
        } else {
            check_answer(parts, &hop, address, response, key_authorization, deadline).await?;
            return Ok(Reached { source: source::towards(address), target: address.to_string(), reusable_until: None });
        }
    }
}

impl Hop {
    fn first(identifier: &Identifier, token: &Token) -> Result<Self, Failure> {
        let host = identifier.without_wildcard();
        let url = format!("http://{}/.well-known/acme-challenge/{}", in_url(&host), token.as_str());
        match Url::parse(&url) {
            Ok(parsed) => Ok(Self { url: parsed, host, label: url }),
            Err(_) => Err(Failure::lasting(ProblemKind::ServerInternal, format!("{identifier} does not fit in a URL"))),
        }
    }

    fn redirected(url: Url, host: Identifier, redirects: usize) -> Self {
        let label = format!("{}://{} (redirect {redirects})", url.scheme(), in_url(&host));
        Self { url, host, label }
    }

    fn port(&self, parts: &Parts) -> u16 {
        if self.url.scheme() == "https" { parts.settings.https_port } else { parts.settings.http_port }
    }
}

fn in_url(host: &Identifier) -> String {
    match host {
        Identifier::Dns(name) | Identifier::Wildcard(name) => name.to_string(),
        Identifier::Ip(std::net::IpAddr::V4(address)) => address.to_string(),
        Identifier::Ip(std::net::IpAddr::V6(address)) => format!("[{address}]"),
    }
}

/// Asks the one or two addresses of a hop.
async fn reach(parts: &Parts, hop: &Hop, deadline: Instant) -> Result<Answer, Failure> {
    let candidates = dial::candidates(parts, &parts.egress, &hop.host, &hop.label, deadline).await?;
    let address = |dialable: Dialable| SocketAddr::new(dialable.address(), hop.port(parts));
    let ask = async |dialable: Dialable, dial_timeout: Duration| {
        let host = in_url(&hop.host);
        let target = Target { url: &hop.url, host: &host, address: dialable, port: hop.port(parts) };
        let turn = dial::turn(parts, address(dialable), deadline).await.ok_or(FetchError::NoAnswer(NO_TURN))?;
        let started = Instant::now();
        let answer = parts.fetcher.get(target, dial_timeout, deadline).await;
        note(|| told(hop, address(dialable), &answer, ms_since(started)));
        answer.map(|response| Answer { response, address: address(dialable), _turn: turn })
    };
    let first = candidates.first;
    match (ask(first, candidates.first_timeout(parts, deadline)).await, candidates.second) {
        (Ok(answer), _) => Ok(answer),
        (Err(FetchError::NotConnected(reason)), Some(second)) => {
            let before = format!("{} {reason}, then ", address(first));
            let answer = ask(second, Candidates::second_timeout(parts, deadline)).await;
            answer.map_err(|error| no_answer(hop, &before, address(second), error))
        }
        (Err(error), _) => Err(no_answer(hop, "", address(first), error)),
    }
}

async fn check_answer(
    parts: &Parts,
    hop: &Hop,
    address: SocketAddr,
    response: Response,
    key_authorization: &KeyAuthorization,
    deadline: Instant,
) -> Result<(), Failure> {
    let status = response.status();
    if status != StatusCode::OK {
        let detail =
            format!("{}: {address} answered {}; expected 200 with the key authorization", hop.label, status.as_u16());
        // Not there yet, too busy, or broken for now; other answers are somebody's decision.
        let may_pass = status.is_server_error() || matches!(status.as_u16(), 404 | 429);
        return Err(Failure { retry: may_pass, ..Failure::passing(ProblemKind::IncorrectResponse, detail) });
    }
    let encodings = response.headers().get_all(CONTENT_ENCODING);
    if encodings.iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        note(|| judged(Some("it has a Content-Encoding")));
        let detail = format!(
            "{}: {address} answered 200 with a Content-Encoding; expected the key authorization as it is",
            hop.label
        );
        return Err(Failure::lasting(ProblemKind::IncorrectResponse, detail));
    }
    let octets_max = parts.settings.body_octets_max;
    let body = read_body(response, octets_max, deadline).await;
    note(|| judged(flaw_of(&body, key_authorization)));
    let body = body.map_err(|error| match error {
        BodyError::TooLarge => Failure::lasting(
            ProblemKind::IncorrectResponse,
            format!(
                "{}: {address} answered 200 with more than {octets_max} octets; expected the key authorization alone",
                hop.label
            ),
        ),
        BodyError::TimedOut => Failure::passing(
            ProblemKind::Connection,
            format!("{}: {address} answered 200 but did not finish the body in time", hop.label),
        ),
        BodyError::Broken => Failure::passing(
            ProblemKind::Connection,
            format!("{}: {address} answered 200 but broke the connection within the body", hop.label),
        ),
    })?;
    if is_proof(&body, key_authorization) {
        return Ok(());
    }
    Err(Failure::lasting(
        ProblemKind::IncorrectResponse,
        format!("{}: {address} answered 200 with something else; expected {}", hop.label, key_authorization.as_str()),
    ))
}

fn is_proof(body: &[u8], key_authorization: &KeyAuthorization) -> bool {
    trim_end(body) == key_authorization.as_str().as_bytes()
}

/// RFC 8555 §8.3: trailing white space does not count; anything else does.
fn trim_end(mut body: &[u8]) -> &[u8] {
    while let Some((b' ' | b'\t' | b'\r' | b'\n', rest)) = body.split_last() {
        body = rest;
    }
    body
}

fn policy(hop: &Hop, address: SocketAddr, what: &str) -> Failure {
    Failure::lasting(ProblemKind::Connection, format!("{}: {address} {what}", hop.label))
}

fn no_answer(hop: &Hop, before: &str, address: SocketAddr, error: FetchError) -> Failure {
    let label = &hop.label;
    match error {
        FetchError::NotConnected(reason) | FetchError::NoAnswer(reason) => {
            Failure::passing(ProblemKind::Connection, format!("{label}: {before}{address} {reason}"))
        }
        FetchError::NotHttp(reason) => {
            Failure::lasting(ProblemKind::Connection, format!("{label}: {before}{address} {reason}"))
        }
        FetchError::Tls(reason) => Failure::lasting(
            ProblemKind::Tls,
            format!("{label}: {before}the TLS handshake with {address} failed: {reason}"),
        ),
        FetchError::Internal => {
            Failure::passing(ProblemKind::ServerInternal, format!("{label}: the request could not be made"))
        }
    }
}

/// The answer to one request, for operators.
fn told(hop: &Hop, address: SocketAddr, answer: &Result<Response, FetchError>, ms: u64) -> Observation {
    let url = observation::url(&hop.url);
    let failed = |reason: &str| Some(observation::text(reason));
    match answer {
        Ok(response) => {
            let status = Some(response.status().as_u16());
            Observation::HttpAnswer { url, address, status, failure: None, ms }
        }
        Err(FetchError::NotConnected(reason)) => Observation::Dial { address, failure: failed(reason), ms },
        Err(FetchError::Tls(reason)) => Observation::Handshake { address, protocol: None, failure: failed(reason), ms },
        Err(FetchError::NoAnswer(reason) | FetchError::NotHttp(reason)) => {
            Observation::HttpAnswer { url, address, status: None, failure: failed(reason), ms }
        }
        Err(FetchError::Internal) => {
            let failure = failed("the request could not be made");
            Observation::HttpAnswer { url, address, status: None, failure, ms }
        }
    }
}

fn judged(flaw: Option<&str>) -> Observation {
    Observation::Judgement { subject: String::from("the body of the answer"), flaw: flaw.map(ToOwned::to_owned) }
}

fn flaw_of(body: &Result<Vec<u8>, BodyError>, key_authorization: &KeyAuthorization) -> Option<&'static str> {
    match body {
        Ok(body) if is_proof(body, key_authorization) => None,
        Ok(_) => Some("it is not the key authorization"),
        Err(BodyError::TooLarge) => Some("it is longer than a key authorization"),
        Err(BodyError::TimedOut) => Some("it did not end in time"),
        Err(BodyError::Broken) => Some("the connection broke within it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_at_the_end_is_trimmed() {
        let table: [(&[u8], &[u8]); 8] = [
            (b"a.b", b"a.b"),
            (b"a.b\n", b"a.b"),
            (b"a.b \t\r\n\r\n", b"a.b"),
            (b" a.b", b" a.b"),
            (b"\xef\xbb\xbfa.b", b"\xef\xbb\xbfa.b"),
            (b"a.b\x0b", b"a.b\x0b"),
            (b"a.b\0", b"a.b\0"),
            (b"\r\n", b""),
        ];
        for (body, trimmed) in table {
            assert_eq!(trim_end(body), trimmed);
        }
    }
}
