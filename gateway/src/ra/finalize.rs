//! Finalize: from a ready order and a CSR to an issuance job (RFC 8555 §7.4).
//!
//! The request writes down what will be sent to the CM, octet for octet, with the key it will be
//! sent under, before anything is sent. Everything after that can die and be done again.

use acme::{
    account_key::Thumbprint,
    authorization::Authorization,
    base64url,
    csr::Csr,
    ids::OrderId,
    order::{CsrDigest, Finalize, Order, OrderStatus},
    problem::{Problem, ProblemKind},
    registration::Registration,
    time::Timestamp,
    waiver::KeyDigest,
};
use cm_connector::{CertificateRequest, Client, Proof, Validation};
use policies::waiver::Shown;
use store::{Commit, Job, ProfileTerms, Stored};

use super::{
    Error, again_on_conflict,
    order::{self, OrderView},
    profile_stop, waiver,
};
use crate::{
    app::{App, Endpoint},
    audit::{self, Act, Asked, Event},
    random,
    telemetry::metrics::Ending,
    transcript::{self, Entry, Subject},
};

/// What a client asks of finalize.
pub(crate) struct Request {
    pub(crate) order: OrderId,
    /// PKCS#10 in DER, as it was received.
    pub(crate) csr_der: Vec<u8>,
    pub(crate) client: Client,
    /// The key that the client proved to hold in the handshake.
    pub(crate) client_certificate: Option<KeyDigest>,
    pub(crate) proof: Proof,
}

impl Request {
    const fn asked_by<'a>(&self, registration: &'a Registration) -> Asked<'a> {
        Asked { registration, client: Some(self.client.ip) }
    }
}

/// Accepts the CSR and waits a bounded time for the certificate.
pub(crate) async fn finalize(
    app: &App,
    endpoint: &Endpoint,
    registration: &Registration,
    request: &Request,
    now: Timestamp,
) -> Result<OrderView, Error> {
    let waiting = app.waiters.register(&request.order);
    again_on_conflict(async || accept(app, endpoint, registration, request, now).await).await?;
    let view = order::read(app, endpoint, &registration.id, &request.order).await?;
    if view.order.status(&view.authorizations, now) != OrderStatus::Processing {
        return Ok(view);
    }
    waiting.at_most(app.settings.issuance.finalize_wait.duration()).await;
    order::read(app, endpoint, &registration.id, &request.order).await
}

async fn accept(
    app: &App,
    endpoint: &Endpoint,
    registration: &Registration,
    request: &Request,
    now: Timestamp,
) -> Result<(), Error> {
    let stored = order::load(app, endpoint, &registration.id, &request.order).await?;
    let mut told = Vec::new();
    let accepted = judge(app, (endpoint, registration), &stored, request, &mut told, now).await;
    let Err(Error::Refused(refusal)) = accepted else { return accepted };
    let ending = Ending::Refused(&refusal.problem);
    app.metrics.issuance.ended(&endpoint.name, Some(&stored.value.profile), ending);
    let csr_sha256 = base64url::encode(CsrDigest::of(&request.csr_der).0);
    told.push(Entry::FinalizeRefused { csr_sha256, problem: refusal.problem.clone() });
    Err(transcript::refuse(
        app,
        (endpoint, request.asked_by(registration)),
        &Subject::from(&stored.value),
        &told,
        refusal,
        now,
    )
    .await)
}

async fn judge(
    app: &App,
    (endpoint, registration): (&Endpoint, &Registration),
    stored: &Stored<Order>,
    request: &Request,
    told: &mut Vec<Entry>,
    now: Timestamp,
) -> Result<(), Error> {
    let authorizations = app.store.authorizations(&stored.value.authorizations).await?;
    let facts: Vec<_> = authorizations.iter().map(|stored| stored.value.clone()).collect();

    let digest = CsrDigest::of(&request.csr_der);
    let decided = stored.value.finalize(&facts, digest, now);
    let next = match decided.map_err(|refused| Error::refused(ProblemKind::OrderNotReady, refused.to_string()))? {
        Finalize::Repeated => return Ok(()),
        Finalize::Accepted(next) => *next,
    };
    audit::require(app, Act::Issuance)?;
    let csr = Csr::parse(&request.csr_der).map_err(|error| Error::refused(ProblemKind::BadCsr, error.to_string()))?;
    let (terms, signed_by) = check(app, endpoint, registration, &stored.value, &csr, now)?;
    let shown = Shown { address: request.client.ip, client_certificate: request.client_certificate };
    let account = (&endpoint.realm, registration);
    waiver::check(app, account, (&stored.value, &facts), Some(&shown), told, now)?;
    profile_stop::require_none(app, &endpoint.realm, &stored.value.profile).await?;

    let job = Job::issue(
        next.id.clone(),
        endpoint.realm.clone(),
        random::id(),
        request.csr_der.clone(),
        octets(app, &next, &facts, request)?,
        Some(terms),
        now,
    )
    .signed_by(signed_by);
    let mut commit = Commit::new();
    for authorization in &authorizations {
        commit.unchanged_authorization(authorization);
    }
    commit.update_order(stored, next.clone(), app.keep_until(next.expires));
    commit.create_job(job);
    audit::add(
        app,
        &mut commit,
        now,
        &Event::OrderFinalized { order: &next, csr: digest, asked: request.asked_by(registration) },
    );
    app.store.commit(commit).await?;
    app.wake.now();
    Ok(())
}

/// Everything that may have changed since the order was made is judged again. Says what the certificate
/// will be held to, whatever the CM offers by then, and which account key asks for it.
fn check(
    app: &App,
    endpoint: &Endpoint,
    registration: &Registration,
    order: &Order,
    csr: &Csr,
    now: Timestamp,
) -> Result<(ProfileTerms, Thumbprint), Error> {
    // Whoever is suspended is told so whatever else there is to say.
    policies::registration::may_order(registration.status)?;
    let offer = app.catalogue.offer(&endpoint.realm)?;
    let (most, now) = (app.settings.orders.identifiers_max, app.cm_condition.time(now));
    let profile = policies::authority::may_have(order, registration, &offer.profiles, most, now)?;
    let terms = offer.terms_of(profile, csr);
    let Some(account_key) = &registration.key else {
        return Err(Error::internal(anyhow::anyhow!("registration {} has no key", registration.id)));
    };
    policies::csr::check_csr(csr, &order.identifiers, profile, &account_key.key)?;
    Ok((terms, account_key.thumbprint))
}

/// The exact octets that the CM will get.
fn octets(app: &App, order: &Order, authorizations: &[Authorization], request: &Request) -> Result<Vec<u8>, Error> {
    let proven = authorizations.iter().filter_map(|authorization| {
        let reused = order.reused.contains(&authorization.id);
        Validation::of(authorization, reused)
    });
    let validations: Vec<_> = proven.collect();
    if validations.len() != order.identifiers.len() {
        return Err(Problem::new(ProblemKind::OrderNotReady, "an identifier is not proven; create a new order").into());
    }
    let request = CertificateRequest {
        registration: order.account.clone(),
        order: order.id.clone(),
        profile: order.profile.clone(),
        csr_der: request.csr_der.clone(),
        identifiers: order.identifiers.clone(),
        validations,
        not_before: order.not_before,
        not_after: order.not_after,
        replaces: order.replaces.clone(),
        client: request.client.clone(),
        proof: request.proof.clone(),
    };
    Ok(app.cm.certificate_request(&request)?)
}

#[cfg(test)]
mod tests;
