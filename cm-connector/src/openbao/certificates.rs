//! Certificates that were issued here: found, described, when to be renewed (CM contract sections 4.5 and 4.7). Only
//! those that have a record are the realm's.

use std::time::Duration;

use acme::{
    base64url,
    certificate::{CertificateId, Claims, PresentedCertificate, Validity},
    ids::RealmName,
    time::Timestamp,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    OpenBaoCertificateManager,
    client::Call,
    clock::now,
    failure::Failure,
    layout::{Place, Serial},
    records,
    service::issuer_name,
    signed::Signed,
};
use crate::{Certificate, CertificateStatus, Chain, CmError, RenewalInfo, RevocationRecord};

/// How long what is derived of a certificate's validity is good for.
const RENEWAL_RETRY_AFTER: Duration = Duration::from_secs(21_600);

pub(super) async fn certificate(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    id: &CertificateId,
) -> Result<Option<Certificate>, CmError> {
    let Some(serial) = serial_in(id) else { return Ok(None) };
    let found = bao.certificate_with(realm, serial.colons()).await.map_err(Failure::into_error)?;
    Ok(found.filter(|found| found.id == *id))
}

pub(super) async fn find_certificate(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    sha256: &[u8; 32],
) -> Result<Option<Certificate>, CmError> {
    let found = async {
        let Some(digest) = bao.record::<records::Digest>(realm, Place::Digest(sha256)).await? else { return Ok(None) };
        bao.certificate_with(realm, &digest.value.serial).await
    };
    let found: Result<Option<Certificate>, Failure> = found.await;
    Ok(found.map_err(Failure::into_error)?.filter(|found| found.claims.sha256 == *sha256))
}

/// OpenBao says nothing of renewals; two thirds of a certificate's life are when it is due, and at once if it is
/// revoked, or if the realm's record has all that is as old replaced.
pub(super) async fn renewal_info(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    id: &CertificateId,
) -> Result<Option<RenewalInfo>, CmError> {
    let Some(found) = certificate(bao, realm, id).await? else { return Ok(None) };
    let before = bao.realm(realm).await.map_err(Failure::into_error)?.renew_issued_before;
    Ok(Some(window(&found, before, now())))
}

/// `renew_before` is when what begins earlier was called back. It does not count before its time: what is issued until
/// then would be renewed again and again.
fn window(certificate: &Certificate, renew_before: Option<Timestamp>, now: Timestamp) -> RenewalInfo {
    let life = certificate.not_after.since(certificate.not_before);
    let called_back = renew_before.filter(|time| *time <= now && certificate.not_before < *time);
    let (start, end) = match certificate.revocation.as_ref().map(|revoked| revoked.at).or(called_back) {
        Some(at) => (at.minus(Duration::from_secs(1)), at),
        None => {
            let start = certificate.not_before.plus(life * 2 / 3);
            (start, start.plus((life / 30).max(Duration::from_secs(1))))
        }
    };
    RenewalInfo { start, end, explanation_url: None, retry_after: Some(RENEWAL_RETRY_AFTER) }
}

impl OpenBaoCertificateManager {
    /// The certificate with this serial, if it is one of the realm.
    pub(super) async fn certificate_with(
        &self,
        realm: &RealmName,
        serial: &str,
    ) -> Result<Option<Certificate>, Failure> {
        let Some(serial) = Serial::parse(serial) else { return Ok(None) };
        let place = Place::Certificate(&serial);
        let Some(record) = self.record::<records::Certificate>(realm, place).await? else { return Ok(None) };
        let path = self.mounts(realm).pki(&format!("cert/{}", serial.hyphens()));
        let Some(answer) = self.client.find(&Call::read("GET pki/cert/{serial}", path)).await? else { return Ok(None) };
        let member = |name: &str| answer.pointer(&format!("/data/{name}"));
        let signed = Signed::read(member("certificate").and_then(Value::as_str).unwrap_or_default())?;
        let revoked_at = member("revocation_time").and_then(Value::as_i64).filter(|at| *at > 0);
        let chain = self.chain(realm, record.value.issuer.as_str()).await?;
        describe(realm, &signed, &chain, record.value, revoked_at).map(Some)
    }

    /// The issuer and those above it; a root among them is left out by whoever checks the chain.
    async fn chain(&self, realm: &RealmName, issuer: &str) -> Result<String, Failure> {
        let answer = self.issuer_answer(realm, issuer).await?;
        let chain = answer.pointer("/data/ca_chain").and_then(Value::as_array).cloned().unwrap_or_default();
        let pems = chain.iter().filter_map(Value::as_str);
        Ok(pems.map(|pem| pem.trim_end().to_owned() + "\n").collect())
    }
}

fn describe(
    realm: &RealmName,
    signed: &Signed,
    chain: &str,
    record: records::Certificate,
    revoked_at: Option<i64>,
) -> Result<Certificate, Failure> {
    let broken = |what: &str| Failure::Broken(format!("certificate {} {what}", signed.serial));
    let read = PresentedCertificate::parse(&signed.der).map_err(broken)?;
    let validity = Validity::of(&signed.der).ok_or_else(|| broken("has no validity"))?;
    let id = CertificateId::of(&signed.der).ok_or_else(|| broken("does not name its issuer's key"))?;
    let revocation = revoked_at.map(|at| RevocationRecord {
        at: Timestamp::from_unix_secs(at),
        reason: record.revocation.as_ref().map_or_else(|| String::from("unspecified"), |why| why.reason_word()),
    });
    let status = match &revocation {
        Some(_) => CertificateStatus::Revoked,
        None if validity.not_after < now() => CertificateStatus::Expired,
        None => CertificateStatus::Good,
    };
    Ok(Certificate {
        id,
        status,
        registration: record.registration,
        issuer: issuer_name(realm, record.issuer.as_str())?,
        profile: Some(record.profile),
        order_ref: Some(record.order_ref),
        identifiers: read.names.into_iter().collect(),
        not_before: validity.not_before,
        not_after: validity.not_after,
        chains: vec![Chain {
            name: String::from("default"),
            is_default: true,
            pem: format!("{}{chain}", signed.pem()),
        }],
        claims: Claims { sha256: signed.sha256(), serial: signed.serial.plain() },
        spki_sha256: Sha256::digest(&read.spki_der).into(),
        revocation,
    })
}

/// The serial that an id names; `None` for one of the form that OpenBao has no certificates by.
pub(super) fn serial_in(id: &CertificateId) -> Option<Serial> {
    let (_authority, serial) = id.as_str().split_once('.')?;
    Serial::of(&base64url::decode(serial).ok()?)
}
