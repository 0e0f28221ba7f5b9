//! The events, and how they are written. Member names are stable: people search for them.

use std::{collections::BTreeMap, net::IpAddr};

use acme::{
    account_key::Thumbprint,
    authorization::Authorization,
    base64url,
    certificate::{CertificateId, CheckedCertificate},
    challenge::{ChallengeKind, Evidence},
    failure_run::FailureRun,
    identifier::Identifier,
    ids::{CertificateRequestId, EndpointName, IdempotencyKey, JobId, OrderId, RegistrationId},
    order::{CsrDigest, Order, Progress},
    problem::Problem,
    registration::Registration,
    revocation::RevocationReason,
    time::Timestamp,
};
use cm_connector::Basis;
use serde_json::{Value, json};
use store::{ProfileStop, Stopped};
use validation::Observation;

use super::{AccountRequest, Fingerprints};
use crate::redaction::without_tokens;

/// Something that an auditor will ask about.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// Written down, before the CM is asked.
    AccountRequested(&'a AccountRequest<'a>),
    /// The CM has refused, or nobody knows.
    AccountUnconfirmed {
        request: &'a AccountRequest<'a>,
        why: &'a str,
    },
    AccountCreated {
        endpoint: &'a EndpointName,
        account: &'a RegistrationId,
        external_account: Option<&'a str>,
        /// The client came by a directory link.
        by_directory_link: bool,
        /// The terms that it agreed to.
        terms_of_service: Option<&'a str>,
        key: Thumbprint,
        client: IpAddr,
    },
    /// An external account key or a directory link did not bind an account.
    BindingRefused {
        endpoint: &'a EndpointName,
        /// `None` for a directory link.
        key_id: Option<&'a str>,
        key: Thumbprint,
        client: IpAddr,
        why: String,
    },
    /// Other contacts.
    AccountUpdated {
        endpoint: &'a EndpointName,
        asked: Asked<'a>,
    },
    /// To terms that have changed.
    AccountAgreed {
        endpoint: &'a EndpointName,
        asked: Asked<'a>,
        terms_of_service: &'a str,
    },
    AccountKeyChanged {
        endpoint: &'a EndpointName,
        account: &'a RegistrationId,
        old_key: Option<&'a Thumbprint>,
        new_key: Thumbprint,
        client: IpAddr,
    },
    AccountDeactivated {
        endpoint: &'a EndpointName,
        asked: Asked<'a>,
    },
    OrderCreated {
        order: &'a Order,
        asked: Asked<'a>,
    },
    /// Control of some of its names need not be proven.
    OrderWaived {
        order: &'a Order,
        /// The authorizations that are valid by that.
        authorizations: Vec<&'a Authorization>,
    },
    AuthorizationCreated {
        authorization: &'a Authorization,
        asked: Asked<'a>,
    },
    AuthorizationRevoked {
        authorization: &'a Authorization,
    },
    AuthorizationDeactivated {
        authorization: &'a Authorization,
        asked: Asked<'a>,
    },
    Validated {
        authorization: &'a Authorization,
        kind: ChallengeKind,
        outcome: &'a Result<Evidence, Problem>,
        /// From 1; for the transcript, as is what was seen.
        attempt: u32,
        seen: &'a [Observation],
    },
    /// New orders for it are refused from now on.
    IdentifierPaused {
        run: &'a FailureRun,
        /// Whose failure was one too many.
        authorization: &'a Authorization,
    },
    /// By a person, through the link in the refusal.
    IdentifiersUnpaused {
        endpoint: &'a EndpointName,
        account: &'a RegistrationId,
        identifiers: Vec<&'a Identifier>,
        client: IpAddr,
    },
    OrderFinalized {
        order: &'a Order,
        csr: CsrDigest,
        asked: Asked<'a>,
    },
    /// The CSR may have been sent to the CM from now on.
    CertificateRequested {
        order: &'a Order,
        key: &'a IdempotencyKey,
    },
    CertificateIssued {
        order: &'a Order,
        certificate: &'a CertificateId,
        request: Option<&'a CertificateRequestId>,
        checked: Option<&'a CheckedCertificate>,
    },
    OrderFailed {
        order: &'a Order,
    },
    /// Written down, before the CM is asked.
    RevocationRequested {
        endpoint: &'a EndpointName,
        account: Option<&'a RegistrationId>,
        basis: &'a Basis,
        client: IpAddr,
        certificate: &'a CertificateId,
        reason: RevocationReason,
    },
    RevocationRefused {
        endpoint: &'a EndpointName,
        account: &'a RegistrationId,
        client: IpAddr,
        serial: &'a str,
        problem: &'a Problem,
    },
    CertificateRevoked {
        endpoint: &'a EndpointName,
        /// The account that asked; `None` for whoever holds the certificate's key.
        account: Option<&'a RegistrationId>,
        /// By what right.
        basis: &'a Basis,
        client: IpAddr,
        certificate: &'a CertificateId,
        reason: RevocationReason,
    },
    /// A revocation that was accepted has ended, and the certificate may be good still. What is `None` cannot be read.
    RevocationFailed {
        endpoint: Option<&'a EndpointName>,
        /// The account that asked; also `None` for whoever holds the certificate's key.
        account: Option<&'a RegistrationId>,
        certificate: Option<&'a CertificateId>,
        reason: Option<RevocationReason>,
        why: &'a str,
    },
    /// One that the client was told is not done, or that was done before: nobody relies on it.
    RevocationUnconfirmed {
        endpoint: &'a EndpointName,
        account: Option<&'a RegistrationId>,
        certificate: &'a CertificateId,
        reason: RevocationReason,
        client: IpAddr,
        why: &'a str,
    },
    /// Nothing is asked for by it from now on, because of a bad certificate.
    ProfileStopped {
        stop: &'a ProfileStop,
    },
    /// By an operator of this machine.
    ProfileResumed {
        stop: &'a Stopped,
        by: &'a str,
    },
    /// The record of a job cannot be read: what it was to do is not done.
    JobForgotten {
        job: &'a JobId,
        /// If it was an issuance.
        order: Option<&'a OrderId>,
        why: String,
    },
    /// Read again while running.
    SettingsLoaded {
        /// The names of those that are in force.
        changed: &'a [String],
        /// The names of those that wait for a restart.
        waiting: &'a [String],
        digest: String,
    },
    SettingsRefused {
        why: String,
    },
    /// Certificates and keys of the gateway itself, and those that it trusts, were read and are in use.
    IdentityLoaded {
        of: &'a str,
        shown: Option<Fingerprints>,
        trusted: Option<Fingerprints>,
    },
    /// They were read again and cannot be used.
    IdentityRefused {
        of: &'a str,
        why: &'a str,
    },
    /// What was refused beside what has an event of its own, by type and by limit.
    RequestsRefused {
        since: Timestamp,
        problems: &'a BTreeMap<String, u64>,
        limits: &'a BTreeMap<String, u64>,
    },
}

/// Who asked for something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) registration: &'a Registration,
    pub(crate) client: Option<IpAddr>,
}

impl Asked<'_> {
    /// The account key that signed.
    pub(super) fn key(&self) -> Option<String> {
        self.registration.key.as_ref().map(|bound| bound.thumbprint.to_string())
    }
}

impl Event<'_> {
    /// The event as it is stored and logged.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::AccountRequested(request) => request.to_json("account.requested", None),
            Self::AccountUnconfirmed { request, why } => request.to_json("account.unconfirmed", Some(why)),
            Self::AccountCreated {
                endpoint,
                account,
                external_account,
                by_directory_link,
                terms_of_service,
                key,
                client,
            } => json!({
                "event": "account.created", "endpoint": endpoint, "account": account,
                "externalAccount": external_account, "byDirectoryLink": by_directory_link,
                "termsOfService": terms_of_service, "accountKey": key.to_string(), "client": client,
            }),
            Self::BindingRefused { endpoint, key_id, key, client, why } => json!({
                "event": "binding.refused", "endpoint": endpoint, "externalAccount": key_id,
                "byDirectoryLink": key_id.is_none(), "accountKey": key.to_string(), "client": client, "why": why,
            }),
            Self::AccountUpdated { endpoint, asked } => json!({
                "event": "account.updated", "endpoint": endpoint, "account": asked.registration.id,
                "accountKey": asked.key(), "client": asked.client,
            }),
            Self::AccountAgreed { endpoint, asked, terms_of_service } => json!({
                "event": "account.agreed", "endpoint": endpoint, "account": asked.registration.id,
                "termsOfService": terms_of_service, "accountKey": asked.key(), "client": asked.client,
            }),
            Self::AccountKeyChanged { endpoint, account, old_key, new_key, client } => json!({
                "event": "account.key-changed", "endpoint": endpoint, "account": account,
                "oldKey": old_key.map(ToString::to_string), "newKey": new_key.to_string(), "client": client,
            }),
            Self::AccountDeactivated { endpoint, asked } => json!({
                "event": "account.deactivated", "endpoint": endpoint, "account": asked.registration.id,
                "accountKey": asked.key(), "client": asked.client,
            }),
            Self::OrderCreated { order, asked } => json!({
                "event": "order.created", "endpoint": order.endpoint, "account": order.account, "order": order.id,
                "identifiers": order.identifiers, "profile": order.profile, "authorizations": order.authorizations,
                "reused": order.reused, "replaces": order.replaces, "notBefore": order.not_before,
                "notAfter": order.not_after, "accountKey": asked.key(), "client": asked.client,
            }),
            Self::OrderWaived { order, authorizations } => json!({
                "event": "order.waived", "endpoint": order.endpoint, "account": order.account, "order": order.id,
                "waived": authorizations.iter().filter_map(|one| waived(one)).collect::<Vec<_>>(),
            }),
            Self::AuthorizationCreated { authorization, asked } => json!({
                "event": "authorization.created", "endpoint": authorization.endpoint,
                "account": authorization.account, "authorization": authorization.id,
                "identifier": authorization.identifier, "accountKey": asked.key(), "client": asked.client,
            }),
            Self::AuthorizationRevoked { authorization } => json!({
                "event": "authorization.revoked", "endpoint": authorization.endpoint,
                "account": authorization.account, "authorization": authorization.id,
                "identifier": authorization.identifier,
            }),
            Self::AuthorizationDeactivated { authorization, asked } => json!({
                "event": "authorization.deactivated", "endpoint": authorization.endpoint,
                "account": authorization.account, "authorization": authorization.id,
                "identifier": authorization.identifier, "accountKey": asked.key(), "client": asked.client,
            }),
            Self::Validated { authorization, kind, outcome, attempt, seen } => json!({
                "event": "validation.ended", "endpoint": authorization.endpoint,
                "account": authorization.account, "authorization": authorization.id,
                "identifier": authorization.identifier, "method": kind,
                "result": if outcome.is_ok() { "valid" } else { "invalid" }, "attempt": attempt, "seen": seen,
                "evidence": outcome.as_ref().ok(),
                "problem": outcome.as_ref().err().map(|problem| without_tokens(problem, authorization)),
            }),
            Self::IdentifierPaused { run, .. } => json!({
                "event": "identifier.paused", "endpoint": run.endpoint, "account": run.account,
                "identifier": run.identifier, "failures": run.failures, "since": run.first, "problem": run.problem,
            }),
            Self::IdentifiersUnpaused { endpoint, account, identifiers, client } => json!({
                "event": "identifiers.unpaused", "endpoint": endpoint, "account": account,
                "identifiers": identifiers, "client": client,
            }),
            Self::OrderFinalized { order, csr, asked } => json!({
                "event": "order.finalized", "endpoint": order.endpoint, "account": order.account, "order": order.id,
                "csrSha256": base64url::encode(csr.0), "accountKey": asked.key(), "client": asked.client,
                "rules": policies::csr::RULES.iter().map(|rule| rule.name()).collect::<Vec<_>>(),
            }),
            Self::CertificateRequested { order, key } => json!({
                "event": "certificate.requested", "endpoint": order.endpoint, "account": order.account,
                "order": order.id, "identifiers": order.identifiers, "profile": order.profile,
                "csrSha256": csr_of(order), "idempotencyKey": key,
            }),
            Self::CertificateIssued { order, certificate, request, checked } => json!({
                "event": "certificate.issued", "endpoint": order.endpoint, "account": order.account,
                "order": order.id, "identifiers": order.identifiers, "certificate": certificate,
                "request": request, "csrSha256": csr_of(order), "serial": checked.map(|one| &one.serial),
                "sha256": checked.map(|one| base64url::encode(one.sha256)),
                "notAfter": checked.map(|one| one.not_after),
            }),
            Self::RevocationFailed { endpoint, account, certificate, reason, why } => json!({
                "event": "revocation.failed", "endpoint": endpoint, "account": account, "certificate": certificate,
                "reason": reason, "why": why,
            }),
            Self::RevocationUnconfirmed { endpoint, account, certificate, reason, client, why } => json!({
                "event": "revocation.unconfirmed", "endpoint": endpoint, "account": account,
                "certificate": certificate, "reason": reason, "client": client, "why": why,
            }),
            Self::ProfileStopped { stop } => json!({
                "event": "profile.stopped", "realm": stop.realm, "profile": stop.profile, "order": stop.order,
                "certificate": stop.certificate, "failed": stop.failed,
            }),
            Self::ProfileResumed { stop, by } => {
                let why = stop.why.as_ref().ok();
                json!({
                    "event": "profile.resumed", "realm": stop.realm, "profile": stop.profile,
                    "stoppedSince": why.map(|stop| stop.since), "certificate": why.map(|stop| &stop.certificate), "by": by,
                })
            }
            Self::OrderFailed { order } => {
                let problem = match &order.progress {
                    Progress::Failed { problem } => Some(problem),
                    Progress::Open | Progress::Finalizing { .. } | Progress::Issued { .. } => None,
                };
                json!({
                    "event": "order.failed", "endpoint": order.endpoint, "account": order.account,
                    "order": order.id, "problem": problem,
                })
            }
            Self::RevocationRefused { endpoint, account, client, serial, problem } => json!({
                "event": "revocation.refused", "endpoint": endpoint, "account": account, "client": client,
                "serial": serial, "problem": problem,
            }),
            Self::JobForgotten { job, order, why } => {
                json!({"event": "job.forgotten", "job": job, "order": order, "why": why})
            }
            Self::SettingsLoaded { changed, waiting, digest } => json!({
                "event": "settings.loaded", "changed": changed, "waiting": waiting, "settingsSha256": digest,
            }),
            Self::SettingsRefused { why } => json!({"event": "settings.refused", "why": why}),
            Self::IdentityLoaded { of, shown, trusted } => json!({
                "event": "identity.loaded", "of": of, "shown": shown.as_ref().map(Fingerprints::to_json),
                "trusted": trusted.as_ref().map(Fingerprints::to_json),
            }),
            Self::IdentityRefused { of, why } => json!({"event": "identity.refused", "of": of, "why": why}),
            Self::RequestsRefused { since, problems, limits } => json!({
                "event": "requests.refused", "since": since, "problems": problems, "limits": limits,
            }),
            Self::RevocationRequested { endpoint, account, basis, client, certificate, reason }
            | Self::CertificateRevoked { endpoint, account, basis, client, certificate, reason } => {
                let is_done = matches!(self, Self::CertificateRevoked { .. });
                let event = if is_done { "certificate.revoked" } else { "revocation.requested" };
                let (by, authorizations) = match basis {
                    Basis::Account { .. } => ("account", None),
                    Basis::Authorizations { validations, .. } => {
                        let ids: Vec<_> = validations.iter().map(|proven| &proven.authorization).collect();
                        ("authorizations", Some(ids))
                    }
                    Basis::CertificateKey => ("certificate-key", None),
                    Basis::GatewayPolicy => ("gateway-policy", None),
                };
                json!({
                    "event": event, "endpoint": endpoint, "account": account, "by": by,
                    "authorizations": authorizations, "client": client, "certificate": certificate, "reason": reason,
                })
            }
        }
    }
}

/// Which CSR an order rests on.
fn csr_of(order: &Order) -> Option<String> {
    match &order.progress {
        Progress::Finalizing { csr, .. } | Progress::Issued { csr, .. } => Some(base64url::encode(csr.0)),
        Progress::Open | Progress::Failed { .. } => None,
    }
}

/// Which name is waived, by whom, why, and what the client showed.
fn waived(authorization: &Authorization) -> Option<Value> {
    let (_, waived) = authorization.waived()?;
    Some(json!({
        "authorization": authorization.id, "identifier": authorization.identifier, "waiver": waived.waiver,
        "proposedBy": waived.proposed_by, "approvedBy": waived.decided_by, "reason": waived.reason,
        "address": waived.address, "clientCertificate": waived.client_certificate,
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// Texts in quotation marks that look like the name of an event.
    fn names(text: &str, quote: char) -> BTreeSet<&str> {
        let is_name = |text: &&str| {
            text.split_once('.').is_some_and(|(of, what)| {
                [of, what]
                    .iter()
                    .all(|word| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase() || c == b'-'))
            })
        };
        text.split(quote).filter(is_name).collect()
    }

    #[test]
    fn every_event_has_its_row_in_the_manual_and_every_row_its_event() {
        let product = |text: &'static str| text.split("#[cfg(test)]").next().unwrap();
        let sources = [include_str!("event.rs"), include_str!("chain.rs"), include_str!("../transcript/entry.rs")];
        let mut told: BTreeSet<_> = sources.iter().flat_map(|text| names(product(text), '"')).collect();
        // In transcripts alone: auditors read order.finalized.
        assert!(told.remove("finalize.accepted"));
        let manual = include_str!("../../../docs/AUDIT.md");
        let rows = manual.split_once("## The events").unwrap().1.split_once("\n## ").unwrap().0;
        let first = rows.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let documented: BTreeSet<_> =
            first.flat_map(|cell| cell.split('`')).flat_map(|name| names(name, '`')).collect();
        assert_eq!(told, documented);
        // What it is said to be asked for is there.
        let asked = manual.split_once("## What BR 5.4.1 asks for").unwrap().1.split_once("\n## ").unwrap().0;
        let unknown: Vec<_> = names(asked, '`').into_iter().filter(|name| !told.contains(name)).collect();
        assert_eq!(unknown, ["evidence.perspective"]);
    }
}
