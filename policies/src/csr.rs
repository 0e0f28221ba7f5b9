//! Whether a CSR is the one that an order may be finalized with (RFC 8555 §7.4, §11.1).
//!
//! [`Csr`] has proven its form and that its key signed it. What is judged here is whether it asks
//! for exactly the names of the order, with a key that may be certified and without extensions
//! that would make the certificate something else. Subject fields beside the common name are not
//! judged: appliances send them and the CM writes its own.

use std::collections::BTreeSet;

use acme::{
    account_key::PublicKey,
    csr::{Csr, RequestedExtension},
    identifier::Identifier,
    problem::{Problem, ProblemKind, shown},
    profile::{MustStaple, Profile},
    signature::SubjectKey,
};

use crate::{
    key::check_subject_key,
    rule::{Refusal, Rule},
    wording::list,
};

/// Longest common name, in characters (ub-common-name, RFC 5280 appendix A.1).
const COMMON_NAME_CHARACTERS_MAX: usize = 64;

/// The rules by which [`check_csr`] judges, in its order.
pub const RULES: [Rule; 14] = [
    Rule::KeyRsaSize,
    Rule::KeyRsaExponent,
    Rule::KeyRsaSmallFactor,
    Rule::KeyRsaRoca,
    Rule::KeyRsaCloseFactors,
    Rule::ProfileKeyType,
    Rule::CsrAccountKey,
    Rule::CsrOfCa,
    Rule::CsrMustStaple,
    Rule::CsrExtension,
    Rule::CsrCommonNameTooLong,
    Rule::CsrCommonNameNotOrdered,
    Rule::CsrCommonNameFreeText,
    Rule::CsrNames,
];

/// Judges the CSR of a finalize request.
///
/// Names: the subject alternative names and the common name, if that is a DNS name, are together
/// exactly the order's identifiers. So a CSR with just a common name is taken for an order of
/// just that DNS name, a CSR without common name always, and addresses have to be among the
/// alternative names (RFC 8738 §3). A common name that is none of the order's is refused, be it
/// a name or free text: nobody may read in a certificate what nobody has checked.
///
/// Extensions: alternative names, key usages and subject key identifier may be there (the CM
/// writes its own), basic constraints if they do not ask for a CA, must-staple if the profile
/// allows it, and no other.
///
/// # Errors
/// `badCSR` with the first rule that the CSR breaks; the order stays ready for another one.
pub fn check_csr(
    csr: &Csr,
    order_identifiers: &[Identifier],
    profile: &Profile,
    account_key: &PublicKey,
) -> Result<(), Problem> {
    let bad_csr = |refusal: Refusal| refusal.into_problem(ProblemKind::BadCsr);
    check_subject_key(csr.key(), profile)
        .map_err(|weakness| Problem::new(ProblemKind::BadCsr, weakness.to_string()))?;
    check_not_the_account_key(csr, account_key).map_err(bad_csr)?;
    csr.extensions().iter().try_for_each(|extension| check_extension(extension, profile)).map_err(bad_csr)?;
    check_names(csr, &order_identifiers.iter().cloned().collect()).map_err(bad_csr)
}

/// The same while no account key is bound yet: what the client that will bind one may expect.
///
/// # Errors
/// As [`check_csr`], apart from the rule about the account key.
pub fn check_csr_before_binding(csr: &Csr, order_identifiers: &[Identifier], profile: &Profile) -> Result<(), Problem> {
    let bad_csr = |refusal: Refusal| refusal.into_problem(ProblemKind::BadCsr);
    check_subject_key(csr.key(), profile)
        .map_err(|weakness| Problem::new(ProblemKind::BadCsr, weakness.to_string()))?;
    csr.extensions().iter().try_for_each(|extension| check_extension(extension, profile)).map_err(bad_csr)?;
    check_names(csr, &order_identifiers.iter().cloned().collect()).map_err(bad_csr)
}

/// Whoever holds the key of a certificate must not thereby hold the account (RFC 8555 §11.1).
fn check_not_the_account_key(csr: &Csr, account_key: &PublicKey) -> Result<(), Refusal> {
    if is_same_key(csr, account_key) {
        let what = "the key of the CSR is the key of the account";
        return Err(Refusal::new(Rule::CsrAccountKey, what, "make a new key for the certificate"));
    }
    Ok(())
}

/// Compares what the secret hangs on rather than the DER: one key has several encodings, such as
/// an EC point that is written compressed, and whoever knows an RSA key knows the factors of its
/// modulus, whatever the exponent.
fn is_same_key(csr: &Csr, account_key: &PublicKey) -> bool {
    match (account_key, csr.key()) {
        (PublicKey::Rsa { n, .. }, SubjectKey::Rsa { n: csr_n, .. }) => n == csr_n,
        (PublicKey::Ec { curve, x, y }, SubjectKey::Ec(csr_curve)) => {
            let parity = y.last().map_or(0, |last| last & 1);
            let compressed = [&[2 | parity], x.as_slice()].concat();
            curve == csr_curve
                && (csr.spki_der().ends_with(&[x.as_slice(), y].concat()) || csr.spki_der().ends_with(&compressed))
        }
        (PublicKey::Ed25519 { x }, SubjectKey::Ed25519) => csr.spki_der().ends_with(x),
        (
            PublicKey::Rsa { .. } | PublicKey::Ec { .. } | PublicKey::Ed25519 { .. },
            SubjectKey::Rsa { .. } | SubjectKey::Ec(_) | SubjectKey::Ed25519,
        ) => false,
    }
}

fn check_extension(extension: &RequestedExtension, profile: &Profile) -> Result<(), Refusal> {
    let (rule, what) = match extension {
        RequestedExtension::SubjectAlternativeName
        | RequestedExtension::ExtendedKeyUsage
        | RequestedExtension::SubjectKeyIdentifier
        | RequestedExtension::KeyUsage { of_a_ca: false }
        | RequestedExtension::BasicConstraints { ca: false } => return Ok(()),
        RequestedExtension::TlsFeature if profile.must_staple != MustStaple::Never => return Ok(()),
        RequestedExtension::KeyUsage { of_a_ca: true } => {
            (Rule::CsrOfCa, String::from("the CSR asks for the key usage of a CA"))
        }
        RequestedExtension::BasicConstraints { ca: true } => {
            (Rule::CsrOfCa, String::from("the CSR asks for the basic constraints of a CA"))
        }
        RequestedExtension::TlsFeature => {
            let what = format!("the CSR asks for must-staple, which the profile {} does not allow", profile.name);
            (Rule::CsrMustStaple, what)
        }
        RequestedExtension::Other(oid) => {
            let what = format!("the CSR asks for the extension {}, which no client may ask for", shown(oid));
            (Rule::CsrExtension, what)
        }
    };
    Err(Refusal::new(rule, what, "make a CSR without it"))
}

fn check_names(csr: &Csr, ordered: &BTreeSet<Identifier>) -> Result<(), Refusal> {
    let mut asked = csr.names().alternative.clone();
    for text in &csr.names().common {
        let identifier = check_common_name(text, ordered)?;
        if let Identifier::Dns(_) | Identifier::Wildcard(_) = identifier {
            asked.insert(identifier);
        }
    }
    if asked == *ordered {
        return Ok(());
    }
    let missing: Vec<_> = ordered.difference(&asked).collect();
    let extra: Vec<_> = asked.difference(ordered).collect();
    let lacks = (!missing.is_empty()).then(|| format!("it lacks {}", list(missing)));
    let adds = (!extra.is_empty()).then(|| format!("the order does not have {}", list(extra)));
    let differences: Vec<_> = lacks.into_iter().chain(adds).collect();
    let what = format!("the names of the CSR are not those of the order: {}", differences.join(", and "));
    Err(Refusal::new(Rule::CsrNames, what, "make a CSR with exactly the names of the order"))
}

fn check_common_name(text: &str, ordered: &BTreeSet<Identifier>) -> Result<Identifier, Refusal> {
    let (rule, what) = if text.chars().count() > COMMON_NAME_CHARACTERS_MAX {
        (Rule::CsrCommonNameTooLong, String::from("the common name is longer than 64 characters"))
    } else {
        match Identifier::parse_dns(text).or_else(|_| Identifier::parse_ip(text)) {
            Ok(identifier) if ordered.contains(&identifier) => return Ok(identifier),
            Ok(identifier) => {
                (Rule::CsrCommonNameNotOrdered, format!("the common name {identifier} is not a name of the order"))
            }
            Err(_) => {
                let what = format!("the common name '{}' is neither a DNS name nor an IP address", shown(text));
                (Rule::CsrCommonNameFreeText, what)
            }
        }
    };
    Err(Refusal::new(rule, what, "leave the common name out, or use a name of the order"))
}

#[cfg(test)]
mod tests;
