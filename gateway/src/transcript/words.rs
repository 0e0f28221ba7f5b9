//! A story in words for operators: all there is.

use acme::{
    caa::{CaaEvidence, CaaResult},
    certificate::{Check, FailedCheck},
    problem::Problem,
};
use cm_connector::{Call, CallOutcome};

use super::entry::{Entry, Judged, PutOff, WaivedNames};

/// What an entry says: the first line is the whole of it, those that follow are the details.
pub(crate) fn words(entry: &Entry) -> Vec<String> {
    match entry {
        Entry::OrderJudged { profile, identifiers } => {
            with(format!("judged under profile {profile}"), identifiers.iter().map(judged))
        }
        Entry::WaiversPassedOver { waivers } => with(
            String::from("waivers that do not count"),
            waivers.iter().map(|one| format!("{}: waiver {}: {}", one.identifier, one.waiver, one.detail)),
        ),
        Entry::OrderWaived { waivers } => {
            with(String::from("control need not be proven"), waivers.iter().map(waived_names))
        }
        Entry::OrderRefused { account, problem, .. } => {
            problem_words(&format!("refused to account {account}"), problem)
        }
        Entry::OrderCreated { profile, expires, reused, replaces } => {
            let mut lines = vec![format!("for profile {profile}, until {expires}")];
            if !reused.is_empty() {
                let ids: Vec<_> = reused.iter().map(ToString::to_string).collect();
                lines.push(format!("rests on authorizations {}", ids.join(", ")));
            }
            lines.extend(replaces.as_ref().map(|certificate| format!("replaces certificate {certificate}")));
            lines
        }
        Entry::AuthorizationCreated { challenges, expires } => {
            let kinds: Vec<_> = challenges.iter().map(|kind| kind.as_str()).collect();
            vec![format!("by {}, until {expires}", kinds.join(", "))]
        }
        Entry::AuthorizationRefused { account, problem, .. } => {
            problem_words(&format!("refused to account {account}"), problem)
        }
        Entry::ChallengeAnswered { method } => vec![format!("{}: the client says the proof is there", method.as_str())],
        Entry::ValidationAttempted { method, attempt, problem, again_at, seen } => with(
            format!("{}, attempt {attempt}: {}; again at {again_at}", method.as_str(), problem.detail),
            seen.iter().map(ToString::to_string),
        ),
        Entry::ValidationEnded { method, attempt, evidence, problem, seen } => {
            let outcome = match (evidence, problem) {
                (Some(evidence), _) => format!("valid; {} seen from {}", evidence.target, evidence.source),
                (None, Some(problem)) => format!("invalid: {}: {}", kind(problem), problem.detail),
                (None, None) => String::from("invalid"),
            };
            let caa = evidence.iter().filter_map(|evidence| evidence.caa.as_ref()).map(caa_words);
            with(
                format!("{}, attempt {attempt}: {outcome}", method.as_str()),
                seen.iter().map(ToString::to_string).chain(caa),
            )
        }
        Entry::AuthorizationDeactivated {} => vec![String::from("given up by its account")],
        Entry::AuthorizationRevoked {} => vec![String::from("the CM did not take the proof")],
        Entry::IdentifierPaused { failures, since } => {
            vec![format!("{failures} failures since {since}; new orders for it are refused")]
        }
        Entry::FinalizeAccepted { csr_sha256, rules } => {
            with(format!("CSR with SHA-256 {csr_sha256} keeps every rule"), [rules.join(", ")])
        }
        Entry::FinalizeRefused { csr_sha256, problem } => {
            problem_words(&format!("CSR with SHA-256 {csr_sha256} refused"), problem)
        }
        Entry::CaaLooked { permitted, problem } => {
            let looks = permitted
                .iter()
                .map(|look| format!("authorization {}: {}", look.authorization, caa_words(&look.evidence)));
            match problem {
                None => with(format!("{} looks permit issuance", permitted.len()), looks),
                Some(problem) => problem_words("not permitted", problem).into_iter().chain(looks).collect(),
            }
        }
        Entry::CmAsked { calls } => match calls.as_slice() {
            [only] => vec![call(only)],
            several => with(format!("{} calls", several.len()), several.iter().map(call)),
        },
        Entry::IssuancePutOff { why, attempt, again_at } => {
            vec![format!("{}; attempt {attempt}, again at {again_at}", put_off(why))]
        }
        Entry::JobFailed { error, attempt, again_at } => {
            vec![format!("attempt {attempt} failed: {error}; again at {again_at}")]
        }
        Entry::RequestWithdrawn { request } => vec![format!("the CM's request {request} is cancelled")],
        Entry::CertificateChecked { certificate, failed } if failed.is_empty() => {
            let names: Vec<_> = Check::ALL.iter().map(|check| check.name()).collect();
            with(format!("certificate {certificate} passed every check"), [names.join(", ")])
        }
        Entry::CertificateChecked { certificate, failed } => with(
            format!("certificate {certificate} is not the one asked for"),
            failed.iter().map(|FailedCheck { check, detail }| format!("{}: {detail}", check.name())),
        ),
        Entry::CertificateIssued { certificate } => vec![format!("certificate {certificate}")],
        Entry::OrderFailed { problem } => problem_words("ended", problem),
        Entry::ProfileStopped { profile } => {
            let which =
                profile.as_ref().map_or(String::from("any profile of the realm"), |one| format!("profile {one}"));
            vec![format!("nothing is asked for by {which} until an operator resumes it")]
        }
        Entry::DeliveryReported { failed, error } => {
            let names: Vec<_> = failed.iter().map(|check| check.name()).collect();
            let report = if names.is_empty() { String::from("accepted") } else { names.join(", ") };
            let taken =
                error.as_ref().map_or_else(|| String::from("taken by the CM"), |error| format!("not taken: {error}"));
            vec![format!("{report}; {taken}")]
        }
    }
}

fn with(first: String, details: impl IntoIterator<Item = String>) -> Vec<String> {
    std::iter::once(first).chain(details).collect()
}

fn kind(problem: &Problem) -> &'static str {
    problem.kind.name_and_status().0
}

fn problem_words(what: &str, problem: &Problem) -> Vec<String> {
    let about = problem.subproblems.iter().filter(|_| problem.subproblems.len() > 1);
    let about = about.map(|one| format!("{}: {}: {}", one.identifier.1, one.kind.name_and_status().0, one.detail));
    with(format!("{what}: {}: {}", kind(problem), problem.detail), about)
}

fn judged(judged: &Judged) -> String {
    match judged {
        Judged::Allowed { identifier, by } => format!("{identifier}: allowed by {by}"),
        Judged::Refused { identifier, rules, detail } => {
            format!("{identifier}: refused by {}: {detail}", rules.join(", "))
        }
    }
}

fn waived_names(WaivedNames { by, identifiers }: &WaivedNames) -> String {
    let key = by.client_certificate.map(|key| format!(" and client certificate {key}")).unwrap_or_default();
    format!(
        "{}: waived by {}, approved by {}, because {} (waiver {}); evidence: address {}{key}",
        identifiers.join(", "),
        by.proposed_by,
        by.decided_by,
        by.reason,
        by.waiver,
        by.address,
    )
}

fn caa_words(look: &CaaEvidence) -> String {
    let found = match &look.result {
        CaaResult::NoRecords => String::from("no records"),
        CaaResult::Permitted { domain, issuewild } => {
            let tag = if *issuewild { "issuewild" } else { "issue" };
            format!("permitted by {tag} of {domain}")
        }
    };
    format!("CAA: {found}, looked at {}", look.checked_at)
}

fn put_off(why: &PutOff) -> String {
    match why {
        PutOff::ProfileStopped {} => String::from("the profile is stopped; see profile list"),
        PutOff::AuditUnwritable {} => String::from("the audit files cannot be written"),
        PutOff::ClockBehind {} => String::from("the newest proof lies in the future of the CM's clock"),
        PutOff::CaaUnanswered {} => String::from("no answer for CAA records"),
        PutOff::Pending { request } => format!("the CM has request {request} and has not decided"),
        PutOff::CmUndecided { error } => format!("the CM has not decided: {error}"),
        PutOff::Held {} => String::from("the certificate begins ahead of our clock"),
    }
}

fn call(call: &Call) -> String {
    let id = |id: &Option<String>| id.as_ref().map(|id| format!(", request id {id}")).unwrap_or_default();
    let outcome = match &call.outcome {
        CallOutcome::Answered { status, request_id } => format!("{status}{}", id(request_id)),
        CallOutcome::Problem { status, code, request_id } => format!("{status} {code}{}", id(request_id)),
        CallOutcome::NotTheCm { status } => format!("{status}, not from the CM"),
        CallOutcome::TooLarge => String::from("answer too large"),
        CallOutcome::NoConnection => String::from("no connection"),
        CallOutcome::CertificateRefused => String::from("certificate refused"),
        CallOutcome::ConnectionLost => String::from("connection lost"),
        CallOutcome::TimedOut => String::from("no answer in time"),
        CallOutcome::CircuitOpen => String::from("not sent: the CM is left alone for a moment"),
        CallOutcome::QueueFull => String::from("not sent: too many calls wait"),
        CallOutcome::Unfit => String::from("not sent: not fit to be sent"),
        CallOutcome::GivenUp => String::from("given up"),
        CallOutcome::More { attempts } => return format!("and {attempts} more attempts"),
    };
    format!("{} attempt {}: {outcome} ({} ms)", call.operation, call.attempt, call.elapsed_millis)
}
