//! How much room a registration takes, about: what officers and clients write into it is bounded by the CM, and
//! ten thousand of the largest would still be too many.

use acme::registration::{AllowedIdentifiers, IdentifierRule, Registration};

/// Of the registration itself, its keys and its places in the cache, whatever is in it.
const FIXED_OCTETS: usize = 2 * 1024;
/// Of an entry, a name or a text beside its characters.
const EACH_OCTETS: usize = 64;

/// Octets in memory, rather too many than too few. What the realm allows is shared and not counted.
pub(super) fn octets(registration: &Registration) -> usize {
    let (rules, exclude) = match &registration.allowed_identifiers {
        AllowedIdentifiers::Any { exclude } => (&[] as &[IdentifierRule], exclude),
        AllowedIdentifiers::Listed { rules, exclude } => (rules.as_slice(), exclude),
    };
    let waived = registration.waivers.iter().flat_map(|waiver| {
        let evidence = waiver.evidence.addresses.len().saturating_add(waiver.evidence.client_certificates.len());
        let words = [&waiver.reason, &waiver.proposed_by, &waiver.decided_by].map(|words| text(words));
        let fixed = EACH_OCTETS.saturating_mul(evidence.saturating_add(1));
        waiver.identifiers.iter().map(rule).chain(words).chain([fixed])
    });
    let of_parent = registration.parent.iter().flat_map(|parent| &parent.allowed_profiles);
    let profiles = registration.allowed_profiles.iter().chain(of_parent).map(|name| text(name.as_str()));
    let contacts = registration.contacts.iter().map(|contact| text(contact));
    let parts = rules.iter().chain(exclude).map(rule).chain(waived).chain(profiles).chain(contacts);
    parts.fold(FIXED_OCTETS, usize::saturating_add)
}

fn rule(rule: &IdentifierRule) -> usize {
    match rule {
        IdentifierRule::Suffix { name, .. } | IdentifierRule::Exact(name) | IdentifierRule::Wildcard(name) => {
            text(name.as_str())
        }
        IdentifierRule::Address(_) | IdentifierRule::Network { .. } => EACH_OCTETS,
    }
}

const fn text(text: &str) -> usize {
    EACH_OCTETS.saturating_add(text.len())
}
