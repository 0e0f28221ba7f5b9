//! Certificates that come back from the CM, and the checks that each must pass before a client
//! sees it (CM contract section 7, V1 to V11).
//!
//! A status code proves nothing: whatever the CM said, the certificate must be the one that was
//! asked for. That its serial was not seen before (second half of V8) is for the caller, who
//! remembers.

mod authority;
mod id;
mod path;
mod pem;
mod validity;

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::{certificate::X509Certificate, extensions::KeyUsage, prelude::FromDer, x509::X509Version};

pub use self::{
    authority::{Names, require_anchored},
    id::{CertificateId, NotACertificateId},
    validity::Validity,
};
use crate::{
    base64url, der, extension,
    identifier::Identifier,
    signature::{SubjectKey, subject_key},
    subject_names::SubjectNames,
    time::Timestamp,
};

/// Largest chain in PEM, in octets; what common clients can read.
pub const CHAIN_OCTETS_MAX: usize = 64 * 1024;
/// Most certificates in a chain, the leaf included; x/crypto/acme refuses more.
pub const CHAIN_CERTIFICATES_MAX: usize = 5;
/// How far ahead of our clock a certificate may begin.
pub const START_AHEAD_MAX: Duration = Duration::from_secs(300);

/// What a certificate must be.
#[derive(Debug)]
pub struct Expectation<'a> {
    /// SubjectPublicKeyInfo of the CSR.
    pub spki_der: &'a [u8],
    /// Exactly these names.
    pub identifiers: &'a [Identifier],
    /// Exactly this start of validity, if it was asked for.
    pub not_before: Option<Timestamp>,
    /// Exactly this end of validity, if it was asked for.
    pub not_after: Option<Timestamp>,
    /// Longest validity of the profile.
    pub validity_max: Option<Duration>,
    /// Subject key identifiers of the profile's issuers; empty if the CM does not say.
    pub issuer_key_ids: &'a [Vec<u8>],
    /// Roots that chains may end in, in DER.
    pub anchors: &'a [Vec<u8>],
    /// Whether the CSR asked for must-staple.
    pub must_staple: bool,
    /// Our clock.
    pub now: Timestamp,
}

/// What the CM says about the certificate beside sending it (V11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// SHA-256 of the certificate.
    pub sha256: [u8; 32],
    /// Serial in lowercase hex without leading zero octets.
    pub serial: String,
}

/// A chain whose certificate passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedCertificate {
    /// The chain, leaf first, re-encoded by us: strict RFC 7468 and nothing but certificates. The
    /// root is in it only if it issued the leaf itself.
    pub chain_pem: String,
    /// SHA-256 of the certificate in DER.
    pub sha256: [u8; 32],
    /// Serial in lowercase hex without leading zero octets.
    pub serial: String,
    /// Key identifier of its issuer.
    pub authority_key_id: Vec<u8>,
    /// End of its validity.
    pub not_after: Timestamp,
}

/// A check of CM contract section 7 that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCheck {
    /// Which one.
    pub check: Check,
    /// What was expected and what was found; for operators, not for clients.
    pub detail: String,
}

/// The checks by their number in CM contract section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// V1: one X.509 v3 certificate, DER exact, at most 64 KiB.
    Form,
    /// V2: the public key is the CSR's.
    PublicKey,
    /// V3: the names are the order's.
    Names,
    /// V4: the chain verifies up to a configured root.
    Chain,
    /// V5: the issuer is the profile's.
    Issuer,
    /// V6: validity is as asked.
    Validity,
    /// V7: a TLS server's certificate and no CA's.
    Usage,
    /// V8: the serial is a positive random number.
    Serial,
    /// V9: the signature algorithm is sound.
    Algorithm,
    /// V10: must-staple if and only if it was asked for.
    MustStaple,
    /// V11: what the CM says about it is true.
    Claims,
}

impl Check {
    /// Every check, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Form,
        Self::PublicKey,
        Self::Names,
        Self::Chain,
        Self::Issuer,
        Self::Validity,
        Self::Usage,
        Self::Serial,
        Self::Algorithm,
        Self::MustStaple,
        Self::Claims,
    ];

    /// Its name in delivery reports, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::PublicKey => "public-key",
            Self::Names => "names",
            Self::Chain => "chain",
            Self::Issuer => "issuer",
            Self::Validity => "validity",
            Self::Usage => "usage",
            Self::Serial => "serial",
            Self::Algorithm => "algorithm",
            Self::MustStaple => "must-staple",
            Self::Claims => "claims",
        }
    }

    /// Whether a CM that fails it must not go on: then it certifies what nobody asked for, where the
    /// others tell of a wrong setting.
    #[must_use]
    pub const fn is_alarm(self) -> bool {
        match self {
            Self::PublicKey | Self::Names | Self::Chain | Self::Issuer | Self::Usage | Self::Serial | Self::Claims => {
                true
            }
            Self::Form | Self::Validity | Self::Algorithm | Self::MustStaple => false,
        }
    }
}

/// Checks a chain that the CM returned for an order (V1 to V11).
///
/// # Errors
/// Every check that failed; after a failed [`Check::Form`] no other is made.
pub fn check(
    chain_pem: &[u8],
    expected: &Expectation<'_>,
    claims: &Claims,
) -> Result<CheckedCertificate, Vec<FailedCheck>> {
    let form = |detail: String| vec![FailedCheck { check: Check::Form, detail }];
    let ders = pem::read(chain_pem).map_err(form)?;
    let chain = ders.iter().map(|der| read_der(der)).collect::<Result<Vec<_>, _>>().map_err(form)?;
    let Some((leaf, issuers)) = chain.split_first() else {
        return Err(form(String::from("no certificate")));
    };
    let Some(leaf_der) = ders.first() else {
        return Err(form(String::from("no certificate")));
    };

    let (root, mut failed) = match path::check(leaf, issuers, expected.anchors, expected.now) {
        Ok(root) => (root, Vec::new()),
        Err(broken) => (None, vec![broken]),
    };
    let mut verdict = |check: Check, result: Result<(), String>| {
        if let Err(detail) = result {
            failed.push(FailedCheck { check, detail });
        }
    };
    verdict(Check::PublicKey, check_public_key(leaf, expected));
    verdict(Check::Names, check_names(leaf, expected));
    verdict(Check::Issuer, check_issuer(leaf, issuers.first(), expected));
    verdict(Check::Validity, check_validity(leaf, expected));
    verdict(Check::Usage, check_usage(leaf));
    verdict(Check::Serial, check_serial(leaf));
    verdict(Check::Algorithm, check_key_strength(leaf));
    verdict(Check::MustStaple, check_must_staple(leaf, expected));
    let sha256 = Sha256::digest(leaf_der).into();
    let serial = hex_of_serial(leaf);
    verdict(Check::Claims, check_claims(sha256, &serial, claims));
    if !failed.is_empty() {
        return Err(failed);
    }
    Ok(CheckedCertificate {
        chain_pem: write_chain(&ders, root),
        sha256,
        serial,
        authority_key_id: path::authority_key_id(leaf).unwrap_or_default(),
        not_after: Timestamp::from_unix_secs(leaf.validity().not_after.timestamp()),
    })
}

/// Checks a chain that was checked against its order before and is read from the CM again (V1,
/// V4, V11); returns it re-encoded.
///
/// # Errors
/// Every check that failed.
pub fn recheck(
    chain_pem: &[u8],
    claims: &Claims,
    anchors: &[Vec<u8>],
    now: Timestamp,
) -> Result<String, Vec<FailedCheck>> {
    let failed = |check: Check| move |detail: String| vec![FailedCheck { check, detail }];
    let ders = pem::read(chain_pem).map_err(failed(Check::Form))?;
    let chain = ders.iter().map(|der| read_der(der)).collect::<Result<Vec<_>, _>>().map_err(failed(Check::Form))?;
    let (Some((leaf, issuers)), Some(leaf_der)) = (chain.split_first(), ders.first()) else {
        return Err(failed(Check::Form)(String::from("no certificate")));
    };
    let root = path::check(leaf, issuers, anchors, now).map_err(|failed| vec![failed])?;
    let sha256 = Sha256::digest(leaf_der).into();
    check_claims(sha256, &hex_of_serial(leaf), claims).map_err(failed(Check::Claims))?;
    Ok(write_chain(&ders, root))
}

/// Roots are left out, for relying parties have them (RFC 8555 §9.1); except where the leaf would
/// stand alone: clients that take the first certificate of the chain off want something to be left.
fn write_chain(ders: &[Vec<u8>], root: Option<&[u8]>) -> String {
    let root = root.filter(|_| ders.len() == 1);
    ders.iter().map(Vec::as_slice).chain(root).map(pem::write).collect()
}

/// A certificate that a client presents for revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedCertificate {
    /// SHA-256 of the DER.
    pub sha256: [u8; 32],
    /// Serial in lowercase hex without leading zero octets.
    pub serial: String,
    /// Key identifier of its issuer; empty if it says nothing of it.
    pub authority_key_id: Vec<u8>,
    /// SubjectPublicKeyInfo in DER.
    pub spki_der: Vec<u8>,
    /// The names it carries.
    pub names: BTreeSet<Identifier>,
    /// End of its validity.
    pub not_after: Timestamp,
}

impl PresentedCertificate {
    /// Reads a certificate in DER; whether the CM issued it is for the CM to say.
    ///
    /// # Errors
    /// A sentence for the client.
    pub fn parse(der: &[u8]) -> Result<Self, &'static str> {
        let leaf = read_der(der).map_err(|_| "the certificate is not one X.509 certificate in DER")?;
        let names = subject_names(&leaf).map_err(|_| "the certificate carries names that this CA does not issue")?;
        Ok(Self {
            sha256: Sha256::digest(der).into(),
            serial: hex_of_serial(&leaf),
            authority_key_id: path::authority_key_id(&leaf).unwrap_or_default(),
            spki_der: leaf.public_key().raw.to_vec(),
            names: names.alternative,
            not_after: Timestamp::from_unix_secs(leaf.validity().not_after.timestamp()),
        })
    }
}

/// The distinguished name of a certificate's subject, as people read it (RFC 5280 §4.1.2.6); `None` if it cannot be read.
#[must_use]
pub fn subject(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.subject().to_string())
}

/// What a CA's certificate in DER calls its own key; `None` if it does not, or is none.
#[must_use]
pub fn subject_key_id(der: &[u8]) -> Option<Vec<u8>> {
    path::subject_key_id(&read_der(der).ok()?)
}

/// V1: X.509 v3 in DER and nothing else, neither around it nor between its parts.
fn read_der(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    if der::signed_parts(der).is_none() {
        return Err(String::from("not exactly one certificate in DER"));
    }
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| format!("not a certificate: {error}"))?;
    if certificate.version() != X509Version::V3 {
        return Err(String::from("not version 3"));
    }
    if extension::any_twice(certificate.extensions()) {
        return Err(String::from("an extension occurs twice"));
    }
    if let Some(bad) = certificate.extensions().iter().find(|extension| extension::is_malformed(extension)) {
        return Err(format!("the extension {} is not well-formed", bad.oid.to_id_string()));
    }
    Ok(certificate)
}

fn check_public_key(leaf: &X509Certificate<'_>, expected: &Expectation<'_>) -> Result<(), String> {
    let found = leaf.public_key().raw;
    if found == expected.spki_der {
        return Ok(());
    }
    let digest = |spki: &[u8]| base64url::encode(Sha256::digest(spki));
    Err(format!("SPKI sha256 {} expected, {} found", digest(expected.spki_der), digest(found)))
}

fn subject_names(leaf: &X509Certificate<'_>) -> Result<SubjectNames, String> {
    let mut names = SubjectNames::default();
    names.add_common_names(leaf.subject());
    let alternative = leaf.subject_alternative_name().map_err(|error| format!("subject alternative names: {error}"))?;
    for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
        names.add_alternative(name).map_err(|error| error.to_string())?;
    }
    Ok(names)
}

fn check_names(leaf: &X509Certificate<'_>, expected: &Expectation<'_>) -> Result<(), String> {
    let names = subject_names(leaf)?;
    let wanted: BTreeSet<_> = expected.identifiers.iter().cloned().collect();
    if names.alternative != wanted {
        return Err(format!("names {wanted:?} expected, {:?} found", names.alternative));
    }
    let stranger = names
        .common
        .iter()
        .find(|common| !wanted.iter().any(|identifier| identifier.to_string().eq_ignore_ascii_case(common)));
    stranger.map_or(Ok(()), |common| Err(format!("the common name {common:?} is not among the names")))
}

/// What the leaf says about its issuer is only as good as the leaf: the issuer that is in the chain
/// has to say the same.
fn check_issuer(
    leaf: &X509Certificate<'_>,
    issuer: Option<&X509Certificate<'_>>,
    expected: &Expectation<'_>,
) -> Result<(), String> {
    if expected.issuer_key_ids.is_empty() {
        return Ok(());
    }
    let check = |what: &str, id: Option<Vec<u8>>| match id {
        Some(found) if expected.issuer_key_ids.contains(&found) => Ok(()),
        Some(found) => Err(format!("{what} key identifier {} is not the profile's", base64url::encode(found))),
        None => Err(format!("no {what} key identifier")),
    };
    check("authority", path::authority_key_id(leaf))?;
    // One that did not issue the leaf is refused as V4.
    let issuer = issuer.filter(|issuer| issuer.subject() == leaf.issuer());
    issuer.map_or(Ok(()), |issuer| check("issuer's subject", path::subject_key_id(issuer)))
}

fn check_validity(leaf: &X509Certificate<'_>, expected: &Expectation<'_>) -> Result<(), String> {
    let start = Timestamp::from_unix_secs(leaf.validity().not_before.timestamp());
    let end = Timestamp::from_unix_secs(leaf.validity().not_after.timestamp());
    if start > expected.now.plus(START_AHEAD_MAX) {
        return Err(format!("begins at {start}, ahead of our clock"));
    }
    if end <= expected.now || end <= start {
        return Err(format!("ends at {end}"));
    }
    if expected.not_before.is_some_and(|wanted| wanted != start) {
        return Err(format!("begins at {start}, which was not asked for"));
    }
    if expected.not_after.is_some_and(|wanted| wanted != end) {
        return Err(format!("ends at {end}, which was not asked for"));
    }
    // A CA may date the start back for slow clocks: what counts is how long it is good from now.
    if expected.validity_max.is_some_and(|longest| end > expected.now.plus(longest).plus(START_AHEAD_MAX)) {
        return Err(format!("ends at {end}, later than the profile allows"));
    }
    Ok(())
}

fn check_usage(leaf: &X509Certificate<'_>) -> Result<(), String> {
    let constraints = leaf.basic_constraints().map_err(|error| error.to_string())?;
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(String::from("a CA's certificate"));
    }
    if leaf.name_constraints().map_err(|error| error.to_string())?.is_some() {
        return Err(String::from("has name constraints"));
    }
    let usage = leaf.key_usage().map_err(|error| error.to_string())?;
    if usage.as_ref().is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign()) {
        return Err(String::from("may sign certificates or CRLs"));
    }
    let fits = |usage: &KeyUsage| match subject_key(leaf.public_key()) {
        Some(SubjectKey::Rsa { .. }) => usage.digital_signature() || usage.key_encipherment(),
        Some(SubjectKey::Ec(_) | SubjectKey::Ed25519) => usage.digital_signature(),
        None => true, // refused as V9
    };
    if usage.is_some_and(|usage| !fits(usage.value)) {
        return Err(String::from("the key usage does not fit the key: it cannot serve TLS"));
    }
    let extended = leaf.extended_key_usage().map_err(|error| error.to_string())?;
    match extended {
        Some(extended) if extended.value.ocsp_signing => {
            Err(String::from("may sign OCSP answers in its issuer's name"))
        }
        Some(extended) if extended.value.server_auth => Ok(()),
        Some(_) | None => Err(String::from("extended key usage lacks serverAuth")),
    }
}

fn check_serial(leaf: &X509Certificate<'_>) -> Result<(), String> {
    // Of 64 random bits the first eight are zero once in 256 times, the first sixteen hardly ever.
    const SIGNIFICANT_MIN: usize = 7;
    const OCTETS_MAX: usize = 20;
    let octets = leaf.raw_serial();
    let negative = octets.first().is_none_or(|first| *first >= 0x80);
    let significant = octets.iter().skip_while(|octet| **octet == 0).count();
    if negative || octets.len() > OCTETS_MAX || significant < SIGNIFICANT_MIN {
        return Err(format!("serial {} is not a positive number of 64 random bits and at most 20 octets", hex(octets)));
    }
    Ok(())
}

fn check_key_strength(certificate: &X509Certificate<'_>) -> Result<(), String> {
    const RSA_BITS_MIN: usize = 2048;
    match subject_key(certificate.public_key()) {
        Some(SubjectKey::Rsa { n, .. }) => {
            let unused = n.first().map_or(0, |first| first.leading_zeros() as usize);
            let bits = (n.len() * 8).saturating_sub(unused);
            if bits < RSA_BITS_MIN { Err(format!("an RSA key of {bits} bits")) } else { Ok(()) }
        }
        Some(SubjectKey::Ec(_) | SubjectKey::Ed25519) => Ok(()),
        None => Err(String::from("an unknown kind of key")),
    }
}

fn check_must_staple(leaf: &X509Certificate<'_>, expected: &Expectation<'_>) -> Result<(), String> {
    let feature = leaf.extensions().iter().find(|extension| extension::is_tls_feature(extension));
    match (feature, expected.must_staple) {
        (None, false) => Ok(()),
        (Some(feature), true) if extension::is_must_staple(feature) => Ok(()),
        (Some(_), true) => Err(String::from("the TLS feature is another one than must-staple")),
        (None, true) => Err(String::from("must-staple was asked for and is missing")),
        (Some(_), false) => Err(String::from("must-staple was not asked for")),
    }
}

fn check_claims(sha256: [u8; 32], serial: &str, claims: &Claims) -> Result<(), String> {
    if sha256 != claims.sha256 {
        return Err(String::from("the CM states another sha256"));
    }
    if serial != claims.serial {
        return Err(format!("the CM states serial {}, the certificate has {serial}", claims.serial));
    }
    Ok(())
}

fn hex_of_serial(leaf: &X509Certificate<'_>) -> String {
    let octets: Vec<u8> = leaf.raw_serial().iter().copied().skip_while(|octet| *octet == 0).collect();
    hex(&octets)
}

fn hex(octets: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(octets)
}
