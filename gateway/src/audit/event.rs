//! The events, and how they are written. Member names are stable: people search for them.

use std::net::IpAddr;

use acme::{
    authorization::Authorization,
    base64url,
    certificate::CertificateId,
    challenge::{ChallengeKind, Evidence},
    ids::{EndpointName, RegistrationId},
    order::{CsrDigest, Order, Progress},
    problem::Problem,
    revocation::RevocationReason,
};
use serde_json::{Value, json};

/// Something that an auditor will ask about.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    AccountCreated {
        endpoint: &'a EndpointName,
        account: &'a RegistrationId,
        external_account: Option<&'a str>,
        client: IpAddr,
    },
    AccountDeactivated {
        endpoint: &'a EndpointName,
        account: &'a RegistrationId,
    },
    OrderCreated {
        order: &'a Order,
    },
    AuthorizationDeactivated {
        authorization: &'a Authorization,
    },
    Validated {
        authorization: &'a Authorization,
        kind: ChallengeKind,
        outcome: &'a Result<Evidence, Problem>,
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
        client: IpAddr,
        certificate: &'a CertificateId,
        reason: RevocationReason,
    },
}

impl Event<'_> {
    /// The event as it is stored and logged.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::AccountCreated { endpoint, account, external_account, client } => json!({
                "event": "account.created", "endpoint": endpoint, "account": account,
                "externalAccount": external_account, "client": client,
            }),
            Self::AccountDeactivated { endpoint, account } => {
                json!({"event": "account.deactivated", "endpoint": endpoint, "account": account})
            }
            Self::OrderCreated { order } => json!({
                "event": "order.created", "endpoint": order.endpoint, "account": order.account, "order": order.id,
                "identifiers": order.identifiers, "profile": order.profile, "authorizations": order.authorizations,
            }),
            Self::AuthorizationDeactivated { authorization } => json!({
                "event": "authorization.deactivated", "endpoint": authorization.endpoint,
                "account": authorization.account, "authorization": authorization.id,
                "identifier": authorization.identifier,
            }),
            Self::Validated { authorization, kind, outcome } => json!({
                "event": "validation.ended", "endpoint": authorization.endpoint,
                "account": authorization.account, "authorization": authorization.id,
                "identifier": authorization.identifier, "method": kind,
                "result": if outcome.is_ok() { "valid" } else { "invalid" },
                "evidence": outcome.as_ref().ok(), "problem": outcome.as_ref().err(),
            }),
            Self::OrderFinalized { order, csr } => json!({
                "event": "order.finalized", "endpoint": order.endpoint, "account": order.account, "order": order.id,
                "csrSha256": base64url::encode(csr.0),
            }),
            Self::CertificateIssued { order, certificate } => json!({
                "event": "certificate.issued", "endpoint": order.endpoint, "account": order.account,
                "order": order.id, "identifiers": order.identifiers, "certificate": certificate,
            }),
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
            Self::CertificateRevoked { endpoint, account, client, certificate, reason } => json!({
                "event": "certificate.revoked", "endpoint": endpoint, "account": account,
                "by": if account.is_some() { "account" } else { "certificate-key" }, "client": client,
                "certificate": certificate, "reason": reason,
            }),
        }
    }
}
