//! Certificates (CM contract section 4.5).

use acme::certificate::Claims;
use serde::Deserialize;

use super::{Broken, IdentifierIn, identifiers, parsed, sha256};
use crate::{Certificate, CertificateStatus, Chain, RevocationRecord};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct CertificateIn {
    id: String,
    status: String,
    serial: String,
    issuer: String,
    sha256: String,
    spki_sha256: String,
    not_before: String,
    not_after: String,
    identifiers: Vec<IdentifierIn>,
    registration: String,
    #[serde(default)]
    profile: Option<String>,
    #[serde(default)]
    order_ref: Option<String>,
    chains: Vec<ChainIn>,
    #[serde(default)]
    revocation: Option<RevocationIn>,
}

#[derive(Debug, Deserialize)]
struct ChainIn {
    id: String,
    default: bool,
    pem: String,
}

#[derive(Debug, Deserialize)]
struct RevocationIn {
    at: String,
    reason: String,
}

impl CertificateIn {
    pub(in crate::rest) fn convert(self) -> Result<Certificate, Broken> {
        if self.chains.is_empty() {
            return Err(Broken(String::from("a certificate without a chain")));
        }
        let chain = |chain: ChainIn| Chain { name: chain.id, is_default: chain.default, pem: chain.pem };
        let revocation = self.revocation.map(|revocation| {
            Ok(RevocationRecord { at: parsed("revocation.at", &revocation.at)?, reason: revocation.reason })
        });
        Ok(Certificate {
            id: parsed("certificate.id", &self.id)?,
            status: status(&self.status),
            registration: parsed("certificate.registration", &self.registration)?,
            issuer: parsed("certificate.issuer", &self.issuer)?,
            profile: self.profile.and_then(|name| name.parse().ok()),
            order_ref: self.order_ref.and_then(|order| order.parse().ok()),
            identifiers: identifiers(&self.identifiers)?,
            not_before: parsed("certificate.notBefore", &self.not_before)?,
            not_after: parsed("certificate.notAfter", &self.not_after)?,
            chains: self.chains.into_iter().map(chain).collect(),
            claims: Claims { sha256: sha256(&self.sha256)?, serial: self.serial },
            spki_sha256: sha256(&self.spki_sha256)?,
            revocation: revocation.transpose()?,
        })
    }
}

/// An unknown word is taken for the strictest.
fn status(word: &str) -> CertificateStatus {
    match word {
        "good" => CertificateStatus::Good,
        "hold" => CertificateStatus::Hold,
        "expired" => CertificateStatus::Expired,
        _ => CertificateStatus::Revoked,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rest::examples;

    fn converted(change: impl FnOnce(&mut Value)) -> Result<Certificate, Broken> {
        let mut json = examples::certificate_request()["certificate"].clone();
        change(&mut json);
        super::super::read::<CertificateIn>(json)?.convert()
    }

    #[test]
    fn the_contracts_certificate_is_understood() {
        let certificate = converted(|_| ()).unwrap();
        assert_eq!(certificate.id.as_str(), "H7DK09vx8N9sqX9XzokOmQ2YyCY.L-ITZvnF--QXqGeTLnlC4gFxjHA");
        assert_eq!(certificate.status, CertificateStatus::Good);
        assert_eq!(certificate.order_ref.as_ref().unwrap().as_str(), "01KANM7QJ2");
        assert_eq!(certificate.claims.serial, "2fe21366f9c5fbe417a867932e7942e201718c70");
        assert_eq!(certificate.claims.sha256[..2], [0x01, 0x06]);
        assert_eq!(certificate.not_after.to_string(), "2027-02-20T00:00:00Z");
        assert_eq!(certificate.identifiers.len(), 2);
        assert!(certificate.default_chain().unwrap().pem.starts_with("-----BEGIN CERTIFICATE-----"));
    }

    #[test]
    fn an_unknown_status_is_not_good() {
        assert_eq!(converted(|json| json["status"] = json!("new")).unwrap().status, CertificateStatus::Revoked);
    }

    #[test]
    fn a_certificate_lacking_what_must_be_checked_is_broken() {
        for member in ["id", "serial", "sha256", "spkiSha256", "registration", "chains", "notAfter"] {
            let without = converted(|json| {
                json.as_object_mut().unwrap().remove(member);
            });
            assert!(without.is_err(), "{member}");
        }
        assert!(converted(|json| json["chains"] = json!([])).is_err());
        assert!(converted(|json| json["sha256"] = json!("00")).is_err());
    }
}
