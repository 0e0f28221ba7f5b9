//! Proof of control: http-01 (RFC 8555 §8.3), dns-01 (§8.4), tls-alpn-01 (RFC 8737), the drafts
//! dns-account-01 and dns-persist-01; and CAA (RFC 8659).
//!
//! This is the one part of the gateway that dials addresses strangers choose, so it stands alone:
//! it knows no store, no certificate manager and no HTTP server, and every address it dials has
//! passed the address policy, `egress` (RFC 8555 §10.4). One call is one attempt, bounded in time as a whole; when to
//! try again, and remembering that it must be tried, is the caller's work.

mod caa;
mod denied;
mod dial;
mod dns_01;
mod dns_account_01;
mod dns_persist_01;
mod egress;
mod failure;
mod fetch;
mod http_01;
mod networks;
mod observation;
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

use crate::{egress::Egress, fetch::Fetcher, networks::Networks, resolver::Resolver};
pub use crate::{
    failure::Failure,
    observation::{Answer, OBSERVATIONS_MAX, Observation, TEXT_OCTETS_MAX, observed},
    settings::{Settings, SettingsError},
};

/// Looks for proofs of control from this machine. Cheap to clone; all clones share one resolver.
#[derive(Clone)]
pub struct Validator(Arc<Parts>);

/// What the challenges share.
struct Parts {
    settings: Settings,
    egress: Egress,
    egress_to_ourselves: Egress,
    resolver: Resolver,
    fetcher: Fetcher,
    networks: Networks,
}

/// What a proof has to show, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The challenge's token.
    pub token: &'a Token,
    /// What it was bound to when the client responded.
    pub key_authorization: &'a KeyAuthorization,
    /// The account's URL; the records of the drafts name it.
    pub account_url: &'a str,
    /// The names of the issuer that the challenge offered; for dns-persist-01 only.
    pub issuer_domain_names: &'a [String],
}

/// Where a proof was found.
struct Reached {
    /// The local address it was seen from, if known.
    source: Option<std::net::IpAddr>,
    /// `address:port`, or the name of the record.
    target: String,
    /// How long new orders may rest on it, if what was seen says so.
    reusable_until: Option<Timestamp>,
}

impl Validator {
    /// Builds a validator. Nothing is dialled yet.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting that cannot stand.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let (egress, egress_to_ourselves) = (Egress::new(&settings), Egress::to_ourselves(&settings));
        let resolver = Resolver::new(&settings)?;
        let fetcher = Fetcher::new(&settings)?;
        let networks = Networks::new(settings.concurrent_per_network_max);
        Ok(Self(Arc::new(Parts { settings, egress, egress_to_ourselves, resolver, fetcher, networks })))
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
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<Evidence, Failure> {
        let parts = &self.0;
        let deadline = Instant::now() + parts.settings.attempt_timeout;
        let Expected { token, key_authorization, account_url, issuer_domain_names } = *expected;
        let result = match (kind, identifier) {
            (ChallengeKind::Http01, Identifier::Dns(_) | Identifier::Ip(_)) => {
                http_01::validate(parts, identifier, token, key_authorization, deadline).await
            }
            (ChallengeKind::TlsAlpn01, Identifier::Dns(_) | Identifier::Ip(_)) => {
                tls_alpn_01::validate(parts, identifier, key_authorization, deadline).await
            }
            (ChallengeKind::Dns01, Identifier::Dns(name) | Identifier::Wildcard(name)) => {
                dns_01::validate(parts, name, key_authorization, deadline).await
            }
            (ChallengeKind::DnsAccount01, Identifier::Dns(name) | Identifier::Wildcard(name)) => {
                dns_account_01::validate(parts, name, account_url, key_authorization, deadline).await
            }
            (ChallengeKind::DnsPersist01, Identifier::Dns(name) | Identifier::Wildcard(name)) => {
                let is_wildcard = identifier.is_wildcard();
                let wanted = dns_persist_01::Wanted { issuer_domain_names, account_url, is_wildcard, now };
                dns_persist_01::validate(parts, name, &wanted, deadline).await
            }
            (ChallengeKind::Http01 | ChallengeKind::TlsAlpn01, Identifier::Wildcard(_))
            | (ChallengeKind::Dns01 | ChallengeKind::DnsAccount01 | ChallengeKind::DnsPersist01, Identifier::Ip(_)) => {
                Err(Failure::lasting(
                    ProblemKind::ServerInternal,
                    format!("{} cannot prove control of {identifier}", kind.as_str()),
                ))
            }
        };
        match result {
            Ok(reached) => Ok(Evidence {
                perspective: "local".to_owned(),
                source: reached.source.map_or_else(|| "unknown".to_owned(), |address| address.to_string()),
                target: reached.target,
                at: now,
                caa: None,
                reusable_until: reached.reusable_until,
            }),
            Err(failure) => {
                tracing::info!(
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
