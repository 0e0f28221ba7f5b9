//! Revocation and reinstatement (contract section 4.6). An answer of 200 means that OCSP says so.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{Transaction, params};
use serde::Deserialize;
use serde_json::json;

use super::ReferenceCm;
use super::audit::{self, Change};
use super::call::{Answer, Call};
use super::certificates::{self, Certificate, Revoked};
use super::events;
use super::evidence::{self, Validation};
use super::idempotency::Slot;
use super::identifier::{Identifier, WireIdentifier};
use super::key::PublicKey;
use super::moment::Moment;
use super::operations::Right;
use super::policy::Policy;
use super::problem::{Code, Problem};
use super::proof::{self, Proof, Verified};
use super::registrations::{self, Registration, Status};
use super::settings::Realm;
use super::wire::{Client, check_text};

/// Where revocations are sent, behind the base URL.
const REVOKE_CERT: &str = "/revoke-cert";

/// Reasons with their code (RFC 5280 section 5.3.1) and whether gateways may use them.
const REASONS: &[(&str, u8, bool)] = &[
    ("unspecified", 0, true),
    ("keyCompromise", 1, true),
    ("affiliationChanged", 3, true),
    ("superseded", 4, true),
    ("cessationOfOperation", 5, true),
    ("certificateHold", 6, false),
    ("privilegeWithdrawn", 9, false),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BasisType {
    Account,
    Authorizations,
    CertificateKey,
    GatewayPolicy,
    Officer,
}

impl BasisType {
    fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Authorizations => "authorizations",
            Self::CertificateKey => "certificate-key",
            Self::GatewayPolicy => "gateway-policy",
            Self::Officer => "officer",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Basis {
    #[serde(rename = "type")]
    kind: BasisType,
    registration: Option<String>,
    validations: Option<Vec<Validation>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Revocation {
    reason: String,
    basis: Basis,
    certificate_sha256: String,
    invalidity_date: Option<Moment>,
    #[serde(default)]
    block_key: bool,
    comment: Option<String>,
    #[serde(default)]
    client: Client,
    proof: Option<Proof>,
}

/// The payload of an ACME revocation (RFC 8555 section 7.6).
#[derive(Deserialize)]
struct RevocationPayload {
    certificate: String,
    #[serde(default)]
    reason: u8,
}

/// `POST …/certificates/{certId}/revoke`
pub(crate) fn revoke_certificate(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    let slot = Slot::of(call)?;
    let (realm_name, realm) = cm.realm(call)?;
    cm.database.write(|tx| {
        slot.once(tx, call, |tx| {
            let request: Revocation = call.json()?;
            revoke(cm, call, tx, realm_name, realm, &request)
        })
    })
}

fn revoke(
    cm: &ReferenceCm,
    call: &Call,
    tx: &Transaction<'_>,
    realm_name: &str,
    realm: &Realm,
    request: &Revocation,
) -> Result<Answer, Problem> {
    request.client.check()?;
    check_text("/comment", request.comment.as_ref(), 500)?;
    let mut certificate = certificates::load(tx, realm_name, call)?;
    if request.certificate_sha256 != certificate.sha256 {
        return Err(Problem::malformed("/certificateSha256", "not the fingerprint of this certificate"));
    }
    let reason_code = allowed_reason(call, &request.reason)?;
    let key_is_proven = judge_basis(cm, call, tx, realm, request, &certificate, reason_code)?;
    if certificate.revoked.is_some() && !certificate.is_on_hold() {
        return Err(Problem::new(Code::AlreadyRevoked, "the certificate is revoked already")
            .with("revocation", certificate.revocation_view()));
    }
    if certificate.is_on_hold() && request.reason == "certificateHold" {
        return Err(Problem::new(Code::AlreadyRevoked, "the certificate is on hold already")
            .with("revocation", certificate.revocation_view()));
    }
    if certificate.not_after < call.now {
        return Err(Problem::new(Code::CertificateExpired, "the certificate is expired"));
    }
    if request.block_key && request.reason == "keyCompromise" {
        if !key_is_proven && request.basis.kind != BasisType::Officer {
            return Err(Problem::new(
                Code::RevocationNotAuthorised,
                "a key is blocked only for the one who proves to hold it",
            ));
        }
        tx.execute(
            "INSERT OR IGNORE INTO blocked_key (spki_sha256, certificate, at) VALUES (?1, ?2, ?3)",
            params![certificate.spki_sha256, certificate.id, call.now.millis()],
        )?;
    } else if request.block_key {
        return Err(Problem::malformed("/blockKey", "goes with reason keyCompromise only"));
    }
    write_revocation(
        tx,
        call,
        &mut certificate,
        Revoked {
            at: call.now,
            reason: request.reason.clone(),
            basis: request.basis.kind.name().to_owned(),
            by: call.identity.urn(),
            invalidity_date: request.invalidity_date,
        },
    )?;
    Ok(shown(&certificate, call.now))
}

fn allowed_reason(call: &Call, reason: &str) -> Result<u8, Problem> {
    let (_, code, for_gateways) = REASONS
        .iter()
        .find(|(name, _, _)| *name == reason)
        .ok_or_else(|| Problem::new(Code::RevocationReasonNotAllowed, "the reason is not known"))?;
    if *for_gateways || call.require(Right::RevokeAsOfficer).is_ok() {
        Ok(*code)
    } else {
        Err(Problem::new(Code::RevocationReasonNotAllowed, format!("the reason {reason} is for officers only")))
    }
}

/// Whether this caller may revoke this certificate on this basis. Tells whether the holder of the
/// certificate's key has proven to be one.
fn judge_basis(
    cm: &ReferenceCm,
    call: &Call,
    tx: &Transaction<'_>,
    realm: &Realm,
    request: &Revocation,
    certificate: &Certificate,
    reason_code: u8,
) -> Result<bool, Problem> {
    let basis = &request.basis;
    let takes = (basis.registration.is_some(), basis.validations.is_some());
    let shape_is_good = match basis.kind {
        BasisType::Account => takes == (true, false),
        BasisType::Authorizations => takes == (true, true),
        BasisType::CertificateKey | BasisType::GatewayPolicy | BasisType::Officer => takes == (false, false),
    };
    if !shape_is_good {
        return Err(Problem::malformed(
            "/basis",
            "registration goes with account and authorizations, validations with authorizations",
        ));
    }
    if (basis.kind == BasisType::Officer) == call.is_gateway() {
        return Err(refused("the caller's role has no such basis"));
    }
    match basis.kind {
        BasisType::Account => {
            let registration = revoking_registration(tx, call, basis)?;
            if certificate.registration != registration.id {
                return Err(refused("the certificate belongs to another registration"));
            }
            let verified = proof::by_account(realm, request.proof.as_ref(), &registration, Some(REVOKE_CERT))?;
            check_payload(verified, certificate, reason_code)?;
            Ok(false)
        }
        BasisType::Authorizations => {
            let registration = revoking_registration(tx, call, basis)?;
            registration.must_be_active(tx)?;
            let wire: Vec<WireIdentifier> = serde_json::from_value(certificate.identifiers.clone())?;
            let identifiers: Vec<Identifier> = wire.iter().filter_map(Identifier::from_wire).collect();
            // Evidence is the gateway's word; the lists are not.
            Policy::of(cm, tx, &registration)?
                .check_names(&identifiers)
                .map_err(|_| refused("the certificate has names that the registration may not have"))?;
            let profile = cm
                .settings
                .profiles
                .get(&certificate.profile)
                .ok_or_else(|| refused("the profile of the certificate is gone"))?;
            // CAA permits issuance; it has no say in revocation.
            let mut profile = profile.clone();
            profile.caa = super::settings::CaaPolicy::Off;
            // A waiver is for getting certificates, not for taking those of others.
            let validations = basis.validations.as_deref().unwrap_or_default();
            evidence::judge(validations, &identifiers, &profile, &[], call.now)?;
            let verified = proof::by_account(realm, request.proof.as_ref(), &registration, Some(REVOKE_CERT))?;
            check_payload(verified, certificate, reason_code)?;
            Ok(false)
        }
        BasisType::CertificateKey => {
            use x509_parser::prelude::{FromDer as _, X509Certificate};
            let (_, parsed) = X509Certificate::from_der(&certificate.der)
                .map_err(|_| Problem::internal("a stored certificate does not parse"))?;
            let key = PublicKey::from_spki(parsed.public_key())
                .ok_or_else(|| Problem::internal("the key of a stored certificate is unknown"))?;
            let verified = proof::by_key(realm, request.proof.as_ref(), &key, REVOKE_CERT)?;
            let proven = verified.is_some();
            check_payload(verified, certificate, reason_code)?;
            Ok(proven)
        }
        // No gateway of this CM needs it, so it is set for no identity.
        BasisType::GatewayPolicy => Err(refused("the basis gateway-policy is not allowed for this identity")),
        BasisType::Officer => Ok(false),
    }
}

fn refused(detail: &str) -> Problem {
    Problem::new(Code::RevocationNotAuthorised, detail)
}

/// A suspended account may still revoke (safety); one that has ended may not.
fn revoking_registration(tx: &Transaction<'_>, call: &Call, basis: &Basis) -> Result<Registration, Problem> {
    let id = basis.registration.as_deref().unwrap_or_default();
    let registration = registrations::load(tx, call.parameter("realm"), id)?;
    match registration.status {
        Status::Active | Status::Suspended => Ok(registration),
        Status::Pending | Status::Deactivated | Status::Revoked => {
            Err(registrations::not_active(&registration.id, registration.status))
        }
    }
}

fn check_payload(verified: Option<Verified>, certificate: &Certificate, reason_code: u8) -> Result<(), Problem> {
    let Some(verified) = verified else {
        return Ok(());
    };
    let payload: RevocationPayload = verified.read()?;
    if payload.certificate != URL_SAFE_NO_PAD.encode(&certificate.der) {
        return Err(proof::invalid("the proof is about another certificate"));
    }
    if payload.reason != reason_code {
        return Err(proof::invalid("the proof gives another reason"));
    }
    Ok(())
}

fn write_revocation(
    tx: &Transaction<'_>,
    call: &Call,
    certificate: &mut Certificate,
    revoked: Revoked,
) -> Result<(), Problem> {
    let before = certificate.status(call.now);
    let reason = revoked.reason.clone();
    certificate.revoked = Some(revoked);
    certificate.save_revocation(tx)?;
    for kind in ["certificate.revoked", "renewal-info.changed"] {
        events::emit(tx, call.now, &certificate.realm, kind, &certificate.id, None, &json!({"reason": reason}))?;
    }
    audit::effect(
        tx,
        call,
        &certificate.id,
        Change {
            before: Some(json!({"status": before})),
            after: Some(json!({"status": certificate.status(call.now), "reason": reason})),
        },
    )
}

fn shown(certificate: &Certificate, now: Moment) -> Answer {
    Answer::json(
        200,
        &json!({"id": certificate.id, "status": certificate.status(now),
                "revocation": certificate.revocation_view()}),
    )
}

/// Revokes everything a revoked registration has.
pub(crate) fn revoke_all_of(tx: &Transaction<'_>, call: &Call, registration: &str) -> Result<(), Problem> {
    for mut certificate in certificates::all_good_of(tx, registration, call.now)? {
        write_revocation(
            tx,
            call,
            &mut certificate,
            Revoked {
                at: call.now,
                reason: "privilegeWithdrawn".to_owned(),
                basis: BasisType::Officer.name().to_owned(),
                by: call.identity.urn(),
                invalidity_date: None,
            },
        )?;
    }
    Ok(())
}

/// `POST …/certificates/{certId}/reinstate`: takes a hold away; revocation is for ever.
pub(crate) fn reinstate_certificate(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    let (realm_name, _) = cm.realm(call)?;
    cm.database.write(|tx| {
        let mut certificate = certificates::load(tx, realm_name, call)?;
        if certificate.revoked.is_none() {
            return Ok(shown(&certificate, call.now));
        }
        if !certificate.is_on_hold() {
            return Err(Problem::new(Code::AlreadyRevoked, "only a hold can be taken away")
                .with("revocation", certificate.revocation_view()));
        }
        certificate.revoked = None;
        certificate.save_revocation(tx)?;
        events::emit(tx, call.now, realm_name, "certificate.reinstated", &certificate.id, None, &json!({}))?;
        audit::effect(
            tx,
            call,
            &certificate.id,
            Change {
                before: Some(json!({"status": "hold"})),
                after: Some(json!({"status": certificate.status(call.now)})),
            },
        )?;
        Ok(shown(&certificate, call.now))
    })
}
