//! Orders: making them, reading them (RFC 8555 §7.4, §7.1.2.1).

use std::{collections::BTreeSet, net::IpAddr};

use acme::{
    identifier::Identifier,
    ids::{OrderId, ProfileName, Reference, RegistrationId},
    order::{Order, OrderStatus, Progress},
    problem::{Problem, ProblemKind, Subproblem},
    profile::Profile,
    registration::Registration,
    time::Timestamp,
    wire::order::NewOrder,
};
use policies::{
    profile::Validity,
    reuse::{Terms, order_end},
    waiver::Shown,
};
use store::{Commit, OrderCursor, OrderPage, ReadError, Stored};

pub(crate) use super::order_view::OrderView;
use super::{
    Error, again_on_conflict,
    identifiers::parse_all,
    new_authorization::{self, Ground, Grounds},
    profile_stop, quota,
    replacement::{self, Replaced, Standing},
    waiver::Waivers,
};
use crate::{
    app::{App, Endpoint},
    audit::{self, Act, Asked, Event},
    random,
    telemetry::metrics::{Ending, Step},
    transcript::{self, Entry, Subject},
};

/// What was found good in a request for an order.
struct Draft<'a> {
    identifiers: Vec<Identifier>,
    replaced: Option<Replaced>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    grounds: Grounds<'a>,
    waivers: Waivers<'a>,
    client: Option<IpAddr>,
}

/// Makes an order, or refuses it with a reason for each identifier. It rests on what the account
/// has proven lately, as far as the endpoint lets it. A refusal has a transcript too, under the id
/// that the order would have had. What the client shows is nothing but evidence for a waiver.
pub(crate) async fn create(
    app: &App,
    endpoint: &Endpoint,
    registration: &Registration,
    (request, shown): (&NewOrder, Option<Shown>),
    now: Timestamp,
) -> Result<OrderView, Error> {
    let (id, mut told) = (random::id(), Vec::new());
    let timer = app.metrics.issuance.begin(Step::NewOrder);
    let made = decide(app, (endpoint, registration), (&id, request, shown), &mut told, now).await;
    drop(timer);
    let Err(Error::Refused(refusal)) = made else { return made };
    let profile = profile_of(app, endpoint, registration, request);
    app.metrics.issuance.ended(&endpoint.name, profile.as_ref(), Ending::Refused(&refusal.problem));
    let (endpoint_name, account) = (endpoint.name.clone(), registration.id.clone());
    told.push(Entry::OrderRefused { endpoint: endpoint_name, account, problem: refusal.problem.clone() });
    let subject = Subject { reference: Reference::from(&id), ends: now };
    let asked = Asked { registration, client: shown.map(|shown| shown.address) };
    Err(transcript::refuse(app, (endpoint, asked), &subject, &told, refusal, now).await)
}

/// Judges a request for an order, and makes the order. What policy says is told whatever comes of it.
async fn decide(
    app: &App,
    (endpoint, registration): (&Endpoint, &Registration),
    (id, request, shown): (&OrderId, &NewOrder, Option<Shown>),
    told: &mut Vec<Entry>,
    now: Timestamp,
) -> Result<OrderView, Error> {
    policies::registration::may_order(registration.status)?;
    audit::require(app, Act::Issuance)?;
    super::account::require_current_agreement(endpoint, registration, now)?;
    let (identifiers, unreadable) = parse_all(endpoint, &request.identifiers, app.settings.orders.identifiers_max)?;
    if !unreadable.is_empty() {
        return Err(name_all_refused(app, endpoint, registration, request, &identifiers, unreadable).into());
    }
    let offer = app.catalogue.offer(&endpoint.realm)?;
    let profile = choose_profile(endpoint, registration, request, &offer.profiles)?;
    told.extend(Entry::judged(&identifiers, registration, profile));
    policies::identifier::check_order(&identifiers, registration, profile, app.settings.orders.identifiers_max)?;
    profile_stop::require_none(app, &endpoint.realm, &profile.name).await?;
    let not_before = parse_time("notBefore", request.not_before.as_deref())?;
    let not_after = parse_time("notAfter", request.not_after.as_deref())?;
    // The CM decides by its own clock (CM contract section 8).
    let wanted = Validity { not_before, not_after };
    policies::profile::check_validity(wanted, registration, profile, app.cm_condition.time(now))?;
    let replaced = match &request.replaces {
        Some(text) => Some(replacement::find(app, endpoint, &registration.id, text, &identifiers).await?),
        None => None,
    };
    let issuer_domain_names = offer.caa_identities();
    let terms = Terms {
        offered: &endpoint.challenges,
        profile,
        age_max: endpoint.authorization_reuse,
        order_end: order_end(app.settings.orders.lifetime.duration(), profile, now),
        now,
    };
    let grounds = Grounds { endpoint, registration, issuer_domain_names: &issuer_domain_names, terms };
    let waivers = Waivers::find(app, (registration, profile), &identifiers, shown, told, now);
    let client = shown.map(|shown| shown.address);
    let draft = Draft { identifiers, replaced, not_before, not_after, grounds, waivers, client };
    again_on_conflict(async || write(app, id, &draft, told, now).await).await
}

/// Writes the order with its new authorizations, on condition that what it rests on stays as it is.
async fn write(app: &App, id: &OrderId, draft: &Draft<'_>, told: &[Entry], now: Timestamp) -> Result<OrderView, Error> {
    let Grounds { endpoint, registration, terms, .. } = &draft.grounds;
    let claim = match &draft.replaced {
        None => None,
        Some(replaced) => match replacement::standing(app, endpoint, &replaced.certificate, now).await? {
            Standing::Free(was) => Some((replaced, was)),
            Standing::Claimed(view) if draft.is_resumed_by(&view, now) => return Ok(*view),
            Standing::Claimed(_) | Standing::Replaced => return Err(replacement::already_replaced()),
        },
    };
    let found = new_authorization::find(app, &draft.grounds, &draft.identifiers, &draft.waivers).await?;
    let unproven: Vec<_> = found.iter().filter_map(Ground::unproven).collect();
    let renews = claim.as_ref().is_some_and(|(_, earlier)| earlier.is_none());
    let spent = quota::new_order(app, endpoint, registration, &unproven, renews, now).await?;
    let authorizations: Vec<_> = found.iter().map(|ground| ground.authorization().clone()).collect();
    let expires = authorizations.iter().map(|one| one.expires).fold(terms.order_end, Timestamp::min);
    let mut order = Order {
        id: id.clone(),
        endpoint: endpoint.name.clone(),
        account: registration.id.clone(),
        identifiers: draft.identifiers.clone(),
        authorizations: authorizations.iter().map(|authorization| authorization.id.clone()).collect(),
        reused: Vec::new(),
        profile: terms.profile.name.clone(),
        replaces: draft.replaced.as_ref().map(|replaced| replaced.certificate.clone()),
        not_before: draft.not_before,
        not_after: draft.not_after,
        created: now,
        expires,
        progress: Progress::Open,
    };

    let mut commit = Commit::new();
    let keep_until = app.keep_until(expires);
    for ground in &found {
        match ground {
            Ground::New(authorization) | Ground::Waived(authorization) => {
                commit.create_authorization(authorization.clone(), keep_until)
            }
            Ground::Proven(stored) => {
                commit.unchanged_authorization(stored);
                order.reused.push(stored.value.id.clone());
            }
        }
    }
    if let Some((replaced, was)) = claim {
        let keep_until = keep_until.max(replaced.not_after);
        commit.claim_replacement(&endpoint.name, &replaced.certificate, was.as_ref(), &order.id, keep_until);
    }
    commit.create_order(order.clone(), keep_until);
    told.iter().for_each(|entry| transcript::tell(app, &mut commit, &Subject::from(&order), now, entry));
    audit::add(
        app,
        &mut commit,
        now,
        &Event::OrderCreated { order: &order, asked: Asked { registration, client: draft.client } },
    );
    let waived: Vec<_> = authorizations.iter().filter(|one| one.waived().is_some()).collect();
    let waived_count = waived.len();
    if !waived.is_empty() {
        let subject = Subject::from(&order);
        Entry::waived(&authorizations)
            .iter()
            .for_each(|entry| transcript::tell(app, &mut commit, &subject, now, entry));
        audit::add(app, &mut commit, now, &Event::OrderWaived { order: &order, authorizations: waived });
    }
    app.store.commit(commit).await?;
    if let Some(spent) = spent {
        spent.keep();
    }
    app.metrics.orders_created.inc();
    app.metrics.identifiers_waived.inc_by(u64::try_from(waived_count).unwrap_or(u64::MAX));
    Ok(OrderView { order, authorizations })
}

impl Draft<'_> {
    /// Whether an open order is the same one: a client that lost the answer asks again
    /// (RFC 9773 §5 would have it refused otherwise).
    fn is_resumed_by(&self, view: &OrderView, now: Timestamp) -> bool {
        let order = &view.order;
        let open = matches!(order.status(&view.authorizations, now), OrderStatus::Pending | OrderStatus::Ready);
        let names = |identifiers: &[Identifier]| identifiers.iter().cloned().collect::<BTreeSet<_>>();
        open && order.account == self.grounds.registration.id
            && order.profile == self.grounds.terms.profile.name
            && (order.not_before, order.not_after) == (self.not_before, self.not_after)
            && names(&order.identifiers) == names(&self.identifiers)
    }
}

/// Reads an order for its owner.
pub(crate) async fn read(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    id: &OrderId,
) -> Result<OrderView, Error> {
    let order = load(app, endpoint, account, id).await?.value;
    Ok(OrderView::of(app, order).await?)
}

/// Reads an order of this endpoint for its owner, with its version.
pub(crate) async fn load(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    id: &OrderId,
) -> Result<Stored<Order>, Error> {
    let order = app.store.order(id).await?.filter(|order| order.value.endpoint == endpoint.name);
    let order = order.ok_or_else(|| Error::not_found("order"))?;
    if order.value.account == *account { Ok(order) } else { Err(Error::not_yours("order")) }
}

/// A page of an account's orders, without those that are invalid (RFC 8555 §7.1.2.1). So a page may
/// be short, or empty, and others follow.
pub(crate) async fn list(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    after: Option<&OrderCursor>,
    now: Timestamp,
) -> Result<OrderPage, Error> {
    /// Each may have to be read with a hundred authorizations.
    const PAGE: usize = 50;
    let OrderPage { orders, next } = app.store.orders_of(&endpoint.name, account, after, PAGE).await?;
    let mut listed = Vec::with_capacity(orders.len());
    for id in orders {
        if !is_invalid(app, &id, now).await? {
            listed.push(id);
        }
    }
    Ok(OrderPage { orders: listed, next })
}

/// One that is gone or cannot be read is of no use to its owner either.
async fn is_invalid(app: &App, id: &OrderId, now: Timestamp) -> Result<bool, Error> {
    let order = match app.store.order(id).await {
        Ok(Some(order)) => order.value,
        Ok(None) => return Ok(true),
        Err(unavailable @ ReadError::Unavailable(_)) => return Err(unavailable.into()),
        Err(why @ (ReadError::Damaged { .. } | ReadError::UnknownVersion { .. })) => {
            tracing::error!(%why, "an order cannot be read");
            return Ok(true);
        }
    };
    // Of the others the authorizations say nothing.
    let authorizations = match &order.progress {
        Progress::Open if now < order.expires => app.store.authorizations(&order.authorizations).await?,
        Progress::Open | Progress::Finalizing { .. } | Progress::Issued { .. } | Progress::Failed { .. } => Vec::new(),
    };
    let authorizations: Vec<_> = authorizations.into_iter().map(|stored| stored.value).collect();
    Ok(order.status(&authorizations, now) == OrderStatus::Invalid)
}

/// A problem that names what cannot be read and, as far as that can be told now, what could be read
/// and not be had: who mends the one should not have to come again for the other (RFC 8555 §6.7.1).
fn name_all_refused(
    app: &App,
    endpoint: &Endpoint,
    registration: &Registration,
    request: &NewOrder,
    readable: &[Identifier],
    mut refused: Vec<Subproblem>,
) -> Problem {
    if let Ok(offer) = app.catalogue.offer(&endpoint.realm)
        && let Ok(profile) = choose_profile(endpoint, registration, request, &offer.profiles)
        && let Err(problem) =
            policies::identifier::check_order(readable, registration, profile, app.settings.orders.identifiers_max)
    {
        refused.extend(problem.subproblems);
    }
    Problem::about_identifiers(refused, request.identifiers.len())
}

fn choose_profile<'a>(
    endpoint: &Endpoint,
    registration: &Registration,
    request: &NewOrder,
    profiles: &'a [Profile],
) -> Result<&'a Profile, Error> {
    let requested = match request.profile.as_deref().map(ProfileName::parse) {
        Some(Ok(name)) => Some(name),
        Some(Err(_)) => {
            return Err(Error::refused(
                ProblemKind::InvalidProfile,
                "no profile has such a name; see meta.profiles in the directory",
            ));
        }
        None => None,
    };
    Ok(policies::profile::choose(requested.as_ref(), endpoint.profile.as_ref(), registration, profiles)?)
}

/// The profile that a refused request was about, if it is one that the CM offers.
fn profile_of(app: &App, endpoint: &Endpoint, registration: &Registration, request: &NewOrder) -> Option<ProfileName> {
    let offer = app.catalogue.offer(&endpoint.realm).ok()?;
    choose_profile(endpoint, registration, request, &offer.profiles).ok().map(|profile| profile.name.clone())
}

fn parse_time(member: &str, text: Option<&str>) -> Result<Option<Timestamp>, Error> {
    text.map(str::parse)
        .transpose()
        .map_err(|error| Error::refused(ProblemKind::Malformed, format!("{member} is {error}")))
}

#[cfg(test)]
mod tests;
