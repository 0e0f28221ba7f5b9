//! Waivers of a registration (CM contract section 4.3, Waivers).
//!
//! What is not understood must never widen: a waiver with a rule or a kind of evidence that we do not know is left
//! out, for what we do not know may be what limits it.

use acme::{
    ids::RegistrationId,
    waiver::{Waived, Waiver, WaiverEvidence},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::allowed_identifiers;

/// Most waivers that are taken from one registration and its parent together (section 4.3).
const WAIVERS_MAX: usize = 100;
/// Most entries of one waiver's lists.
const ENTRIES_MAX: usize = 20;
/// Most characters of a reason (section 10).
const TEXT_CHARACTERS_MAX: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WaiverIn {
    id: String,
    registration: String,
    status: String,
    identifiers: Vec<Value>,
    evidence: EvidenceIn,
    not_after: String,
    #[serde(default)]
    reason: String,
    proposed_by: String,
    decided_by: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EvidenceIn {
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    client_certificates: Vec<String>,
}

/// Takes the member `waivers` of a registration: those of itself and of its parent.
pub(super) fn convert(list: Value, own: &RegistrationId, parent: Option<&RegistrationId>) -> Vec<Waiver> {
    let Value::Array(list) = list else { return Vec::new() };
    let is_of = |id: &str| own.as_str() == id || parent.is_some_and(|parent| parent.as_str() == id);
    list.into_iter().take(WAIVERS_MAX).filter_map(|json| waiver(json, is_of)).collect()
}

fn waiver(json: Value, is_of: impl Fn(&str) -> bool) -> Option<Waiver> {
    let waiver = serde_json::from_value::<WaiverIn>(json).ok()?;
    let decided_by_two = waiver.status == "approved" && person(&waiver.proposed_by) != person(&waiver.decided_by);
    let within = |entries: usize| (1..=ENTRIES_MAX).contains(&entries);
    if !decided_by_two || !is_of(&waiver.registration) || !within(waiver.identifiers.len()) {
        return None;
    }
    Some(Waiver {
        id: waiver.id.parse().ok()?,
        identifiers: waiver.identifiers.into_iter().map(allowed_identifiers::rule).collect::<Option<_>>()?,
        evidence: waiver.evidence.convert()?,
        not_after: waiver.not_after.parse().ok()?,
        reason: text(&waiver.reason),
        proposed_by: text(&waiver.proposed_by),
        decided_by: text(&waiver.decided_by),
    })
}

impl EvidenceIn {
    /// `None` if an entry is not understood, or if there is none at all.
    fn convert(self) -> Option<WaiverEvidence> {
        let found = self.addresses.len().max(self.client_certificates.len());
        if !(1..=ENTRIES_MAX).contains(&found) {
            return None;
        }
        Some(WaiverEvidence {
            addresses: self.addresses.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?,
            client_certificates: self
                .client_certificates
                .iter()
                .map(|text| text.parse().ok())
                .collect::<Option<_>>()?,
        })
    }
}

/// Who it is, whatever her role: `anna` of `urn:cm:officer:anna`.
fn person(identity: &str) -> &str {
    identity.rsplit(':').next().unwrap_or(identity)
}

/// An officer's words, fit for one line.
fn text(text: &str) -> String {
    let mended = |character: char| if character.is_control() { ' ' } else { character };
    text.chars().take(TEXT_CHARACTERS_MAX).map(mended).collect()
}

/// What a validation says of the waiver that it rests on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WaivedOut<'a> {
    id: &'a str,
    address: String,
    client_certificate: Option<String>,
}

impl<'a> WaivedOut<'a> {
    pub(super) fn of(waived: &'a Waived) -> Self {
        Self {
            id: waived.waiver.as_str(),
            address: waived.address.to_canonical().to_string(),
            client_certificate: waived.client_certificate.map(|digest| digest.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rest::examples;

    fn taken(change: impl FnOnce(&mut Value)) -> Vec<Waiver> {
        let mut json = examples::waiver();
        change(&mut json);
        convert(json!([json]), &"reg_01KANM3T9V5R8YFZ2Q6W4XH7CE".parse().unwrap(), None)
    }

    #[test]
    fn the_contracts_waiver_is_understood() {
        let [waiver] = taken(|_| ()).try_into().unwrap();
        assert_eq!(waiver.id.as_str(), "wav_01KANM3T9V5R8YFZ2Q6W4XH7CE");
        let suffix = json!({"type": "dns", "match": "suffix", "value": "printers.example.com", "wildcards": false});
        assert_eq!(waiver.identifiers, [allowed_identifiers::rule(suffix).unwrap()]);
        assert_eq!(waiver.evidence.addresses, ["192.0.2.0/24".parse().unwrap()]);
        assert_eq!(waiver.evidence.client_certificates, []);
        assert_eq!(waiver.not_after.to_string(), "2027-05-22T00:00:00Z");
        assert_eq!(waiver.reason, "printers cannot open port 80, ticket 5120");
        assert_eq!((&*waiver.proposed_by, &*waiver.decided_by), ("urn:cm:officer:anna", "urn:cm:approver:bert"));
        let digest = "9b1e7c1f0c3c5a0f8d2f6f5d2b6a4c8e1f3b5d7a9c0e2f4a6b8d0c1e3f5a7b9d";
        let [by_key] = taken(|json| json["evidence"] = json!({"clientCertificates": [digest]})).try_into().unwrap();
        assert_eq!(by_key.evidence.client_certificates, [digest.parse().unwrap()]);
    }

    #[test]
    fn a_waiver_that_is_not_understood_is_left_out() {
        let table: [(&str, Value); 21] = [
            ("/id", json!("../wav")),
            ("/status", json!("proposed")),
            ("/status", json!("approved-until-monday")),
            ("/identifiers", json!([])),
            ("/identifiers/0/match", json!("regex")),
            ("/identifiers/0/value", json!("")),
            ("/identifiers/0", json!("printers.example.com")),
            ("/evidence", json!({})),
            ("/evidence", json!({"addresses": [], "clientCertificates": []})),
            ("/evidence", json!({"addresses": ["192.0.2.0/24"], "weekdays": ["monday"]})),
            ("/evidence/addresses", json!(["0.0.0.0/0"])),
            ("/evidence/addresses", json!(["192.0.2.0/24", "anywhere"])),
            ("/evidence/addresses", json!("192.0.2.0/24")),
            ("/evidence/clientCertificates", json!(["0A"])),
            ("/evidence/addresses", json!(vec!["192.0.2.0/24"; 21])),
            ("/notAfter", json!("never")),
            ("/notAfter", json!(null)),
            ("/decidedBy", json!(null)),
            ("/decidedBy", json!("urn:cm:officer:anna")),
            ("/decidedBy", json!("urn:cm:approver:anna")),
            ("/registration", json!("reg_2")),
        ];
        for (pointer, value) in table {
            let left = taken(|json| *json.pointer_mut(pointer).unwrap() = value.clone());
            assert_eq!(left, [], "{pointer} {value}");
        }
        for list in [json!(null), json!({}), json!("all")] {
            assert_eq!(convert(list, &"reg_01KANM3T9V5R8YFZ2Q6W4XH7CE".parse().unwrap(), None), []);
        }
    }

    #[test]
    fn a_parents_waiver_is_its_childs_too() {
        let (child, parent) = ("reg_2".parse().unwrap(), "reg_01KANM3T9V5R8YFZ2Q6W4XH7CE".parse().unwrap());
        assert_eq!(convert(json!([examples::waiver()]), &child, Some(&parent)).len(), 1);
        assert_eq!(convert(json!([examples::waiver()]), &child, None), []);
        assert_eq!(convert(json!(vec![examples::waiver(); 101]), &child, Some(&parent)).len(), WAIVERS_MAX);
    }

    #[test]
    fn an_officers_words_stay_on_one_line() {
        let reason = |text: &str| taken(|json| json["reason"] = json!(text)).pop().unwrap().reason;
        assert_eq!(reason("Drucker können\nkein http-01"), "Drucker können kein http-01");
        assert_eq!(reason(&"ü".repeat(600)).chars().count(), TEXT_CHARACTERS_MAX);
    }
}
