//! Revocations (CM contract section 4.6). OpenBao keeps no reasons, so the reason is written down first, under the
//! key that it is a repetition by; then OpenBao revokes, and OCSP and CRL say so at once.

use acme::{
    certificate::CertificateId,
    ids::{IdempotencyKey, RealmName, RegistrationId},
    problem::{Problem, ProblemKind},
    revocation::RevocationReason,
    time::Timestamp,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    OpenBaoCertificateManager,
    certificates::serial_in,
    client::Call,
    clock::now,
    failure::Failure,
    layout::Place,
    records::{Certificate, Revocation},
    registration::crowded,
};
use crate::{CmError, Outcome, Revoked, transport::lane::Lane};

/// How often a change is decided again because somebody else wrote meanwhile.
const ROUNDS_MAX: u32 = 5;

/// The members of the octets that are judged here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Octets {
    reason: RevocationReason,
    basis: Basis,
    certificate_sha256: String,
}

#[derive(Deserialize)]
struct Basis {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    registration: Option<RegistrationId>,
}

pub(super) async fn revoke(
    bao: &OpenBaoCertificateManager,
    realm: &RealmName,
    id: &CertificateId,
    key: &IdempotencyKey,
    octets: &[u8],
) -> Result<Revoked, CmError> {
    let octets: Octets = serde_json::from_slice(octets)
        .map_err(|error| CmError::Internal { outcome: Outcome::NotSent, detail: error.to_string() })?;
    let serial = serial_in(id).ok_or_else(unknown)?;
    for _ in 0..ROUNDS_MAX {
        let place = Place::Certificate(&serial);
        let record = bao.record::<Certificate>(realm, place).await.map_err(Failure::into_error)?.ok_or_else(unknown)?;
        let certificate = bao.certificate_with(realm, serial.colons()).await.map_err(Failure::into_error)?;
        let certificate = certificate.filter(|certificate| certificate.id == *id).ok_or_else(unknown)?;
        if octets.certificate_sha256 != data_encoding::HEXLOWER.encode(&certificate.claims.sha256) {
            return Err(unknown());
        }
        let is_ours =
            |record: &Certificate| record.revocation.as_ref().is_some_and(|revocation| revocation.request == *key);
        if let Some(revoked) = &certificate.revocation {
            // Whose it is was written down before, so it is there now, if it was not when the record was read.
            let now = bao.record::<Certificate>(realm, place).await.map_err(Failure::into_error)?;
            let is_ours = now.is_some_and(|record| is_ours(&record.value));
            return if is_ours { Ok(Revoked { at: revoked.at }) } else { Err(CmError::AlreadyRevoked) };
        }
        check(&octets, &record.value, certificate.not_after, now())?;
        if !is_ours(&record.value) {
            let (request, reason, basis) = (key.clone(), octets.reason, octets.basis.kind.clone());
            let why = Revocation { request, reason, basis };
            let written = Certificate { revocation: Some(why), ..record.value };
            if !bao.update(realm, place, &written, record.version).await.map_err(Failure::into_error)? {
                continue;
            }
        }
        let path = bao.mounts(realm).pki("revoke");
        let question = json!({"serial_number": serial.colons()});
        let call = Call::write("POST pki/revoke", path, question).by(Lane::Revocation);
        let answer = bao.client.send(&call).await.map_err(Failure::into_error)?;
        let at = answer.pointer("/data/revocation_time").and_then(Value::as_i64).filter(|at| *at > 0);
        return at.map(|at| Revoked { at: Timestamp::from_unix_secs(at) }).ok_or_else(|| CmError::Internal {
            outcome: Outcome::Unknown,
            detail: String::from("OpenBao's answer does not confirm the revocation"),
        });
    }
    Err(crowded())
}

fn check(octets: &Octets, record: &Certificate, not_after: Timestamp, now: Timestamp) -> Result<(), CmError> {
    let refuse = |kind, detail: &'static str| Err(CmError::Refused(Problem::new(kind, detail)));
    if not_after < now {
        return refuse(ProblemKind::Malformed, "the certificate has expired");
    }
    if octets.basis.kind == "account" && octets.basis.registration.as_ref() != Some(&record.registration) {
        return refuse(ProblemKind::Unauthorized, "you may not revoke this certificate; use its account or its key");
    }
    Ok(())
}

fn unknown() -> CmError {
    let detail = "this certificate authority does not know the certificate";
    CmError::Refused(Problem::new(ProblemKind::NotFound, detail))
}
