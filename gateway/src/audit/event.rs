//! The events, and how they are written. Member names are stable: people search for them.

use std::net::IpAddr;

use acme::{
    account_key::Thumbprint,
    authorization::Authorization,
    base64url,
    certificate::CertificateId,
    challenge::{ChallengeKind, Evidence},
    failure_run::FailureRun,
    identifier::Identifier,
    ids::{EndpointName, RegistrationId},
    order::{CsrDigest, Order, Progress},
    problem::Problem,
    revocation::RevocationReason,
};
use cm_connector::Basis;
use serde_json::{Value, json};
use store::{ProfileStop, Stopped};
use validation::Observation;

use crate::redaction::without_tokens;

/// Something that an auditor will ask about.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    AccountCreated {
        endpoint: &'a EndpointName,
        account: &'a RegistrationId,
        external_account: Option<&'a str>,
        /// The client came by a directory link.
        by_directory_link: bool,
        /// The terms that it agreed to.
        terms_of_service: Option<&'a str>,
        client: IpAddr,
    },
    /// To terms that have changed.
    AccountAgreed {
        endpoint: &'a EndpointName,
        account: &'a RegistrationId,
        terms_of_service: &'a str,
        client: IpAddr,
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
        account: &'a RegistrationId,
    },
    OrderCreated {
        order: &'a Order,
    },
    /// Control of some of its names need not be proven.
    OrderWaived {
        order: &'a Order,
        /// The authorizations that are valid by that.
        authorizations: Vec<&'a Authorization>,
    },
    AuthorizationCreated {
        authorization: &'a Authorization,
    },
    AuthorizationRevoked {
        authorization: &'a Authorization,
    },
    AuthorizationDeactivated {
        authorization: &'a Authorization,
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
    },
    CertificateIssued {
        order: &'a Order,
        certificate: &'a CertificateId,
    },
    OrderFailed {
        order: &'a Order,
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
    /// A revocation that was accepted has ended, and the certificate may be good still.
    RevocationFailed {
        endpoint: &'a EndpointName,
        /// The account that asked; `None` for whoever holds the certificate's key.
        account: Option<&'a RegistrationId>,
        certificate: &'a CertificateId,
        reason: RevocationReason,
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
}

impl Event<'_> {
    /// The event as it is stored and logged.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::AccountCreated {
                endpoint,
                account,
                external_account,
                by_directory_link,
                terms_of_service,
                client,
            } => json!({
                "event": "account.created", "endpoint": endpoint, "account": account,
                "externalAccount": external_account, "byDirectoryLink": by_directory_link,
                "termsOfService": terms_of_service, "client": client,
            }),
            Self::AccountAgreed { endpoint, account, terms_of_service, client } => json!({
                "event": "account.agreed", "endpoint": endpoint, "account": account,
                "termsOfService": terms_of_service, "client": client,
            }),
            Self::AccountKeyChanged { endpoint, account, old_key, new_key, client } => json!({
                "event": "account.key-changed", "endpoint": endpoint, "account": account,
                "oldKey": old_key.map(ToString::to_string), "newKey": new_key.to_string(), "client": client,
            }),
            Self::AccountDeactivated { endpoint, account } => {
                json!({"event": "account.deactivated", "endpoint": endpoint, "account": account})
            }
            Self::OrderCreated { order } => json!({
                "event": "order.created", "endpoint": order.endpoint, "account": order.account, "order": order.id,
                "identifiers": order.identifiers, "profile": order.profile, "authorizations": order.authorizations,
                "reused": order.reused, "replaces": order.replaces,
            }),
            Self::OrderWaived { order, authorizations } => json!({
                "event": "order.waived", "endpoint": order.endpoint, "account": order.account, "order": order.id,
                "waived": authorizations.iter().filter_map(|one| waived(one)).collect::<Vec<_>>(),
            }),
            Self::AuthorizationCreated { authorization } => json!({
                "event": "authorization.created", "endpoint": authorization.endpoint,
                "account": authorization.account, "authorization": authorization.id,
                "identifier": authorization.identifier,
            }),
            Self::AuthorizationRevoked { authorization } => json!({
                "event": "authorization.revoked", "endpoint": authorization.endpoint,
                "account": authorization.account, "authorization": authorization.id,
                "identifier": authorization.identifier,
            }),
            Self::AuthorizationDeactivated { authorization } => json!({
                "event": "authorization.deactivated", "endpoint": authorization.endpoint,
                "account": authorization.account, "authorization": authorization.id,
                "identifier": authorization.identifier,
            }),
            Self::Validated { authorization, kind, outcome, .. } => json!({
                "event": "validation.ended", "endpoint": authorization.endpoint,
                "account": authorization.account, "authorization": authorization.id,
                "identifier": authorization.identifier, "method": kind,
                "result": if outcome.is_ok() { "valid" } else { "invalid" },
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
            Self::OrderFinalized { order, csr } => json!({
                "event": "order.finalized", "endpoint": order.endpoint, "account": order.account, "order": order.id,
                "csrSha256": base64url::encode(csr.0),
            }),
            Self::CertificateIssued { order, certificate } => json!({
                "event": "certificate.issued", "endpoint": order.endpoint, "account": order.account,
                "order": order.id, "identifiers": order.identifiers, "certificate": certificate,
            }),
            Self::RevocationFailed { endpoint, account, certificate, reason, why } => json!({
                "event": "revocation.failed", "endpoint": endpoint, "account": account, "certificate": certificate,
                "reason": reason, "why": why,
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
            Self::CertificateRevoked { endpoint, account, basis, client, certificate, reason } => {
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
                    "event": "certificate.revoked", "endpoint": endpoint, "account": account, "by": by,
                    "authorizations": authorizations, "client": client, "certificate": certificate, "reason": reason,
                })
            }
        }
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
