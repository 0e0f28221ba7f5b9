//! The entries, and how they are written. Names of steps and members are stable: what was written by
//! one release is read by the next.
//!
//! No entry has room for a key authorization, a token, a nonce, a signed request, an external account
//! secret, a CSR, a contact or the body of a probed host: what tells two of them apart is a digest.

use acme::{
    authorization::Authorization,
    base64url,
    caa::CaaEvidence,
    certificate::{CertificateId, Check, FailedCheck},
    challenge::{ChallengeKind, Evidence},
    identifier::Identifier,
    ids::{AuthorizationId, CertificateRequestId, EndpointName, ProfileName, Reference, RegistrationId, WaiverId},
    order::Progress,
    problem::Problem,
    profile::Profile,
    registration::Registration,
    time::Timestamp,
    waiver::Waived,
};
use cm_connector::Call;
use policies::{
    identifier::{Judgement, judge},
    waiver::Why,
};
use serde::{Deserialize, Serialize};
use store::TranscriptEntry;
use validation::Observation;

use crate::{audit::Event, redaction::without_tokens};

/// One thing that happened to an order or an authorization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all_fields = "camelCase")]
pub(crate) enum Entry {
    /// What policy says about names of a new order, each for itself.
    #[serde(rename = "order.judged")]
    OrderJudged { profile: ProfileName, identifiers: Vec<Judged> },
    /// Waivers that are about names of the order, and do not count.
    #[serde(rename = "waivers.passed-over")]
    WaiversPassedOver { waivers: Vec<PassedOver> },
    /// Names of which control need not be proven.
    #[serde(rename = "order.waived")]
    OrderWaived { waivers: Vec<WaivedNames> },
    #[serde(rename = "order.refused")]
    OrderRefused { endpoint: EndpointName, account: RegistrationId, problem: Problem },
    #[serde(rename = "order.created")]
    OrderCreated {
        profile: ProfileName,
        expires: Timestamp,
        /// Proofs that were there already.
        reused: Vec<AuthorizationId>,
        replaces: Option<CertificateId>,
    },
    /// Ahead of any order.
    #[serde(rename = "authorization.created")]
    AuthorizationCreated { challenges: Vec<ChallengeKind>, expires: Timestamp },
    #[serde(rename = "authorization.refused")]
    AuthorizationRefused { endpoint: EndpointName, account: RegistrationId, problem: Problem },
    /// The client said that its proof is there.
    #[serde(rename = "challenge.answered")]
    ChallengeAnswered { method: ChallengeKind },
    /// A look at the proof that decided nothing.
    #[serde(rename = "validation.attempted")]
    ValidationAttempted {
        method: ChallengeKind,
        /// From 1.
        attempt: u32,
        problem: Problem,
        again_at: Timestamp,
        seen: Vec<Observation>,
    },
    /// The look that decided.
    #[serde(rename = "validation.ended")]
    ValidationEnded {
        method: ChallengeKind,
        attempt: u32,
        evidence: Option<Evidence>,
        problem: Option<Problem>,
        seen: Vec<Observation>,
    },
    #[serde(rename = "authorization.deactivated")]
    AuthorizationDeactivated {},
    /// The CM did not take the proof.
    #[serde(rename = "authorization.revoked")]
    AuthorizationRevoked {},
    /// New orders for the name are refused from now on.
    #[serde(rename = "identifier.paused")]
    IdentifierPaused { failures: u32, since: Timestamp },
    /// The CSR keeps every rule.
    #[serde(rename = "finalize.accepted")]
    FinalizeAccepted {
        csr_sha256: String,
        /// The rules that it was held against.
        rules: Vec<String>,
    },
    #[serde(rename = "finalize.refused")]
    FinalizeRefused { csr_sha256: String, problem: Problem },
    /// CAA records were looked at before the request was sent.
    #[serde(rename = "caa.looked")]
    CaaLooked {
        permitted: Vec<CaaLook>,
        /// Why nothing is sent.
        problem: Option<Problem>,
    },
    /// What was asked of the CM, attempt by attempt.
    #[serde(rename = "cm.asked")]
    CmAsked { calls: Vec<Call> },
    /// Nothing is decided yet.
    #[serde(rename = "issuance.put-off")]
    IssuancePutOff { why: PutOff, attempt: u32, again_at: Timestamp },
    /// An attempt ended by a fault; the text is for operators.
    #[serde(rename = "job.failed")]
    JobFailed { error: String, attempt: u32, again_at: Timestamp },
    /// Nobody waits any more, and the CM was told so.
    #[serde(rename = "request.withdrawn")]
    RequestWithdrawn { request: CertificateRequestId },
    /// A certificate has come and was checked.
    #[serde(rename = "certificate.checked")]
    CertificateChecked { certificate: CertificateId, failed: Vec<FailedCheck> },
    #[serde(rename = "certificate.issued")]
    CertificateIssued { certificate: CertificateId },
    #[serde(rename = "order.failed")]
    OrderFailed { problem: Problem },
    /// Because of this order's certificate.
    #[serde(rename = "profile.stopped")]
    ProfileStopped { profile: Option<ProfileName> },
    /// The CM heard what became of the certificate.
    #[serde(rename = "delivery.reported")]
    DeliveryReported {
        /// Checks that failed; none if the certificate was taken.
        failed: Vec<Check>,
        /// What the CM has against the report.
        error: Option<String>,
    },
}

/// What policy says about one name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub(crate) enum Judged {
    Allowed {
        identifier: String,
        /// The entry of the list of allowed identifiers that covers it, or `any`.
        by: String,
    },
    Refused {
        identifier: String,
        /// The names of the rules that refuse it.
        rules: Vec<String>,
        detail: String,
    },
}

/// A waiver that is about a name and does not count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PassedOver {
    pub(crate) identifier: String,
    pub(crate) waiver: WaiverId,
    /// The name of the reason; none if it is not in force, or not about the name any more.
    pub(crate) why: Option<String>,
    pub(crate) detail: String,
}

/// Names that one waiver covers: by whom, why, and what the client showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WaivedNames {
    #[serde(flatten)]
    pub(crate) by: Waived,
    pub(crate) identifiers: Vec<String>,
}

/// A look that permits issuance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CaaLook {
    pub(crate) authorization: AuthorizationId,
    pub(crate) evidence: CaaEvidence,
}

/// Why an order waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(crate) enum PutOff {
    /// Nothing is asked for by the profile at the moment.
    ProfileStopped {},
    /// Nobody could tell later what was done.
    AuditUnwritable {},
    /// What was proven last lies in the future of the CM's clock.
    ClockBehind {},
    /// The resolver did not answer for CAA records.
    CaaUnanswered {},
    /// The CM has the request and has not decided.
    Pending { request: CertificateRequestId },
    /// The CM did not decide; the text is for operators.
    CmUndecided { error: String },
    /// The certificate begins ahead of our clock.
    Held {},
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) reference: Reference,
    /// When it ends.
    pub(crate) ends: Timestamp,
}

impl From<&acme::order::Order> for Subject {
    fn from(order: &acme::order::Order) -> Self {
        Self { reference: Reference::from(&order.id), ends: order.expires }
    }
}

impl From<&Authorization> for Subject {
    fn from(authorization: &Authorization) -> Self {
        Self { reference: Reference::from(&authorization.id), ends: authorization.expires }
    }
}

impl Entry {
    /// What an event for auditors is in a transcript, and in whose; `None` if it belongs to no order
    /// and no authorization.
    pub(crate) fn of(event: &Event<'_>, now: Timestamp) -> Option<(Subject, Self)> {
        Some(match event {
            Event::AccountRequested(_)
            | Event::AccountUnconfirmed { .. }
            | Event::AccountCreated { .. }
            | Event::AccountAgreed { .. }
            | Event::AccountKeyChanged { .. }
            | Event::AccountDeactivated { .. }
            | Event::JobForgotten { .. }
            | Event::IdentifiersUnpaused { .. }
            // Told in pieces that an entry has room for.
            | Event::OrderWaived { .. }
            | Event::CertificateRevoked { .. }
            | Event::ProfileResumed { .. }
            | Event::BindingRefused { .. }
            | Event::AccountUpdated { .. }
            // The calls to the CM tell it.
            | Event::CertificateRequested { .. }
            | Event::RevocationRequested { .. }
            | Event::RevocationRefused { .. }
            | Event::RevocationUnconfirmed { .. }
            | Event::SettingsLoaded { .. }
            | Event::SettingsRefused { .. }
            | Event::IdentityLoaded { .. }
            | Event::IdentityRefused { .. }
            | Event::RequestsRefused { .. }
            | Event::RevocationFailed { .. } => return None,
            Event::OrderCreated { order, .. } => {
                let (profile, replaces) = (order.profile.clone(), order.replaces.clone());
                let created =
                    Self::OrderCreated { profile, expires: order.expires, reused: order.reused.clone(), replaces };
                ((*order).into(), created)
            }
            Event::AuthorizationCreated { authorization, .. } => {
                let challenges = authorization.challenges.iter().map(|challenge| challenge.kind).collect();
                let created = Self::AuthorizationCreated { challenges, expires: authorization.expires };
                ((*authorization).into(), created)
            }
            Event::AuthorizationRevoked { authorization } => ((*authorization).into(), Self::AuthorizationRevoked {}),
            Event::AuthorizationDeactivated { authorization, .. } => {
                ((*authorization).into(), Self::AuthorizationDeactivated {})
            }
            Event::Validated { authorization, kind, outcome, attempt, seen } => {
                let (evidence, problem) = (outcome.as_ref().ok().cloned(), outcome.as_ref().err());
                let problem = problem.map(|problem| without_tokens(problem, authorization));
                let seen = seen.to_vec();
                let ended = Self::ValidationEnded { method: *kind, attempt: *attempt, evidence, problem, seen };
                ((*authorization).into(), ended)
            }
            Event::IdentifierPaused { run, authorization } => {
                ((*authorization).into(), Self::IdentifierPaused { failures: run.failures, since: run.first })
            }
            Event::OrderFinalized { order, csr, .. } => {
                let rules = policies::csr::RULES.iter().map(|rule| rule.name().to_owned()).collect();
                let accepted = Self::FinalizeAccepted { csr_sha256: base64url::encode(csr.0), rules };
                ((*order).into(), accepted)
            }
            Event::CertificateIssued { order, certificate, .. } => {
                ((*order).into(), Self::CertificateIssued { certificate: (*certificate).clone() })
            }
            Event::OrderFailed { order } => {
                let Progress::Failed { problem } = &order.progress else { return None };
                ((*order).into(), Self::OrderFailed { problem: problem.clone() })
            }
            Event::ProfileStopped { stop } => {
                let subject = Subject { reference: Reference::from(&stop.order), ends: now };
                (subject, Self::ProfileStopped { profile: stop.profile.clone() })
            }
        })
    }

    /// Whether auditors are told of it by an event of its own.
    pub(crate) const fn has_an_event(&self) -> bool {
        match self {
            Self::OrderWaived { .. }
            | Self::OrderCreated { .. }
            | Self::AuthorizationCreated { .. }
            | Self::ValidationEnded { .. }
            | Self::AuthorizationDeactivated {}
            | Self::AuthorizationRevoked {}
            | Self::IdentifierPaused { .. }
            | Self::FinalizeAccepted { .. }
            | Self::CertificateIssued { .. }
            | Self::OrderFailed { .. }
            | Self::ProfileStopped { .. } => true,
            Self::OrderJudged { .. }
            | Self::WaiversPassedOver { .. }
            | Self::OrderRefused { .. }
            | Self::AuthorizationRefused { .. }
            | Self::ChallengeAnswered { .. }
            | Self::ValidationAttempted { .. }
            | Self::FinalizeRefused { .. }
            | Self::CaaLooked { .. }
            | Self::CmAsked { .. }
            | Self::IssuancePutOff { .. }
            | Self::JobFailed { .. }
            | Self::RequestWithdrawn { .. }
            | Self::CertificateChecked { .. }
            | Self::DeliveryReported { .. } => false,
        }
    }

    /// Why a request was refused, if this is that.
    pub(crate) const fn problem(&self) -> Option<&Problem> {
        if let Self::OrderRefused { problem, .. }
        | Self::AuthorizationRefused { problem, .. }
        | Self::FinalizeRefused { problem, .. } = self
        {
            Some(problem)
        } else {
            None
        }
    }

    /// A look at a proof that decided nothing.
    pub(crate) fn attempted(
        (authorization, method): (&Authorization, ChallengeKind),
        (attempt, again_at): (u32, Timestamp),
        problem: &Problem,
        seen: Vec<Observation>,
    ) -> Self {
        let problem = without_tokens(problem, authorization);
        Self::ValidationAttempted { method, attempt, problem, again_at, seen }
    }

    /// What is told of names that were judged. One entry has room for some of them.
    pub(crate) fn judged(identifiers: &[Identifier], registration: &Registration, profile: &Profile) -> Vec<Self> {
        const IDENTIFIERS_PER_ENTRY: usize = 25;
        let judged = |identifier: &Identifier| Judged::of(identifier, judge(identifier, registration, profile));
        let entry = |some: &[Identifier]| Self::OrderJudged {
            profile: profile.name.clone(),
            identifiers: some.iter().map(judged).collect(),
        };
        identifiers.chunks(IDENTIFIERS_PER_ENTRY).map(entry).collect()
    }

    /// What is told of waivers that do not count. One entry has room for some of them, and there is one.
    pub(crate) fn passed_over(waivers: Vec<PassedOver>) -> Option<Self> {
        (!waivers.is_empty()).then_some(Self::WaiversPassedOver { waivers })
    }

    /// What is told of those authorizations that are valid by a waiver. One entry has room for some of them.
    pub(crate) fn waived<'a>(authorizations: impl IntoIterator<Item = &'a Authorization>) -> Vec<Self> {
        const IDENTIFIERS_PER_ENTRY: usize = 25;
        let by = |authorization: &'a Authorization| Some((authorization.waived()?.1, &authorization.identifier));
        let waived: Vec<_> = authorizations.into_iter().filter_map(by).collect();
        let entry = |some: &[(&Waived, &Identifier)]| {
            let mut waivers: Vec<WaivedNames> = Vec::new();
            for (by, identifier) in some {
                match waivers.iter_mut().find(|known| known.by == **by) {
                    Some(known) => known.identifiers.push(identifier.to_string()),
                    None => waivers.push(WaivedNames { by: (*by).clone(), identifiers: vec![identifier.to_string()] }),
                }
            }
            Self::OrderWaived { waivers }
        };
        waived.chunks(IDENTIFIERS_PER_ENTRY).map(entry).collect()
    }

    /// The entry as another release, or this one, wrote it; `None` if this one does not know it.
    pub(crate) fn read(stored: &TranscriptEntry) -> Option<Self> {
        Self::deserialize(&stored.body).ok()
    }
}

impl PassedOver {
    pub(crate) fn new(identifier: &Identifier, waiver: &WaiverId, why: Option<Why>) -> Self {
        let detail =
            why.map_or_else(|| String::from("it is not in force, or not about this name"), |why| why.to_string());
        let why = why.map(|why| why.name().to_owned());
        Self { identifier: identifier.to_string(), waiver: waiver.clone(), why, detail }
    }
}

impl CaaLook {
    /// These looks.
    pub(crate) fn all(looks: &[(AuthorizationId, CaaEvidence)]) -> Vec<Self> {
        let look = |(authorization, evidence): &(AuthorizationId, CaaEvidence)| Self {
            authorization: authorization.clone(),
            evidence: evidence.clone(),
        };
        looks.iter().map(look).collect()
    }
}

impl Judged {
    pub(crate) const fn identifier(&self) -> &str {
        match self {
            Self::Allowed { identifier, .. } | Self::Refused { identifier, .. } => identifier.as_str(),
        }
    }

    fn of(identifier: &Identifier, judgement: Judgement) -> Self {
        let identifier = identifier.to_string();
        match judgement {
            Judgement::Allowed { rule } => Self::Allowed { identifier, by: rule },
            Judgement::Refused { rules, detail, .. } => {
                let rules = rules.iter().map(|rule| rule.name().to_owned()).collect();
                Self::Refused { identifier, rules, detail }
            }
        }
    }
}
