//! Orders: making them, reading them (RFC 8555 §7.4, §7.1.2.1).

use std::collections::BTreeSet;

use acme::{
    authorization::Authorization,
    challenge,
    identifier::{Identifier, IdentifierError},
    ids::{OrderId, ProfileName, RegistrationId},
    order::{Order, Progress},
    problem::{Problem, ProblemKind, Subproblem},
    profile::Profile,
    registration::Registration,
    time::Timestamp,
    wire::order::{IdentifierText, NewOrder},
};
use store::{Commit, OrderCursor, OrderPage, Stored};

use super::Error;
use crate::{
    app::{App, Endpoint},
    audit::Event,
    random,
};

/// An order with everything its status depends on.
pub(crate) struct OrderView {
    pub(crate) order: Order,
    pub(crate) authorizations: Vec<Authorization>,
}

/// Makes an order, or refuses it with a reason for each identifier.
pub(crate) async fn create(
    app: &App,
    endpoint: &Endpoint,
    registration: &Registration,
    request: &NewOrder,
    now: Timestamp,
) -> Result<OrderView, Error> {
    policies::registration::may_order(registration.status)?;
    let identifiers = parse_identifiers(&request.identifiers, app.settings.orders.identifiers_max)?;
    let offer = app.catalogue.offer(&endpoint.realm)?;
    let profile = choose_profile(endpoint, registration, request, &offer.profiles)?;
    policies::identifier::check_order(&identifiers, registration, profile, app.settings.orders.identifiers_max)?;
    let not_before = parse_time("notBefore", request.not_before.as_deref())?;
    let not_after = parse_time("notAfter", request.not_after.as_deref())?;
    policies::profile::check_validity(not_before, not_after, profile, now)?;

    // Who approves requests has that long; the order waits for it (CM contract section 8).
    let lifetime = app.settings.orders.lifetime.duration().max(profile.approval_timeout.unwrap_or_default());
    let expires = now.plus(lifetime);
    let authorizations = new_authorizations(endpoint, registration, &identifiers, &offer.caa_identities(), expires)?;
    let order = Order {
        id: random::id(),
        endpoint: endpoint.name.clone(),
        account: registration.id.clone(),
        identifiers,
        authorizations: authorizations.iter().map(|authorization| authorization.id.clone()).collect(),
        profile: profile.name.clone(),
        replaces: None,
        not_before,
        not_after,
        created: now,
        expires,
        progress: Progress::Open,
    };

    let mut commit = Commit::new();
    let keep_until = app.keep_until(expires);
    for authorization in &authorizations {
        commit.create_authorization(authorization.clone(), keep_until);
    }
    commit.create_order(order.clone(), keep_until);
    commit.audit(now, Event::OrderCreated { order: &order }.to_json());
    app.store.commit(commit).await?;
    app.metrics.orders_created.inc();
    Ok(OrderView { order, authorizations })
}

/// Reads an order for its owner.
pub(crate) async fn read(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    id: &OrderId,
) -> Result<OrderView, Error> {
    let order = load(app, endpoint, account, id).await?.value;
    let authorizations = app.store.authorizations(&order.authorizations).await?;
    Ok(OrderView { order, authorizations: authorizations.into_iter().map(|stored| stored.value).collect() })
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

/// A page of an account's orders.
pub(crate) async fn list(
    app: &App,
    endpoint: &Endpoint,
    account: &RegistrationId,
    after: Option<&OrderCursor>,
) -> Result<OrderPage, Error> {
    const PAGE: usize = 100;
    Ok(app.store.orders_of(&endpoint.name, account, after, PAGE).await?)
}

/// Parses all identifiers and drops repeated ones; every bad one is named.
fn parse_identifiers(texts: &[IdentifierText], most: usize) -> Result<Vec<Identifier>, Error> {
    if texts.is_empty() {
        return Err(Error::refused(ProblemKind::Malformed, "identifiers is empty; an order names at least one"));
    }
    if texts.len() > most {
        return Err(Error::refused(ProblemKind::Malformed, format!("an order can name at most {most} identifiers")));
    }
    let mut seen = BTreeSet::new();
    let (mut identifiers, mut refused) = (Vec::new(), Vec::new());
    for text in texts {
        match Identifier::parse(&text.kind, &text.value) {
            Ok(identifier) if seen.insert(identifier.clone()) => identifiers.push(identifier),
            Ok(_) => {}
            Err(error) => {
                refused.push(Subproblem::about_text(kind_of(&error), &text.kind, &text.value, error.to_string()))
            }
        }
    }
    if refused.is_empty() { Ok(identifiers) } else { Err(Problem::about_identifiers(refused, texts.len()).into()) }
}

const fn kind_of(error: &IdentifierError) -> ProblemKind {
    if matches!(error, IdentifierError::UnsupportedType) {
        ProblemKind::UnsupportedIdentifier
    } else {
        ProblemKind::Malformed
    }
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

fn parse_time(member: &str, text: Option<&str>) -> Result<Option<Timestamp>, Error> {
    text.map(str::parse)
        .transpose()
        .map_err(|error| Error::refused(ProblemKind::Malformed, format!("{member} is {error}")))
}

fn new_authorizations(
    endpoint: &Endpoint,
    registration: &Registration,
    identifiers: &[Identifier],
    issuer_domain_names: &[String],
    expires: Timestamp,
) -> Result<Vec<Authorization>, Error> {
    let (mut authorizations, mut refused) = (Vec::new(), Vec::new());
    for identifier in identifiers {
        match new_authorization(endpoint, registration, identifier, issuer_domain_names, expires) {
            Ok(authorization) => authorizations.push(authorization),
            Err(subproblem) => refused.push(subproblem),
        }
    }
    if refused.is_empty() {
        Ok(authorizations)
    } else {
        Err(Problem::about_identifiers(refused, identifiers.len()).into())
    }
}

fn new_authorization(
    endpoint: &Endpoint,
    registration: &Registration,
    identifier: &Identifier,
    issuer_domain_names: &[String],
    expires: Timestamp,
) -> Result<Authorization, Subproblem> {
    let challenges = challenge::offer(&endpoint.challenges, identifier, &random::token(), issuer_domain_names);
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
    })
}

#[cfg(test)]
mod tests;
