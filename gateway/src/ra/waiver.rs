//! Waivers of challenges in the life of an order (CM contract section 4.3, Waivers): used by newOrder only, looked at
//! again by finalize with what that request shows, and once more before anything is sent to the CM.
//!
//! A waiver is the CM's record of one registration. No setting of this gateway has its effect, and none is kept here but in the
//! orders that rest on it. newAuthz uses none: an authorization ahead of any order would be a proof for later orders, and what a
//! client shows counts for the request that it comes with.

use acme::{
    authorization::Authorization,
    identifier::Identifier,
    ids::RealmName,
    order::Order,
    problem::{Problem, Subproblem},
    profile::Profile,
    registration::Registration,
    time::Timestamp,
    waiver::Waiver,
};
use cm_connector::Capability;
use policies::waiver::{Shown, Verdict, judge, still_counts};

use super::Error;
use crate::{
    app::App,
    transcript::{Entry, PassedOver},
};

/// The waivers that a new order may use for its names, as far as they have one.
#[derive(Debug, Default)]
pub(crate) struct Waivers<'a> {
    /// In the order of the names.
    found: Vec<Option<&'a Waiver>>,
    shown: Option<Shown>,
}

impl<'a> Waivers<'a> {
    /// Finds one for each name that has one; what came near goes to officers.
    pub(super) fn find(
        app: &App,
        (registration, profile): (&'a Registration, &Profile),
        identifiers: &[Identifier],
        shown: Option<Shown>,
        told: &mut Vec<Entry>,
        now: Timestamp,
    ) -> Self {
        let Some(seen) = shown else { return Self::default() };
        let (waivers, now) = (usable(app, registration, Some(profile)), app.cm_condition.time(now));
        let (mut found, mut near) = (Vec::with_capacity(identifiers.len()), Vec::new());
        for identifier in identifiers {
            found.push(match judge(identifier, waivers, &seen, now) {
                Verdict::Waived(waiver) => Some(waiver),
                Verdict::Required { missed } => {
                    let passed_over =
                        missed.iter().map(|miss| PassedOver::new(identifier, &miss.waiver.id, Some(miss.why)));
                    near.extend(passed_over);
                    None
                }
            });
        }
        told.extend(Entry::passed_over(near));
        Self { found, shown }
    }

    /// The waiver of the name at this place, and what was shown for it.
    pub(super) fn of(&self, place: usize) -> Option<(&'a Waiver, &Shown)> {
        (*self.found.get(place)?).zip(self.shown.as_ref())
    }
}

/// Whether everything by what control was not proven still counts: the waivers as they are now, the profile as it is offered
/// now, and what is shown now, or was for the order if nobody shows anything. Adds what officers are told of it.
///
/// # Errors
/// `unauthorized`, made for the client, with a subproblem for each name; unavailable while nobody knows what is on offer.
pub(crate) fn check(
    app: &App,
    (realm, registration): (&RealmName, &Registration),
    (order, authorizations): (&Order, &[Authorization]),
    shown: Option<&Shown>,
    told: &mut Vec<Entry>,
    now: Timestamp,
) -> Result<(), Error> {
    if authorizations.iter().all(|authorization| authorization.waived().is_none()) {
        return Ok(());
    }
    let (offer, now) = (app.catalogue.offer(realm)?, app.cm_condition.time(now));
    let profile = offer.profiles.iter().find(|profile| profile.name == order.profile);
    let waivers = usable(app, registration, profile);
    let (mut refused, mut near): (Vec<Subproblem>, Vec<PassedOver>) = (Vec::new(), Vec::new());
    for authorization in authorizations {
        let Some((_, earlier)) = authorization.waived() else { continue };
        let then = Shown { address: earlier.address, client_certificate: earlier.client_certificate };
        let identifier = &authorization.identifier;
        if let Err((subproblem, why)) = still_counts(identifier, earlier, waivers, shown.unwrap_or(&then), now) {
            refused.push(subproblem);
            near.push(PassedOver::new(identifier, &earlier.waiver, why));
        }
    }
    told.extend(Entry::passed_over(near));
    if refused.is_empty() { Ok(()) } else { Err(Problem::about_identifiers(refused, order.identifiers.len()).into()) }
}

/// None unless the CM has such a thing and the profile takes it.
fn usable<'a>(app: &App, registration: &'a Registration, profile: Option<&Profile>) -> &'a [Waiver] {
    let is_taken = app.cm.offers(Capability::Waivers) && profile.is_some_and(|profile| profile.waivers);
    if is_taken { &registration.waivers } else { &[] }
}

#[cfg(test)]
mod tests;
