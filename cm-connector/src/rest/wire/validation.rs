//! How control of each identifier of a request was proven, or by what waiver it need not be (CM contract sections
//! 4.3 and 4.4, the member `validations`).

use acme::{
    caa::{CaaEvidence, CaaResult},
    identifier::Identifier,
    ids::AuthorizationId,
};
use serde::Serialize;
use serde_json::Value;

use super::{profile::WAIVED, waiver::WaivedOut};
use crate::Validation;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct ValidationOut<'a> {
    identifier: Identifier,
    wildcard: bool,
    method: &'static str,
    authz_ref: &'a str,
    validated_at: String,
    reused: bool,
    perspectives: Vec<PerspectiveOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiver: Option<WaivedOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caa: Option<CaaOut<'a>>,
}

#[derive(Debug, Serialize)]
struct PerspectiveOut<'a> {
    id: &'a str,
    source: &'a str,
    target: &'a str,
    result: &'static str,
    at: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CaaOut<'a> {
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    property: Option<&'static str>,
    checked_at: String,
}

impl<'a> ValidationOut<'a> {
    pub(in crate::rest) fn of(validation: &'a Validation) -> Self {
        let at = validation.evidence.at.to_string();
        let seen = || PerspectiveOut {
            id: &validation.evidence.perspective,
            source: &validation.evidence.source,
            target: &validation.evidence.target,
            result: "valid",
            at: at.clone(),
        };
        let (method, perspectives) = match &validation.waived {
            Some(_) => (WAIVED, Vec::new()),
            None => (validation.kind.as_str(), vec![seen()]),
        };
        Self {
            identifier: validation.identifier.without_wildcard(),
            wildcard: validation.identifier.is_wildcard(),
            method,
            authz_ref: validation.authorization.as_str(),
            perspectives,
            validated_at: at,
            reused: validation.reused,
            waiver: validation.waived.as_ref().map(WaivedOut::of),
            caa: validation.evidence.caa.as_ref().map(CaaOut::of),
        }
    }
}

impl<'a> CaaOut<'a> {
    fn of(caa: &'a CaaEvidence) -> Self {
        let (result, domain, property) = match &caa.result {
            CaaResult::Permitted { domain, issuewild } => {
                ("permitted", Some(domain.as_str()), Some(if *issuewild { "issuewild" } else { "issue" }))
            }
            CaaResult::NoRecords => ("no-records", None, None),
        };
        Self { result, domain, property, checked_at: caa.checked_at.to_string() }
    }
}

/// The octets of a request with these looks at CAA records in place of older ones, each for the
/// authorization that it is about.
pub(in crate::rest) fn with_caa(
    request: &[u8],
    looks: &[(AuthorizationId, CaaEvidence)],
) -> Result<Vec<u8>, serde_json::Error> {
    let mut request: Value = serde_json::from_slice(request)?;
    let validations = request.get_mut("validations").and_then(Value::as_array_mut);
    for validation in validations.into_iter().flatten().filter_map(Value::as_object_mut) {
        let about = |(id, _): &&(AuthorizationId, CaaEvidence)| {
            validation.get("authzRef").and_then(Value::as_str) == Some(id.as_str())
        };
        if let Some((_, caa)) = looks.iter().find(about) {
            let caa = serde_json::to_value(CaaOut::of(caa))?;
            validation.insert(String::from("caa"), caa);
        }
    }
    serde_json::to_vec(&request)
}

#[cfg(test)]
mod tests {
    use acme::{
        challenge::{ChallengeKind, Evidence},
        time::Timestamp,
        waiver::{KeyDigest, Waived},
    };
    use serde_json::json;

    use super::*;
    use crate::rest::examples;

    fn look(domain: &str, issuewild: bool, at: &str) -> CaaEvidence {
        let result = CaaResult::Permitted { domain: domain.to_owned(), issuewild };
        CaaEvidence { result, checked_at: at.parse().unwrap(), identities: vec![String::from("ca.example.net")] }
    }

    #[test]
    fn a_later_look_at_caa_takes_the_place_of_the_earlier_one_and_nothing_else_changes() {
        let mut expected = examples::certificate_request_create();
        let octets = serde_json::to_vec(&expected).unwrap();
        let id = |index: usize| -> AuthorizationId {
            expected["validations"][index]["authzRef"].as_str().unwrap().parse().unwrap()
        };
        let looks = [
            (id(1), look("www.example.com", false, "2026-11-22T08:00:00Z")),
            ("other".parse().unwrap(), look("other.example", false, "2026-11-22T08:00:00Z")),
        ];
        let renewed: Value = serde_json::from_slice(&with_caa(&octets, &looks).unwrap()).unwrap();
        expected["validations"][1]["caa"] = json!({
            "result": "permitted", "domain": "www.example.com", "property": "issue", "checkedAt": "2026-11-22T08:00:00Z",
        });
        assert_eq!(renewed, expected);
        let mut without = expected.clone();
        without["validations"][1].as_object_mut().unwrap().remove("caa");
        let without = serde_json::to_vec(&without).unwrap();
        let renewed: Value = serde_json::from_slice(&with_caa(&without, &looks).unwrap()).unwrap();
        assert_eq!(renewed, expected, "one that was missing comes in");
    }

    #[test]
    fn caa_that_found_nothing_names_no_property() {
        let caa = CaaEvidence {
            result: CaaResult::NoRecords,
            checked_at: Timestamp::from_unix_secs(0),
            identities: vec![String::from("ca.example.net")],
        };
        let validation = Validation {
            identifier: Identifier::parse_ip("192.0.2.1").unwrap(),
            authorization: "a1".parse().unwrap(),
            kind: ChallengeKind::Http01,
            evidence: Evidence {
                perspective: "local".into(),
                source: String::new(),
                target: "192.0.2.1:80".into(),
                at: Timestamp::from_unix_secs(0),
                caa: Some(caa),
                reusable_until: None,
            },
            reused: true,
            waived: None,
        };
        let json = serde_json::to_value(ValidationOut::of(&validation)).unwrap();
        assert_eq!(json["caa"], json!({"result": "no-records", "checkedAt": "1970-01-01T00:00:00Z"}));
        assert_eq!(json["reused"], json!(true));
    }

    #[test]
    fn a_waived_validation_is_that_of_the_contract() {
        let at: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let mut validation = Validation {
            identifier: Identifier::parse_dns("p7.printers.example.com").unwrap(),
            authorization: "01KANM7R4F".parse().unwrap(),
            kind: ChallengeKind::Http01,
            evidence: Evidence {
                perspective: "local".into(),
                source: "192.0.2.44".into(),
                target: String::new(),
                at,
                caa: Some(look("example.com", false, "2026-11-22T10:00:00Z")),
                reusable_until: None,
            },
            reused: false,
            waived: Some(Waived {
                waiver: "wav_01KANM3T9V5R8YFZ2Q6W4XH7CE".parse().unwrap(),
                proposed_by: "urn:cm:officer:anna".into(),
                decided_by: "urn:cm:approver:bert".into(),
                reason: "printers cannot open port 80, ticket 5120".into(),
                address: "::ffff:192.0.2.44".parse().unwrap(),
                client_certificate: None,
            }),
        };
        let mut expected = examples::waived_validation();
        assert_eq!(serde_json::to_value(ValidationOut::of(&validation)).unwrap(), expected);
        let digest = KeyDigest::of_spki(b"key");
        validation.waived.as_mut().unwrap().client_certificate = Some(digest);
        expected["waiver"]["clientCertificate"] = json!(digest.to_string());
        assert_eq!(serde_json::to_value(ValidationOut::of(&validation)).unwrap(), expected);
    }
}
