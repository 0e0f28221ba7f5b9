//! CAA in the life of an order: the records are looked at when control is proven, and again before
//! the request is sent if that was too long ago or for another issuer (RFC 8659 §3, BR 3.2.2.8).
//!
//! How much they count is the profile's to say, then the endpoint's ([`Weight`]).

use std::time::Duration;

use acme::{
    authorization::Authorization,
    caa::{CaaEvidence, Issuance, Weight},
    challenge::{ChallengeKind, Evidence},
    identifier::Identifier,
    ids::{AuthorizationId, IssuerName, ProfileName},
    order::Order,
    problem::{Problem, ProblemKind, Subproblem},
    profile::Profile,
};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};
use validation::Failure;

use super::inspect::offer;
use crate::{
    app::{App, Endpoint},
    clock,
    ra::catalogue::Offer,
    telemetry::metrics::Step,
};

/// Names of one order that are looked up at a time.
const LOOKS_AT_ONCE: usize = 8;
/// Longest that an order looks before others have its slot: servers that are slow on purpose can be asked for a hundred
/// names. What was seen by then is kept, and the rest is looked at next time.
const LOOKS_MAX: Duration = Duration::from_secs(20);

/// What CAA records say about an order that is going to be sent.
pub(super) enum Standing {
    /// They do not forbid it. These looks were made just now.
    Permitted(Vec<(AuthorizationId, CaaEvidence)>),
    /// It must not be issued.
    Refused {
        problem: Problem,
        /// Whether that may be because the DNS does not answer just now.
        retry: bool,
        /// The newer looks at other names of the order, which permit it.
        permitted: Vec<(AuthorizationId, CaaEvidence)>,
    },
}

/// Adds a look at the CAA records to a proof. The order's profile is not known here, so they refuse
/// only what they refuse under every profile of the realm; the rest is seen before issuance.
pub(super) async fn after_proof(
    app: &App,
    endpoint: &Endpoint,
    (authorization, kind): (&Authorization, ChallengeKind),
    evidence: Evidence,
) -> Result<Evidence, Failure> {
    // While the CM has not said by which names it goes, nothing can be held against the records.
    let Ok(offer) = app.catalogue.offer(&endpoint.realm) else { return Ok(evidence) };
    let weights = || offer.profiles.iter().map(|profile| endpoint.caa.under(profile.caa));
    let Some((least, most)) = weights().min().zip(weights().max()).filter(|(_, most)| *most != Weight::Off) else {
        return Ok(evidence);
    };
    match look(app, endpoint, authorization, Some(kind), &offer.caa_identities()).await {
        Ok(caa) => Ok(Evidence { caa, ..evidence }),
        Err(failure) if least == Weight::Enforce => Err(failure),
        Err(failure) => {
            tracing::warn!(authorization = %authorization.id, ?most, reason = %failure.problem.detail,
                "CAA records do not permit what was proven; whether that counts depends on the order's profile");
            Ok(evidence)
        }
    }
}

/// Looks again at what has not been looked at lately, neither with its proof nor by the job that asks,
/// which has kept its looks.
///
/// # Errors
/// The CM or the store cannot be read, and so nothing can be said.
pub(super) async fn before_submission(
    app: &App,
    order: &Order,
    kept: &[(AuthorizationId, CaaEvidence)],
) -> anyhow::Result<Standing> {
    let Some(endpoint) = app.endpoints.get(&order.endpoint) else {
        anyhow::bail!("endpoint {} is not configured any more", order.endpoint);
    };
    let offer = offer(app, &endpoint.realm).await?;
    let profile = offer.profiles.iter().find(|profile| profile.name == order.profile);
    // Of a profile that was withdrawn meanwhile it is not known how lenient it was.
    let weight = profile.map_or(Weight::Enforce, |profile| endpoint.caa.under(profile.caa));
    if weight == Weight::Off {
        return Ok(Standing::Permitted(Vec::new()));
    }
    let identities = identities(&offer, profile);
    let stored = app.store.authorizations(&order.authorizations).await?;
    let authorizations: Vec<_> = stored.into_iter().map(|stored| stored.value).collect();
    if authorizations.len() < order.identifiers.len() {
        anyhow::bail!("an authorization of order {} is gone", order.id);
    }
    let age_max = app.settings.validation.caa_age_max();
    let mut stale = Vec::new();
    for authorization in authorizations.iter().filter(|one| !matches!(one.identifier, Identifier::Ip(_))) {
        let (kind, seen) = match (authorization.proof(), authorization.waived()) {
            (Some((kind, evidence)), _) => (Some(kind), evidence.caa.as_ref()),
            // What is waived is the proof, not what the owner of the domain says.
            (None, Some(_)) => (None, None),
            (None, None) => anyhow::bail!("authorization {} is not proven", authorization.id),
        };
        let fresh = |caa: &CaaEvidence| caa.is_fresh(&identities, age_max, clock::now());
        let kept = kept.iter().filter(|(id, _)| *id == authorization.id).map(|(_, caa)| caa);
        if !seen.into_iter().chain(kept).any(fresh) {
            stale.push((authorization, kind));
        }
    }
    let (mut looks, until) = (Vec::new(), Instant::now() + LOOKS_MAX);
    for some in stale.chunks(LOOKS_AT_ONCE) {
        let at_once = some.iter().map(async |(authorization, kind)| {
            let look = look(app, endpoint, authorization, *kind, &identities);
            timeout_at(until, look).await.unwrap_or_else(|_| Err(too_late(authorization)))
        });
        looks.extend(some.iter().map(|(authorization, _)| *authorization).zip(join_all(at_once).await));
    }
    Ok(standing(order, weight, looks))
}

fn standing(
    order: &Order,
    weight: Weight,
    looks: Vec<(&Authorization, Result<Option<CaaEvidence>, Failure>)>,
) -> Standing {
    let (mut permitted, mut refused, mut retry) = (Vec::new(), Vec::new(), true);
    for (authorization, look) in looks {
        match look {
            Ok(Some(caa)) => permitted.push((authorization.id.clone(), caa)),
            Ok(None) => {}
            Err(Failure { problem, .. }) if weight != Weight::Enforce => {
                tracing::warn!(order = %order.id, reason = %problem.detail,
                    "CAA records do not permit what is going to be issued; the endpoint takes that for advice");
            }
            Err(failure) => {
                retry &= failure.retry;
                let Problem { kind, detail, .. } = failure.problem;
                refused.push(Subproblem::new(kind, &authorization.identifier, detail));
            }
        }
    }
    if refused.is_empty() {
        return Standing::Permitted(permitted);
    }
    Standing::Refused { problem: Problem::about_identifiers(refused, order.identifiers.len()), retry, permitted }
}

async fn look(
    app: &App,
    endpoint: &Endpoint,
    authorization: &Authorization,
    method: Option<ChallengeKind>,
    identities: &[String],
) -> Result<Option<CaaEvidence>, Failure> {
    let account_url = endpoint.links.account(&authorization.account);
    let is_wildcard = authorization.identifier.is_wildcard();
    let issuance = Issuance { identities, account_url: &account_url, method, is_wildcard };
    let _timer = app.metrics.issuance.begin(Step::Caa);
    app.validator.check_caa(&authorization.identifier, &issuance, clock::now()).await
}

/// There was no time left for this one.
fn too_late(authorization: &Authorization) -> Failure {
    let detail = format!(
        "looking up CAA for {}: not done within {} seconds, together with the other names of the order; the DNS servers of \
         some of them answer slowly",
        authorization.identifier,
        LOOKS_MAX.as_secs()
    );
    Failure { problem: Problem::new(ProblemKind::Caa, detail), retry: true }
}

/// Tells operators of issuers that no CAA record can name, though records count: whoever publishes any
/// gets no certificate.
pub(super) fn warn_of_nameless_issuers(endpoint: &Endpoint, offer: &Offer) {
    for (profile, issuer) in nameless(endpoint.caa, offer) {
        tracing::warn!(endpoint = %endpoint.name, %profile, %issuer,
            "CAA is enforced, but the CM has no CAA identities for the issuer: names with any issue record are refused; \
             have the CM configured with the issuer's caaIdentities, or set the endpoint's caa to advisory or off");
    }
}

/// Profiles for names under which CAA is enforced, and their issuers without a name for it.
fn nameless(weight: Weight, offer: &Offer) -> Vec<(&ProfileName, &IssuerName)> {
    let enforcing = offer.profiles.iter().filter(|profile| profile.dns && weight.under(profile.caa) == Weight::Enforce);
    let nameless = enforcing.filter(|profile| identities(offer, Some(profile)).is_empty());
    nameless.map(|profile| (&profile.name, &profile.issuer)).collect()
}

/// The names of the issuer that will sign; of all the realm's if the profile is gone.
fn identities(offer: &Offer, profile: Option<&Profile>) -> Vec<String> {
    match profile.and_then(|profile| offer.issuers.get(&profile.issuer)) {
        Some(issuer) => Offer::names_of([issuer]),
        None => offer.caa_identities(),
    }
}

#[cfg(test)]
mod tests;
