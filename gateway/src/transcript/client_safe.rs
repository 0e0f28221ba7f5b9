//! What a client may see of a story: its names, times, decisions, the rules behind them, and what to
//! do. No address, resolver or host of ours or of the CM, no id but those of its own order, and nothing
//! that only the CM has said and not meant for clients.
//!
//! Whoever has the reference may read it; it has 128 random bits.

use std::net::{IpAddr, SocketAddr};

use acme::{
    caa::CaaResult,
    order::OrderStatus,
    problem::{Problem, ProblemKind},
    time::Timestamp,
};
use serde::Serialize;

use super::{
    entry::{Entry, Judged, PutOff},
    story::{About, Line, Story},
};

/// A story as its client may read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientStory {
    pub(crate) reference: String,
    pub(crate) about: &'static str,
    pub(crate) status: &'static str,
    pub(crate) identifiers: Vec<String>,
    pub(crate) steps: Vec<Step>,
    /// Later steps are not shown.
    pub(crate) more: bool,
    /// What to do now.
    pub(crate) next: &'static str,
    /// The last thing that went wrong, for the way to its help page.
    #[serde(skip)]
    pub(crate) problem: Option<ProblemKind>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Step {
    pub(crate) at: Timestamp,
    /// The name that it happened to, if it is one of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identifier: Option<String>,
    pub(crate) what: String,
    /// The rules behind a refusal by policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rules: Vec<String>,
}

/// What its client may see of a story.
pub(crate) fn client_safe(story: &Story, now: Timestamp) -> ClientStory {
    let (about, status, identifiers, next) = match &story.about {
        About::Order { view, .. } => {
            let status = view.order.status(&view.authorizations, now);
            let names = view.order.identifiers.iter().map(ToString::to_string).collect();
            ("order", status.as_str(), names, next_of(status))
        }
        About::Authorization { authorization, .. } => {
            let status = authorization.status(now);
            let names = vec![authorization.identifier.to_string()];
            (
                "authorization",
                status.as_str(),
                names,
                "Mend what was refused, if something was, and let the client order again.",
            )
        }
        About::Refused { .. } => {
            ("refusal", "refused", names_of(&story.lines), "Mend what was refused, and let the client order again.")
        }
    };
    let is_judged = story.lines.iter().any(|line| matches!(line.entry, Some(Entry::OrderJudged { .. })));
    let steps = story.lines.iter().flat_map(|line| steps_of(line, is_judged));
    let steps = steps.map(|step| Step { what: without_addresses(&step.what, &identifiers), ..step }).collect();
    let problem = story.lines.iter().filter_map(|line| problem_of(line.entry.as_ref()?)).next_back();
    ClientStory {
        reference: story.reference.to_string(),
        about,
        status,
        identifiers,
        steps,
        more: !story.is_all,
        next,
        problem: problem.map(|problem| problem.kind),
    }
}

/// Without the addresses of hosts, except those that were ordered. A client that signs its requests is told
/// them with its challenge; whoever has a link is not.
fn without_addresses(text: &str, ordered: &[String]) -> String {
    let is_part = |character: char| character.is_ascii_hexdigit() || matches!(character, ':' | '.');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(is_part) {
        let (before, from) = rest.split_at(begin);
        let (run, after) = from.split_at(from.find(|character| !is_part(character)).unwrap_or(from.len()));
        // A full stop or a colon may belong to the sentence.
        let words = [run, run.strip_suffix([':', '.']).unwrap_or(run), run.trim_end_matches([':', '.'])];
        let address = words.into_iter().find_map(|word| Some((word, address_in(word)?)));
        let address = address.filter(|(_, address)| !ordered.contains(&address.to_string()));
        out.push_str(before);
        match address {
            Some((word, _)) => out.extend(["(address)", run.strip_prefix(word).unwrap_or_default()]),
            None => out.push_str(run),
        }
        rest = after;
    }
    out + rest
}

fn address_in(word: &str) -> Option<IpAddr> {
    word.parse().or_else(|_| word.parse::<SocketAddr>().map(|address| address.ip())).ok()
}

const fn next_of(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Pending => "Have the client prove control of what is not proven yet.",
        OrderStatus::Ready => "Have the client finalize the order.",
        OrderStatus::Processing => {
            "Nothing: the order goes on by itself, and the client has to ask for it now and then."
        }
        OrderStatus::Valid => "Nothing: the certificate can be downloaded.",
        OrderStatus::Invalid => "Mend what went wrong, and let the client order again.",
    }
}

/// The names that were judged, of an order that never came about.
fn names_of(lines: &[Line]) -> Vec<String> {
    let mut names = Vec::new();
    for line in lines {
        match &line.entry {
            Some(Entry::OrderJudged { identifiers, .. }) => {
                names.extend(identifiers.iter().map(|judged| judged.identifier().to_owned()));
            }
            Some(Entry::OrderRefused { problem, .. } | Entry::AuthorizationRefused { problem, .. }) => {
                names.extend(problem.subproblems.iter().map(|subproblem| subproblem.identifier.1.clone()));
            }
            Some(_) | None => {}
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn problem_of(entry: &Entry) -> Option<&Problem> {
    match entry {
        Entry::OrderRefused { problem, .. }
        | Entry::AuthorizationRefused { problem, .. }
        | Entry::ValidationEnded { problem: Some(problem), .. }
        | Entry::FinalizeRefused { problem, .. }
        | Entry::OrderFailed { problem } => Some(problem),
        Entry::OrderJudged { .. }
        | Entry::WaiversPassedOver { .. }
        | Entry::OrderWaived { .. }
        | Entry::OrderCreated { .. }
        | Entry::AuthorizationCreated { .. }
        | Entry::ChallengeAnswered { .. }
        | Entry::ValidationAttempted { .. }
        | Entry::ValidationEnded { problem: None, .. }
        | Entry::AuthorizationDeactivated {}
        | Entry::AuthorizationRevoked {}
        | Entry::IdentifierPaused { .. }
        | Entry::FinalizeAccepted { .. }
        | Entry::CaaLooked { .. }
        | Entry::CmAsked { .. }
        | Entry::IssuancePutOff { .. }
        | Entry::JobFailed { .. }
        | Entry::RequestWithdrawn { .. }
        | Entry::CertificateChecked { .. }
        | Entry::CertificateIssued { .. }
        | Entry::ProfileStopped { .. }
        | Entry::DeliveryReported { .. } => None,
    }
}

/// What a client is told of one entry; of one that this release does not know nothing.
fn steps_of(line: &Line, is_judged: bool) -> Vec<Step> {
    let Some(entry) = &line.entry else { return Vec::new() };
    let own = line.identifier.as_ref().map(ToString::to_string);
    let step = |what: String| Step { at: line.at, identifier: own.clone(), what, rules: Vec::new() };
    let about = |identifier: &str, what: String, rules: &[String]| Step {
        at: line.at,
        identifier: Some(identifier.to_owned()),
        what,
        rules: rules.to_vec(),
    };
    let refused = |what: &str, problem: &Problem| {
        let mut steps = vec![step(format!("{what} was refused: {}", problem.detail))];
        // Those that were judged are told with their rules.
        let several = problem.subproblems.iter().filter(|_| problem.subproblems.len() > 1 && !is_judged);
        steps.extend(several.map(|one| about(&one.identifier.1, format!("refused: {}", one.detail), &[])));
        steps
    };
    match entry {
        Entry::OrderJudged { identifiers, .. } => {
            let judged = |judged: &Judged| match judged {
                Judged::Allowed { identifier, .. } => about(identifier, String::from("may be ordered"), &[]),
                Judged::Refused { identifier, rules, detail } => {
                    about(identifier, format!("may not be ordered: {detail}"), rules)
                }
            };
            identifiers.iter().map(judged).collect()
        }
        Entry::OrderWaived { waivers } => {
            let names = waivers.iter().flat_map(|one| &one.identifiers);
            let what = "control need not be proven: a waiver of the registration authority covers the name";
            names.map(|name| about(name, String::from(what), &[])).collect()
        }
        Entry::OrderRefused { problem, .. } => refused("The order", problem),
        Entry::OrderCreated { profile, reused, .. } => {
            let rests = match reused.len() {
                0 => String::new(),
                1 => String::from("; it rests on 1 earlier proof of control"),
                count => format!("; it rests on {count} earlier proofs of control"),
            };
            vec![step(format!("The order was made, for profile {profile}{rests}."))]
        }
        Entry::AuthorizationCreated { .. } => vec![step(String::from("The authorization was made."))],
        Entry::AuthorizationRefused { problem, .. } => refused("The authorization", problem),
        Entry::ChallengeAnswered { method } => {
            vec![step(format!("The client said that the proof by {} is in place.", method.as_str()))]
        }
        Entry::ValidationAttempted { method, attempt, problem, again_at, .. } => vec![step(format!(
            "Look {attempt} at the proof by {}: {}. It is looked at again at {again_at}.",
            method.as_str(),
            problem.detail
        ))],
        Entry::ValidationEnded { method, attempt, problem, .. } => vec![step(match problem {
            None => format!("Look {attempt} at the proof by {}: control is proven.", method.as_str()),
            Some(problem) => {
                format!("Look {attempt} at the proof by {}, the last: {}", method.as_str(), problem.detail)
            }
        })],
        Entry::AuthorizationDeactivated {} => vec![step(String::from("The client gave the authorization up."))],
        Entry::AuthorizationRevoked {} => {
            vec![step(String::from("The proof of control was not accepted for issuance."))]
        }
        Entry::IdentifierPaused { failures, since } => vec![step(format!(
            "Validation has failed {failures} times since {since}: new orders for the name are paused (pausing.failures)."
        ))],
        Entry::FinalizeAccepted { .. } => vec![step(String::from("The CSR was accepted."))],
        Entry::FinalizeRefused { problem, .. } => refused("finalize", problem),
        Entry::CaaLooked { permitted, problem } => vec![step(match problem {
            Some(problem) => format!("CAA records: {}", problem.detail),
            None => {
                let none = permitted.iter().filter(|look| matches!(look.evidence.result, CaaResult::NoRecords)).count();
                let (all, some) = (permitted.len(), permitted.len().saturating_sub(none));
                format!(
                    "CAA records were looked at for {all} names and permit issuance: {some} have some, {none} none."
                )
            }
        })],
        Entry::IssuancePutOff { why, again_at, .. } => {
            vec![step(format!("{} Next look at {again_at}.", why_put_off(why)))]
        }
        Entry::JobFailed { again_at, .. } => {
            vec![step(format!("Something failed inside this service, which goes on at {again_at}."))]
        }
        Entry::CertificateChecked { failed, .. } => vec![step(String::from(if failed.is_empty() {
            "The certificate passed all checks."
        } else {
            "The certificate is not the one asked for and was withheld."
        }))],
        Entry::CertificateIssued { .. } => vec![step(String::from("The certificate can be downloaded."))],
        Entry::OrderFailed { problem } => vec![step(format!("The order ended: {}", problem.detail))],
        Entry::RequestWithdrawn { .. } => {
            vec![step(String::from("The request was withdrawn from the certificate authority."))]
        }
        // Where a client would have to be is for officers to say.
        Entry::WaiversPassedOver { .. }
        | Entry::CmAsked { .. }
        | Entry::ProfileStopped { .. }
        | Entry::DeliveryReported { .. } => Vec::new(),
    }
}

const fn why_put_off(why: &PutOff) -> &'static str {
    match why {
        PutOff::ProfileStopped {} => "Certificates are not issued by this profile at the moment.",
        PutOff::AuditUnwritable {} => "This server cannot keep its records at the moment.",
        PutOff::ClockBehind {} => "The request waits until it is old enough by the clock of the certificate authority.",
        PutOff::CaaUnanswered {} => "The DNS did not answer for CAA records.",
        PutOff::Pending { .. } => "The certificate authority has the request and has not decided yet.",
        PutOff::CmUndecided { .. } => "The certificate authority did not decide, or could not be reached.",
        PutOff::Held {} => "The certificate begins a little later and is held until then.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hidden_unless_they_were_ordered() {
        let ordered = [String::from("192.0.2.7"), String::from("2001:db8::7")];
        let table = [
            (
                "http://a.test/x: 127.0.0.1:5002 refused the connection",
                "http://a.test/x: (address) refused the connection",
            ),
            ("http://192.0.2.7/x: 192.0.2.7:80 answered 404.", "http://192.0.2.7/x: 192.0.2.7:80 answered 404."),
            ("10.0.0.1, ::1 and [fe80::1]:80; 2001:db8::7.", "(address), (address) and [(address)]:80; 2001:db8::7."),
            ("a.test at 2026-11-22T10:00:00Z: beef.cafe 1.2.3", "a.test at 2026-11-22T10:00:00Z: beef.cafe 1.2.3"),
            ("a.test: 10.0.0.1", "a.test: (address)"),
            ("fd00:: and fd00::: x", "(address) and (address): x"),
        ];
        for (text, shown) in table {
            assert_eq!(without_addresses(text, &ordered), shown);
        }
    }
}
