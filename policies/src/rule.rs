//! The rules by name: what logs, metrics, the audit trail and clients call the reason of a denial.
//!
//! Names are stable: operators count by them and officers search for them. A rule that changes
//! its meaning gets a new name.

use std::fmt;

use acme::problem::{Problem, ProblemKind};

/// Every reason for which a policy denies something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// No entry of the list of allowed identifiers covers the name.
    IdentifierNotListed,
    /// An exclusion of the registration covers the name.
    IdentifierExcluded,
    /// The realm's own list does not allow the name to anybody.
    IdentifierNotInRealm,
    /// A wildcard right below a top-level label that no officer listed.
    IdentifierTopLevelWildcard,
    /// A name of an onion service, of which nobody here can prove control.
    IdentifierOnion,
    /// An order without identifiers.
    OrderEmpty,
    /// More identifiers than the endpoint takes.
    OrderTooManyIdentifiers,
    /// `notAfter` is not later than `notBefore`.
    OrderValidityEmpty,
    /// `notAfter` is not ahead of our clock.
    OrderValidityOver,
    /// `notBefore` is too far from our clock.
    OrderValidityStart,
    /// The profile takes no DNS names.
    ProfileNoDns,
    /// The profile takes no IP addresses.
    ProfileNoIp,
    /// The profile takes no wildcard names.
    ProfileNoWildcards,
    /// More identifiers than the profile takes.
    ProfileTooManyIdentifiers,
    /// No profile of this name is offered.
    ProfileUnknown,
    /// The registration may not use the profile.
    ProfileNotAllowed,
    /// The order names no profile and none is the default.
    ProfileNoDefault,
    /// The profile does not let the client choose the validity.
    ProfileValidityFixed,
    /// Longer than the profile's certificates last.
    ProfileValidityTooLong,
    /// Longer than the certificates of the registration may last.
    RegistrationValidityTooLong,
    /// The profile does not take keys of this kind.
    ProfileKeyType,
    /// An RSA modulus of a length that is not taken.
    KeyRsaSize,
    /// An RSA exponent that is not taken.
    KeyRsaExponent,
    /// An even RSA modulus, or one with a small factor.
    KeyRsaSmallFactor,
    /// An RSA key as made by a broken library (CVE-2017-15361).
    KeyRsaRoca,
    /// An RSA modulus whose factors lie close together (CVE-2022-26320).
    KeyRsaCloseFactors,
    /// The key of the CSR is the account key.
    CsrAccountKey,
    /// The CSR asks for what only a CA's certificate has.
    CsrOfCa,
    /// The CSR asks for an extension that is not taken from clients.
    CsrExtension,
    /// The CSR asks for must-staple and the profile does not allow it.
    CsrMustStaple,
    /// A common name of more than 64 characters.
    CsrCommonNameTooLong,
    /// A common name that is neither a DNS name nor an IP address.
    CsrCommonNameFreeText,
    /// A common name that the order does not have.
    CsrCommonNameNotOrdered,
    /// The names of the CSR are not those of the order.
    CsrNames,
    /// No key is bound to the registration yet.
    RegistrationPending,
    /// An officer suspended the registration.
    RegistrationSuspended,
    /// The client deactivated the account.
    RegistrationDeactivated,
    /// An officer revoked the registration.
    RegistrationRevoked,
    /// The waiver that an order rests on was withdrawn or has ended, or its profile takes none any more.
    WaiverNotInForce,
    /// A request without what the waiver that its order rests on asks for.
    WaiverEvidence,
}

/// A denial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// By which rule.
    pub rule: Rule,
    /// What was refused, the rule's name, and what to do about it; made for clients.
    pub detail: String,
}

impl Rule {
    /// Every rule, for metrics that start at zero and tests that walk them all.
    pub const ALL: [Self; 40] = [
        Self::IdentifierNotListed,
        Self::IdentifierExcluded,
        Self::IdentifierNotInRealm,
        Self::IdentifierTopLevelWildcard,
        Self::IdentifierOnion,
        Self::OrderEmpty,
        Self::OrderTooManyIdentifiers,
        Self::OrderValidityEmpty,
        Self::OrderValidityOver,
        Self::OrderValidityStart,
        Self::ProfileNoDns,
        Self::ProfileNoIp,
        Self::ProfileNoWildcards,
        Self::ProfileTooManyIdentifiers,
        Self::ProfileUnknown,
        Self::ProfileNotAllowed,
        Self::ProfileNoDefault,
        Self::ProfileValidityFixed,
        Self::ProfileValidityTooLong,
        Self::RegistrationValidityTooLong,
        Self::ProfileKeyType,
        Self::KeyRsaSize,
        Self::KeyRsaExponent,
        Self::KeyRsaSmallFactor,
        Self::KeyRsaRoca,
        Self::KeyRsaCloseFactors,
        Self::CsrAccountKey,
        Self::CsrOfCa,
        Self::CsrExtension,
        Self::CsrMustStaple,
        Self::CsrCommonNameTooLong,
        Self::CsrCommonNameFreeText,
        Self::CsrCommonNameNotOrdered,
        Self::CsrNames,
        Self::RegistrationPending,
        Self::RegistrationSuspended,
        Self::RegistrationDeactivated,
        Self::RegistrationRevoked,
        Self::WaiverNotInForce,
        Self::WaiverEvidence,
    ];

    /// The stable name, such as `identifier.not-listed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdentifierNotListed => "identifier.not-listed",
            Self::IdentifierExcluded => "identifier.excluded",
            Self::IdentifierNotInRealm => "identifier.not-in-realm",
            Self::IdentifierTopLevelWildcard => "identifier.top-level-wildcard",
            Self::IdentifierOnion => "identifier.onion",
            Self::OrderEmpty => "order.empty",
            Self::OrderTooManyIdentifiers => "order.too-many-identifiers",
            Self::OrderValidityEmpty => "order.validity-empty",
            Self::OrderValidityOver => "order.validity-over",
            Self::OrderValidityStart => "order.validity-start",
            Self::ProfileNoDns => "profile.no-dns",
            Self::ProfileNoIp => "profile.no-ip",
            Self::ProfileNoWildcards => "profile.no-wildcards",
            Self::ProfileTooManyIdentifiers => "profile.too-many-identifiers",
            Self::ProfileUnknown => "profile.unknown",
            Self::ProfileNotAllowed => "profile.not-allowed",
            Self::ProfileNoDefault => "profile.no-default",
            Self::ProfileValidityFixed => "profile.validity-fixed",
            Self::ProfileValidityTooLong => "profile.validity-too-long",
            Self::RegistrationValidityTooLong => "registration.validity-too-long",
            Self::ProfileKeyType => "profile.key-type",
            Self::KeyRsaSize => "key.rsa-size",
            Self::KeyRsaExponent => "key.rsa-exponent",
            Self::KeyRsaSmallFactor => "key.rsa-small-factor",
            Self::KeyRsaRoca => "key.rsa-roca",
            Self::KeyRsaCloseFactors => "key.rsa-close-factors",
            Self::CsrAccountKey => "csr.account-key",
            Self::CsrOfCa => "csr.of-ca",
            Self::CsrExtension => "csr.extension",
            Self::CsrMustStaple => "csr.must-staple",
            Self::CsrCommonNameTooLong => "csr.common-name-too-long",
            Self::CsrCommonNameFreeText => "csr.common-name-free-text",
            Self::CsrCommonNameNotOrdered => "csr.common-name-not-ordered",
            Self::CsrNames => "csr.names",
            Self::RegistrationPending => "registration.pending",
            Self::RegistrationSuspended => "registration.suspended",
            Self::RegistrationDeactivated => "registration.deactivated",
            Self::RegistrationRevoked => "registration.revoked",
            Self::WaiverNotInForce => "waiver.not-in-force",
            Self::WaiverEvidence => "waiver.evidence",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl Refusal {
    /// A denial in the one form that all have: what, by which rule, and the cure.
    pub(crate) fn new(rule: Rule, what: impl fmt::Display, cure: impl fmt::Display) -> Self {
        Self { rule, detail: format!("{what} (rule {rule}); {cure}") }
    }

    pub(crate) fn into_problem(self, kind: ProblemKind) -> Problem {
        Problem::new(kind, self.detail).by(self.rule.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_listed_once_and_has_a_name_of_its_own() {
        for (index, rule) in Rule::ALL.iter().enumerate() {
            let word =
                |word: &str| !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-');
            let (area, name) = rule.name().split_once('.').unwrap();
            assert!(word(area) && word(name), "{rule}");
            assert!(Rule::ALL[..index].iter().all(|other| other.name() != rule.name()), "{rule} is listed twice");
        }
    }

    #[test]
    fn a_refusal_says_what_and_by_which_rule_and_what_to_do() {
        let refusal = Refusal::new(Rule::CsrNames, "the names differ", "make another CSR");
        assert_eq!(refusal.to_string(), "the names differ (rule csr.names); make another CSR");
    }
}
