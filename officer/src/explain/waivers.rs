//! Which waivers are about a name: said beside the answer and no part of it, for a waiver allows nothing. It tells how
//! control of the name need not be proven (CM contract section 4.3, Waivers).

use acme::{
    identifier::Identifier,
    registration::AllowedIdentifiers,
    waiver::{Waiver, WaiverEvidence},
};
use policies::{
    identifier::{Verdict, allowed},
    profile::choose,
};

use super::{Facts, Layer, Outcome, Question, Step, step};

/// A step for each name and waiver that is about it.
pub(super) fn walk(question: &Question, facts: &Facts) -> Vec<Step> {
    let no_effect = without_effect(question, facts);
    let waivers = &facts.registration.waivers;
    let about = |name| waivers.iter().filter(move |waiver| is_about(waiver, name)).map(move |waiver| (name, waiver));
    let told = |(name, waiver): (&Identifier, &Waiver)| Step {
        name: Some(name.to_string()),
        entry: Some(waiver.id.to_string()),
        ..step(Layer::Waiver, Outcome::Covers, &format!("{}{}", in_words(waiver), no_effect))
    };
    question.names.iter().flat_map(about).map(told).collect()
}

/// By the very function that lists are judged with.
fn is_about(waiver: &Waiver, name: &Identifier) -> bool {
    let rules = AllowedIdentifiers::Listed { rules: waiver.identifiers.clone(), exclude: Vec::new() };
    matches!(allowed(name, &rules), Verdict::Allowed { .. })
}

fn in_words(waiver: &Waiver) -> String {
    let Waiver { evidence: WaiverEvidence { addresses, client_certificates }, not_after, .. } = waiver;
    let from = one_of(addresses).map(|blocks| format!("a request from {blocks}"));
    let by = one_of(client_certificates).map(|keys| format!("a client certificate with the key {keys}"));
    let shown: Vec<String> = from.into_iter().chain(by).collect();
    format!(
        "control need not be proven until {not_after} by {}: {} ({}, approved by {})",
        shown.join(" and "),
        waiver.reason,
        waiver.proposed_by,
        waiver.decided_by
    )
}

fn one_of(all: &[impl ToString]) -> Option<String> {
    (!all.is_empty()).then(|| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "))
}

/// What is to be added if the profile takes no waivers.
fn without_effect(question: &Question, facts: &Facts) -> String {
    let Some(profiles) = &facts.profiles else { return String::new() };
    match choose(question.profile.as_ref(), None, &facts.registration, profiles) {
        Ok(profile) if !profile.waivers => {
            format!("; without effect, for the profile {} takes no waivers", profile.name)
        }
        Ok(_) | Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use cm_connector::rest::door;
    use serde_json::{Value, json};

    use super::*;

    fn facts(methods: &Value) -> Facts {
        let waiver = |id: &str, matches: &str, value: &str, evidence: Value| {
            json!({"id": id, "registration": "reg_1", "status": "approved", "notAfter": "2027-05-22T00:00:00Z",
                   "identifiers": [{"type": "dns", "match": matches, "value": value, "wildcards": false}],
                   "evidence": evidence, "reason": "no port 80", "proposedBy": "anna", "decidedBy": "bert"})
        };
        let waivers = json!([
            waiver("wav_1", "suffix", "printers.a.test", json!({"addresses": ["192.0.2.0/24", "198.51.100.0/24"]})),
            waiver("wav_2", "exact", "p7.printers.a.test", json!({"clientCertificates": ["ab".repeat(32)]})),
        ]);
        let registration = json!({"id": "reg_1", "version": 1, "realm": "tls", "mode": "preregistered",
            "status": "active", "allowedIdentifiers": {"mode": "any"}, "waivers": waivers});
        let profile = json!({"name": "tls", "status": "active", "default": true, "issuer": "issuing-1",
            "identifierTypes": ["dns"], "wildcards": true, "validity": {}, "approval": {"mode": "auto"},
            "validation": {"methods": methods}});
        Facts {
            registration: door::registration(&"tls".parse().unwrap(), registration).unwrap().0,
            parent: None,
            realm: None,
            profiles: Some(vec![door::profile(profile).unwrap().unwrap()]),
        }
    }

    fn walked(name: &str, methods: &Value) -> Vec<(String, String)> {
        let question = Question { names: vec![Identifier::parse_dns(name).unwrap()], profile: None, csr: None };
        let steps = walk(&question, &facts(methods));
        assert!(steps.iter().all(|step| (step.layer, step.outcome) == (Layer::Waiver, Outcome::Covers)));
        steps.into_iter().map(|step| (step.entry.unwrap(), step.detail)).collect()
    }

    #[test]
    fn each_waiver_about_a_name_is_told_with_what_it_asks_for() {
        let waived = json!(["http-01", "waived"]);
        let ways = walked("p7.printers.a.test", &waived);
        let expected = [
            (
                "wav_1",
                "control need not be proven until 2027-05-22T00:00:00Z by a request from 192.0.2.0/24 or \
                 198.51.100.0/24: no port 80 (anna, approved by bert)"
                    .to_owned(),
            ),
            (
                "wav_2",
                format!(
                    "control need not be proven until 2027-05-22T00:00:00Z by a client certificate with the key {}: \
                     no port 80 (anna, approved by bert)",
                    "ab".repeat(32)
                ),
            ),
        ];
        assert_eq!(ways, expected.map(|(id, words)| (id.to_owned(), words)));
        assert_eq!(walked("p8.printers.a.test", &waived).len(), 1);
        for name in ["evilprinters.a.test", "*.printers.a.test", "a.test"] {
            assert_eq!(walked(name, &waived), [], "{name}");
        }
    }

    #[test]
    fn a_profile_that_takes_no_waivers_is_named() {
        for methods in [json!(["http-01"]), json!(null)] {
            let told = walked("p8.printers.a.test", &methods);
            assert!(told[0].1.ends_with("; without effect, for the profile tls takes no waivers"), "{told:?}");
        }
    }

    #[test]
    fn a_waiver_changes_no_answer() {
        let mut facts = facts(&json!(["waived"]));
        let names = vec![Identifier::parse_dns("p7.printers.a.test").unwrap()];
        let nothing = AllowedIdentifiers::Listed { rules: Vec::new(), exclude: Vec::new() };
        facts.registration.allowed_identifiers = nothing;
        let refused = super::super::explain(&Question { names, profile: None, csr: None }, &facts);
        assert_eq!(refused.decision, super::super::Decision::Refuse);
    }
}
