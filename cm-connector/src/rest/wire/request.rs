//! Certificate requests (CM contract section 4.4).

use std::time::Duration;

use acme::{
    base64url,
    certificate::CertificateId,
    identifier::Identifier,
    problem::{Problem, ProblemKind},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Broken, ClientOut, ProofOut, certificate::CertificateIn, parsed, sha256, validation::ValidationOut};
use crate::{
    CertificateRequest, CmError, Delivery, Refusal, RequestClaims, RequestState,
    rest::{
        exchange::retry_after_secs,
        refusal::{self, Subject},
        wire::problem::ProblemIn,
    },
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct RequestOut<'a> {
    registration: &'a str,
    order_ref: &'a str,
    profile: &'a str,
    csr: String,
    identifiers: &'a [Identifier],
    validations: Vec<ValidationOut<'a>>,
    not_before: Option<String>,
    not_after: Option<String>,
    replaces: Option<&'a str>,
    client: ClientOut,
    proof: ProofOut<'a>,
}

impl<'a> RequestOut<'a> {
    pub(in crate::rest) fn of(request: &'a CertificateRequest) -> Self {
        Self {
            registration: request.registration.as_str(),
            order_ref: request.order.as_str(),
            profile: request.profile.as_str(),
            csr: base64url::encode(&request.csr_der),
            identifiers: &request.identifiers,
            validations: request.validations.iter().map(ValidationOut::of).collect(),
            not_before: request.not_before.map(|time| time.to_string()),
            not_after: request.not_after.map(|time| time.to_string()),
            replaces: request.replaces.as_ref().map(CertificateId::as_str),
            client: ClientOut::of(&request.client),
            proof: ProofOut::of(&request.proof),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct RequestIn {
    id: String,
    status: String,
    registration: String,
    order_ref: String,
    #[serde(default)]
    csr_sha256: Option<String>,
    #[serde(default)]
    retry_after: Option<u64>,
    #[serde(default)]
    problem: Option<Value>,
    #[serde(default)]
    certificate: Option<CertificateIn>,
}

impl RequestIn {
    /// Whether it is about this order.
    pub(in crate::rest) fn is_about(&self, order_ref: &str) -> bool {
        self.order_ref == order_ref
    }

    /// `retry_after` is the header's, which counts if the body has none.
    pub(in crate::rest) fn convert(self, retry_after: Option<Duration>) -> Result<RequestState, Broken> {
        let id = parsed("id", &self.id)?;
        let pending = |approval: bool| {
            let retry_after = self.retry_after.map(retry_after_secs).or(retry_after);
            Ok(RequestState::Pending { id: parsed("id", &self.id)?, retry_after, approval })
        };
        let (kind, sentence) = match self.status.as_str() {
            "issued" => {
                let certificate = self.certificate.ok_or_else(|| Broken(String::from("issued, but no certificate")))?;
                let claims = RequestClaims {
                    registration: parsed("registration", &self.registration)?,
                    order_ref: self.order_ref.parse().ok(),
                    csr_sha256: self.csr_sha256.as_deref().map(sha256).transpose()?,
                };
                return Ok(RequestState::Issued { id, certificate: Box::new(certificate.convert()?), claims });
            }
            "rejected" => (ProblemKind::Unauthorized, "the request was rejected by the certificate authority"),
            "expired" => (ProblemKind::Unauthorized, "nobody approved the request in time; create a new order"),
            "cancelled" => (ProblemKind::ServerInternal, "the request was withdrawn; create a new order"),
            "failed" => (ProblemKind::ServerInternal, "the certificate could not be issued; create a new order"),
            "pending-approval" => return pending(true),
            _ => return pending(false),
        };
        let refusal = self.problem.and_then(late_refusal);
        let general = || Refusal { problem: Problem::new(kind, sentence), evidence_refused: false };
        Ok(RequestState::Refused { id, refusal: refusal.unwrap_or_else(general) })
    }
}

/// The problem of a request that has ended, if it is one that a client can be told.
fn late_refusal(json: Value) -> Option<Refusal> {
    let problem = serde_json::from_value::<ProblemIn>(json).ok()?;
    match refusal::judge(problem, Subject::Request, None) {
        CmError::Refused(problem) => Some(Refusal { problem, evidence_refused: false }),
        CmError::EvidenceRefused(problem) => Some(Refusal { problem, evidence_refused: true }),
        CmError::BindingRefused(_)
        | CmError::RateLimited { .. }
        | CmError::KeyInUse { .. }
        | CmError::AlreadyRevoked
        | CmError::AlreadyIssued(_)
        | CmError::Unavailable { .. }
        | CmError::Internal { .. } => None,
    }
}

#[derive(Debug, Serialize)]
pub(in crate::rest) struct DeliveryOut<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<CheckOut<'a>>,
}

#[derive(Debug, Serialize)]
struct CheckOut<'a> {
    check: &'static str,
    ok: bool,
    detail: &'a str,
}

impl<'a> DeliveryOut<'a> {
    pub(in crate::rest) fn of(delivery: &'a Delivery) -> Self {
        match delivery {
            Delivery::Accepted => Self { outcome: "accepted", checks: Vec::new() },
            Delivery::Refused(failed) => Self {
                outcome: "refused",
                checks: failed
                    .iter()
                    .map(|failed| CheckOut { check: failed.check.name(), ok: false, detail: &failed.detail })
                    .collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use acme::{
        caa::{CaaEvidence, CaaResult},
        certificate::{Check, FailedCheck},
        challenge::{ChallengeKind, Evidence},
        identifier::DnsName,
    };
    use serde_json::json;

    use super::*;
    use crate::{Client, Proof, Validation, rest::examples};

    fn state(change: impl FnOnce(&mut Value)) -> Result<RequestState, Broken> {
        let mut json = examples::certificate_request();
        change(&mut json);
        super::super::read::<RequestIn>(json)?.convert(Some(Duration::from_secs(7)))
    }

    fn ended(status: &str, problem: Value) -> Refusal {
        let ended = state(|json| {
            json["status"] = json!(status);
            json["problem"] = problem;
            json["certificate"] = json!(null);
        });
        let RequestState::Refused { refusal, .. } = ended.unwrap() else { panic!("{status}") };
        refusal
    }

    #[test]
    fn the_contracts_answer_is_an_issued_certificate_that_keeps_its_claims() {
        let RequestState::Issued { id, certificate, claims } = state(|_| ()).unwrap() else { panic!("issued") };
        assert_eq!(id.as_str(), "req_01KANM8C5T3E9W2YB7Q4R6X1ZD");
        assert_eq!(claims.csr_sha256.unwrap()[..2], [0xef, 0x39]);
        assert!(claims.check(&certificate, &claims).is_ok());
        let other = RequestClaims { csr_sha256: Some([0; 32]), ..claims.clone() };
        assert!(claims.check(&certificate, &other).is_err());
        let other = RequestClaims { order_ref: "01KANM7QJ3".parse().ok(), ..claims.clone() };
        assert!(claims.check(&certificate, &other).is_err());
        let other = RequestClaims { registration: "reg_2".parse().unwrap(), ..claims.clone() };
        assert!(claims.check(&certificate, &other).is_err());
    }

    #[test]
    fn an_answer_whose_request_and_certificate_disagree_fails_the_check() {
        let swapped = state(|json| json["certificate"]["orderRef"] = json!("another")).unwrap();
        let RequestState::Issued { certificate, claims, .. } = swapped else { panic!("issued") };
        assert!(claims.check(&certificate, &claims).is_err());
    }

    #[test]
    fn undecided_and_unknown_states_are_pending() {
        let pending = |status: &str, retry_after: Value| {
            state(|json| {
                json["status"] = json!(status);
                json["retryAfter"] = retry_after;
                json["certificate"] = json!(null);
            })
            .unwrap()
        };
        let table = [("processing", false), ("pending-approval", true), ("queued-in-2031", false)];
        for (status, by_a_person) in table {
            let RequestState::Pending { retry_after, approval, .. } = pending(status, json!(60)) else {
                panic!("{status}")
            };
            assert_eq!((retry_after, approval), (Some(Duration::from_secs(60)), by_a_person), "{status}");
        }
        let RequestState::Pending { retry_after, .. } = pending("processing", json!(null)) else { panic!("pending") };
        assert_eq!(retry_after, Some(Duration::from_secs(7)), "the header's");
    }

    #[test]
    fn issued_without_a_certificate_is_broken() {
        assert!(state(|json| json["certificate"] = json!(null)).is_err());
    }

    #[test]
    fn a_request_that_ended_says_why_as_far_as_clients_may_know() {
        let problem = |code: &str| {
            json!({"type": format!("urn:cm:problem:{code}"), "status": 422, "code": code, "retryable": false,
                   "detail": "the name belongs to another team"})
        };
        let rejected = ended("rejected", problem("request-rejected"));
        assert_eq!(rejected.problem.kind, ProblemKind::Unauthorized);
        assert_eq!(rejected.problem.detail, "the name belongs to another team");
        let evidence = ended("failed", problem("evidence-stale"));
        assert!(evidence.evidence_refused && evidence.problem.detail != "the name belongs to another team");
        for status in ["rejected", "expired", "cancelled", "failed"] {
            for problem in [json!(null), problem("internal"), json!("text")] {
                let refusal = ended(status, problem);
                assert!(!refusal.evidence_refused && !refusal.problem.detail.contains("another team"), "{status}");
            }
        }
    }

    fn look(domain: &str, issuewild: bool, at: &str) -> CaaEvidence {
        let result = CaaResult::Permitted { domain: domain.to_owned(), issuewild };
        CaaEvidence { result, checked_at: at.parse().unwrap(), identities: vec![String::from("ca.example.net")] }
    }

    #[test]
    fn a_request_is_that_of_the_contract() {
        let mut expected = examples::certificate_request_create();
        let validation = |index: usize, kind: ChallengeKind, caa_at: &str, issuewild: bool| {
            let json = &expected["validations"][index];
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let name = DnsName::parse(json["identifier"]["value"].as_str().unwrap()).unwrap();
            Validation {
                identifier: if issuewild { Identifier::Wildcard(name) } else { Identifier::Dns(name) },
                authorization: text(&json["authzRef"]).parse().unwrap(),
                kind,
                evidence: Evidence {
                    perspective: text(&json["perspectives"][0]["id"]),
                    source: text(&json["perspectives"][0]["source"]),
                    target: text(&json["perspectives"][0]["target"]),
                    at: text(&json["validatedAt"]).parse().unwrap(),
                    caa: Some(look("example.com", issuewild, caa_at)),
                    reusable_until: None,
                },
                reused: false,
                waived: None,
            }
        };
        let request = CertificateRequest {
            registration: "reg_01KANM3T9V5R8YFZ2Q6W4XH7CE".parse().unwrap(),
            order: "01KANM7QJ2".parse().unwrap(),
            profile: "tls-server".parse().unwrap(),
            csr_der: base64url::decode(expected["csr"].as_str().unwrap()).unwrap(),
            identifiers: vec![
                Identifier::parse_dns("www.example.com").unwrap(),
                Identifier::parse_dns("*.example.com").unwrap(),
            ],
            validations: vec![
                validation(0, ChallengeKind::Http01, "2026-11-22T00:42:12Z", false),
                validation(1, ChallengeKind::Dns01, "2026-11-22T00:42:16Z", true),
            ],
            not_before: None,
            not_after: Some("2027-02-20T00:00:00Z".parse().unwrap()),
            replaces: None,
            client: Client { ip: "203.0.113.9".parse().unwrap(), user_agent: Some("certbot/5.1.0".into()) },
            proof: Proof(serde_json::from_value(expected["proof"]["jws"].clone()).unwrap()),
        };
        // The gateway looks from one place and does not say how DNSSEC stood.
        for validation in expected["validations"].as_array_mut().unwrap() {
            validation["perspectives"].as_array_mut().unwrap().truncate(1);
            validation.as_object_mut().unwrap().remove("dnssec");
        }
        assert_eq!(serde_json::to_value(RequestOut::of(&request)).unwrap(), expected);
        let replaces: CertificateId = "H7DK09vx8N9sqX9XzokOmQ2YyCY.L-ITZvnF--QXqGeTLnlC4gFxjHA".parse().unwrap();
        expected["replaces"] = json!(replaces.as_str());
        let renewal = CertificateRequest { replaces: Some(replaces), ..request };
        assert_eq!(serde_json::to_value(RequestOut::of(&renewal)).unwrap(), expected);
    }

    #[test]
    fn a_delivery_is_that_of_the_contract() {
        let refused = Delivery::Refused(vec![FailedCheck {
            check: Check::PublicKey,
            detail: String::from("SPKI sha256 c318… expected, 19fa… found"),
        }]);
        assert_eq!(serde_json::to_value(DeliveryOut::of(&refused)).unwrap(), examples::delivery());
        let accepted = serde_json::to_value(DeliveryOut::of(&Delivery::Accepted)).unwrap();
        assert_eq!(accepted, json!({"outcome": "accepted"}));
    }
}
