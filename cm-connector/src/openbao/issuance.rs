//! Certificates are asked for once, although each sign that arrives issues another one (CM contract section 9.3).
//!
//! Before anything is signed the request is written down with the digest of its octets. After an answer that was lost
//! the list of certificates is searched; nothing is signed again before a sign whose answer was lost can no longer be
//! at work and two searches found nothing, between which OpenBao was seen at work for longer than a sign takes that a
//! frozen node did not read until it went on.

use std::time::Duration;

use acme::{
    ids::{CertificateRequestId, IdempotencyKey, OrderId, RealmName},
    problem::{Problem, ProblemKind},
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::{
    OpenBaoCertificateManager,
    clock::now,
    failure::Failure,
    layout::Place,
    order::{Wanted, hex},
    records::{Order, Request, State},
    registration::no_such_account,
    store::Stored,
};
use crate::{Certificate, CmError, Delivery, Outcome, Refusal, RequestClaims, RequestState};

/// How often a change is decided again because somebody else wrote meanwhile.
const ROUNDS_MAX: u32 = 5;
/// When to look again at what somebody else is about to sign.
const IN_PROGRESS: Duration = Duration::from_secs(2);
/// How often the leader has to answer between two searches.
const ANSWERS_BETWEEN: u32 = 8;
/// How long after the one before it is asked again.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// How long it may take to answer: one that takes longer may have been frozen.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// What has become of a request.
enum Settled {
    Issued(Box<Certificate>),
    /// It may have been signed, and that may be seen later.
    NotYet(Duration),
    /// It was not signed, and will not be unless somebody does it now.
    NotIssued(Box<Stored<Request>>),
    Cancelled,
}

pub(super) async fn submit(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    key: &IdempotencyKey,
    octets: &[u8],
) -> Result<RequestState, CmError> {
    let digest = hex(octets);
    let wanted = Wanted::read(octets)?;
    let (known, attempts) = match bao.request(realm, key).await? {
        None => (None, 0),
        // Perhaps by another request of the order, before this one was there.
        Some(stored) if stored.value.state == State::Cancelled => return cancelled(key),
        Some(stored) if stored.value.digest != digest => return Err(other_octets(key)),
        Some(stored) => match bao.settle(realm, key, stored).await? {
            Settled::Issued(certificate) => return issued(key, *certificate, &wanted.csr_sha256()),
            Settled::NotYet(wait) => return Err(in_progress(wait)),
            Settled::Cancelled => return cancelled(key),
            Settled::NotIssued(stored) => (Some(stored.version), stored.value.attempts),
        },
    };
    let whole = bao.whole(realm, &wanted.registration).await.map_err(Failure::into_error)?;
    let whole = whole.ok_or_else(no_such_account)?;
    let now = now();
    wanted.judge(&whole, bao.allows, now)?;
    bao.check_replaced(realm, &wanted).await?;
    let role = bao.role(realm, &wanted.profile).await.map_err(Failure::into_error)?;
    let intent = Request {
        state: State::Intent,
        digest,
        registration: wanted.registration.clone(),
        order_ref: wanted.order.clone(),
        profile: wanted.profile.clone(),
        csr_sha256: wanted.csr_sha256(),
        spki_sha256: hex(wanted.csr.spki_der()),
        dns_names: wanted.dns_names(),
        ip_addresses: Some(wanted.ip_addresses()),
        not_after: wanted.asked_end(&whole, role.ttl_secs(), now),
        issuer: role.issuer.clone(),
        replaces: wanted.replaces.clone(),
        attempts: attempts + 1,
        serial: None,
        delivery: None,
    };
    bao.take_order(realm, &wanted.order, key, &intent).await?;
    // Of two that would sign now one gets through.
    let (place, since) = (Place::Request(key), Instant::now());
    let version = known.unwrap_or(0);
    if !bao.update(realm, place, &intent, version).await.map_err(Failure::into_error)? {
        return Err(in_progress(IN_PROGRESS));
    }
    let question = wanted.question(&whole, role.ttl_secs(), now);
    let signed = match bao.claim_replaced(realm, &wanted).await {
        Ok(()) => {
            let signed = bao.sign(realm, &wanted, question, since).await;
            signed.map_err(|failure| (failure.outcome(), failure.into_sign_error()))
        }
        Err(refused) => Err((Outcome::NotSent, refused)),
    };
    match signed {
        Ok(signed) => {
            let stored = Stored { value: intent, version: version + 1, written_at: now };
            let certificate = bao.adopt(realm, key, stored, signed).await.map_err(unknown)?;
            issued(key, certificate, &wanted.csr_sha256())
        }
        Err((outcome, error)) => {
            if outcome == Outcome::NotSent {
                // Certainly nothing was signed: the next one need not wait to be sure.
                let refused = Request { state: State::Refused, ..intent };
                let _best_effort = bao.update(realm, place, &refused, version + 1).await;
            }
            Err(error)
        }
    }
}

pub(super) async fn request_by_key(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    key: &IdempotencyKey,
) -> Result<Option<RequestState>, CmError> {
    let Some(stored) = bao.request(realm, key).await? else { return Ok(None) };
    let csr_sha256 = stored.value.csr_sha256.clone();
    match bao.settle(realm, key, stored).await? {
        Settled::Issued(certificate) => issued(key, *certificate, &csr_sha256).map(Some),
        Settled::NotYet(wait) => Err(in_progress(wait)),
        Settled::NotIssued(_) => Ok(None),
        Settled::Cancelled => cancelled(key).map(Some),
    }
}

pub(super) async fn request_by_order(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    order: &OrderId,
) -> Result<Option<RequestState>, CmError> {
    let found = bao.record::<Order>(realm, Place::Order(order)).await.map_err(Failure::into_error)?;
    match found {
        Some(stored) => request_by_key(bao, realm, &stored.value.request).await,
        None => Ok(None),
    }
}

/// A request is called like its key.
pub(super) fn key_of(id: &CertificateRequestId) -> Result<IdempotencyKey, CmError> {
    IdempotencyKey::parse(id.as_str())
        .map_err(|error| CmError::Internal { outcome: Outcome::NotSent, detail: error.to_string() })
}

/// Nothing is ever pending here, so there is nothing to withdraw but what was not signed.
pub(super) async fn cancel(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    id: &CertificateRequestId,
) -> Result<(), CmError> {
    let key = key_of(id)?;
    let Some(stored) = bao.request(realm, &key).await? else { return Ok(()) };
    match bao.settle(realm, &key, stored).await? {
        Settled::Issued(certificate) => Err(CmError::AlreadyIssued(certificate)),
        Settled::NotYet(wait) => Err(in_progress(wait)),
        Settled::Cancelled => Ok(()),
        Settled::NotIssued(stored) => {
            let withdrawn = Request { state: State::Cancelled, ..stored.value };
            let written = bao.update(realm, Place::Request(&key), &withdrawn, stored.version).await;
            if written.map_err(Failure::into_error)? { Ok(()) } else { Err(in_progress(IN_PROGRESS)) }
        }
    }
}

/// Kept with the request, for whoever looks into a refusal. OpenBao publishes nothing that would wait for it.
pub(super) async fn confirm_delivery(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    id: &CertificateRequestId,
    outcome: &Delivery,
) -> Result<(), CmError> {
    let key = key_of(id)?;
    let said = match outcome {
        Delivery::Accepted => json!({"outcome": "accepted"}),
        Delivery::Refused(failed) => json!({"outcome": "refused", "checks": failed.iter().map(|failed| {
            json!({"check": failed.check.name(), "ok": false, "detail": failed.detail})
        }).collect::<Vec<_>>()}),
    };
    for _ in 0..ROUNDS_MAX {
        let stored = bao.request(realm, &key).await?.ok_or_else(|| CmError::Internal {
            outcome: Outcome::NotSent,
            detail: format!("OpenBao has no request {id} whose delivery could be confirmed"),
        })?;
        if stored.value.delivery.as_ref() == Some(&said) {
            return Ok(());
        }
        let told = Request { delivery: Some(said.clone()), ..stored.value };
        if bao.update(realm, Place::Request(&key), &told, stored.version).await.map_err(Failure::into_error)? {
            return Ok(());
        }
    }
    Err(in_progress(IN_PROGRESS))
}

impl OpenBaoCertificateManager {
    async fn request(&self, realm: &RealmName, key: &IdempotencyKey) -> Result<Option<Stored<Request>>, CmError> {
        self.record(realm, Place::Request(key)).await.map_err(Failure::into_error)
    }

    /// Finds out what became of a request. What is found to be issued is written down.
    async fn settle(
        &self,
        realm: &RealmName,
        key: &IdempotencyKey,
        stored: Stored<Request>,
    ) -> Result<Settled, CmError> {
        match (stored.value.state, &stored.value.serial) {
            (State::Cancelled, _) => Ok(Settled::Cancelled),
            (State::Refused, _) => Ok(Settled::NotIssued(Box::new(stored))),
            (State::Issued, Some(serial)) => {
                let found = self.certificate_with(realm, serial).await.map_err(Failure::into_error)?;
                found.map(|found| Settled::Issued(Box::new(found))).ok_or_else(|| CmError::Internal {
                    outcome: Outcome::Unknown,
                    detail: format!("OpenBao does not have certificate {serial} any more, which it issued"),
                })
            }
            (State::Issued, None) | (State::Intent, _) => {
                // The time is looked at before the list: what is not in it then was not signed.
                let waited = self.time().await.map_err(Failure::into_error)?.since(stored.written_at);
                let left = self.sign_may_take().saturating_sub(waited);
                let order = &stored.value.order_ref;
                if left.is_zero() {
                    self.catch_up(realm, key, order).await.map_err(Failure::into_error)?;
                }
                let mut found = self.search(realm, &stored).await.map_err(Failure::into_error)?;
                if found.is_none() && left.is_zero() {
                    if !self.is_at_work(realm, key, order).await? {
                        return Ok(Settled::NotYet(ASKED_EVERY * ANSWERS_BETWEEN));
                    }
                    found = self.search(realm, &stored).await.map_err(Failure::into_error)?;
                }
                if let Some(signed) = found {
                    tracing::warn!(order = %stored.value.order_ref, "found the certificate whose answer was lost");
                    let certificate = self.adopt(realm, key, stored, signed).await.map_err(unknown)?;
                    return Ok(Settled::Issued(Box::new(certificate)));
                }
                Ok(if left.is_zero() { Settled::NotIssued(Box::new(stored)) } else { Settled::NotYet(left) })
            }
        }
    }
}

impl OpenBaoCertificateManager {
    /// Sees to it that what follows is not read at a standby that has not heard of the last sign: what was signed at a
    /// node that died has told us no index. A write goes to the leader, and its answer tells how far that is. The record
    /// of the order says the same again, for the time at which the request was written down must stay.
    async fn catch_up(&self, realm: &RealmName, key: &IdempotencyKey, order: &OrderId) -> Result<(), Failure> {
        let place = Place::Order(order);
        for _ in 0..ROUNDS_MAX {
            let found = self.record::<Order>(realm, place).await?;
            let (version, same) =
                found.map_or_else(|| (0, Order { request: key.clone() }), |stored| (stored.version, stored.value));
            if self.update(realm, place, &same, version).await? {
                return Ok(());
            }
        }
        Err(Failure::not_active(0, Outcome::NotSent))
    }

    /// Whether the leader answers throughout a while. One that was frozen has then done what it had not read before.
    /// The last answer tells again how far it is.
    async fn is_at_work(&self, realm: &RealmName, key: &IdempotencyKey, order: &OrderId) -> Result<bool, CmError> {
        for _ in 0..ANSWERS_BETWEEN {
            sleep(ASKED_EVERY).await;
            match timeout(ANSWERED_WITHIN, self.catch_up(realm, key, order)).await {
                Ok(answered) => answered.map_err(Failure::into_error)?,
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Makes the order this request's. Another one's it stays if anything was or can still be issued for that.
    async fn take_order(
        &self,
        realm: &RealmName,
        order: &OrderId,
        key: &IdempotencyKey,
        intent: &Request,
    ) -> Result<(), CmError> {
        let (place, mine) = (Place::Order(order), Order { request: key.clone() });
        for _ in 0..ROUNDS_MAX {
            let found = self.record::<Order>(realm, place).await.map_err(Failure::into_error)?;
            let version = match found {
                Some(stored) if stored.value == mine => return Ok(()),
                Some(stored) => {
                    // One that has taken the order may be about to write its intent down: of the two one is first.
                    let withdrawn = Request { state: State::Cancelled, ..intent.clone() };
                    let other = Place::Request(&stored.value.request);
                    let _whoever_is_first =
                        self.update(realm, other, &withdrawn, 0).await.map_err(Failure::into_error)?;
                    self.require_nothing_issued(realm, &stored.value.request).await?;
                    stored.version
                }
                None => 0,
            };
            if self.update(realm, place, &mine, version).await.map_err(Failure::into_error)? {
                return Ok(());
            }
        }
        Err(in_progress(IN_PROGRESS))
    }

    /// Nothing was and nothing will be issued for this request, or why that cannot be said.
    pub(super) async fn require_nothing_issued(&self, realm: &RealmName, key: &IdempotencyKey) -> Result<(), CmError> {
        let Some(stored) = self.request(realm, key).await? else { return Ok(()) };
        match self.settle(realm, key, stored).await? {
            Settled::Issued(certificate) => Err(CmError::AlreadyIssued(certificate)),
            Settled::NotYet(wait) => Err(in_progress(wait)),
            Settled::Cancelled => Ok(()),
            Settled::NotIssued(stored) => {
                // Nobody shall sign for it once the order has another request.
                let withdrawn = Request { state: State::Cancelled, ..stored.value };
                let written = self.update(realm, Place::Request(key), &withdrawn, stored.version).await;
                if written.map_err(Failure::into_error)? { Ok(()) } else { Err(in_progress(IN_PROGRESS)) }
            }
        }
    }
}

fn issued(key: &IdempotencyKey, certificate: Certificate, csr_sha256: &str) -> Result<RequestState, CmError> {
    let octets = data_encoding::HEXLOWER.decode(csr_sha256.as_bytes()).ok();
    let claims = RequestClaims {
        registration: certificate.registration.clone(),
        order_ref: certificate.order_ref.clone(),
        csr_sha256: octets.and_then(|octets| octets.try_into().ok()),
    };
    Ok(RequestState::Issued { id: id_of(key)?, certificate: Box::new(certificate), claims })
}

fn cancelled(key: &IdempotencyKey) -> Result<RequestState, CmError> {
    let problem = Problem::new(ProblemKind::ServerInternal, "the request was withdrawn; create a new order");
    Ok(RequestState::Refused { id: id_of(key)?, refusal: Refusal { problem, evidence_refused: false } })
}

fn id_of(key: &IdempotencyKey) -> Result<CertificateRequestId, CmError> {
    CertificateRequestId::parse(key.as_str())
        .map_err(|error| CmError::Internal { outcome: Outcome::Unknown, detail: error.to_string() })
}

/// Somebody may be signing.
const fn in_progress(wait: Duration) -> CmError {
    CmError::Unavailable { retry_after: Some(wait), outcome: Outcome::Unknown }
}

/// It was signed, whatever failed after that.
fn unknown(failure: Failure) -> CmError {
    failure.after(Outcome::Unknown).into_error()
}

fn other_octets(key: &IdempotencyKey) -> CmError {
    let detail = format!("request {key} was made with other octets before");
    CmError::Internal { outcome: Outcome::Unknown, detail }
}
