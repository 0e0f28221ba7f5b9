//! What the registration officer's word is worth at this moment: whether an order that was accepted may still have
//! its certificate, and whether control of a name may still be proven.
//!
//! One answer for every place on the way, from the challenge to the moment before the CM is asked, so that a change
//! that an officer makes counts everywhere alike (CM contract section 4.3). newOrder judges by the parts of it, because
//! it has more to say to its client.

use acme::{
    identifier::Identifier,
    order::Order,
    problem::{Problem, ProblemKind},
    profile::Profile,
    registration::Registration,
    time::Timestamp,
};

use crate::{
    identifier::{Judgement, Verdict, allowed_to, check_order, judge},
    profile::{Validity, check_validity_again, choose, may_use},
    registration::may_order,
    rule::{Refusal, Rule},
};

/// Judges again an order that was accepted: status, profile, names and validity, by realm, parent and registration as
/// they are now. `profiles` are those on offer now, `now` is the CM's time. Answers the order's profile.
///
/// # Errors
/// The first refusal: `unauthorized`, `invalidProfile`, `rejectedIdentifier` with a subproblem for each name, or
/// `malformed` about the validity.
pub fn may_have<'a>(
    order: &Order,
    registration: &Registration,
    profiles: &'a [Profile],
    identifiers_max: usize,
    now: Timestamp,
) -> Result<&'a Profile, Problem> {
    may_order(registration.status)?;
    let profile = choose(Some(&order.profile), None, registration, profiles)?;
    check_order(&order.identifiers, registration, profile, identifiers_max)?;
    let wanted = Validity { not_before: order.not_before, not_after: order.not_after };
    check_validity_again(wanted, registration, profile, now)?;
    Ok(profile)
}

/// Judges whether control of a name may be proven now: the registration may order, and some profile that it may use
/// would certify the name. Which one an order will ask for is not known yet. `profiles` is `None` if nobody knows
/// what is on offer.
///
/// # Errors
/// `unauthorized`, `rejectedIdentifier` or, if the registration may use no profile any more, `invalidProfile`.
pub fn may_prove(
    identifier: &Identifier,
    registration: &Registration,
    profiles: Option<&[Profile]>,
) -> Result<(), Problem> {
    may_order(registration.status)?;
    if let Verdict::Refused(refusal) = allowed_to(identifier, registration) {
        return Err(refusal.into_problem(ProblemKind::RejectedIdentifier));
    }
    let Some(profiles) = profiles else { return Ok(()) };
    let mut refused = None;
    for profile in profiles.iter().filter(|profile| may_use(registration, profile)) {
        match judge(identifier, registration, profile) {
            Judgement::Allowed { .. } => return Ok(()),
            Judgement::Refused { kind, detail, .. } => refused = refused.or(Some(Problem::new(kind, detail))),
        }
    }
    Err(refused.unwrap_or_else(|| {
        let what = "this registration may use no profile that is on offer";
        Refusal::new(Rule::ProfileNotAllowed, what, "ask the registration authority for a profile")
            .into_problem(ProblemKind::InvalidProfile)
    }))
}

#[cfg(test)]
mod tests;
