//! Certificates that come back from the CM, and the checks that each must pass before a client
//! sees it (CM contract section 7, V1 to V11).
//!
//! A status code proves nothing: whatever the CM said, the certificate must be the one that was
//! asked for. That its serial was not seen before (second half of V8) is for the caller, who
//! remembers.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use x509_parser::{
    certificate::X509Certificate, extensions::ParsedExtension, pem::Pem, prelude::FromDer, x509::X509Version,
};

use crate::{
    base64url,
    csr::TLS_FEATURE,
    identifier::Identifier,
    signature::{self, SubjectKey, subject_key},
    subject_names::SubjectNames,
    time::Timestamp,
};

/// Largest chain in PEM, in octets; what common clients can read.
pub const CHAIN_OCTETS_MAX: usize = 64 * 1024;
/// Most certificates in a chain, the leaf included; x/crypto/acme refuses more.
pub const CHAIN_CERTIFICATES_MAX: usize = 5;
/// How far ahead of our clock a certificate may begin.
const START_AHEAD_MAX: Duration = Duration::from_secs(300);

/// The CM's name of a certificate: the CertID of RFC 9773 §4.1, or `sha256-` and hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateId(Box<str>);

/// The text is no certificate id of the CM contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a certificate id: base64url of the authority key identifier, a dot, base64url of the serial")]
pub struct NotACertificateId;

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
    /// The chain, leaf first, re-encoded by us: strict RFC 7468 and nothing but certificates.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCheck {
    /// Which one.
    pub check: Check,
    /// What was expected and what was found; for operators, not for clients.
    pub detail: String,
}

/// The checks by their number in CM contract section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    let ders = read_pem(chain_pem).map_err(form)?;
    let chain = ders.iter().map(|der| read_der(der)).collect::<Result<Vec<_>, _>>().map_err(form)?;
    let Some((leaf, issuers)) = chain.split_first() else {
        return Err(form(String::from("no certificate")));
    };
    let Some(leaf_der) = ders.first() else {
        return Err(form(String::from("no certificate")));
    };

    let mut failed = Vec::new();
    let mut verdict = |check: Check, result: Result<(), String>| {
        if let Err(detail) = result {
            failed.push(FailedCheck { check, detail });
        }
    };
    verdict(Check::PublicKey, check_public_key(leaf, expected));
    verdict(Check::Names, check_names(leaf, expected));
    verdict(Check::Chain, check_chain(leaf, issuers, expected.anchors, expected.now));
    verdict(Check::Issuer, check_issuer(leaf, expected));
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
        chain_pem: ders.iter().map(|der| to_pem(der)).collect(),
        sha256,
        serial,
        authority_key_id: authority_key_id(leaf).unwrap_or_default(),
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
    let ders = read_pem(chain_pem).map_err(failed(Check::Form))?;
    let chain = ders.iter().map(|der| read_der(der)).collect::<Result<Vec<_>, _>>().map_err(failed(Check::Form))?;
    let (Some((leaf, issuers)), Some(leaf_der)) = (chain.split_first(), ders.first()) else {
        return Err(failed(Check::Form)(String::from("no certificate")));
    };
    check_chain(leaf, issuers, anchors, now).map_err(failed(Check::Chain))?;
    let sha256 = Sha256::digest(leaf_der).into();
    check_claims(sha256, &hex_of_serial(leaf), claims).map_err(failed(Check::Claims))?;
    Ok(ders.iter().map(|der| to_pem(der)).collect())
}

/// A certificate that a client presents for revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedCertificate {
    /// SHA-256 of the DER.
    pub sha256: [u8; 32],
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
            spki_der: leaf.public_key().raw.to_vec(),
            names: names.alternative,
            not_after: Timestamp::from_unix_secs(leaf.validity().not_after.timestamp()),
        })
    }
}

fn read_pem(chain: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    if chain.len() > CHAIN_OCTETS_MAX {
        return Err(format!("the chain has {} octets", chain.len()));
    }
    let mut ders = Vec::new();
    for block in Pem::iter_from_buffer(chain) {
        let block = block.map_err(|error| format!("not PEM: {error}"))?;
        if block.label != "CERTIFICATE" {
            return Err(format!("a PEM block is labelled {}", block.label));
        }
        ders.push(block.contents);
    }
    if ders.len() > CHAIN_CERTIFICATES_MAX { Err(format!("{} certificates", ders.len())) } else { Ok(ders) }
}

fn read_der(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| format!("not a certificate: {error}"))?;
    if !rest.is_empty() {
        return Err(String::from("octets follow the certificate"));
    }
    if certificate.version() != X509Version::V3 {
        return Err(String::from("not version 3"));
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

fn check_chain(
    leaf: &X509Certificate<'_>,
    issuers: &[X509Certificate<'_>],
    anchors: &[Vec<u8>],
    now: Timestamp,
) -> Result<(), String> {
    let anchors = anchors.iter().filter_map(|der| read_der(der).ok()).collect::<Vec<_>>();
    let mut subject = leaf;
    for (below, issuer) in issuers.iter().enumerate() {
        check_issued_by(subject, issuer, below, now)?;
        subject = issuer;
    }
    let anchored = anchors.iter().any(|anchor| {
        anchor.as_raw() == subject.as_raw() || check_issued_by(subject, anchor, issuers.len(), now).is_ok()
    });
    if anchored { Ok(()) } else { Err(format!("no configured root issued {}", subject.subject())) }
}

/// `below` counts the CA certificates between the issuer and the leaf.
fn check_issued_by(
    subject: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
    below: usize,
    now: Timestamp,
) -> Result<(), String> {
    let fail = |reason: &str| Err(format!("{} by {}: {reason}", subject.subject(), issuer.subject()));
    if subject.issuer() != issuer.subject() {
        return fail("issuer and subject differ");
    }
    let Ok(Some(constraints)) = issuer.basic_constraints() else {
        return fail("the issuer has no basic constraints");
    };
    if !constraints.value.ca {
        return fail("the issuer is no CA");
    }
    if constraints.value.path_len_constraint.is_some_and(|most| u64::from(most) < below as u64) {
        return fail("the issuer's path length is exceeded");
    }
    if issuer.key_usage().ok().flatten().is_some_and(|usage| !usage.value.key_cert_sign()) {
        return fail("the issuer may not sign certificates");
    }
    let (start, end) = (issuer.validity().not_before.timestamp(), issuer.validity().not_after.timestamp());
    if !(start..=end).contains(&now.unix_secs()) {
        return fail("the issuer is not valid now");
    }
    signature::verify(
        issuer.public_key(),
        &subject.signature_algorithm,
        &subject.signature_value.data,
        subject.tbs_certificate.as_ref(),
    )
    .or_else(|error| fail(&error.to_string()))
}

fn authority_key_id(leaf: &X509Certificate<'_>) -> Option<Vec<u8>> {
    leaf.extensions().iter().find_map(|extension| {
        let ParsedExtension::AuthorityKeyIdentifier(authority) = extension.parsed_extension() else { return None };
        authority.key_identifier.as_ref().map(|id| id.0.to_vec())
    })
}

fn check_issuer(leaf: &X509Certificate<'_>, expected: &Expectation<'_>) -> Result<(), String> {
    if expected.issuer_key_ids.is_empty() {
        return Ok(());
    }
    match authority_key_id(leaf) {
        Some(found) if expected.issuer_key_ids.contains(&found) => Ok(()),
        Some(found) => Err(format!("authority key identifier {} is not the profile's", base64url::encode(found))),
        None => Err(String::from("no authority key identifier")),
    }
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
    if usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign()) {
        return Err(String::from("may sign certificates or CRLs"));
    }
    let extended = leaf.extended_key_usage().map_err(|error| error.to_string())?;
    match extended {
        Some(extended) if extended.value.server_auth => Ok(()),
        Some(_) | None => Err(String::from("extended key usage lacks serverAuth")),
    }
}

fn check_serial(leaf: &X509Certificate<'_>) -> Result<(), String> {
    let octets = leaf.raw_serial();
    let negative = octets.first().is_none_or(|first| *first >= 0x80);
    let significant = octets.iter().skip_while(|octet| **octet == 0).count();
    if negative || octets.len() > 20 || significant < 8 {
        return Err(format!("serial {} is not a positive number of 64 random bits and at most 20 octets", hex(octets)));
    }
    Ok(())
}

fn check_key_strength(leaf: &X509Certificate<'_>) -> Result<(), String> {
    match subject_key(leaf.public_key()) {
        Some(SubjectKey::Rsa { n, .. }) if n.len() < 256 => Err(format!("RSA with {} octets", n.len())),
        Some(SubjectKey::Rsa { .. } | SubjectKey::Ec(_) | SubjectKey::Ed25519) => Ok(()),
        None => Err(String::from("unknown kind of key")),
    }
}

fn check_must_staple(leaf: &X509Certificate<'_>, expected: &Expectation<'_>) -> Result<(), String> {
    let found = leaf.extensions().iter().any(|extension| extension.oid.to_id_string() == TLS_FEATURE);
    if found == expected.must_staple { Ok(()) } else { Err(format!("TLS feature extension: {found}")) }
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

/// RFC 7468 §3, strict form: 64 characters a line, LF.
fn to_pem(der: &[u8]) -> String {
    const LINE: usize = 64;
    let text = data_encoding::BASE64.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while let Some((line, more)) = rest.split_at_checked(LINE) {
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    if !rest.is_empty() {
        pem.push_str(rest);
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

impl CertificateId {
    /// Takes an id of the CM.
    ///
    /// # Errors
    /// [`NotACertificateId`] for anything but the two forms of the contract.
    pub fn parse(text: &str) -> Result<Self, NotACertificateId> {
        const LENGTH_MAX: usize = 96;
        let base64url = |part: &str| {
            !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
        };
        let hexadecimal =
            |part: &str| part.len() == 64 && part.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'));
        let good = match (text.split_once('.'), text.strip_prefix("sha256-")) {
            (Some((authority, serial)), _) => base64url(authority) && base64url(serial),
            (None, Some(digest)) => hexadecimal(digest),
            (None, None) => false,
        };
        if good && text.len() <= LENGTH_MAX { Ok(Self(text.into())) } else { Err(NotACertificateId) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for CertificateId {
    type Err = NotACertificateId;

    fn from_str(text: &str) -> Result<Self, NotACertificateId> {
        Self::parse(text)
    }
}

impl Serialize for CertificateId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CertificateId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
