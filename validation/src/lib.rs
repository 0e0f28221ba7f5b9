//! Proof of control: http-01 (RFC 8555 §8.3), dns-01 (§8.4) and tls-alpn-01 (RFC 8737).
//!
//! This is the one part of the gateway that dials addresses strangers choose, so it stands alone:
//! it knows no store, no certificate manager and no HTTP server, and every address it dials has
//! passed the address policy, `egress` (RFC 8555 §10.4). One call is one attempt, bounded in time as a whole; when to
//! try again, and remembering that it must be tried, is the caller's work.

mod caa;
mod dial;
mod dns_01;
mod egress;
mod failure;
mod fetch;
mod http_01;
pub mod parsers;
mod redirect;
mod resolver;
mod settings;
mod source;
mod tls;
mod tls_alpn_01;

use std::{fmt, sync::Arc};

use acme::{
    caa::{CaaEvidence, Issuance},
    challenge::{ChallengeKind, Evidence, KeyAuthorization, Token},
    identifier::Identifier,
    problem::ProblemKind,
    time::Timestamp,
};
use tokio::time::Instant;

use crate::{egress::Egress, fetch::Fetcher, resolver::Resolver};
pub use crate::{
    failure::Failure,
    settings::{Settings, SettingsError},
};

/// Looks for proofs of control from this machine. Cheap to clone; all clones share one resolver.
#[derive(Clone)]
pub struct Validator(Arc<Parts>);

/// What the challenges share.
struct Parts {
    settings: Settings,
    egress: Egress,
    resolver: Resolver,
    fetcher: Fetcher,
}

/// Where a proof was found.
struct Reached {
    /// The local address it was seen from, if known.
    source: Option<std::net::IpAddr>,
    /// `address:port`, or the name of the record.
    target: String,
}

impl Validator {
    /// Builds a validator. Nothing is dialled yet.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting that cannot stand.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let egress = Egress::new(&settings);
        let resolver = Resolver::new(&settings)?;
        let fetcher = Fetcher::new(&settings)?;
        Ok(Self(Arc::new(Parts { settings, egress, resolver, fetcher })))
    }

    /// Whether challenges of this kind can be validated.
    #[must_use]
    pub const fn can_validate(kind: ChallengeKind) -> bool {
        match kind {
            ChallengeKind::Http01 | ChallengeKind::Dns01 | ChallengeKind::TlsAlpn01 => true,
            ChallengeKind::DnsAccount01 | ChallengeKind::DnsPersist01 => false,
        }
    }

    /// Makes one attempt to see the proof, within [`Settings::attempt_timeout`].
    ///
    /// `now` is the time the evidence carries. A wildcard is proven for its base name.
    ///
    /// # Errors
    /// [`Failure`] with a problem made for the client, and whether a later attempt may succeed.
    pub async fn validate(
        &self,
        kind: ChallengeKind,
        identifier: &Identifier,
        token: &Token,
        key_authorization: &KeyAuthorization,
        now: Timestamp,
    ) -> Result<Evidence, Failure> {
        let parts = &self.0;
        let deadline = Instant::now() + parts.settings.attempt_timeout;
        let result = match (kind, identifier) {
            (ChallengeKind::Http01, Identifier::Dns(_) | Identifier::Ip(_)) => {
                http_01::validate(parts, identifier, token, key_authorization, deadline).await
            }
            (ChallengeKind::Dns01, Identifier::Dns(name) | Identifier::Wildcard(name)) => {
                dns_01::validate(parts, name, key_authorization, deadline).await
            }
            (ChallengeKind::TlsAlpn01, Identifier::Dns(_) | Identifier::Ip(_)) => {
                tls_alpn_01::validate(parts, identifier, key_authorization, deadline).await
            }
            (ChallengeKind::Http01 | ChallengeKind::TlsAlpn01, Identifier::Wildcard(_))
            | (ChallengeKind::Dns01, Identifier::Ip(_))
            | (ChallengeKind::DnsAccount01 | ChallengeKind::DnsPersist01, _) => Err(Failure::lasting(
                ProblemKind::ServerInternal,
                format!("{} cannot prove control of {identifier}", kind.as_str()),
            )),
        };
        match result {
            Ok(reached) => Ok(Evidence {
                perspective: "local".to_owned(),
                source: reached.source.map_or_else(|| "unknown".to_owned(), |address| address.to_string()),
                target: reached.target,
                at: now,
            }),
            Err(failure) => {
                tracing::debug!(
                    kind = kind.as_str(),
                    %identifier,
                    problem = ?failure.problem.kind,
                    retry = failure.retry,
                    "validation attempt failed"
                );
                Err(failure)
            }
        }
    }
}

impl Validator {
    /// Looks at the CAA records that govern a name, within [`Settings::attempt_timeout`]; a wildcard
    /// is governed by those of its base name, an address by none (RFC 8659 §3).
    ///
    /// # Errors
    /// [`Failure`] if they do not permit what is to be issued, or if they cannot be read.
    pub async fn check_caa(
        &self,
        identifier: &Identifier,
        issuance: &Issuance<'_>,
        now: Timestamp,
    ) -> Result<Option<CaaEvidence>, Failure> {
        let deadline = Instant::now() + self.0.settings.attempt_timeout;
        match identifier {
            Identifier::Dns(name) | Identifier::Wildcard(name) => {
                caa::check(&self.0, name, issuance, deadline, now).await.map(Some)
            }
            Identifier::Ip(_) => Ok(None),
        }
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Validator").field(&self.0.settings).finish()
    }
}
