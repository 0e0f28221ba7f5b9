//! Revocations (CM contract section 4.6).

use acme::{certificate::CertificateId, revocation::RevocationReason, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::{Broken, ClientOut, ProofOut, parsed, validation::ValidationOut};
use crate::{Basis, Revocation, Revoked};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct RevocationOut<'a> {
    reason: RevocationReason,
    basis: BasisOut<'a>,
    certificate_sha256: String,
    invalidity_date: Option<String>,
    block_key: bool,
    client: ClientOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<ProofOut<'a>>,
}

#[derive(Debug, Serialize)]
struct BasisOut<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validations: Option<Vec<ValidationOut<'a>>>,
}

impl<'a> RevocationOut<'a> {
    pub(in crate::rest) fn of(revocation: &'a Revocation) -> Self {
        Self {
            reason: revocation.reason,
            basis: BasisOut::of(&revocation.basis),
            certificate_sha256: data_encoding::HEXLOWER.encode(&revocation.sha256),
            invalidity_date: None,
            block_key: revocation.block_key,
            client: ClientOut::of(&revocation.client),
            proof: revocation.proof.as_ref().map(ProofOut::of),
        }
    }
}

impl<'a> BasisOut<'a> {
    fn of(basis: &'a Basis) -> Self {
        let plain = |kind: &'static str| Self { kind, registration: None, validations: None };
        match basis {
            Basis::Account { registration } => Self { registration: Some(registration.as_str()), ..plain("account") },
            Basis::Authorizations { registration, validations } => Self {
                kind: "authorizations",
                registration: Some(registration.as_str()),
                validations: Some(validations.iter().map(ValidationOut::of).collect()),
            },
            Basis::CertificateKey => plain("certificate-key"),
            Basis::GatewayPolicy => plain("gateway-policy"),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(in crate::rest) struct RevokedIn {
    id: String,
    status: String,
    revocation: RecordIn,
}

#[derive(Debug, Deserialize)]
struct RecordIn {
    at: String,
}

impl RevokedIn {
    /// Takes the confirmation that this certificate is revoked; nothing less is one.
    pub(in crate::rest) fn convert(self, certificate: &CertificateId) -> Result<Revoked, Broken> {
        if self.id != certificate.as_str() || self.status != "revoked" {
            return Err(Broken(String::from("the answer does not confirm this revocation")));
        }
        Ok(Revoked { at: parsed::<Timestamp>("revocation.at", &self.revocation.at)? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Client, Proof, rest::examples};

    fn revocation() -> Revocation {
        let example = examples::revocation();
        let sha256 = example["certificateSha256"].as_str().unwrap();
        Revocation {
            certificate: "H7DK09vx8N9sqX9XzokOmQ2YyCY.L-ITZvnF--QXqGeTLnlC4gFxjHA".parse().unwrap(),
            sha256: super::super::sha256(sha256).unwrap(),
            reason: RevocationReason::Superseded,
            basis: Basis::Account { registration: "reg_01KANM3T9V5R8YFZ2Q6W4XH7CE".parse().unwrap() },
            client: Client { ip: "203.0.113.9".parse().unwrap(), user_agent: None },
            proof: Some(Proof(serde_json::from_value(example["proof"]["jws"].clone()).unwrap())),
            block_key: false,
        }
    }

    #[test]
    fn a_revocation_is_that_of_the_contract() {
        assert_eq!(serde_json::to_value(RevocationOut::of(&revocation())).unwrap(), examples::revocation());
    }

    #[test]
    fn a_revocation_read_back_from_a_journal_makes_the_same_octets() {
        let bases = [
            Basis::CertificateKey,
            Basis::GatewayPolicy,
            Basis::Authorizations { registration: "reg_2".parse().unwrap(), validations: vec![] },
        ];
        for basis in bases {
            let first = Revocation { basis, ..revocation() };
            let stored = serde_json::to_string(&first).unwrap();
            let again: Revocation = serde_json::from_str(&stored).unwrap();
            let octets = |revocation: &Revocation| serde_json::to_vec(&RevocationOut::of(revocation)).unwrap();
            assert_eq!(octets(&again), octets(&first));
        }
    }

    #[test]
    fn only_the_confirmation_of_this_revocation_confirms_it() {
        let answer = |id: &str, status: &str| {
            let json = json!({"id": id, "status": status, "revocation": {"at": "2026-11-22T01:05:01Z"}});
            super::super::read::<RevokedIn>(json)?.convert(&revocation().certificate)
        };
        let id = "H7DK09vx8N9sqX9XzokOmQ2YyCY.L-ITZvnF--QXqGeTLnlC4gFxjHA";
        assert_eq!(answer(id, "revoked").unwrap().at.to_string(), "2026-11-22T01:05:01Z");
        assert!(answer("another.one", "revoked").is_err());
        assert!(answer(id, "pending").is_err());
    }
}
