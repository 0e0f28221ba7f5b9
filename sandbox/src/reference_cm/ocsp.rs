//! OCSP (RFC 6960, with RFC 9654 for nonces), signed by the issuing CA itself.
//!
//! Answers come from the database at the moment of the question: a revocation that the API has
//! confirmed is in the next answer.

use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};
use x509_cert::der::asn1::{BitString, GeneralizedTime, Null, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspRequest, OcspResponse, ResponderId, ResponseData,
    RevokedInfo, SingleResponse, Version,
};

use super::ReferenceCm;
use super::authority::Authority;
use super::ids::hex;
use super::moment::Moment;
use super::problem::Problem;

/// Longest request, in octets.
pub(crate) const REQUEST_OCTETS_MAX: usize = 16 * 1024;
/// Most certificates in one request.
const QUESTIONS_MAX: usize = 32;
/// Longest nonce (RFC 9654 section 2.1), with its DER around it.
const NONCE_OCTETS_MAX: usize = 128 + 4;
/// How long an answer says that it lives.
const ANSWER_LIFE_SECS: i64 = 300;

const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");

/// Answers a request; what cannot be answered gets the error response of RFC 6960 section 2.3.
pub(crate) fn answer(cm: &ReferenceCm, request: &[u8], now: Moment) -> Vec<u8> {
    let response = match OcspRequest::from_der(request) {
        Err(_) => OcspResponse::malformed_request(),
        Ok(request) => match respond(cm, &request, now) {
            Ok(Some(response)) => response,
            Ok(None) => OcspResponse::unauthorized(),
            Err(cause) => {
                tracing::error!(%cause, "OCSP answer failed");
                OcspResponse::internal_error()
            }
        },
    };
    response.to_der().unwrap_or_default()
}

/// None if a question is about another issuer.
fn respond(cm: &ReferenceCm, request: &OcspRequest, now: Moment) -> anyhow::Result<Option<OcspResponse>> {
    let questions = &request.tbs_request.request_list;
    if questions.is_empty() || questions.len() > QUESTIONS_MAX {
        return Ok(Some(OcspResponse::malformed_request()));
    }
    let this_update = general_time(now)?;
    let next_update = general_time(now.plus_seconds(ANSWER_LIFE_SECS))?;
    let mut responses = Vec::new();
    for question in questions {
        let id = &question.req_cert;
        if !is_ours(&cm.authority, id) {
            return Ok(None);
        }
        responses.push(SingleResponse {
            cert_id: id.clone(),
            cert_status: status(cm, id)?,
            this_update,
            next_update: Some(next_update),
            single_extensions: None,
        });
    }
    let nonce: Vec<Extension> = request
        .tbs_request
        .request_extensions
        .iter()
        .flatten()
        .filter(|extension| extension.extn_id == NONCE && extension.extn_value.as_bytes().len() <= NONCE_OCTETS_MAX)
        .take(1)
        .cloned()
        .map(|extension| Extension { critical: false, ..extension })
        .collect();
    let data = ResponseData {
        version: Version::V1,
        // The responder is named by the SHA-1 of its key (RFC 6960 section 4.2.2.3).
        responder_id: ResponderId::ByKey(OctetString::new(sha1(cm.authority.public_key_raw()))?),
        produced_at: this_update,
        responses,
        response_extensions: (!nonce.is_empty()).then_some(nonce),
    };
    let signature = cm.authority.sign(&data.to_der()?)?;
    let response = BasicOcspResponse {
        tbs_response_data: data,
        signature_algorithm: AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA256, parameters: None },
        signature: BitString::from_bytes(&signature)?,
        certs: None,
    };
    Ok(Some(OcspResponse::successful(response)?))
}

fn is_ours(authority: &Authority, id: &CertId) -> bool {
    let digest: fn(&[u8]) -> Vec<u8> = if id.hash_algorithm.oid == SHA1 {
        sha1
    } else if id.hash_algorithm.oid == SHA256 {
        |octets| Sha256::digest(octets).to_vec()
    } else {
        return false;
    };
    let parameters_are_plain =
        id.hash_algorithm.parameters.as_ref().is_none_or(|parameters| parameters.decode_as::<Null>().is_ok());
    parameters_are_plain
        && id.issuer_name_hash.as_bytes() == digest(authority.name_der())
        && id.issuer_key_hash.as_bytes() == digest(authority.public_key_raw())
}

fn status(cm: &ReferenceCm, id: &CertId) -> anyhow::Result<CertStatus> {
    type Found = (Option<i64>, Option<String>);
    let serial = hex(id.serial_number.as_bytes());
    let found: Option<Found> = cm
        .database
        .read(|tx| {
            Ok(tx
                .query_row("SELECT revoked_at, reason FROM certificate WHERE serial = ?1", params![serial], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?)
        })
        .map_err(|problem: Problem| anyhow::anyhow!(problem.detail().to_owned()))?;
    Ok(match found {
        None => CertStatus::unknown(),
        Some((None, _)) => CertStatus::good(),
        Some((Some(at), reason)) => CertStatus::revoked(RevokedInfo {
            revocation_time: general_time(Moment::from_millis(at))?,
            revocation_reason: reason.as_deref().and_then(crl_reason),
        }),
    })
}

fn crl_reason(reason: &str) -> Option<CrlReason> {
    match reason {
        "keyCompromise" => Some(CrlReason::KeyCompromise),
        "affiliationChanged" => Some(CrlReason::AffiliationChanged),
        "superseded" => Some(CrlReason::Superseded),
        "cessationOfOperation" => Some(CrlReason::CessationOfOperation),
        "certificateHold" => Some(CrlReason::CertificateHold),
        "privilegeWithdrawn" => Some(CrlReason::PrivilegeWithdrawn),
        _ => None,
    }
}

fn general_time(moment: Moment) -> anyhow::Result<OcspGeneralizedTime> {
    let seconds = u64::try_from(moment.seconds())?;
    Ok(OcspGeneralizedTime(GeneralizedTime::from_unix_duration(std::time::Duration::from_secs(seconds))?))
}

fn sha1(octets: &[u8]) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    digest(&SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref().to_vec()
}
