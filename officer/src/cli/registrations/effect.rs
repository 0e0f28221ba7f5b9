//! What a changed policy would do to certificates in force: which of them could not be renewed, and which would be
//! renewed for a shorter time. Certificates of accounts that came from the registration are looked at too.
//!
//! Judged by the code of `explain`, which is the gateway's own: the same names and the same profile are asked for again. Only
//! what the policy says counts; a registration that is held is none of its business.

use std::collections::BTreeMap;

use acme::identifier::Identifier;
use cm_connector::rest::door;
use serde_json::{Value, json};

use crate::{
    cli::explain::from_cm,
    cm::{
        Cm,
        certificate::Certificate,
        registration::{Registration, Search},
    },
    error::Failure,
    explain::{Facts, Layer, Outcome, Question, explain},
    output::table,
    reports::record::time,
};

/// Most certificates, and most accounts that came from the registration, that are looked at.
const LOOKED_AT_MAX: usize = 10_000;
/// The members of a registration that renewals are judged by.
const POLICY: [&str; 3] = ["allowedIdentifiers", "allowedProfiles", "maxValidity"];
const DAY_SECS: u64 = 86_400;

/// What a policy would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// Whose renewal would be refused.
    pub(crate) lost: Vec<Lost>,
    /// Whose renewal would be for a shorter time.
    pub(crate) shortened: Vec<Shortened>,
    /// What could not be looked at, in a sentence each.
    pub(crate) notes: Vec<String>,
}

/// A certificate in force that could not be renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) id: String,
    /// The account's registration.
    pub(crate) registration: String,
    pub(crate) not_after: String,
    /// The names that are not allowed any more; none if it is the profile.
    pub(crate) names: Vec<String>,
    /// In the words that the client would read.
    pub(crate) reason: String,
    /// Whether it would be refused today as well.
    pub(crate) is_already: bool,
}

/// A certificate in force whose renewal would end sooner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shortened {
    pub(crate) id: String,
    pub(crate) registration: String,
    pub(crate) not_after: String,
    /// How long it is valid, in days.
    pub(crate) days: u64,
    /// How long the next one would be valid at most, in the contract's words.
    pub(crate) at_most: String,
}

/// What would become of the certificates in force if the registration were changed like this.
pub(crate) async fn of_patch(cm: &Cm, before: &Registration, patch: &Value) -> Result<Effect, Failure> {
    if POLICY.iter().all(|member| patch.get(member).is_none()) {
        return Ok(Effect::default());
    }
    let id = before.view.id.as_str();
    let now = from_cm(id, cm).await?;
    let then = Facts { registration: read(cm, after(&before.json, patch))?, ..now.clone() };
    let limit = patch.get("maxValidity").and_then(Value::as_str).and_then(Limit::of);
    let mut effect = Effect::default();
    let own = in_force(cm, "registration", id, &mut effect).await?;
    effect.judge(&own, &now, &then, limit.as_ref());
    let children = match in_force(cm, "parent", id, &mut effect).await {
        Err(Failure::Refused(refusal)) if refusal.code == "malformed" => {
            let note = "this CM cannot search for accounts that came from a registration, so theirs are not looked at";
            effect.notes.push(note.to_owned());
            Vec::new()
        }
        found => found?,
    };
    if children.is_empty() {
        return Ok(effect);
    }
    let mut by_child: BTreeMap<String, Vec<Certificate>> = BTreeMap::new();
    for one in children {
        by_child.entry(one.view.registration.clone().unwrap_or_default()).or_default().push(one);
    }
    let search = Search { parent: Some(id.to_owned()), ..Search::default() };
    for json in cm.registrations(search, LOOKED_AT_MAX).await?.items {
        let Some(theirs) = json.get("id").and_then(Value::as_str).and_then(|id| by_child.remove(id)) else { continue };
        let child = read(cm, json)?;
        let under = |parent: &Facts| Facts {
            registration: child.clone(),
            parent: Some(parent.registration.clone()),
            ..parent.clone()
        };
        effect.judge(&theirs, &under(&now), &under(&then), limit.as_ref());
    }
    Ok(effect)
}

fn read(cm: &Cm, json: Value) -> Result<acme::registration::Registration, Failure> {
    let read = door::registration(cm.realm(), json).map_err(|error| Failure::Broken(error.to_string()))?;
    Ok(read.0)
}

/// The registration as it would be.
fn after(before: &Value, patch: &Value) -> Value {
    let mut json = before.clone();
    if let (Some(members), Some(changed)) = (json.as_object_mut(), patch.as_object()) {
        let policy = changed.iter().filter(|(name, _)| POLICY.contains(&name.as_str()));
        members.extend(policy.map(|(name, value)| (name.clone(), value.clone())));
    }
    json
}

async fn in_force(cm: &Cm, whose: &'static str, id: &str, effect: &mut Effect) -> Result<Vec<Certificate>, Failure> {
    let query = vec![(whose, id.to_owned()), ("status", "good".to_owned())];
    let found = cm.certificates(query, LOOKED_AT_MAX).await?;
    if !found.complete {
        effect.notes.push(format!("there are more than {LOOKED_AT_MAX} certificates; the others are not looked at"));
    }
    found.items.into_iter().map(Certificate::of).collect()
}

impl Effect {
    fn judge(&mut self, certificates: &[Certificate], now: &Facts, then: &Facts, limit: Option<&Limit>) {
        for one in certificates {
            if let Some((names, reason)) = refused(one, then) {
                self.lost.push(Lost {
                    id: one.view.id.clone(),
                    registration: one.view.registration.clone().unwrap_or_default(),
                    not_after: one.view.not_after.clone(),
                    names,
                    reason,
                    is_already: refused(one, now).is_some(),
                });
            } else if let Some((secs, limit)) = life(one).zip(limit).filter(|(secs, limit)| *secs > limit.secs) {
                self.shortened.push(Shortened {
                    id: one.view.id.clone(),
                    registration: one.view.registration.clone().unwrap_or_default(),
                    not_after: one.view.not_after.clone(),
                    days: secs.div_ceil(DAY_SECS),
                    at_most: limit.text.clone(),
                });
            }
        }
    }

    /// For people; empty if there is nothing to say.
    pub(crate) fn told(&self) -> Vec<String> {
        let mut parts = Vec::new();
        if !self.lost.is_empty() {
            let rows: Vec<Vec<String>> = self.lost.iter().map(|one| one.row().to_vec()).collect();
            let headings = ["CERTIFICATE", "REGISTRATION", "UNTIL", "NAMES THAT ARE NOT ALLOWED", "REASON"];
            parts.push(format!("certificates in force whose renewal will be refused:\n{}", table(&headings, &rows)));
        }
        if !self.shortened.is_empty() {
            let rows: Vec<Vec<String>> = self.shortened.iter().map(|one| one.row().to_vec()).collect();
            parts.push(format!(
                "certificates in force whose renewal will end sooner, or be refused if as long a validity is asked for:\n{}",
                table(&["CERTIFICATE", "REGISTRATION", "UNTIL", "VALID FOR", "THEN AT MOST"], &rows)
            ));
        }
        parts.extend(self.notes.iter().map(|note| format!("note: {note}")));
        parts
    }

    /// For programs: whose renewal will be refused, and whose will end sooner.
    pub(crate) fn to_json(&self) -> (Value, Value) {
        let lost = |one: &Lost| {
            json!({"id": one.id, "registration": one.registration, "not_after": one.not_after, "names": one.names,
                   "reason": one.reason, "refused_today": one.is_already})
        };
        let shortened = |one: &Shortened| {
            json!({"id": one.id, "registration": one.registration, "not_after": one.not_after, "days": one.days,
                   "at_most": one.at_most})
        };
        (self.lost.iter().map(lost).collect(), self.shortened.iter().map(shortened).collect())
    }
}

impl Lost {
    /// Certificate, registration, end, names, why.
    pub(crate) fn row(&self) -> [String; 5] {
        let today = if self.is_already { " (today as well)" } else { "" };
        let reason = format!("{}{today}", self.reason);
        [self.id.clone(), self.registration.clone(), self.not_after.clone(), self.names.join(", "), reason]
    }
}

impl Shortened {
    /// Certificate, registration, end, days, limit.
    pub(crate) fn row(&self) -> [String; 5] {
        let days = if self.days == 1 { "1 day".to_owned() } else { format!("{} days", self.days) };
        [self.id.clone(), self.registration.clone(), self.not_after.clone(), days, self.at_most.clone()]
    }
}

/// The names that are refused, and why, if the policy has anything against another certificate like this one.
fn refused(certificate: &Certificate, facts: &Facts) -> Option<(Vec<String>, String)> {
    let view = &certificate.view;
    let read = |name: &str| Identifier::parse_ip(name).or_else(|_| Identifier::parse_dns(name)).ok();
    let names = view.identifiers.iter().filter_map(|name| read(&name.value)).collect();
    let profile = view.profile.as_deref().and_then(|profile| profile.parse().ok());
    let explanation = explain(&Question { names, profile, csr: None }, facts);
    let mut refusals = explanation
        .rules
        .iter()
        .filter(|step| step.outcome == Outcome::Refuses && step.layer != Layer::Status)
        .peekable();
    let reason = refusals.peek()?.detail.clone();
    let mut names: Vec<String> = refusals.filter_map(|step| step.name.clone()).collect();
    names.dedup();
    Some((names, reason))
}

/// How long it is valid, in seconds; nothing if the CM's times are not understood.
fn life(certificate: &Certificate) -> Option<u64> {
    let (begin, end) = (time(&certificate.view.not_before).ok()?, time(&certificate.view.not_after).ok()?);
    // Both ends belong to a validity (RFC 5280 section 4.1.2.5).
    Some(end.since(begin).as_secs().saturating_add(1))
}

/// A longest validity.
struct Limit {
    secs: u64,
    text: String,
}

impl Limit {
    /// Takes the contract's `P90D` or `PT12H`; what is longer than these can say limits no certificate here.
    fn of(text: &str) -> Option<Self> {
        let (digits, unit) = match text.strip_prefix("PT") {
            Some(rest) => (rest.strip_suffix('H')?, 3_600),
            None => (text.strip_prefix('P')?.strip_suffix('D')?, DAY_SECS),
        };
        let secs = digits.parse::<u64>().ok()?.saturating_mul(unit);
        Some(Self { secs, text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(id: &str, members: Value) -> acme::registration::Registration {
        let mut json = json!({"id": id, "version": 1, "realm": "tls", "status": "suspended", "allowedProfiles": ["tls"],
            "allowedIdentifiers": {"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "a.test"}]}});
        json.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        door::registration(&"tls".parse().unwrap(), json).unwrap().0
    }

    fn facts(members: Value) -> Facts {
        let profile = |name: &str, default: bool| {
            let json = json!({"name": name, "status": "active", "default": default, "issuer": "issuing-1",
                "identifierTypes": ["dns"], "wildcards": true, "validity": {}, "approval": {"mode": "auto"}});
            door::profile(json).unwrap().unwrap()
        };
        let profiles = Some(vec![profile("tls", true), profile("other", false)]);
        Facts { registration: registration("reg_1", members), parent: None, realm: None, profiles }
    }

    fn list(rules: Value) -> Value {
        json!({"allowedIdentifiers": {"mode": "listed", "rules": rules}})
    }

    fn certificate(id: &str, names: &[&str]) -> Certificate {
        let names: Vec<Value> = names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        let json = json!({"id": id, "status": "good", "serial": "0a", "sha256": "00", "registration": "reg_1", "profile": "tls",
            "notBefore": "2026-11-01T00:00:00Z", "notAfter": "2026-11-10T23:59:59Z", "identifiers": names});
        Certificate::of(json).unwrap()
    }

    fn effect(certificates: &[Certificate], now: &Facts, then: &Facts, limit: Option<&str>) -> Effect {
        let mut effect = Effect::default();
        effect.judge(certificates, now, then, limit.and_then(Limit::of).as_ref());
        effect
    }

    #[test]
    fn only_certificates_with_a_name_that_is_refused_are_named() {
        let then = facts(list(json!([{"type": "dns", "match": "suffix", "value": "a.test", "wildcards": false}])));
        let all =
            [certificate("kept", &["a.test", "x.a.test"]), certificate("gone", &["a.test", "*.a.test", "b.test"])];
        let effect = effect(&all, &facts(json!({})), &then, None);
        let (lost, shortened) = effect.to_json();
        assert_eq!(lost.as_array().unwrap().len(), 1);
        assert_eq!((&lost[0]["id"], &lost[0]["names"]), (&json!("gone"), &json!(["*.a.test", "b.test"])));
        assert_eq!(
            (&lost[0]["refused_today"], &shortened),
            (&json!(true), &json!([])),
            "b.test is refused today as well"
        );
        let told = effect.told().join("\n");
        assert!(told.contains("*.a.test, b.test") && told.contains("(today as well)"), "{told}");
        assert!(Effect::default().told().is_empty());
    }

    #[test]
    fn a_profile_that_is_taken_away_is_named_as_the_reason() {
        let then = facts(json!({"allowedProfiles": ["other"]}));
        let effect = effect(&[certificate("one", &["a.test"])], &facts(json!({})), &then, None);
        let [lost] = effect.lost.as_slice() else { panic!("{effect:?}") };
        assert!(lost.names.is_empty() && lost.reason.contains("may not use the profile tls"), "{lost:?}");
        assert!(!lost.is_already);
    }

    #[test]
    fn what_a_child_has_is_lost_if_its_parent_no_longer_allows_it() {
        let under = |parent: Value| {
            let parent = registration("reg_0", parent);
            Facts { parent: Some(parent), ..facts(json!({})) }
        };
        let narrow = list(json!([{"type": "dns", "match": "exact", "value": "a.test"}]));
        let all = [certificate("kept", &["a.test"]), certificate("gone", &["x.a.test"])];
        let effect = effect(&all, &under(json!({})), &under(narrow), None);
        let ids: Vec<&str> = effect.lost.iter().map(|lost| lost.id.as_str()).collect();
        assert_eq!(ids, ["gone"]);
    }

    #[test]
    fn a_shorter_validity_is_told_where_it_is_shorter() {
        let (now, all) = (facts(json!({})), [certificate("ten days", &["a.test"])]);
        for (limit, is_shorter) in [("P9D", true), ("PT239H", true), ("P10D", false), ("P90D", false), ("P1Y", false)] {
            let effect = effect(&all, &now, &now, Some(limit));
            assert_eq!(effect.shortened.len(), usize::from(is_shorter), "{limit}: {effect:?}");
            assert!(effect.lost.is_empty());
        }
        let told = effect(&all, &now, &now, Some("P9D")).told().join("\n");
        assert!(told.contains("10 days") && told.contains("P9D"), "{told}");
    }

    #[test]
    fn the_policy_of_a_patch_is_the_one_that_counts() {
        let before = json!({"owner": "a", "allowedProfiles": [], "maxValidity": null});
        let patch = json!({"owner": "b", "allowedProfiles": ["tls"], "maxValidity": "P9D"});
        assert_eq!(after(&before, &patch), json!({"owner": "a", "allowedProfiles": ["tls"], "maxValidity": "P9D"}));
    }
}
