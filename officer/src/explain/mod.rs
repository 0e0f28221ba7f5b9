//! Why a registration may, or may not, have a certificate for a name: every rule that is looked at
//! on the way, by the same pure code that the gateway decides with.
//!
//! Values in, values out. The order is that of the gateway and the CM: status, then the lists of
//! realm, parent and registration (all of them must allow), then the profile, then the CSR.
//! What the CM alone knows (evidence, blocked keys, approval) is not looked at here.

mod waivers;

use acme::{
    csr::Csr,
    identifier::Identifier,
    problem::Problem,
    profile::Profile,
    registration::{AllowedIdentifiers, Parent, Registration, RegistrationStatus},
};
use policies::{
    csr::{check_csr, check_csr_before_binding},
    identifier::{Verdict, allowed, check_order, explain::walk, not_in_realm},
    profile::choose,
    registration::may_order,
    rule::Rule,
};
use serde::Serialize;

/// Everything that is known when the question is asked. What is `None` is said to be not looked at.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The registration itself, its parent left aside.
    pub(crate) registration: Registration,
    /// The registration whose key it was bound by.
    pub(crate) parent: Option<Registration>,
    /// What the realm allows to anybody.
    pub(crate) realm: Option<AllowedIdentifiers>,
    /// What the realm offers.
    pub(crate) profiles: Option<Vec<Profile>>,
}

/// The question.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The names of the certificate.
    pub(crate) names: Vec<Identifier>,
    /// The profile that is asked for; `None` for the default one.
    pub(crate) profile: Option<acme::ids::ProfileName>,
    /// The CSR, if there is one already.
    pub(crate) csr: Option<Csr>,
}

/// Whether it would be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Decision {
    Allow,
    Refuse,
}

/// What looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Layer {
    Name,
    Status,
    Realm,
    Parent,
    Registration,
    Profile,
    Csr,
    /// Beside the answer: what need not be proven.
    Waiver,
}

/// What it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// This layer has nothing against it.
    Allows,
    /// This layer refuses, and so the whole.
    Refuses,
    /// An entry covers the name.
    Covers,
    /// An exclusion covers the name.
    Excludes,
    /// An entry or exclusion does not cover the name.
    Passes,
    /// There was nothing to look with.
    NotLookedAt,
}

/// One rule on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    pub(crate) layer: Layer,
    /// The name it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The entry of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entry: Option<String>,
    pub(crate) outcome: Outcome,
    /// The stable name of the rule that refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
    /// In words.
    pub(crate) detail: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Explanation {
    pub(crate) decision: Decision,
    /// Why not, in the words that the client would read: the first refusal.
    pub(crate) reason: Option<String>,
    /// Every rule, in order.
    pub(crate) rules: Vec<Step>,
}

/// Walks every rule; does not stop at the first refusal.
pub(crate) fn explain(question: &Question, facts: &Facts) -> Explanation {
    let mut steps = vec![status(facts)];
    let own = &facts.registration.allowed_identifiers;
    let of_parent = facts.parent.as_ref().map(|parent| &parent.allowed_identifiers);
    let lists = [facts.realm.as_ref(), of_parent, Some(own)];
    let unlisted = lists.into_iter().flatten().all(|list| matches!(list, AllowedIdentifiers::Any { .. }));
    for name in &question.names {
        steps.extend(list(Layer::Realm, name, facts.realm.as_ref(), false));
        steps.extend(of_parent.into_iter().flat_map(|of_parent| list(Layer::Parent, name, Some(of_parent), unlisted)));
        steps.extend(list(Layer::Registration, name, Some(own), unlisted));
    }
    steps.extend(profile_and_csr(question, facts));
    steps.extend(waivers::walk(question, facts));
    concluded(steps)
}

/// The answer about a text that no client can ask for at all.
pub(crate) fn unreadable(text: &str, reason: &str) -> Explanation {
    let step = Step {
        name: Some(text.to_owned()),
        ..refused_by(Layer::Name, "identifier.malformed", format!("no client can ask for this name: {reason}"))
    };
    concluded(vec![step])
}

fn concluded(rules: Vec<Step>) -> Explanation {
    let refusal = rules.iter().find(|step| step.outcome == Outcome::Refuses);
    let decision = if refusal.is_some() { Decision::Refuse } else { Decision::Allow };
    Explanation { decision, reason: refusal.map(|step| step.detail.clone()), rules }
}

fn status(facts: &Facts) -> Step {
    let own = facts.registration.status;
    let parent = facts.parent.as_ref().map(|parent| parent.status);
    let held = matches!(
        parent,
        Some(RegistrationStatus::Suspended | RegistrationStatus::Deactivated | RegistrationStatus::Revoked)
    );
    match (own, held) {
        (RegistrationStatus::Pending, _) => {
            step(Layer::Status, Outcome::Allows, "pending: it may order as soon as a client has bound its account key")
        }
        (RegistrationStatus::Active, true) => match may_order(RegistrationStatus::Suspended) {
            Ok(()) => step(Layer::Status, Outcome::Allows, "active"),
            Err(problem) => refused(Layer::Status, &problem, "its parent is not active"),
        },
        (status, _) => match may_order(status) {
            Ok(()) => step(Layer::Status, Outcome::Allows, "active"),
            Err(problem) => refused(Layer::Status, &problem, ""),
        },
    }
}

/// One list and one name. `unlisted` says that no list at all names what is allowed: then a wildcard
/// right below a top-level label is refused, else the list that does name it decides.
fn list(layer: Layer, name: &Identifier, list: Option<&AllowedIdentifiers>, unlisted: bool) -> Vec<Step> {
    let about = |step: Step| Step { name: Some(name.to_string()), ..step };
    let Some(list) = list else {
        return vec![about(step(layer, Outcome::NotLookedAt, "the CM was not asked"))];
    };
    let entry = |found: policies::identifier::explain::Step| {
        let (outcome, detail) = match (found.excludes, found.covers) {
            (true, true) => (Outcome::Excludes, "an exclusion covers the name"),
            (false, true) => (Outcome::Covers, "covers the name"),
            (true, false) => (Outcome::Passes, "an exclusion that does not cover the name"),
            (false, false) => (Outcome::Passes, "does not cover the name"),
        };
        about(Step { entry: Some(found.entry), ..step(layer, outcome, detail) })
    };
    let mut steps: Vec<Step> = walk(name, list).into_iter().map(entry).collect();
    steps.push(about(match allowed(name, list) {
        Verdict::Allowed { rule } => step(layer, Outcome::Allows, &format!("allowed by {rule}")),
        Verdict::Refused(refusal) if refusal.rule == Rule::IdentifierTopLevelWildcard && !unlisted => {
            step(layer, Outcome::Allows, "allowed by any")
        }
        Verdict::Refused(refusal) => {
            let refusal = if layer == Layer::Realm { not_in_realm(name) } else { refusal };
            refused_by(layer, refusal.rule.name(), refusal.detail)
        }
    }));
    steps
}

/// Names, key and CSR as the profile takes them. The lists have been walked before, so the profile
/// is asked about a registration that may have every name.
fn profile_and_csr(question: &Question, facts: &Facts) -> Vec<Step> {
    let Some(profiles) = &facts.profiles else {
        return vec![step(Layer::Profile, Outcome::NotLookedAt, "the CM was not asked")];
    };
    let parent = facts.parent.as_ref();
    let parent =
        parent.map(|parent| Parent { id: parent.id.clone(), allowed_profiles: parent.allowed_profiles.clone() });
    let registration = Registration { parent, ..facts.registration.clone() };
    let profile = match choose(question.profile.as_ref(), None, &registration, profiles) {
        Ok(profile) => profile,
        Err(problem) => return vec![refused(Layer::Profile, &problem, "")],
    };
    let any = AllowedIdentifiers::Any { exclude: Vec::new() };
    let unlisted = Registration { allowed_identifiers: any.clone(), ..registration };
    // A wildcard that only lists may allow is refused where there is none; that list was walked.
    let names: Vec<Identifier> =
        question.names.iter().filter(|name| matches!(allowed(name, &any), Verdict::Allowed { .. })).cloned().collect();
    let mut steps = vec![match names.as_slice() {
        [] => step(Layer::Profile, Outcome::Allows, &format!("profile {}", profile.name)),
        names => match check_order(names, &unlisted, profile, profile.identifiers_max) {
            Ok(()) => step(Layer::Profile, Outcome::Allows, &format!("profile {}", profile.name)),
            Err(problem) => refused(Layer::Profile, &problem, ""),
        },
    }];
    if let Some(csr) = &question.csr {
        let judged = match &facts.registration.key {
            Some(bound) => check_csr(csr, &question.names, profile, &bound.key),
            None => check_csr_before_binding(csr, &question.names, profile),
        };
        steps.push(match judged {
            Ok(()) => step(Layer::Csr, Outcome::Allows, "key, extensions and names are taken"),
            Err(problem) => refused(Layer::Csr, &problem, ""),
        });
    }
    steps
}

fn step(layer: Layer, outcome: Outcome, detail: &str) -> Step {
    Step { layer, name: None, entry: None, outcome, rule: None, detail: detail.to_owned() }
}

fn refused_by(layer: Layer, rule: &str, detail: String) -> Step {
    Step { rule: Some(rule.to_owned()), ..step(layer, Outcome::Refuses, &detail) }
}

/// A refusal in the words that the client would read; a reason of ours goes before them.
fn refused(layer: Layer, problem: &Problem, because: &str) -> Step {
    let subproblems: Vec<&str> = problem.subproblems.iter().map(|one| one.detail.as_ref()).collect();
    let words = if subproblems.is_empty() { problem.detail.to_string() } else { subproblems.join("; ") };
    let detail = if because.is_empty() { words } else { format!("{because}: {words}") };
    Step { rule: rule_in(&detail), ..step(layer, Outcome::Refuses, &detail) }
}

/// The name of the rule as every refusal of the policies carries it.
fn rule_in(detail: &str) -> Option<String> {
    let (_, rest) = detail.split_once("(rule ")?;
    rest.split_once(')').map(|(rule, _)| rule.to_owned())
}

#[cfg(test)]
mod tests;
