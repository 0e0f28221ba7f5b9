//! The issuing CA "issuing-1": signs certificates, revocation lists and OCSP answers.
//!
//! It signs what it is given and decides nothing. Its key lies in a file: NOT FOR PRODUCTION.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint, CustomExtension,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData as _, RevocationReason, RevokedCertParams, SanType, SerialNumber, SigningKey as _,
    SubjectPublicKeyInfo,
};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

use super::certificates::Certificate;
use super::identifier::{Identifier, WireIdentifier};
use super::ids::{hex, random_octets};
use super::moment::Moment;
use super::requests::Plan;
use crate::faults::Fault;
use crate::pki::{SANDBOX_ORGANIZATION, read_key};

/// How long a revocation list says that it lives.
const CRL_LIFE_SECS: i64 = 3_600;
/// The chain that clients get unless they ask for another one.
pub(crate) const DEFAULT_CHAIN: &str = "default";

/// The issuing CA with its key.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
    root_der: Vec<u8>,
    /// The root as an older root vouches for it, and that older root.
    cross_der: Vec<u8>,
    older_root_der: Vec<u8>,
    name_der: Vec<u8>,
    key_id: Vec<u8>,
    not_after: Moment,
    status_url: String,
}

/// The way from the issuing CA up to a root.
pub(crate) struct Chain {
    /// Its id in the contract; the default one is called so.
    pub(crate) id: &'static str,
    /// The issuing CA and what is between it and the root.
    pub(crate) issuers_pem: String,
    /// The root, which is left out of the chain.
    pub(crate) root_der: Vec<u8>,
}

/// A certificate as it was signed.
pub(crate) struct Signed {
    /// ARI CertID.
    pub(crate) id: String,
    /// DER.
    pub(crate) der: Vec<u8>,
    /// The issuers that go with it, without the root.
    pub(crate) issuers_pem: String,
    /// Hex, over the DER.
    pub(crate) sha256: String,
    /// Hex.
    pub(crate) spki_sha256: String,
}

impl Authority {
    /// Reads certificate and key from the PKI folder. `status_url` is where OCSP, CRL and CA
    /// certificates are served, and goes into every certificate.
    pub(crate) fn load(pki: &Path, status_url: &str) -> anyhow::Result<Self> {
        let certificate_pem =
            std::fs::read_to_string(pki.join("issuing-1.pem")).context("cannot read issuing-1.pem; run init first")?;
        let read = |name: &str| from_pem(&std::fs::read_to_string(pki.join(name))?);
        let key = read_key(&pki.join("issuing-1.key"))?;
        let der = from_pem(&certificate_pem)?;
        let (_, parsed) = X509Certificate::from_der(&der)?;
        let key_id = parsed
            .iter_extensions()
            .find_map(|extension| {
                let ParsedExtension::SubjectKeyIdentifier(id) = extension.parsed_extension() else {
                    return None;
                };
                Some(id.0.to_vec())
            })
            .context("issuing-1.pem has no subject key identifier")?;
        let not_after = Moment::from_offset(parsed.validity().not_after.to_datetime());
        let name_der = parsed.subject().as_raw().to_vec();
        Ok(Self {
            issuer: Issuer::from_ca_cert_pem(&certificate_pem, key)?,
            root_der: read("root.pem")?,
            cross_der: read("root-by-older-root.pem")?,
            older_root_der: read("older-root.pem")?,
            name_der,
            key_id,
            not_after,
            status_url: status_url.trim_end_matches('/').to_owned(),
            der,
        })
    }

    /// Its id in the contract.
    pub(crate) fn id(&self) -> &'static str {
        "issuing-1"
    }

    /// When it ends.
    pub(crate) fn not_after(&self) -> Moment {
        self.not_after
    }

    /// Its certificate.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// The root above it.
    pub(crate) fn root_der(&self) -> &[u8] {
        &self.root_der
    }

    /// DER of its subject name, which OCSP hashes.
    pub(crate) fn name_der(&self) -> &[u8] {
        &self.name_der
    }

    /// Its public key without the SubjectPublicKeyInfo around it, which OCSP hashes.
    pub(crate) fn public_key_raw(&self) -> &[u8] {
        self.issuer.key().der_bytes()
    }

    /// Its subject key identifier.
    pub(crate) fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    /// The chain from it up to but without the root.
    pub(crate) fn chain_pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// Every chain, the default one first.
    pub(crate) fn chains(&self) -> [Chain; 2] {
        [
            Chain { id: DEFAULT_CHAIN, issuers_pem: self.chain_pem(), root_der: self.root_der.clone() },
            Chain {
                id: "older-root",
                issuers_pem: self.chain_pem() + &pem("CERTIFICATE", &self.cross_der),
                root_der: self.older_root_der.clone(),
            },
        ]
    }

    /// Where OCSP answers.
    pub(crate) fn ocsp_url(&self) -> String {
        format!("{}/ocsp", self.status_url)
    }

    /// Where the revocation list is.
    pub(crate) fn crl_url(&self) -> String {
        format!("{}/crl/issuing-1.crl", self.status_url)
    }

    /// A serial number: 20 octets, positive, more than 150 random bits. Hex.
    pub(crate) fn draw_serial() -> String {
        let mut octets = random_octets::<20>();
        if let Some(first) = octets.first_mut() {
            // Neither negative nor shorter: the top bit is clear, the octet is not zero.
            *first = (*first & 0x3f) | 0x40;
        }
        hex(&octets)
    }

    /// Signs what a plan says.
    pub(crate) fn issue(&self, plan: &Plan) -> anyhow::Result<Signed> {
        let serial = plan.serial.as_deref().context("the plan has no serial")?;
        let spki_octets = URL_SAFE_NO_PAD.decode(&plan.spki)?;
        let mut spki = SubjectPublicKeyInfo::from_der(&spki_octets)?;
        if plan.fault == Some(Fault::WrongKey) {
            let other = KeyPair::generate()?;
            spki = SubjectPublicKeyInfo::from_der(&other.subject_public_key_info())?;
        }
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(&from_hex(serial)?));
        params.not_before = plan.not_before.to_offset();
        params.not_after = plan.not_after.to_offset();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, SANDBOX_ORGANIZATION);
        params.subject_alt_names = if plan.fault == Some(Fault::WrongNames) {
            vec![SanType::DnsName("wrong.sandbox.invalid".try_into()?)]
        } else {
            plan.identifiers.iter().map(general_name).collect::<anyhow::Result<_>>()?
        };
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if spki_octets.len() > 200 {
            // Only RSA key information is that long, and only RSA keys encipher keys.
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![self.crl_url()] }];
        params.custom_extensions = vec![self.authority_information_access()];
        if plan.must_staple {
            params.custom_extensions.push(CustomExtension::from_oid_content(
                &[1, 3, 6, 1, 5, 5, 7, 1, 24],
                vec![0x30, 0x03, 0x02, 0x01, 0x05],
            ));
        }
        let certificate = params.signed_by(&spki, &self.issuer)?;
        let der = certificate.der().to_vec();
        Ok(Signed {
            id: format!("{}.{}", URL_SAFE_NO_PAD.encode(&self.key_id), URL_SAFE_NO_PAD.encode(from_hex(serial)?)),
            sha256: hex(&Sha256::digest(&der)),
            spki_sha256: hex(&Sha256::digest(spki.subject_public_key_info())),
            issuers_pem: if plan.fault == Some(Fault::WrongChain) { self.stranger_pem()? } else { self.chain_pem() },
            der,
        })
    }

    /// Signs a revocation list of everything that is revoked or on hold.
    pub(crate) fn revocation_list(&self, revoked: &[Certificate], number: u64, now: Moment) -> anyhow::Result<Vec<u8>> {
        let now = now.whole_second();
        let mut entries = Vec::new();
        for certificate in revoked {
            let Some(revocation) = &certificate.revoked else {
                continue;
            };
            entries.push(RevokedCertParams {
                serial_number: SerialNumber::from_slice(&from_hex(&certificate.serial)?),
                revocation_time: revocation.at.whole_second().to_offset(),
                reason_code: reason_code(&revocation.reason),
                invalidity_date: revocation.invalidity_date.map(|date| date.whole_second().to_offset()),
            });
        }
        let list = CertificateRevocationListParams {
            this_update: now.to_offset(),
            next_update: now.plus_seconds(CRL_LIFE_SECS).to_offset(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: entries,
            key_identifier_method: KeyIdMethod::PreSpecified(self.key_id.clone()),
        };
        Ok(list.signed_by(&self.issuer)?.der().to_vec())
    }

    /// ECDSA with SHA-256 over octets, for OCSP.
    pub(crate) fn sign(&self, octets: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(self.issuer.key().sign(octets)?)
    }

    /// AuthorityInfoAccessSyntax (RFC 5280 section 4.2.2.1) with OCSP and CA issuers.
    fn authority_information_access(&self) -> CustomExtension {
        let access = |method: u8, url: &str| {
            // id-ad 1.3.6.1.5.5.7.48 with the method, then a GeneralName of type URI.
            let oid = tlv(0x06, &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, method]);
            tlv(0x30, &[oid, tlv(0x86, url.as_bytes())].concat())
        };
        let issuer = format!("{}/ca/issuing-1.der", self.status_url);
        let content = tlv(0x30, &[access(1, &self.ocsp_url()), access(2, &issuer)].concat());
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content)
    }

    /// A CA of the same name whose key signed nothing: the wrong chain of the fault.
    fn stranger_pem(&self) -> anyhow::Result<String> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, SANDBOX_ORGANIZATION);
        params.distinguished_name.push(DnType::CommonName, "ACME sandbox issuing 1");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_after = self.not_after.to_offset();
        Ok(params.self_signed(&key)?.pem())
    }
}

fn general_name(identifier: &WireIdentifier) -> anyhow::Result<SanType> {
    Ok(match Identifier::from_wire(identifier) {
        Some(Identifier::Ip(address)) => SanType::IpAddress(address),
        Some(Identifier::Dns { .. }) => SanType::DnsName(identifier.value.as_str().try_into()?),
        None => anyhow::bail!("a stored identifier is not in normal form"),
    })
}

/// The reason code of RFC 5280 section 5.3.1.
pub(crate) fn reason_code(reason: &str) -> Option<RevocationReason> {
    match reason {
        "keyCompromise" => Some(RevocationReason::KeyCompromise),
        "affiliationChanged" => Some(RevocationReason::AffiliationChanged),
        "superseded" => Some(RevocationReason::Superseded),
        "cessationOfOperation" => Some(RevocationReason::CessationOfOperation),
        "certificateHold" => Some(RevocationReason::CertificateHold),
        "privilegeWithdrawn" => Some(RevocationReason::PrivilegeWithdrawn),
        _ => None,
    }
}

/// PEM with lines of 64 characters.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while let Some((line, behind)) = rest.split_at_checked(64) {
        pem.push_str(line);
        pem.push('\n');
        rest = behind;
    }
    if !rest.is_empty() {
        pem.push_str(rest);
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

fn from_pem(text: &str) -> anyhow::Result<Vec<u8>> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(text.as_bytes())?;
    Ok(pem.contents)
}

/// Octets of a hex text.
pub(crate) fn from_hex(text: &str) -> anyhow::Result<Vec<u8>> {
    anyhow::ensure!(text.len().is_multiple_of(2), "odd number of hex digits");
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
        .collect::<Option<_>>()
        .context("not hex")?;
    Ok(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit)).collect())
}

/// DER: tag, definite length, content.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut octets = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => octets.push(short),
        _ => {
            let length: Vec<u8> = content.len().to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
            octets.push(0x80 | u8::try_from(length.len()).unwrap_or(8));
            octets.extend(length);
        }
    }
    octets.extend_from_slice(content);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_have_twenty_octets_and_are_positive() {
        for _ in 0..100 {
            let octets = from_hex(&Authority::draw_serial()).unwrap();
            assert_eq!(octets.len(), 20);
            assert!((0x40..0x80).contains(&octets[0]));
        }
    }

    #[test]
    fn pem_has_lines_of_64_characters_and_is_read_back() {
        let der = vec![0x30, 0x82, 7];
        for octets in [der, vec![5; 48], vec![6; 100]] {
            let text = pem("CERTIFICATE", &octets);
            assert!(text.lines().all(|line| line.len() <= 64));
            assert_eq!(from_pem(&text).unwrap(), octets);
        }
    }

    #[test]
    fn der_lengths_are_short_or_long_as_they_must_be() {
        assert_eq!(tlv(4, &[9]), [4, 1, 9]);
        assert_eq!(tlv(4, &[0; 0x7f])[..2], [4, 0x7f]);
        assert_eq!(tlv(4, &[0; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(tlv(4, &[0; 0x100])[..4], [4, 0x82, 1, 0]);
    }
}
