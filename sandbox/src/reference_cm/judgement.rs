//! Whether a certificate may be issued: the order of contract section 4.4, first failure answers.
//!
//! Nothing here trusts the gateway: names are checked against the lists of realm, parent and
//! registration again, and the client's own signature over this CSR is verified again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Deserialize;
use serde_json::json;

use super::ReferenceCm;
use super::call::Call;
use super::certificates;
use super::csr::Csr;
use super::evidence::{self, Validation};
use super::identifier::{Identifier, Kind, WireIdentifier};
use super::ids::hex;
use super::limits::IDENTIFIERS_MAX;
use super::moment::Moment;
use super::policy::Policy;
use super::problem::{Code, Problem, Scope};
use super::proof::{self, Proof};
use super::registrations::{self, Registration, by_thumbprint};
use super::requests::{self, Plan, RequestStatus};
use super::settings::{MustStaple, Profile, Realm};
use super::validity::validity;
use super::waivers;
use super::wire::Client;

/// The request as sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CertificateRequestCreate {
    registration: String,
    /// The gateway's order.
    pub(crate) order_ref: String,
    /// Asked-for profile.
    pub(crate) profile: String,
    csr: String,
    identifiers: Vec<WireIdentifier>,
    validations: Vec<Validation>,
    not_before: Option<Moment>,
    not_after: Option<Moment>,
    replaces: Option<String>,
    #[serde(default)]
    client: Client,
    proof: Option<Proof>,
}

/// A request that may go on to approval and signing.
pub(crate) struct Judged {
    /// Whose it is.
    pub(crate) registration: Registration,
    /// What is to be signed.
    pub(crate) plan: Plan,
    /// SHA-256 of the CSR, hex.
    pub(crate) csr_sha256: String,
}

/// Judges a request in the transaction that would accept it.
pub(crate) fn judge(
    cm: &ReferenceCm,
    call: &Call,
    tx: &Transaction<'_>,
    request: &CertificateRequestCreate,
) -> Result<Judged, Problem> {
    let (realm_name, realm) = cm.realm(call)?;
    let identifiers = read_identifiers(request)?;
    request.client.check()?;
    let registration = registrations::load(tx, realm_name, &request.registration)?;
    if !cm.limits.admit_certificate_request(&registration.id, call.now) {
        return Err(Problem::new(Code::RateLimited, "too many certificate requests of this registration")
            .scoped(Scope::Registration)
            .retry_after(60));
    }
    registration.must_be_active(tx)?;
    if cm.authority.not_after() <= call.now {
        return Err(Problem::new(Code::IssuerUnavailable, "the issuing CA has expired; run init again"));
    }
    let profile = cm.settings.profiles.get(&request.profile).filter(|_| realm.profiles.contains(&request.profile));

    let csr_octets = URL_SAFE_NO_PAD
        .decode(&request.csr)
        .map_err(|_| Problem::malformed("/csr", "not base64url without padding"))?;
    let csr = Csr::parse(&csr_octets)?;
    if let Some(profile) = profile {
        judge_key(tx, realm_name, &csr, profile)?;
    }
    judge_names(&csr, &identifiers)?;
    let policy = Policy::of(cm, tx, &registration)?;
    policy.check_names(&identifiers)?;
    let profile = policy.profile(cm, tx, realm_name, &request.profile)?;
    judge_capabilities(profile, &identifiers, &csr)?;
    let in_force = waivers::in_force(cm, tx, &registration, call.now)?;
    let waivers = evidence::judge(&request.validations, &identifiers, profile, &in_force, call.now)?;
    let (not_before, not_after) =
        validity(cm, profile, policy.max_validity, request.not_before, request.not_after, call.now)?;
    judge_replacement(tx, realm_name, &registration, request)?;
    judge_proof(tx, realm_name, realm, &registration, request)?;
    judge_order(cm, call, tx, realm_name, request)?;

    use sha2::Digest as _;
    Ok(Judged {
        plan: Plan {
            serial: None,
            spki: URL_SAFE_NO_PAD.encode(&csr.spki),
            spki_sha256: csr.spki_sha256(),
            identifiers: request.identifiers.clone(),
            wanted_not_before: request.not_before,
            wanted_not_after: request.not_after,
            not_before,
            not_after,
            must_staple: match profile.must_staple {
                MustStaple::Always => true,
                MustStaple::IfRequested => csr.must_staple,
                MustStaple::Never => false,
            },
            replaces: request.replaces.clone(),
            waivers,
            fault: None,
            release_at: None,
        },
        registration,
        csr_sha256: hex(&sha2::Sha256::digest(&csr_octets)),
    })
}

fn read_identifiers(request: &CertificateRequestCreate) -> Result<Vec<Identifier>, Problem> {
    let reference = &request.order_ref;
    if reference.is_empty() || reference.len() > 64 || !reference.is_ascii() {
        return Err(Problem::malformed("/orderRef", "1 to 64 ASCII characters"));
    }
    if request.identifiers.is_empty() || request.identifiers.len() > IDENTIFIERS_MAX {
        return Err(Problem::malformed("/identifiers", "1 to 100 identifiers"));
    }
    let mut identifiers: Vec<Identifier> = Vec::new();
    for (index, wire) in request.identifiers.iter().enumerate() {
        let pointer = format!("/identifiers/{index}");
        let identifier =
            Identifier::from_wire(wire).ok_or_else(|| Problem::malformed(&pointer, "not in normal form"))?;
        if identifiers.contains(&identifier) {
            return Err(Problem::malformed(&pointer, "named twice"));
        }
        identifiers.push(identifier);
    }
    Ok(identifiers)
}

fn judge_key(tx: &Transaction<'_>, realm: &str, csr: &Csr, profile: &Profile) -> Result<(), Problem> {
    if !profile.key_types.contains(&csr.key_type) {
        return Err(Problem::new(Code::CsrKeyRejected, format!("the profile does not certify {} keys", csr.key_type)));
    }
    if is_blocked(tx, &csr.spki_sha256())? {
        return Err(Problem::new(Code::CsrKeyBlocked, "this key was reported as compromised"));
    }
    if by_thumbprint(tx, realm, &csr.key.thumbprint())?.is_some() {
        return Err(Problem::new(Code::CsrKeyRejected, "an account key must not be a certificate key"));
    }
    Ok(())
}

/// Whether a key is on the list of compromised ones.
pub(crate) fn is_blocked(tx: &Transaction<'_>, spki_sha256: &str) -> Result<bool, Problem> {
    Ok(tx.query_row("SELECT EXISTS (SELECT 1 FROM blocked_key WHERE spki_sha256 = ?1)", [spki_sha256], |row| {
        row.get(0)
    })?)
}

fn judge_names(csr: &Csr, identifiers: &[Identifier]) -> Result<(), Problem> {
    let asked: std::collections::BTreeSet<Identifier> = identifiers.iter().cloned().collect();
    // A CSR whose names are in the common name alone is common; its SAN set is that name.
    let named = if csr.names.is_empty() { csr.common_names.iter().cloned().collect() } else { csr.names.clone() };
    if named != asked || !csr.common_names.iter().all(|name| asked.contains(name)) {
        return Err(Problem::new(
            Code::CsrMismatch,
            "the names of the CSR are not exactly the identifiers of the order",
        ));
    }
    Ok(())
}

fn judge_capabilities(profile: &Profile, identifiers: &[Identifier], csr: &Csr) -> Result<(), Problem> {
    if identifiers.len() > profile.identifiers_max {
        return Err(Problem::new(
            Code::IdentifierNotAllowed,
            format!("the profile certifies at most {} identifiers", profile.identifiers_max),
        ));
    }
    for identifier in identifiers {
        let wildcard = matches!(identifier, Identifier::Dns { wildcard: true, .. });
        if !profile.identifier_types.contains(&identifier.kind()) || (wildcard && !profile.wildcards) {
            let what = match (identifier.kind(), wildcard) {
                (Kind::Dns, true) => "wildcards",
                (Kind::Dns, false) => "DNS names",
                (Kind::Ip, _) => "IP addresses",
            };
            return Err(Problem::new(Code::IdentifierUnsupported, format!("the profile does not certify {what}")));
        }
    }
    if csr.must_staple && profile.must_staple == MustStaple::Never {
        return Err(Problem::new(Code::CsrBad, "the profile has no must-staple certificates"));
    }
    Ok(())
}

fn judge_replacement(
    tx: &Transaction<'_>,
    realm: &str,
    registration: &Registration,
    request: &CertificateRequestCreate,
) -> Result<(), Problem> {
    let Some(replaces) = &request.replaces else {
        return Ok(());
    };
    let replaced = certificates::find(tx, realm, replaces)?
        .filter(|certificate| certificate.registration == registration.id)
        .ok_or_else(|| Problem::new(Code::ReplacesInvalid, "the registration has no such certificate to replace"))?;
    // The same order sent again replaces with the certificate it already got.
    match &replaced.replaced_by {
        Some(by) if *by != request.order_ref => {
            Err(Problem::new(Code::AlreadyReplaced, "the certificate was replaced by another order"))
        }
        Some(_) | None => Ok(()),
    }
}

#[derive(Deserialize)]
struct FinalizePayload {
    csr: String,
}

fn judge_proof(
    tx: &Transaction<'_>,
    realm_name: &str,
    realm: &Realm,
    registration: &Registration,
    request: &CertificateRequestCreate,
) -> Result<(), Problem> {
    let path = format!("/order/{}/finalize", request.order_ref);
    let Some(verified) = proof::by_account(realm, request.proof.as_ref(), registration, Some(&path))? else {
        return Ok(());
    };
    let payload: FinalizePayload = verified.read()?;
    if payload.csr != request.csr {
        return Err(proof::invalid("the proof is over another CSR"));
    }
    let used_for: Option<String> = tx
        .query_row(
            "SELECT order_ref FROM proof_use WHERE realm = ?1 AND digest = ?2",
            params![realm_name, verified.digest],
            |row| row.get(0),
        )
        .optional()?;
    match used_for {
        Some(order) if order != request.order_ref => {
            Err(Problem::new(Code::ProofReplayed, "the proof was used for another order"))
        }
        Some(_) => Ok(()),
        None => {
            tx.execute(
                "INSERT INTO proof_use (realm, digest, order_ref) VALUES (?1, ?2, ?3)",
                params![realm_name, verified.digest, request.order_ref],
            )?;
            Ok(())
        }
    }
}

fn judge_order(
    cm: &ReferenceCm,
    call: &Call,
    tx: &Transaction<'_>,
    realm: &str,
    request: &CertificateRequestCreate,
) -> Result<(), Problem> {
    let Some(earlier) = requests::by_order(tx, realm, &request.order_ref)? else {
        return Ok(());
    };
    match earlier.status_at(call.now) {
        RequestStatus::Issued => {
            let mut problem = Problem::new(Code::OrderAlreadyIssued, "this order has its certificate already")
                .with("request", json!(earlier.id));
            if let Some(id) = &earlier.certificate
                && let Some(certificate) = certificates::find(tx, realm, id)?
            {
                problem = problem.with("certificate", certificate.view(cm, call.now)?);
            }
            Err(problem)
        }
        RequestStatus::Processing | RequestStatus::PendingApproval => {
            Err(Problem::new(Code::RequestInProgress, "another request for this order is being worked on")
                .with("request", json!(earlier.id))
                .retry_after(5))
        }
        RequestStatus::Expired => {
            Err(Problem::new(Code::RequestExpired, "the request for this order was not decided in time"))
        }
        RequestStatus::Rejected | RequestStatus::Cancelled | RequestStatus::Failed => {
            Err(Problem::new(Code::RequestRejected, "the request for this order has ended without a certificate"))
        }
    }
}
