//! A story: the transcript of an order with those of its authorizations, in the order of time, beside
//! how things stand now.

use acme::{
    authorization::Authorization,
    base64url,
    identifier::Identifier,
    ids::{AuthorizationId, EndpointName, OrderId, Reference, RegistrationId},
    order::Progress,
    time::Timestamp,
};
use serde_json::{Value, json};
use store::{Job, ReadError, Store, TranscriptEntry, Work};

use super::entry::Entry;
use crate::{ra::order::OrderView, redaction::failed_without_tokens};

/// Entries that are read of an order, all that it has as a rule, and of each of its authorizations.
const OF_ORDER_MAX: usize = 200;
const OF_AUTHORIZATION_MAX: usize = 40;
/// Entries of one story. What the order's own leave is shared out to its authorizations.
const LINES_MAX: usize = 1000;

/// What happened, and how things stand.
pub(crate) struct Story {
    pub(crate) reference: Reference,
    pub(crate) about: About,
    /// Oldest first.
    pub(crate) lines: Vec<Line>,
    /// There is nothing more.
    pub(crate) is_all: bool,
}

/// What a story is about.
pub(crate) enum About {
    Order {
        view: OrderView,
        /// What is still to be done for it.
        job: Option<Job>,
    },
    Authorization {
        authorization: Authorization,
        /// What is still to be done for it.
        job: Option<Job>,
    },
    /// It never came about.
    Refused { endpoint: EndpointName, account: RegistrationId },
}

/// One thing that happened.
pub(crate) struct Line {
    pub(crate) at: Timestamp,
    /// The name, if it happened to the authorization of one.
    pub(crate) identifier: Option<Identifier>,
    /// The entry as it is stored.
    pub(crate) body: Value,
    /// `None` for one that another release wrote and this one does not know.
    pub(crate) entry: Option<Entry>,
}

impl Story {
    /// Tells what there is to tell under this reference; `None` if there is nothing.
    ///
    /// # Errors
    /// The store cannot be read, or the order or authorization itself is damaged.
    pub(crate) async fn read(store: &Store, reference: &Reference) -> Result<Option<Self>, ReadError> {
        let own = store.transcript(reference, OF_ORDER_MAX).await?;
        let mut is_all = own.len() < OF_ORDER_MAX;
        let (about, mut told) = match find(store, reference).await? {
            Some(About::Authorization { authorization, job }) => {
                let identifier = Some(authorization.identifier.clone());
                let told = own.into_iter().map(|entry| (identifier.clone(), entry)).collect();
                (About::Authorization { authorization, job }, told)
            }
            Some(About::Order { view, job }) => {
                let mut told: Vec<_> = own.into_iter().map(|entry| (None, entry)).collect();
                for (authorization, to_come) in view.authorizations.iter().zip((1..=view.authorizations.len()).rev()) {
                    let of = Reference::from(&authorization.id);
                    let left = LINES_MAX.saturating_sub(told.len());
                    let share = left.checked_div(to_come).unwrap_or(left).min(OF_AUTHORIZATION_MAX);
                    let entries = store.transcript(&of, share).await?;
                    is_all &= entries.len() < share;
                    let identifier = Some(authorization.identifier.clone());
                    told.extend(entries.into_iter().map(|entry| (identifier.clone(), entry)));
                }
                (About::Order { view, job }, told)
            }
            Some(about @ About::Refused { .. }) => (about, own.into_iter().map(|entry| (None, entry)).collect()),
            None => {
                let Some(about) = own.iter().find_map(refused) else { return Ok(None) };
                (about, own.into_iter().map(|entry| (None, entry)).collect::<Vec<_>>())
            }
        };
        told.sort_by(|(_, one), (_, other)| one.place.cmp(&other.place));
        let lines = told.into_iter().map(|(identifier, entry)| {
            let known = Entry::read(&entry);
            Line { at: entry.at, identifier, body: entry.body, entry: known }
        });
        Ok(Some(Self { reference: reference.clone(), about, lines: lines.collect(), is_all }))
    }

    /// The directory at which it happened.
    pub(crate) const fn endpoint(&self) -> &EndpointName {
        match &self.about {
            About::Order { view, .. } => &view.order.endpoint,
            About::Authorization { authorization, .. } => &authorization.endpoint,
            About::Refused { endpoint, .. } => endpoint,
        }
    }

    /// The whole story as operators get it.
    pub(crate) fn to_json(&self, now: Timestamp) -> Value {
        let (about, job) = match &self.about {
            About::Order { view, job } => {
                let order = &view.order;
                let failed: Vec<_> = view.authorizations.iter().map(failed_without_tokens).collect();
                let authorizations = view.authorizations.iter().map(|one| {
                    json!({
                        "id": one.id, "identifier": one.identifier, "status": one.status(now), "expires": one.expires,
                        "waived": waived(one),
                    })
                });
                let about = json!({
                    "kind": "order", "status": order.status(&view.authorizations, now), "created": order.created,
                    "expires": order.expires, "profile": order.profile, "identifiers": order.identifiers,
                    "error": order.error(&failed, now), "progress": progress(&order.progress),
                    "authorizations": authorizations.collect::<Vec<_>>(),
                });
                (about, job)
            }
            About::Authorization { authorization, job } => {
                let about = json!({
                    "kind": "authorization", "status": authorization.status(now), "expires": authorization.expires,
                    "identifiers": [authorization.identifier], "waived": waived(authorization),
                });
                (about, job)
            }
            About::Refused { .. } => (json!({"kind": "refusal", "status": "refused"}), &None),
        };
        let line = |line: &Line| json!({"at": line.at, "identifier": line.identifier, "entry": line.body});
        json!({
            "reference": self.reference, "endpoint": self.endpoint(), "account": self.account(), "now": now,
            "about": about, "job": job.as_ref().map(of_job), "isAll": self.is_all,
            "lines": self.lines.iter().map(line).collect::<Vec<_>>(),
        })
    }

    /// Whose it is.
    pub(crate) const fn account(&self) -> &RegistrationId {
        match &self.about {
            About::Order { view, .. } => &view.order.account,
            About::Authorization { authorization, .. } => &authorization.account,
            About::Refused { account, .. } => account,
        }
    }
}

/// The order or authorization that still exists.
async fn find(store: &Store, reference: &Reference) -> Result<Option<About>, ReadError> {
    if let Ok(id) = OrderId::parse(reference.as_str())
        && let Some(order) = store.order(&id).await?
    {
        let authorizations = store.authorizations(&order.value.authorizations).await?;
        let authorizations = authorizations.into_iter().map(|stored| stored.value).collect();
        let job = store.job(&Job::issuance_id(&id)).await?.map(|stored| stored.value);
        return Ok(Some(About::Order { view: OrderView { order: order.value, authorizations }, job }));
    }
    if let Ok(id) = AuthorizationId::parse(reference.as_str())
        && let Some(stored) = store.authorization(&id).await?
    {
        let job = store.job(&Job::validation_id(&id)).await?.map(|stored| stored.value);
        return Ok(Some(About::Authorization { authorization: stored.value, job }));
    }
    Ok(None)
}

/// Facts that the status does not say.
fn progress(progress: &Progress) -> Value {
    match progress {
        Progress::Open | Progress::Failed { .. } => Value::Null,
        Progress::Finalizing { csr, since } => json!({"csrSha256": base64url::encode(csr.0), "since": since}),
        Progress::Issued { csr, certificate } => {
            json!({"csrSha256": base64url::encode(csr.0), "certificate": certificate})
        }
    }
}

/// By what waiver it is valid, if it is.
fn waived(authorization: &Authorization) -> Value {
    authorization.waived().map_or(Value::Null, |(_, waived)| json!(waived))
}

/// What is still to be done, and when.
fn of_job(job: &Job) -> Value {
    let submission = match &job.work {
        Work::Issue { submission, .. } => json!(submission),
        Work::Validate { .. } | Work::ConfirmDelivery { .. } | Work::Revoke(_) => Value::Null,
    };
    json!({"dueAt": job.due_at, "attempts": job.attempt, "submission": submission})
}

/// Whom something was refused that therefore does not exist.
fn refused(entry: &TranscriptEntry) -> Option<About> {
    match Entry::read(entry)? {
        Entry::OrderRefused { endpoint, account, .. } | Entry::AuthorizationRefused { endpoint, account, .. } => {
            Some(About::Refused { endpoint, account })
        }
        Entry::OrderJudged { .. }
        | Entry::WaiversPassedOver { .. }
        | Entry::OrderWaived { .. }
        | Entry::OrderCreated { .. }
        | Entry::AuthorizationCreated { .. }
        | Entry::ChallengeAnswered { .. }
        | Entry::ValidationAttempted { .. }
        | Entry::ValidationEnded { .. }
        | Entry::AuthorizationDeactivated {}
        | Entry::AuthorizationRevoked {}
        | Entry::IdentifierPaused { .. }
        | Entry::FinalizeAccepted { .. }
        | Entry::FinalizeRefused { .. }
        | Entry::CaaLooked { .. }
        | Entry::CmAsked { .. }
        | Entry::IssuancePutOff { .. }
        | Entry::JobFailed { .. }
        | Entry::RequestWithdrawn { .. }
        | Entry::CertificateChecked { .. }
        | Entry::CertificateIssued { .. }
        | Entry::OrderFailed { .. }
        | Entry::ProfileStopped { .. }
        | Entry::DeliveryReported { .. } => None,
    }
}
