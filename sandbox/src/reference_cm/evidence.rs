//! Validation evidence: what the gateway says it has seen, held against the profile (4.4).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::json;

use super::identifier::{Identifier, Kind, WireIdentifier};
use super::moment::Moment;
use super::problem::{Code, Problem};
use super::settings::{CaaPolicy, Profile};
use super::waivers::{Shown, Waiver};

/// How far in the CM's future a time may lie.
const SKEW_SECS: i64 = 60;
/// How old a CAA result may be (Baseline Requirements 3.2.2.8).
const CAA_AGE_MAX_SECS: i64 = 8 * 3_600;
/// The method of an identifier that nothing was proven about.
const WAIVED: &str = "waived";
/// Most perspectives of one validation.
const PERSPECTIVES_MAX: usize = 16;

/// One validation, as sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Validation {
    identifier: WireIdentifier,
    wildcard: bool,
    method: String,
    authz_ref: Option<String>,
    validated_at: Moment,
    reused: Option<bool>,
    #[serde(rename = "dnssec")]
    _dnssec: Option<Dnssec>,
    perspectives: Vec<Perspective>,
    waiver: Option<Shown>,
    caa: Option<Caa>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Dnssec {
    Secure,
    Insecure,
    NotChecked,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Perspective {
    id: String,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "target")]
    _target: Option<String>,
    result: Outcome,
    at: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Valid,
    Invalid,
    Error,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Caa {
    result: CaaResult,
    #[serde(rename = "domain")]
    _domain: Option<String>,
    property: Option<CaaProperty>,
    checked_at: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum CaaResult {
    Permitted,
    NoRecords,
    NotChecked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CaaProperty {
    Issue,
    Issuewild,
}

/// Exactly one validation for each identifier, each of them good by the profile, or waived by one of these waivers.
/// Gives the ids of the waivers that count.
pub(crate) fn judge(
    validations: &[Validation],
    identifiers: &[Identifier],
    profile: &Profile,
    waivers: &[Waiver],
    now: Moment,
) -> Result<Vec<String>, Problem> {
    let mut used = BTreeSet::new();
    let mut by_identifier = BTreeMap::new();
    for validation in validations {
        let identifier = validation.covers()?;
        if by_identifier.insert(identifier.clone(), validation).is_some() {
            return Err(problem(Code::EvidenceRejected, &identifier, "there is more than one validation"));
        }
    }
    for identifier in identifiers {
        let validation = by_identifier
            .remove(identifier)
            .ok_or_else(|| problem(Code::EvidenceMissing, identifier, "there is no validation"))?;
        validation.judge(identifier, profile, now)?;
        match &validation.waiver {
            Some(shown) => {
                used.insert(validation.judge_waiver(identifier, shown, waivers, now)?);
            }
            None => validation.judge_perspectives(identifier, profile)?,
        }
        validation.judge_caa(identifier, profile, now)?;
    }
    match by_identifier.into_keys().next() {
        Some(extra) => Err(problem(Code::EvidenceRejected, &extra, "this identifier is not asked for")),
        None => Ok(used.into_iter().collect()),
    }
}

fn problem(code: Code, identifier: &Identifier, detail: &str) -> Problem {
    Problem::new(code, format!("{identifier}: {detail}"))
        .with("subproblems", json!([{"code": code.name(), "identifier": identifier.to_json(), "detail": detail}]))
}

impl Validation {
    /// The identifier that this validation is for.
    fn covers(&self) -> Result<Identifier, Problem> {
        if self.authz_ref.as_ref().is_some_and(|text| text.len() > 64) {
            return Err(Problem::malformed("/validations", "authzRef is too long"));
        }
        let is_waived = self.method == WAIVED;
        if is_waived != self.waiver.is_some() || is_waived != self.perspectives.is_empty() {
            return Err(Problem::malformed("/validations", "perspectives or, for the method waived, a waiver"));
        }
        if self.perspectives.len() > PERSPECTIVES_MAX {
            return Err(Problem::malformed("/validations", "at most 16 perspectives"));
        }
        match Identifier::from_wire(&self.identifier) {
            Some(Identifier::Dns { name, wildcard: false }) => Ok(Identifier::Dns { name, wildcard: self.wildcard }),
            Some(Identifier::Ip(address)) if !self.wildcard => Ok(Identifier::Ip(address)),
            Some(Identifier::Dns { wildcard: true, .. } | Identifier::Ip(_)) | None => Err(Problem::malformed(
                "/validations",
                "an identifier is not in normal form, or names a wildcard itself",
            )),
        }
    }

    fn judge(&self, identifier: &Identifier, profile: &Profile, now: Moment) -> Result<(), Problem> {
        let latest = now.plus_seconds(SKEW_SECS);
        if !profile.validation_methods.contains(&self.method) {
            return Err(problem(
                Code::EvidenceRejected,
                identifier,
                "the profile does not accept this validation method",
            ));
        }
        if !method_fits(&self.method, identifier) {
            return Err(problem(
                Code::EvidenceRejected,
                identifier,
                "this validation method cannot prove such an identifier",
            ));
        }
        if self.validated_at > latest || self.perspectives.iter().any(|seen| seen.at > latest) {
            return Err(problem(Code::EvidenceRejected, identifier, "the validation lies in the future"));
        }
        let oldest = now.plus_seconds(-profile.validation_age_max.seconds());
        if self.validated_at < oldest {
            return Err(problem(Code::EvidenceStale, identifier, "the validation is too old"));
        }
        Ok(())
    }

    /// A waiver is believed only as far as the CM has it: not the gateway's word, but that of two people.
    fn judge_waiver(
        &self,
        identifier: &Identifier,
        shown: &Shown,
        waivers: &[Waiver],
        now: Moment,
    ) -> Result<String, Problem> {
        let refused = |detail: &str| problem(Code::EvidenceRejected, identifier, detail);
        if self.reused == Some(true) {
            return Err(refused("a waiver counts for the order that it was used for"));
        }
        let waiver = waivers.iter().find(|waiver| waiver.id == shown.id);
        let waiver = waiver.ok_or_else(|| refused("the registration has no such waiver in force"))?;
        waiver.check(identifier, shown, self.validated_at.plus_seconds(SKEW_SECS), now).map_err(refused)?;
        Ok(waiver.id.clone())
    }

    fn judge_perspectives(&self, identifier: &Identifier, profile: &Profile) -> Result<(), Problem> {
        let valid: BTreeSet<&str> = self
            .perspectives
            .iter()
            .filter(|seen| seen.result == Outcome::Valid)
            .map(|seen| seen.id.as_str())
            .collect();
        let remote = valid.iter().filter(|id| **id != "local").count();
        let local_failed = self.perspectives.iter().any(|seen| seen.id == "local" && seen.result != Outcome::Valid);
        if valid.is_empty() || local_failed || remote < profile.remote_perspectives_min {
            return Err(problem(Code::EvidenceRejected, identifier, "not enough perspectives saw the challenge"));
        }
        Ok(())
    }

    fn judge_caa(&self, identifier: &Identifier, profile: &Profile, now: Moment) -> Result<(), Problem> {
        let required = match (profile.caa, identifier.kind()) {
            (CaaPolicy::Off, _) | (_, Kind::Ip) => return Ok(()),
            (CaaPolicy::Required, Kind::Dns) => true,
            (CaaPolicy::Optional, Kind::Dns) => false,
        };
        let result = self.caa.as_ref().map(|caa| caa.result);
        let Some(caa) = &self.caa else {
            return if required { Err(problem(Code::CaaForbidden, identifier, "CAA was not checked")) } else { Ok(()) };
        };
        if required && result == Some(CaaResult::NotChecked) {
            return Err(problem(Code::CaaForbidden, identifier, "CAA was not checked"));
        }
        // A non-wildcard name is never governed by issuewild; a wildcard may fall back to issue.
        if !self.wildcard && caa.property == Some(CaaProperty::Issuewild) {
            return Err(problem(Code::CaaForbidden, identifier, "issuewild does not govern this name"));
        }
        if caa.checked_at > now.plus_seconds(SKEW_SECS) {
            return Err(problem(Code::EvidenceRejected, identifier, "the CAA check lies in the future"));
        }
        if caa.checked_at < now.plus_seconds(-CAA_AGE_MAX_SECS) {
            return Err(problem(Code::EvidenceStale, identifier, "the CAA check is too old"));
        }
        Ok(())
    }
}

/// RFC 8555 section 8.3 and 8.4, RFC 8737, RFC 8738: what a method can prove at all.
fn method_fits(method: &str, identifier: &Identifier) -> bool {
    if method == WAIVED {
        return true;
    }
    let by_dns = method.starts_with("dns-");
    match identifier {
        Identifier::Dns { wildcard: true, .. } => by_dns,
        Identifier::Dns { wildcard: false, .. } => true,
        Identifier::Ip(_) => !by_dns,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::settings::{Settings, first_file};
    use super::super::vectors;
    use super::*;

    fn profile() -> Profile {
        let settings: Settings = toml::from_str(&first_file("gateway")).unwrap();
        let mut profile = settings.profiles["tls-server"].clone();
        profile.remote_perspectives_min = 2;
        profile.caa = CaaPolicy::Required;
        profile
    }

    fn now() -> Moment {
        Moment::parse("2026-11-22T00:55:00Z").unwrap()
    }

    fn identifiers(request: &Value) -> Vec<Identifier> {
        let wire: Vec<WireIdentifier> = serde_json::from_value(request["identifiers"].clone()).unwrap();
        wire.iter().map(|wire| Identifier::from_wire(wire).unwrap()).collect()
    }

    fn judge_changed(change: impl FnOnce(&mut Value), now: Moment) -> Result<(), Code> {
        let request = vectors::certificate_request();
        let mut validations = request["validations"].clone();
        change(&mut validations);
        let validations: Vec<Validation> = serde_json::from_value(validations).unwrap();
        judge(&validations, &identifiers(&request), &profile(), &[], now).map(drop).map_err(|problem| problem.code())
    }

    #[test]
    fn the_evidence_of_the_contract_is_accepted() {
        assert_eq!(judge_changed(|_| (), now()), Ok(()));
    }

    #[test]
    fn each_lie_that_shows_is_refused() {
        type Change = fn(&mut Value);
        let table: &[(Change, Code)] = &[
            (
                |v| {
                    v.as_array_mut().unwrap().pop();
                },
                Code::EvidenceMissing,
            ),
            (
                |v| {
                    let one = v[0].clone();
                    v.as_array_mut().unwrap().push(one);
                },
                Code::EvidenceRejected,
            ),
            (|v| v[1]["method"] = "http-01".into(), Code::EvidenceRejected),
            (|v| v[0]["method"] = "dns-persist-01".into(), Code::EvidenceRejected),
            (|v| v[0]["validatedAt"] = "2026-11-22T00:57:00Z".into(), Code::EvidenceRejected),
            (|v| v[0]["validatedAt"] = "2026-11-13T00:00:00Z".into(), Code::EvidenceStale),
            (|v| v[0]["perspectives"][0]["result"] = "error".into(), Code::EvidenceRejected),
            (|v| v[0]["perspectives"][2]["result"] = "invalid".into(), Code::EvidenceRejected),
            (|v| v[0]["perspectives"][2]["id"] = "eu-2".into(), Code::EvidenceRejected),
            (|v| v[0]["caa"]["result"] = "not-checked".into(), Code::CaaForbidden),
            (|v| v[0]["caa"]["property"] = "issuewild".into(), Code::CaaForbidden),
            (|v| v[0]["caa"]["checkedAt"] = "2026-11-21T10:00:00Z".into(), Code::EvidenceStale),
            (
                |v| {
                    v[0].as_object_mut().unwrap().remove("caa");
                },
                Code::CaaForbidden,
            ),
            (|v| v[0]["identifier"]["value"] = "*.example.com".into(), Code::Malformed),
        ];
        for (index, (change, code)) in table.iter().enumerate() {
            assert_eq!(judge_changed(change, now()), Err(*code), "row {index}");
        }
    }
}
