//! What is asked of a request before anything else is done for it: whether its address has sent too
//! many. Revocations are never kept out by other requests.

use acme::problem::ProblemKind;
use actix_web::{dev::ServiceRequest, http::Method};

use super::HttpError;
use crate::{
    app::App,
    limits::{Exceeded, Purpose},
};

/// What a path is for, as far as limits go.
pub(super) fn purpose(path: &str) -> Purpose {
    let of_endpoint = path.strip_prefix("/acme/").and_then(|path| path.split_once('/'));
    if of_endpoint.is_some_and(|(_, resource)| resource == "revoke-cert") {
        Purpose::Revocation
    } else {
        Purpose::Other
    }
}

/// Counts a request and lets it in, or says when to come again.
pub(super) fn admit(app: &App, request: &ServiceRequest) -> Result<(), HttpError> {
    let (path, address) = (request.uri().path(), request.peer_addr().map(|address| address.ip()));
    let admitted = app.limits.request(address, purpose(path));
    Ok(admitted.map_err(|exceeded| {
        // For a nonce clients wait and ask again after 503, while some give up after 429.
        let is_for_nonce = request.method() != Method::POST && path.ends_with("/new-nonce");
        exceeded.as_kind(if is_for_nonce { ProblemKind::Unavailable } else { ProblemKind::RateLimited })
    })?)
}

impl From<Exceeded> for HttpError {
    fn from(exceeded: Exceeded) -> Self {
        exceeded.as_kind(ProblemKind::RateLimited).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_only_ends_like_that_of_revocations_counts_as_any_other() {
        let is_revocation = |path| purpose(path) == Purpose::Revocation;
        assert!(is_revocation("/acme/tls/revoke-cert"));
        for other in
            ["/acme/tls/order/revoke-cert", "/acme/tls/acct/1/revoke-cert", "/revoke-cert", "/acme/revoke-cert"]
        {
            assert!(!is_revocation(other), "{other}");
        }
    }
}
