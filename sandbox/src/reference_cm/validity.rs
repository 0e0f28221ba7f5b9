//! The life of a certificate: what was asked for is met exactly or refused, never cut (contract 4.4).

use super::ReferenceCm;
use super::moment::{Moment, Span};
use super::problem::{Code, Problem};
use super::settings::Profile;

/// Certificates know no parts of it.
const SECOND_MILLIS: i64 = 1_000;

/// `notBefore` and `notAfter`: what was asked for exactly, or the profile's default.
pub(crate) fn validity(
    cm: &ReferenceCm,
    profile: &Profile,
    longest: Option<Span>,
    wanted_not_before: Option<Moment>,
    wanted_not_after: Option<Moment>,
    now: Moment,
) -> Result<(Moment, Moment), Problem> {
    let refused = |detail: &str| Err(Problem::new(Code::ValidityNotAllowed, detail));
    if !profile.client_may_choose_validity && (wanted_not_before.is_some() || wanted_not_after.is_some()) {
        return refused("the profile decides the validity");
    }
    for wanted in [wanted_not_before, wanted_not_after].into_iter().flatten() {
        if wanted.millis() % SECOND_MILLIS != 0 {
            return refused("certificates know whole seconds only");
        }
    }
    let backdated = now.whole_second().plus_seconds(-profile.backdate.seconds());
    let max_secs = profile.validity_max.seconds().min(longest.map_or(i64::MAX, Span::seconds));
    let not_before = match wanted_not_before {
        None => backdated,
        Some(wanted) if wanted < backdated => return refused("notBefore lies in the past"),
        Some(wanted) if wanted > now.plus_seconds(max_secs) => {
            return refused("notBefore lies too far in the future");
        }
        Some(wanted) => wanted,
    };
    let latest = not_before.max(now.whole_second()).plus_seconds(max_secs);
    let not_after = match wanted_not_after {
        // Both ends of a validity belong to it (RFC 5280 section 4.1.2.5), hence the second less.
        None => not_before.plus_seconds(profile.validity_default.seconds().min(max_secs) - 1),
        Some(wanted) if wanted <= not_before.max(now) => {
            return refused("notAfter is not after notBefore and now");
        }
        Some(wanted) if wanted > latest => {
            return refused("notAfter is later than profile or registration allow");
        }
        Some(wanted) => wanted,
    };
    if not_after > cm.authority.not_after() {
        return refused("the issuer ends before notAfter");
    }
    Ok((not_before, not_after))
}
