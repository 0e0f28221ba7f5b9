//! What the octets of a certificate request ask for, and whether OpenBao may be asked for it: it signs what a CSR
//! says, so what the contract has a CM judge (section 4.4) is judged here, on what the store says now.

use std::collections::BTreeSet;

use acme::{
    base64url,
    certificate::CertificateId,
    csr::Csr,
    identifier::Identifier,
    ids::{OrderId, ProfileName, RegistrationId},
    problem::{Problem, ProblemKind, Subproblem},
    time::Timestamp,
};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::registration::{Whole, require_active};
use crate::{CmError, Outcome};

/// Whether a registration may ask for a name.
pub type Allows = fn(&Identifier, &acme::registration::AllowedIdentifiers) -> bool;

/// A certificate request, understood.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) registration: RegistrationId,
    pub(super) order: OrderId,
    pub(super) profile: ProfileName,
    pub(super) csr: Csr,
    pub(super) identifiers: Vec<Identifier>,
    pub(super) replaces: Option<CertificateId>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    proven: BTreeSet<Identifier>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Octets {
    registration: RegistrationId,
    order_ref: OrderId,
    profile: ProfileName,
    csr: String,
    identifiers: Vec<Name>,
    validations: Vec<Validation>,
    #[serde(default)]
    not_before: Option<Timestamp>,
    #[serde(default)]
    not_after: Option<Timestamp>,
    #[serde(default)]
    replaces: Option<CertificateId>,
}

#[derive(Deserialize)]
struct Name {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

#[derive(Deserialize)]
struct Validation {
    identifier: Name,
    #[serde(default)]
    wildcard: bool,
    method: String,
}

impl Wanted {
    /// Reads the octets that a journal kept.
    pub(super) fn read(octets: &[u8]) -> Result<Self, CmError> {
        let broken = |detail: String| CmError::Internal { outcome: Outcome::NotSent, detail };
        let read: Octets = serde_json::from_slice(octets).map_err(|error| broken(error.to_string()))?;
        let name = |name: &Name, wildcard: bool| {
            let value = if wildcard { format!("*.{}", name.value) } else { name.value.clone() };
            Identifier::parse(&name.kind, &value).map_err(|error| broken(error.to_string()))
        };
        // Waivers are an officer's and an approver's, and this store has none.
        let is_proof = |it: &&Validation| it.method != "waived";
        let csr_der = base64url::decode(&read.csr).map_err(|error| broken(error.to_string()))?;
        Ok(Self {
            // It was accepted at finalize.
            csr: Csr::parse(&csr_der).map_err(|error| broken(error.to_string()))?,
            identifiers: read.identifiers.iter().map(|it| name(it, false)).collect::<Result<_, _>>()?,
            proven: read
                .validations
                .iter()
                .filter(is_proof)
                .map(|it| name(&it.identifier, it.wildcard))
                .collect::<Result<_, _>>()?,
            registration: read.registration,
            order: read.order_ref,
            profile: read.profile,
            not_before: read.not_before,
            not_after: read.not_after,
            replaces: read.replaces,
        })
    }

    pub(super) fn csr_sha256(&self) -> String {
        hex(self.csr.der())
    }

    /// What the list of certificates would show of it.
    pub(super) fn dns_names(&self) -> Vec<String> {
        let is_dns = |name: &&Identifier| !matches!(name, Identifier::Ip(_));
        self.identifiers.iter().filter(is_dns).map(ToString::to_string).collect()
    }

    pub(super) fn ip_addresses(&self) -> Vec<String> {
        let is_ip = |name: &&Identifier| matches!(name, Identifier::Ip(_));
        self.identifiers.iter().filter(is_ip).map(ToString::to_string).collect()
    }

    /// Judges the request in the contract's order; the first refusal answers.
    pub(super) fn judge(&self, whole: &Whole, allows: Allows, now: Timestamp) -> Result<(), CmError> {
        let refuse = |kind, detail: &'static str| Err(CmError::Refused(Problem::new(kind, detail)));
        require_active(&whole.registration)?;
        // A CN that is in no SAN would be added to them by OpenBao.
        let (wanted, names) = (self.identifiers.iter().cloned().collect::<BTreeSet<_>>(), self.csr.names());
        let is_wanted = |common: &String| wanted.iter().any(|name| name.to_string().eq_ignore_ascii_case(common));
        if names.alternative != wanted || !names.common.iter().all(is_wanted) {
            return refuse(ProblemKind::BadCsr, "the CSR does not name exactly the identifiers of the order");
        }
        let allowed = &whole.registration.allowed_identifiers;
        let refused: Vec<_> = self.identifiers.iter().filter(|name| !allows(name, allowed)).collect();
        if !refused.is_empty() {
            return Err(not_allowed(&refused));
        }
        if self.proven != wanted {
            return Err(CmError::EvidenceRefused(Problem::new(
                ProblemKind::Unauthorized,
                "the proofs of control were not accepted for issuance; create a new order and prove control again",
            )));
        }
        let profiles = &whole.registration.allowed_profiles;
        let is_default = profiles.is_empty() && self.profile == whole.realm.default_profile;
        if !whole.realm.profiles.contains(&self.profile) || !(is_default || profiles.contains(&self.profile)) {
            return refuse(ProblemKind::InvalidProfile, "the profile is not allowed for this account");
        }
        if self.not_before.is_some() {
            return refuse(
                ProblemKind::Malformed,
                "notBefore cannot be chosen at this certificate authority; leave it out",
            );
        }
        // OpenBao signs a certificate that has ended already.
        if self.not_after.is_some_and(|end| end <= now) {
            return refuse(ProblemKind::Malformed, "notAfter is over");
        }
        match (self.not_after, latest(whole, now)) {
            (Some(end), Some(latest)) if end > latest => {
                refuse(ProblemKind::Malformed, "notAfter is later than this account may have certificates for")
            }
            _ => Ok(()),
        }
    }

    /// What `sign` is asked for. `not_after` is met exactly or refused, where a `ttl` would be cut without a word.
    pub(super) fn question(&self, whole: &Whole, profile_secs: u64, now: Timestamp) -> Value {
        let mut question = json!({"csr": acme::pem::write("CERTIFICATE REQUEST", self.csr.der()), "format": "pem", "remove_roots_from_chain": true});
        if let Some(end) = self.asked_end(whole, profile_secs, now)
            && let Some(members) = question.as_object_mut()
        {
            let _none_before = members.insert(String::from("not_after"), json!(end.to_string()));
        }
        question
    }

    /// The end of validity that `sign` is asked for, if the role is not to decide.
    pub(super) fn asked_end(&self, whole: &Whole, profile_secs: u64, now: Timestamp) -> Option<Timestamp> {
        let limit = latest(whole, now).filter(|latest| latest.since(now).as_secs() < profile_secs);
        self.not_after.or(limit)
    }
}

/// The latest end that the registration's certificates may have, if it has a limit of its own.
fn latest(whole: &Whole, now: Timestamp) -> Option<Timestamp> {
    let secs = whole.pre_registration.as_ref()?.validity_max_secs?;
    Some(now.plus(std::time::Duration::from_secs(secs)))
}

fn not_allowed(names: &[&Identifier]) -> CmError {
    const DETAIL: &str = "not allowed for this account";
    let about = |name: &&Identifier| {
        Subproblem::about_text(ProblemKind::RejectedIdentifier, name.kind(), &name.to_string(), DETAIL)
    };
    let subproblems = names.iter().map(about).collect();
    let problem = Problem::new(ProblemKind::RejectedIdentifier, "an identifier is not allowed for this account");
    CmError::Refused(Problem { subproblems, ..problem })
}

/// SHA-256 in lowercase hex.
pub(super) fn hex(octets: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(octets))
}
