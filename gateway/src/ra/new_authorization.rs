//! Authorizations for what is going to be ordered: proven before if possible, else new ones
//! (RFC 8555 §7.4, §7.4.1).

use acme::{
    authorization::Authorization,
    challenge,
    identifier::Identifier,
    ids::{AuthorizationId, Reference},
    problem::{Problem, ProblemKind, Subproblem},
    registration::Registration,
    time::Timestamp,
    waiver::Waiver,
    wire::order::IdentifierText,
};
use policies::{
    reuse::{Terms, may_rest_on, order_end},
    waiver::{Shown, waived},
};
use store::{Commit, Stored};

use super::{Error, again_on_conflict, identifiers::parse_one, quota, waiver::Waivers};
use crate::{
    app::{App, Endpoint},
    audit::{self, Act, Asked, Event},
    random,
    telemetry::metrics::Ending,
    transcript::{self, Entry, Subject},
};

/// Most proofs of one identifier that are looked at, the latest first.
const PROOFS_MAX: usize = 8;

/// Whose authorizations they are, and what they have to satisfy.
#[derive(Clone, Copy)]
pub(crate) struct Grounds<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) registration: &'a Registration,
    pub(crate) issuer_domain_names: &'a [String],
    pub(crate) terms: Terms<'a>,
}

/// What proves control of an identifier, or will.
pub(crate) enum Ground {
    /// Proven before.
    Proven(Stored<Authorization>),
    /// Waived, for this order and no other.
    Waived(Authorization),
    /// To be proven.
    New(Authorization),
}

impl Ground {
    pub(crate) const fn authorization(&self) -> &Authorization {
        match self {
            Self::Proven(stored) => &stored.value,
            Self::Waived(authorization) | Self::New(authorization) => authorization,
        }
    }

    /// What is still to be proven, if it is.
    pub(crate) const fn unproven(&self) -> Option<&Identifier> {
        match self {
            Self::Proven(_) | Self::Waived(_) => None,
            Self::New(authorization) => Some(&authorization.identifier),
        }
    }
}

/// Makes an authorization ahead of any order, or finds the proof that there is (RFC 8555 §7.4.1).
/// An order rests on it once it is proven.
pub(crate) async fn create(
    app: &App,
    endpoint: &Endpoint,
    asked: Asked<'_>,
    identifier: &IdentifierText,
    now: Timestamp,
) -> Result<Authorization, Error> {
    if !endpoint.pre_authorization {
        return Err(Error::not_found("resource; this directory offers no newAuthz"));
    }
    let (id, mut told) = (random::id(), Vec::new());
    let made = decide(app, (endpoint, asked), (&id, identifier), &mut told, now).await;
    let Err(Error::Refused(refusal)) = made else { return made };
    app.metrics.issuance.ended(&endpoint.name, None, Ending::Refused(&refusal.problem));
    let (endpoint_name, account) = (endpoint.name.clone(), asked.registration.id.clone());
    told.push(Entry::AuthorizationRefused { endpoint: endpoint_name, account, problem: refusal.problem.clone() });
    let subject = Subject { reference: Reference::from(&id), ends: now };
    Err(transcript::refuse(app, (endpoint, asked), &subject, &told, refusal, now).await)
}

async fn decide(
    app: &App,
    (endpoint, asked): (&Endpoint, Asked<'_>),
    (id, identifier): (&AuthorizationId, &IdentifierText),
    told: &mut Vec<Entry>,
    now: Timestamp,
) -> Result<Authorization, Error> {
    let registration = asked.registration;
    policies::registration::may_order(registration.status)?;
    audit::require(app, Act::Issuance)?;
    let identifier = parse_one(endpoint, identifier)?;
    if identifier.is_wildcard() {
        let detail = "wildcard names cannot be authorized ahead of an order (RFC 8555 section 7.4.1); order them";
        return Err(Error::refused(ProblemKind::Malformed, detail));
    }
    let offer = app.catalogue.offer(&endpoint.realm)?;
    let profile = policies::profile::choose(None, endpoint.profile.as_ref(), registration, &offer.profiles)?;
    let identifiers = [identifier];
    told.extend(Entry::judged(&identifiers, registration, profile));
    policies::identifier::check_order(&identifiers, registration, profile, 1)?;
    let order_end = order_end(app.settings.orders.lifetime.duration(), profile, now);
    let names = offer.caa_identities();
    let terms = Terms { offered: &endpoint.challenges, profile, age_max: endpoint.authorization_reuse, order_end, now };
    let grounds = Grounds { endpoint, registration, issuer_domain_names: &names, terms };
    again_on_conflict(async || match find(app, &grounds, &identifiers, &Waivers::default()).await?.into_iter().next() {
        Some(Ground::Proven(stored)) => Ok(stored.value),
        Some(Ground::Waived(made) | Ground::New(made)) => {
            let authorization = Authorization { id: id.clone(), ..made };
            let spent = quota::new_authorization(app, endpoint, registration, &authorization.identifier, now).await?;
            let mut commit = Commit::new();
            commit.create_authorization(authorization.clone(), app.keep_until(authorization.expires));
            let subject = Subject::from(&authorization);
            told.iter().for_each(|entry| transcript::tell(app, &mut commit, &subject, now, entry));
            audit::add(app, &mut commit, now, &Event::AuthorizationCreated { authorization: &authorization, asked });
            app.store.commit(commit).await?;
            spent.keep();
            Ok(authorization)
        }
        None => Err(Error::internal(anyhow::anyhow!("one identifier has one authorization"))),
    })
    .await
}

/// One authorization for each identifier, in their order: a proof is worth more than a waiver. The new ones end when the
/// first of the proven ones or of the waivers does.
///
/// # Errors
/// A problem naming every identifier that cannot be proven here.
pub(crate) async fn find(
    app: &App,
    grounds: &Grounds<'_>,
    identifiers: &[Identifier],
    waivers: &Waivers<'_>,
) -> Result<Vec<Ground>, Error> {
    let (mut known, mut expires) = (Vec::with_capacity(identifiers.len()), grounds.terms.order_end);
    for (place, identifier) in identifiers.iter().enumerate() {
        let proven = earlier_proof(app, grounds, identifier).await?;
        let waiver = waivers.of(place).filter(|_| proven.is_none());
        let ends = proven.iter().map(|stored| stored.value.expires).chain(waiver.map(|(waiver, _)| waiver.not_after));
        expires = ends.fold(expires, Timestamp::min);
        known.push((identifier, proven, waiver));
    }
    let (mut found, mut refused) = (Vec::with_capacity(identifiers.len()), Vec::new());
    for (identifier, proven, waiver) in known {
        match (proven, waiver) {
            (Some(stored), _) => found.push(Ground::Proven(stored)),
            (None, Some(waiver)) => found.push(Ground::Waived(waive(grounds, identifier, waiver, expires))),
            (None, None) => match make(grounds, identifier, expires) {
                Ok(made) => found.push(Ground::New(made)),
                Err(subproblem) => refused.push(subproblem),
            },
        }
    }
    if refused.is_empty() { Ok(found) } else { Err(Problem::about_identifiers(refused, identifiers.len()).into()) }
}

async fn earlier_proof(
    app: &App,
    grounds: &Grounds<'_>,
    identifier: &Identifier,
) -> Result<Option<Stored<Authorization>>, Error> {
    if grounds.terms.age_max.is_zero() {
        return Ok(None);
    }
    let (endpoint, account) = (&grounds.endpoint.name, &grounds.registration.id);
    let proofs = app.store.proven(endpoint, account, identifier, PROOFS_MAX).await?;
    Ok(proofs.into_iter().find(|stored| may_rest_on(&stored.value, &grounds.terms)))
}

fn make(grounds: &Grounds<'_>, identifier: &Identifier, expires: Timestamp) -> Result<Authorization, Subproblem> {
    let Grounds { endpoint, registration, issuer_domain_names, terms } = grounds;
    let kinds: Vec<_> = terms.offered.iter().copied().filter(|kind| terms.profile.accepts(*kind)).collect();
    let challenges = challenge::offer(&kinds, identifier, &random::token(), issuer_domain_names);
    if challenges.is_empty() {
        let detail = "no challenge on offer here can prove control of it (rule challenge.none-offered); ask the operator to offer dns-01 for wildcards or http-01 for addresses";
        return Err(Subproblem::new(ProblemKind::RejectedIdentifier, identifier, detail));
    }
    Ok(Authorization {
        id: random::id(),
        endpoint: endpoint.name.clone(),
        account: registration.id.clone(),
        identifier: identifier.clone(),
        challenges,
        expires,
        deactivated_at: None,
        revoked_at: None,
    })
}

/// An authorization that is valid without a proof until then.
fn waive(
    grounds: &Grounds<'_>,
    identifier: &Identifier,
    (waiver, shown): (&Waiver, &Shown),
    expires: Timestamp,
) -> Authorization {
    let terms = &grounds.terms;
    let kinds: Vec<_> = terms.offered.iter().copied().filter(|kind| terms.profile.accepts(*kind)).collect();
    let kinds = if kinds.is_empty() { terms.offered } else { &kinds };
    let challenge = challenge::waived(kinds, identifier, random::token(), terms.now, waived(waiver, shown));
    Authorization {
        id: random::id(),
        endpoint: grounds.endpoint.name.clone(),
        account: grounds.registration.id.clone(),
        identifier: identifier.clone(),
        challenges: vec![challenge],
        expires,
        deactivated_at: None,
        revoked_at: None,
    }
}

#[cfg(test)]
mod tests;
